"""Record the inputs and outputs of linear layers while a model runs.

A convolution with a kernel of one is a linear layer at every place. It is recorded with the
channels last, like nn.Linear on rows.

Forward hooks are used instead of changes to the graph: they record the real values, whatever
forward() does around the layer, and torch's exporter traces through them.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from edgesplit.errors import ExportError

__all__ = [
    "Call",
    "FeatureTap",
    "enlarge",
    "is_linear",
    "logits_of",
    "rows_per_clip",
    "run_watching",
    "tensors_of",
]

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True, slots=True)
class Call:
    """One run of a linear layer: `inputs` `(…, D)`, `outputs` `(…, C)`."""

    layer: str
    inputs: Tensor
    outputs: Tensor


class FeatureTap(nn.Module):
    """The classifier up to the input of its head, which is exported as the backbone.

    The complete model runs, and the exporter drops operators that do not lead to the features. The
    head is not replaced by an identity, because code after it may rely on the number of classes.
    """

    def __init__(self, model: nn.Module, layer: str, *, averaged: bool) -> None:
        super().__init__()
        self.model = model
        self.layer = layer
        self.averaged = averaged

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the features `(N, D)` of normalised clips `(N, …)`."""
        features, _, _ = self.run(inputs)
        return features

    def run(self, inputs: Tensor) -> tuple[Tensor, Tensor, object]:
        """Return features `(N, D)`, the head layer's output `(N, C)` and the model's output."""
        calls, output = run_watching(self.model, inputs, [self.layer])
        features, rows = (
            rows_per_clip(tensor, inputs.shape[0], averaged=self.averaged)
            for tensor in (calls[-1].inputs, calls[-1].outputs)
        )
        return features, rows, output


def is_linear(layer: nn.Module) -> bool:
    """Return True if a layer only computes `weight @ x + bias` for each row or place."""
    if isinstance(layer, _CONVOLUTIONS):
        # "same" and "valid" add no padding to a kernel of one
        padded = not isinstance(layer.padding, str) and any(layer.padding)
        ones = {*layer.kernel_size, *layer.stride, layer.groups} == {1}
        return ones and not padded
    return isinstance(layer, nn.Linear)


def run_watching(
    model: nn.Module, clips: Tensor, layers: list[str], *, width: int | None = None
) -> tuple[list[Call], object]:
    """Run the model once; return the calls of `layers` in order, and the model's output.

    If `width` is given, only calls with outputs `(…, width)` are returned.
    """
    calls: list[Call] = []

    def watch(
        layer: str,
        module: nn.Module,
        args: tuple[Tensor, ...],
        kwargs: dict[str, Tensor],
        outputs: Tensor,
    ) -> None:
        inputs = args[0] if args else kwargs["input"]
        if isinstance(module, _CONVOLUTIONS):
            inputs, outputs = inputs.movedim(1, -1), outputs.movedim(1, -1)
        if width in (None, outputs.shape[-1]):
            calls.append(Call(layer, inputs, outputs))

    with ExitStack() as hooks:
        for layer in layers:
            module = model.get_submodule(layer)
            hook = module.register_forward_hook(partial(watch, layer), with_kwargs=True)
            hooks.enter_context(hook)
        return calls, model(clips)


def enlarge(model: nn.Module, layer: str, largest: float) -> RemovableHandle:
    """Scale a layer's output so that its largest value is `largest`, until the handle is closed.

    Hooks that are registered later get the scaled output.
    """

    def scale(module: nn.Module, args: object, outputs: Tensor) -> Tensor:
        return outputs * (largest / outputs.abs().max().clamp(min=1e-6))

    return model.get_submodule(layer).register_forward_hook(scale)


def logits_of(output: object, model: nn.Module, n_clips: int) -> Tensor:
    """Return the logits as `(N, C)` from the output of a classifier."""
    output = _parts_of(output)[0]
    if not isinstance(output, Tensor):
        raise ExportError(
            f"{type(model).__name__} returns {type(output).__name__}, not logits. "
            "Return a tensor (N, C), a tuple that starts with it, or an object with .logits."
        )
    if output.ndim < 2 or output.shape[0] != n_clips:
        raise ExportError(
            f"{type(model).__name__} returns shape {tuple(output.shape)} for {n_clips} clips; "
            f"wanted one row of logits per clip, ({n_clips}, classes)."
        )
    return output.reshape(n_clips, -1).float()


def tensors_of(output: object) -> list[Tensor]:
    """Return the tensors that a classifier returns, of any shape; the logits come first."""
    return [part for part in _parts_of(output) if isinstance(part, Tensor)]


def _parts_of(output: object) -> list[object]:
    if isinstance(output, dict) and "logits" in output:  # and Hugging Face's outputs
        return [output["logits"], *(part for key, part in output.items() if key != "logits")]
    output = getattr(output, "logits", output)
    return list(output) if isinstance(output, (tuple, list)) and output else [output]


def rows_per_clip(tensor: Tensor, n_clips: int, *, averaged: bool) -> Tensor:
    """Return `(N, width)`: rows of tokens averaged per clip, or one row per clip reshaped."""
    if averaged:
        return tensor.reshape(n_clips, -1, tensor.shape[-1]).mean(1)
    return tensor if tensor.ndim == 2 else tensor.reshape(-1, tensor.shape[-1])
