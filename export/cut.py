"""Where a classifier ends in a linear layer: features before it, class rows inside it.

    clip -> ... -> features [N, D] -> Linear (weight [C, D], bias [C]) -> logits [N, C]

The cut is found by running the model and comparing values, not by reading its structure: the head
is the linear layer whose output *is* the model's output; a convolution with a kernel of one counts
as linear. A mean over tokens, frames, segments or places may follow, because it commutes with a
linear layer; then the features are averaged instead. Dropout before the head does nothing in
evaluation mode.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from edgesplit.errors import ExportError
from edgesplit.export.tap import (
    Call,
    FeatureTap,
    is_linear,
    logits_of,
    rows_per_clip,
    run_watching,
)

__all__ = ["Cut", "Reference", "find_cut", "relative_difference"]

Floats = npt.NDArray[np.float32]

Reference = Literal["output", "layer"]
"""Whose values count as the logits: the model's output, or the named layer's."""

# The same tensor gives exactly 0; an averaged one differs by the order of a few float32 sums.
_SAME = 1e-5
_TINY = float(np.finfo(np.float32).tiny)  # keeps 0 / 0 at 0


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """A classifier taken apart at its last linear layer."""

    backbone: FeatureTap
    """Normalised clips `(N, …)` to features `(N, D)`; a float32 CPU copy in evaluation mode."""

    layer: str
    """Dotted name of the head inside the model."""

    weight: Floats
    """`(C, D)`, one row per class."""

    bias: Floats
    """`(C,)`; zeros when the layer has none."""

    averaged: bool
    """The layer runs per token (frame, segment) and a mean follows: features are averaged first."""

    reference: Reference
    """`layer` when the head was named and something else follows it, such as a softmax."""

    @property
    def n_classes(self) -> int:
        """C, the number of rows."""
        return int(self.weight.shape[0])

    @property
    def feature_dim(self) -> int:
        """D, the length of a feature."""
        return int(self.weight.shape[1])

    def run(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Returns torch's own features `(N, D)` and logits `(N, C)` of normalised clips."""
        with torch.inference_mode():
            features, rows, output = self.backbone.run(inputs)
            if self.reference == "output":
                rows = logits_of(output, self.backbone.model, inputs.shape[0])
        return features, rows


def find_cut(model: nn.Module, clips: Tensor, *, head_layer: str | None = None) -> Cut:
    """Returns the cut between backbone and head, found by running `clips` through the model.

    Args:
        model: Any classifier that takes a batch of clips as its first argument and returns logits:
            a tensor `(N, C)`, a tuple that starts with it, or an object with `.logits`. It is
            copied (float32, CPU, evaluation mode) and left as it is.
        clips: `(N, …)` float32, normalised as the model wants it; at least two different clips.
        head_layer: Dotted name of the layer whose output is to be the logits, for models that
            return something else (probabilities, several heads).

    Raises:
        ExportError: No linear layer gives the model's output, or the named one does not.
        ValueError: Fewer than two clips, which could not tell an average over a batch.
    """
    if len(clips) < 2:
        raise ValueError(f"clips holds {len(clips)} clip; the cut needs at least 2")
    model = _frozen_copy(model)
    with torch.inference_mode():
        logits = _repeatable_logits(model, clips)
        if head_layer is None:
            layer, averaged = _search(model, clips, n_classes=logits.shape[1])
            reference: Reference = "output"
        else:
            layer, averaged, reference = _take_named(model, clips, head_layer)
    weight, bias = _copy_rows(_linear_layers(model)[layer])
    return Cut(
        backbone=FeatureTap(model, layer, averaged=averaged).eval(),
        layer=layer,
        weight=weight,
        bias=bias,
        averaged=averaged,
        reference=reference,
    )


def relative_difference(values: Tensor, reference: Tensor) -> float:
    """Returns max |values - reference| / max |reference|; 0 when both are all zeros."""
    largest = float((values - reference).abs().max())
    return largest / max(float(reference.abs().max()), _TINY)


def _frozen_copy(model: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(model).to("cpu", torch.float32).requires_grad_(False).eval()
    except Exception as error:  # whatever a module's own __deepcopy__ raises
        raise ExportError(
            f"{type(model).__name__} cannot be copied ({error}). "
            "Remove weight norm and cached tensors, or build a fresh model and load its weights."
        ) from error


def _repeatable_logits(model: nn.Module, clips: Tensor) -> Tensor:
    """Returns the logits `(N, C)`, after making sure that a second run gives the same."""
    first, second = (logits_of(_call(model, clips), model, len(clips)) for _ in range(2))
    if not bool(torch.isfinite(first).all()):
        raise ExportError(f"{type(model).__name__} returns NaN or infinity for clips in 0..1.")
    difference = relative_difference(second, first)
    if difference > _SAME:
        raise ExportError(
            f"{type(model).__name__} gives two answers for the same clips, {difference:.1e} of the "
            "largest logit apart, in evaluation mode. Something random still runs: "
            "F.dropout(x) needs training=self.training."
        )
    return first


def _call(model: nn.Module, clips: Tensor) -> object:
    try:
        return model(clips)
    except Exception as error:  # the user's forward may raise anything
        raise ExportError(
            f"{type(model).__name__} fails on clips of shape {tuple(clips.shape)}: {error}\n"
            "Check the number of frames, height, width and layout (ncthw or ntchw)."
        ) from error


def _linear_layers(model: nn.Module) -> dict[str, nn.Module]:
    return {name: part for name, part in model.named_modules() if is_linear(part)}


def _copy_rows(head: nn.Module) -> tuple[Floats, Floats]:
    weight = cast("Tensor", head.weight).numpy()  # (C, D), or (C, D, 1, 1, 1) of a convolution
    bias = cast("Tensor | None", head.bias)
    zeros = np.zeros(len(weight), np.float32)
    rows = weight.reshape(len(weight), -1).copy()
    return rows, zeros if bias is None else bias.numpy().copy()


def _search(model: nn.Module, clips: Tensor, *, n_classes: int) -> tuple[str, bool]:
    """Returns the layer whose output is the model's, and whether a mean over tokens follows."""
    layers = _linear_layers(model)
    if not layers:
        raise ExportError(
            f"{type(model).__name__} has no nn.Linear layer, so it has no head to edit "
            f"(its last layer is {_last_layer(model)}). End the model in nn.Linear(features, "
            "classes) on pooled features, or in a 1x1x1 convolution and a mean."
        )
    # Only outputs that can be the logits are kept: all of a transformer's would fill the memory.
    calls, output = run_watching(
        model, clips, list(layers), lambda outputs: outputs.shape[-1] == n_classes
    )
    # Of this run: hooks turn off torch's fused transformer layers, which round otherwise.
    logits = logits_of(output, model, len(clips))
    if not calls:
        last, head = list(layers.items())[-1]
        raise ExportError(
            f"No linear layer of {type(model).__name__} gives its {n_classes} outputs; the last "
            f"one, {last!r}, gives {len(_copy_rows(head)[0])}. If that layer's outputs are the "
            f"classes, name it: --head-layer {last}"
        )
    for call in reversed(calls):
        averaged, rows = _mean_rows(call, len(clips))
        if rows is not None and relative_difference(rows, logits) <= _SAME:
            _check_called_once(call.layer, calls)
            return call.layer, averaged
    _check_called_once(calls[-1].layer, calls)
    raise _unexplained_tail(calls[-1], logits)


def _take_named(model: nn.Module, clips: Tensor, name: str) -> tuple[str, bool, Reference]:
    """Returns the layer the user named, checked against what the model returns."""
    _check_is_linear(model, name)
    calls, output = run_watching(model, clips, [name], lambda _: True)
    if not calls:
        raise ExportError(f"{name!r} does not run when the model sees a clip. Name another layer.")
    _check_called_once(name, calls)
    averaged, rows = _mean_rows(calls[0], len(clips))
    if rows is None:
        raise ExportError(
            f"{name!r} gives shape {tuple(calls[0].outputs.shape)} for {len(clips)} clips: "
            "not a whole number of rows per clip, so it cannot be the head."
        )
    logits = logits_of(output, model, len(clips))
    if rows.shape != logits.shape:  # another head than the one forward returns first
        return name, averaged, "layer"
    if relative_difference(rows, logits) <= _SAME:
        return name, averaged, "output"
    disorder = _disorder(rows, logits)
    if disorder > _SAME:
        raise ExportError(
            f"{name!r} ranks the classes otherwise than the model does: its order puts outputs "
            f"{disorder:.1e} of the largest one the wrong way round. What follows it is not a "
            "softmax or another function that keeps the order, so it cannot be the head."
        )
    return name, averaged, "layer"


def _check_is_linear(model: nn.Module, name: str) -> None:
    layers = _linear_layers(model)
    if name in layers:
        return
    parts = dict(model.named_modules())
    if name in parts:
        raise ExportError(
            f"{name!r} is {type(parts[name]).__name__}, not a linear layer. "
            f"Linear layers: {_listing(list(layers))}"
        )
    near = difflib.get_close_matches(name, layers, n=3) or list(layers)[-3:]
    raise ExportError(f"The model has no layer {name!r}. Nearest linear layers: {_listing(near)}")


def _check_called_once(layer: str, calls: list[Call]) -> None:
    count = sum(call.layer == layer for call in calls)
    if count > 1:
        raise ExportError(
            f"{layer!r} runs {count} times for one batch of clips, so there is no one feature per "
            "clip before it. Stack the frames or segments and call it once, then take the mean."
        )


def _mean_rows(call: Call, n_clips: int) -> tuple[bool, Tensor | None]:
    """Returns whether the call has several rows per clip, and their mean `(N, C)`."""
    n_rows = call.outputs.numel() // call.outputs.shape[-1]
    if n_rows % n_clips:
        return False, None
    averaged = n_rows > n_clips
    return averaged, rows_per_clip(call.outputs, n_clips, averaged=averaged)


def _disorder(rows: Tensor, logits: Tensor) -> float:
    """Returns how far `logits`, sorted as `rows` rank them, ever go down; 0 keeps the order."""
    if logits.shape[1] < 2:
        return 0.0
    ranked = logits.gather(1, rows.argsort(1))
    drop = (ranked[:, :-1] - ranked[:, 1:]).max()
    return max(float(drop), 0.0) / max(float(logits.abs().max()), _TINY)


def _unexplained_tail(call: Call, logits: Tensor) -> ExportError:
    averaged, rows = _mean_rows(call, len(logits))
    if rows is None:
        return ExportError(
            f"{call.layer!r} gives shape {tuple(call.outputs.shape)} for {len(logits)} clips; "
            "edgesplit needs one row of logits per clip, or several with their mean taken."
        )
    tails: dict[str, Callable[[Tensor], Tensor]] = {
        "a softmax follows it": lambda x: x.softmax(1),
        "a log-softmax follows it": lambda x: x.log_softmax(1),
        "a sigmoid follows it": torch.sigmoid,
    }
    found = [
        text for text, tail in tails.items() if relative_difference(tail(rows), logits) < _SAME
    ]
    reason = found[0] if found else "something edgesplit cannot undo follows it"
    mean = "the mean over the rows of " if averaged else ""
    return ExportError(
        f"The model's output is not that of its last linear layer: {mean}{call.layer!r} differs "
        f"by {relative_difference(rows, logits):.2g} of the largest output ({reason}). Return the "
        f"logits from forward(), or take that layer's output as the logits: "
        f"--head-layer {call.layer}"
    )


def _last_layer(model: nn.Module) -> str:
    leaves = [item for item in model.named_modules() if not list(item[1].children())]
    name, layer = leaves[-1]
    return f"{type(layer).__name__} {name!r}"


def _listing(names: list[str]) -> str:
    shown = ", ".join(names[:5])
    return f"{shown}, and {len(names) - 5} more" if len(names) > 5 else shown or "none"
