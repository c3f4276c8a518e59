"""Cut a classifier at its last linear layer: features before it, class rows inside it.

    clip -> ... -> features [N, D] -> Linear (weight [C, D], bias [C]) -> logits [N, C]

The cut is found by running the model and comparing values, not by reading its structure: the head
is the linear layer whose output *becomes* the model's output. A convolution with a kernel of one
counts as linear. A mean over tokens, frames, segments or places may follow, because it commutes
with a linear layer; then the features are averaged instead. A constant factor may follow, which
becomes part of weight and bias, and a softmax or log-softmax of the logits (`tail`). Dropout before
the head does nothing in evaluation mode.
"""

from __future__ import annotations

import copy
import difflib
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from edgesplit._types import Float32
from edgesplit.errors import ExportError
from edgesplit.export.graph.hooks import (
    Call,
    FeatureTap,
    enlarge,
    is_linear,
    logits_of,
    rows_per_clip,
    run_watching,
    tensors_of,
)
from edgesplit.export.graph.tail import (
    SAME,
    Tail,
    describe_difference,
    find_tail,
    relative_difference,
)
from edgesplit.export.wording import listing

__all__ = ["Cut", "find_cut"]

_DRIFT = 1e-4
"""Largest difference between the tail and the output on clips that were not used to find it."""

_LARGE_LOGITS = (10.0, 100.0, 1000.0)
"""Values of the largest logit for which the tail is checked again."""

_NOT_SOFTMAX = ("multi_label_classification", "regression")
"""Values of `problem_type` in a Hugging Face configuration without a softmax over classes."""


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """A classifier, cut at its last linear layer."""

    backbone: FeatureTap
    """Normalised clips `(N, …)` to features `(N, D)`; a float32 CPU copy in evaluation mode."""

    layer: str
    """Dotted name of the head inside the model."""

    weight: Float32
    """`(C, D)`, one row per class; the layer's weight times the tail's factor."""

    bias: Float32
    """`(C,)`, the layer's bias times that factor; zeros if the layer has no bias."""

    averaged: bool
    """True if the layer runs per token (frame, segment) and a mean follows; features are then
    averaged before the head."""

    tail: Tail
    """The operation after the layer."""

    output: int
    """Index of the scores among the tensors that the model returns."""

    @property
    def n_classes(self) -> int:
        """The number of rows, C."""
        return int(self.weight.shape[0])

    @property
    def feature_dim(self) -> int:
        """The length of a feature, D."""
        return int(self.weight.shape[1])

    def run(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return torch's features `(N, D)` and logits `(N, C)` of normalised clips.

        The logits include the factor of the tail.

        Raises:
            ExportError: the model's output is not the tail of the layer's output.
        """
        with torch.inference_mode():
            features, rows, scores = self._watch(inputs)
            difference = self.tail.difference(rows, scores)
        if not difference <= _DRIFT:  # so that NaN is refused, too
            raise ExportError(
                f"The operation after {self.layer!r} depends on the clip: on these clips, the "
                f"model's output differs by {difference:.1e} of the largest value from the "
                "operation found on the first clips. Use a constant factor, and do not clip logits."
            )
        return features, scores if not self.tail.function else rows * self.tail.scale

    def _watch(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the features, the rows `(N, C)` of the layer and the model's scores `(N, C)`."""
        features, rows, output = self.backbone.run(inputs)
        return features, rows, tensors_of(output)[self.output].reshape(rows.shape).float()


def find_cut(model: nn.Module, clips: Tensor, *, head_layer: str | None = None) -> Cut:
    """Return the cut between backbone and head, found by running `clips` through the model.

    Args:
        model: Any classifier that takes a batch of clips as its first argument and returns logits:
            a tensor `(N, C)`, a tuple that starts with it, or an object with `.logits`. It is
            copied (float32, CPU, evaluation mode) and not changed.
        clips: `(N, …)` float32, normalised for the model; at least two different clips.
        head_layer: Dotted name of the layer whose outputs are the logits, for models with several
            heads.

    Raises:
        ExportError: No linear layer gives the model's output, or the named one does not; or the
            model's scores are not a softmax of its logits.
        ValueError: Fewer than two clips, which cannot reveal an average over a batch.
    """
    if len(clips) < 2:
        raise ValueError(f"clips holds {len(clips)} clip; the cut needs at least 2")
    _check_is_softmax(model)
    model = _frozen_copy(model)
    with torch.inference_mode():
        logits = _finite_logits(model, clips)
        if head_layer is None:
            cut = _search(model, clips, logits)
        else:
            cut = _take_named(model, clips, head_layer, logits)
        _check_large_logits(cut, clips[:1])  # the factor is known, so one clip is enough
    return cut


def _cut_at(model: nn.Module, layer: str, tail: Tail, *, averaged: bool, output: int = 0) -> Cut:
    weight, bias = _copy_rows(model.get_submodule(layer))
    if len(weight) < 2:
        raise ExportError(
            f"{layer!r} gives one number per clip, so the model does not choose between classes. "
            "Export a classifier with two or more classes."
        )
    return Cut(
        backbone=FeatureTap(model, layer, averaged=averaged).eval(),
        layer=layer,
        weight=weight * np.float32(tail.scale),
        bias=bias * np.float32(tail.scale),
        averaged=averaged,
        tail=tail,
        output=output,
    )


def _check_is_softmax(model: nn.Module) -> None:
    """Raise ExportError if a Hugging Face configuration excludes a softmax over the classes."""
    for part in model.modules():
        kind = getattr(getattr(part, "config", None), "problem_type", None)
        if kind in _NOT_SOFTMAX:
            raise ExportError(
                f"{type(part).__name__} has the problem_type {kind!r} in its configuration, so "
                "its scores are not a softmax over the classes. A bundle chooses one class by a "
                "softmax, so its scores would differ from the model's. Export a model that was "
                "trained with one class per clip."
            )


def _frozen_copy(model: nn.Module) -> nn.Module:
    model = getattr(model, "_orig_mod", model)  # torch.compile's wrapper runs no hooks
    if isinstance(model, torch.jit.ScriptModule):
        raise ExportError(
            "The model is TorchScript, whose layers cannot be accessed. Give the Python module "
            "that it was made from, and load its weights."
        )
    try:
        return copy.deepcopy(model).to("cpu", torch.float32).requires_grad_(False).eval()
    except Exception as error:  # a module's own __deepcopy__ may raise anything
        raise ExportError(
            f"{type(model).__name__} cannot be copied ({error}). "
            "Remove weight norm and cached tensors, or build a fresh model and load its weights."
        ) from error


def _finite_logits(model: nn.Module, clips: Tensor) -> Tensor:
    logits = logits_of(_call(model, clips), model, len(clips))
    if not bool(torch.isfinite(logits).all()):
        raise ExportError(f"{type(model).__name__} returns NaN or infinity for clips in 0..1.")
    return logits


def _check_repeatable(model: nn.Module, first: Tensor, second: Tensor) -> None:
    """Raise ExportError if two runs on the same clips differ."""
    difference = relative_difference(second, first)
    if difference > SAME:
        raise ExportError(
            f"{type(model).__name__} is not deterministic in evaluation mode: two runs on the same "
            f"clips differ by {difference:.1e} of the largest logit. Remove random operations: "
            "F.dropout(x) needs training=self.training."
        )


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


def _copy_rows(head: nn.Module) -> tuple[Float32, Float32]:
    weight = cast("Tensor", head.weight).numpy()  # (C, D), or (C, D, 1, 1, 1) of a convolution
    bias = cast("Tensor | None", head.bias)
    zeros = np.zeros(len(weight), np.float32)
    rows = weight.reshape(len(weight), -1).copy()
    return rows, zeros if bias is None else bias.numpy().copy()


def _search(model: nn.Module, clips: Tensor, first: Tensor) -> Cut:
    """Return the cut at the last layer whose output becomes the model's by a known tail.

    Args:
        model: A frozen copy.
        clips: Input of the model.
        first: Logits of an earlier run on the same clips.
    """
    n_classes = first.shape[1]
    layers = _linear_layers(model)
    if not layers:
        name, last = list(model.named_modules())[-1]
        if any(".quantized" in type(module).__module__ for module in model.modules()):
            raise ExportError(
                f"{type(model).__name__} is quantized, and the export needs float32 layers. Export "
                "the model from before its quantization; `edgesplit variant add int8` makes an "
                "8-bit backbone on the device."
            )
        raise ExportError(
            f"{type(model).__name__} has no nn.Linear layer, so it has no head to edit "
            f"(its last layer is {type(last).__name__} {name!r}). End the model in "
            "nn.Linear(features, classes) on pooled features, or in a 1x1x1 convolution and a mean."
        )
    # Keep only outputs that can be the logits: all outputs of a transformer would fill the memory.
    calls, output = run_watching(model, clips, list(layers), width=n_classes)
    # Use the logits of this run: hooks turn off torch's fused layers, which round differently.
    logits = logits_of(output, model, len(clips))
    _check_repeatable(model, first, logits)
    if not calls:
        raise _no_head_layer(model, layers, n_classes)
    for call in reversed(calls):
        averaged, rows = _mean_rows(call, len(clips))
        tail = None if rows is None else find_tail(rows, logits)
        if tail is not None:
            _check_called_once(call.layer, calls)
            _check_is_plain(layers[call.layer], call)
            return _cut_at(model, call.layer, tail, averaged=averaged)
    _check_called_once(calls[-1].layer, calls)
    raise _unexplained_tail(calls[-1], logits)


def _take_named(model: nn.Module, clips: Tensor, name: str, first: Tensor) -> Cut:
    """Return the cut at the layer that the user named, checked against all outputs of the model."""
    _check_is_linear(model, name)
    calls, output = run_watching(model, clips, [name])
    _check_repeatable(model, first, logits_of(output, model, len(clips)))
    if not calls:
        raise ExportError(f"{name!r} does not run when the model gets a clip. Name another layer.")
    _check_called_once(name, calls)
    _check_is_plain(model.get_submodule(name), calls[0])
    averaged, rows = _mean_rows(calls[0], len(clips))
    if rows is None:
        raise ExportError(
            f"{name!r} gives shape {tuple(calls[0].outputs.shape)} for {len(clips)} clips. Its "
            "rows cannot be divided evenly among the clips, so it cannot be the head."
        )
    alike = {
        index: tensor.reshape(rows.shape).float()
        for index, tensor in enumerate(tensors_of(output))
        if tensor.ndim > 1 and len(tensor) == len(rows) and tensor.numel() == rows.numel()
    }
    for index, tensor in alike.items():
        if (tail := find_tail(rows, tensor)) is not None:
            return _cut_at(model, name, tail, averaged=averaged, output=index)
    if alike:
        raise _unexplained_tail(calls[0], next(iter(alike.values())))
    raise ExportError(
        f"{name!r} gives {rows.shape[1]} numbers per clip, but the model returns no output of that "
        "size to check them against. If they are the classes, return them from forward(), too."
    )


def _check_is_linear(model: nn.Module, name: str) -> None:
    layers = _linear_layers(model)
    if name in layers:
        return
    parts = dict(model.named_modules())
    if name in parts:
        raise ExportError(
            f"{name!r} is {type(parts[name]).__name__}, not a linear layer. "
            f"Linear layers: {listing(list(layers))}"
        )
    near = difflib.get_close_matches(name, layers, n=3) or list(layers)[-3:]
    raise ExportError(f"The model has no layer {name!r}. Nearest linear layers: {listing(near)}")


def _check_large_logits(cut: Cut, clips: Tensor) -> None:
    """Raise ExportError if large logits have another tail, for example because they are clipped.

    The logits of noise are small, so they do not reveal clipping.
    """
    # A softmax of 1000 hides the other classes, so smaller values are checked in further runs.
    for largest in _LARGE_LOGITS if cut.tail.function else _LARGE_LOGITS[-1:]:
        with enlarge(cut.backbone.model, cut.layer, largest):
            _, rows, scores = cut._watch(clips)
        if not cut.tail.difference(rows, scores) <= _DRIFT:
            raise ExportError(
                f"The operation after {cut.layer!r} changes when logits reach {largest:.0f}. Do "
                "not clip, cap or threshold them: a bundle's scores would differ from the model's."
            )


def _check_is_plain(layer: nn.Module, call: Call) -> None:
    """Raise ExportError if the layer's forward() is not `weight @ features + bias`."""
    weight, bias = map(torch.from_numpy, _copy_rows(layer))
    plain = nn.functional.linear(call.inputs, weight, bias)
    difference = relative_difference(call.outputs, plain)
    if not difference <= _DRIFT:
        raise ExportError(
            f"{call.layer!r} is {type(layer).__name__}, whose output is not weight @ features + "
            f"bias: they differ by {difference:.2g} of the largest value, so it cannot be the "
            "head. End the model in a plain nn.Linear; merge additions such as LoRA into its "
            "weight."
        )


def _check_called_once(layer: str, calls: list[Call]) -> None:
    count = sum(call.layer == layer for call in calls)
    if count > 1:
        raise ExportError(
            f"{layer!r} runs {count} times for one batch of clips, so a clip has no single feature "
            "before it. Stack the frames or segments and call it once, then take the mean."
        )


def _mean_rows(call: Call, n_clips: int) -> tuple[bool, Tensor | None]:
    """Return True if the call has several rows per clip, and their mean `(N, C)`."""
    n_rows = call.outputs.numel() // call.outputs.shape[-1]
    if n_rows % n_clips:
        return False, None
    averaged = n_rows > n_clips
    return averaged, rows_per_clip(call.outputs, n_clips, averaged=averaged)


def _no_head_layer(model: nn.Module, layers: dict[str, nn.Module], n_classes: int) -> ExportError:
    unseen = [name for name, layer in layers.items() if len(_copy_rows(layer)[0]) == n_classes]
    if unseen:
        return ExportError(
            f"{unseen[-1]!r} has {n_classes} rows, one for each output of the model, but its "
            "forward() does not run: the layer is unused or compiled, or only its weight is used. "
            "End the model in a call of a plain nn.Linear."
        )
    last, head = list(layers.items())[-1]
    return ExportError(
        f"No linear layer of {type(model).__name__} gives its {n_classes} outputs; the last one, "
        f"{last!r}, gives {len(_copy_rows(head)[0])}. Another operation makes them, such as a "
        "matrix product or a cosine: end the model in nn.Linear. If the model returns several "
        "outputs, only the first was checked: name the layer of another with --head-layer."
    )


def _unexplained_tail(call: Call, logits: Tensor) -> ExportError:
    averaged, rows = _mean_rows(call, len(logits))
    if rows is None:
        return ExportError(
            f"{call.layer!r} gives shape {tuple(call.outputs.shape)} for {len(logits)} clips; "
            "edgesplit needs one row of logits per clip, or the mean of several rows."
        )
    mean = "the mean over the rows of " if averaged else ""
    return ExportError(
        f"The model's output is not the output of its linear layer: {mean}{call.layer!r} differs "
        f"by {relative_difference(rows, logits):.2g} of the largest output "
        f"({describe_difference(rows, logits)}). The bundle's scores would differ from the "
        "model's. Only a mean, a positive constant factor and a softmax or log-softmax may follow "
        "the layer."
    )
