"""Export the part of a classifier before its head to ONNX.

The input is clips in float32, 0..1. The training's mean and standard deviation are part of the
graph, so a device cannot omit them. The axes keep the order of the training: transposing every clip
would cost more than it saves, and the bundle records the layout.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress

import onnx
import torch
from onnxscript import rewriter
from torch import Tensor, nn

from edgesplit.backbone.identity import Backbone
from edgesplit.errors import ExportError
from edgesplit.export.graph.canonical import INPUT_NAME, OPSET, OUTPUT_NAME, canonical_backbone
from edgesplit.export.graph.cut import Cut
from edgesplit.export.graph.decompose import Decomposed
from edgesplit.export.wording import causes, first_line
from edgesplit.video.preprocessing import Preprocessing

__all__ = ["NormalizedBackbone", "export_backbone", "normalize_clips"]

# torch turns a batch of 1 into a constant. More than 2 would only cost time.
_TRACED_BATCH = 2
_LACKING = re.compile(r"No ONNX function found for <OpOverload\(op='([\w.:]+)'")


class NormalizedBackbone(nn.Module):
    """A backbone from clips `(N, …)` in 0..1 to features `(N, D)`."""

    def __init__(self, backbone: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.backbone = backbone
        self.preprocessing = preprocessing

    def forward(self, clip: Tensor) -> Tensor:
        """Return the features of `clip`."""
        with Decomposed() if torch.compiler.is_exporting() else nullcontext():
            features: Tensor = self.backbone(normalize_clips(clip, self.preprocessing))
        return features


def normalize_clips(clips: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Return `(clips - mean) / std` per colour channel, as in the training.

    Args:
        clips: `(N, 3, T, H, W)` for layout `ncthw`, `(N, T, 3, H, W)` for `ntchw`; float32 in 0..1.
        preprocessing: Layout, mean and std.
    """
    if not any(preprocessing.mean) and all(value == 1 for value in preprocessing.std):
        return clips  # mean 0 and std 1 need no operators
    shape = (-1, 1, 1, 1) if preprocessing.layout == "ncthw" else (-1, 1, 1)
    mean, std = (
        torch.tensor(values).view(shape) for values in (preprocessing.mean, preprocessing.std)
    )
    return (clips - mean) / std


def export_backbone(cut: Cut, preprocessing: Preprocessing) -> Backbone:
    """Return the backbone as canonical ONNX (opset 18, IR 8, float32); above 2 GB in two files.

    The same weights and architecture give the same bytes, regardless of the path of their code. A
    small model takes about a second, the first export of a process five.

    Args:
        cut: The result of `find_cut`.
        preprocessing: The clip's shape and layout; mean and std become part of the graph.

    Returns:
        A model with input `clip` `(batch, *preprocessing.clip_shape)` and output `features`
        `(batch, D)`, both float32 with a free batch axis.

    Raises:
        ExportError: The model uses operations that ONNX lacks, or depends on the batch size.
    """
    module = NormalizedBackbone(cut.backbone, preprocessing).eval()
    proto = _trace(module, torch.rand(_TRACED_BATCH, *preprocessing.clip_shape))
    return canonical_backbone(
        proto, clip_shape=preprocessing.clip_shape, feature_dim=cut.feature_dim
    )


def _trace(module: nn.Module, clips: Tensor) -> onnx.ModelProto:
    quiet, quick = _quiet_exporter(), _without_pair_rules()
    with quiet, quick, torch.inference_mode(False), torch.no_grad():
        try:
            program = torch.onnx.export(
                module,
                (clips,),
                dynamo=True,
                opset_version=OPSET,
                input_names=[INPUT_NAME],
                output_names=[OUTPUT_NAME],
                dynamic_shapes=({0: "batch"},),
                external_data=False,
                verbose=False,
            )
        except Exception as error:  # tracing may raise anything
            cause = causes(error)[-1]  # the outer errors only add pages of advice
            if (operator := _LACKING.search(str(cause))) is not None:
                raise _no_onnx_form(module, clips, operator[1]) from error
            raise ExportError(
                f"torch cannot export the backbone: {type(cause).__name__}: {first_line(cause)}\n"
                "Check for branches on tensor values, the batch size used as a plain number, and "
                "operations that ONNX does not have."
            ) from error
    assert program is not None  # always, for dynamo=True
    proto: onnx.ModelProto = program.model_proto
    return proto


def _no_onnx_form(module: nn.Module, clips: Tensor, operator: str) -> ExportError:
    """Return an error that names the place of the operator in the user's model."""
    place = "the model"
    with suppress(Exception):  # the place only improves the message
        program = torch.export.export(module, (clips,), strict=False).run_decompositions()
        node = next(node for node in program.graph.nodes if operator in str(node.target))
        path, kind = list(node.meta["nn_module_stack"].values())[-1]
        name = path.removeprefix("backbone.model").removeprefix(".") or "the model itself"
        lines = [line.strip() for line in node.meta["stack_trace"].splitlines() if line.strip()]
        place = f"{name} ({str(kind).rpartition('.')[-1]}), at `{lines[-1]}`,"
    return ExportError(
        f"ONNX has no {operator}, which {place} runs. Replace it by operators that ONNX has, such "
        "as matrix products, sums, pools and slices; parity with torch is checked."
    )


@contextmanager
def _without_pair_rules() -> Iterator[None]:
    """Disable the optimizer's rules for pairs of operators.

    The only such rule turns two Slices into a Split, which does not change the values. It walks the
    complete graph at each operator, which takes minutes for a graph of ten thousand.
    """
    name = "_DEFAULT_REWRITE_RULES"
    rules = getattr(rewriter, name, None)
    if rules is None:  # another release of onnxscript: slower, but correct
        yield
        return
    try:
        kept = tuple(rule for rule in rules if rule._target_pattern.has_single_output_node)
        setattr(rewriter, name, kept)
    except AttributeError:
        pass
    try:
        yield
    finally:
        setattr(rewriter, name, rules)


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Mute torch's messages about itself: deprecations, missing torchvision.

    The graph that torch prints to stderr when a trace fails is kept: it shows the user's line.
    """
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.fx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
