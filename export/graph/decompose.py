"""Rewrite operators without an ONNX form while the backbone is traced.

Each rewrite computes the same function with other operators; parity is measured against the
original model. The trace knows the sizes of frames, so the bins of adaptive pooling are known, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

__all__ = ["Decomposed"]


class Decomposed(TorchFunctionMode):
    """Replaces operators without an ONNX form inside a `with` block."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run a function of torch, or its rewrite."""
        rewrite = _REWRITES.get(getattr(func, "__name__", ""))
        made = rewrite(*args, **(kwargs or {})) if rewrite else NotImplemented
        return func(*args, **(kwargs or {})) if made is NotImplemented else made


def _average_pool(inputs: Tensor, output_size: Any) -> Tensor:
    """Return the mean of each bin: for equal bins by a pool, otherwise by a matrix per axis."""
    sizes, strides = _geometry(inputs, output_size, axes=3)
    if strides is not None:
        return functional.avg_pool3d(inputs, strides)
    for axis, size in zip((-3, -2, -1), sizes, strict=True):
        length = inputs.shape[axis]
        if size == length:
            continue
        matrix = torch.zeros(length, size)
        for index, (start, end) in enumerate(_bins(length, size)):
            matrix[start:end, index] = 1 / (end - start)
        inputs = (inputs.movedim(axis, -1) @ matrix).movedim(-1, axis)
    return inputs


def _max_pool(axes: int) -> Callable[..., Any]:
    pools: Any = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)

    def pool(inputs: Tensor, output_size: Any, return_indices: bool = False) -> Any:
        if return_indices:
            return NotImplemented
        sizes, strides = _geometry(inputs, output_size, axes=axes)
        if strides is not None:
            return pools[axes - 1](inputs, strides)
        for axis, size in zip(range(-axes, 0), sizes, strict=True):
            bins = _bins(inputs.shape[axis], size)
            parts = [inputs.narrow(axis, start, end - start) for start, end in bins]
            inputs = torch.cat([part.amax(axis, keepdim=True) for part in parts], axis)
        return inputs

    return pool


def _geometry(inputs: Tensor, output_size: Any, *, axes: int) -> tuple[list[int], list[int] | None]:
    """Return the size of each axis, and its bin length if all bins of each axis are equal."""
    lengths = [int(length) for length in inputs.shape[-axes:]]
    given: Sequence[int | None] = (
        [output_size] * axes if output_size is None or isinstance(output_size, int) else output_size
    )
    sizes = [
        length if size is None else int(size) for size, length in zip(given, lengths, strict=True)
    ]
    pairs = list(zip(lengths, sizes, strict=True))
    alike = all(length % size == 0 for length, size in pairs)
    return sizes, [length // size for length, size in pairs] if alike else None


def _bins(length: int, size: int) -> list[tuple[int, int]]:
    """Return start and end of each bin; neighbours may overlap."""
    return [(index * length // size, -(-(index + 1) * length // size)) for index in range(size)]


def _interpolate(
    inputs: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    *_: Any,
    **__: Any,
) -> Any:
    if mode != "area" or inputs.ndim != 5:
        return NotImplemented
    if size is None:
        factors = [scale_factor] * 3 if isinstance(scale_factor, (int, float)) else scale_factor
        lengths = inputs.shape[-3:]
        size = [int(length * factor) for length, factor in zip(lengths, factors, strict=True)]
    return _average_pool(inputs, size)


def _distances(x1: Tensor, x2: Tensor, p: float = 2.0, *_: Any, **__: Any) -> Tensor:
    distances: Tensor = torch.linalg.vector_norm(x1.unsqueeze(-2) - x2.unsqueeze(-3), ord=p, dim=-1)
    return distances


def _median(inputs: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    if not isinstance(dim, int):
        return NotImplemented
    middle = (inputs.shape[dim] - 1) // 2
    parts = [part.narrow(dim, middle, 1) for part in inputs.sort(dim)]
    values, indices = parts if keepdim else [part.squeeze(dim) for part in parts]
    return torch.return_types.median((values, indices))


def _rrelu(
    inputs: Tensor,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Any:
    return NotImplemented if training else functional.leaky_relu(inputs, (lower + upper) / 2)


_REWRITES: dict[str, Callable[..., Any]] = {
    "adaptive_avg_pool3d": _average_pool,
    "adaptive_max_pool1d": _max_pool(1),
    "adaptive_max_pool2d": _max_pool(2),
    "adaptive_max_pool3d": _max_pool(3),
    "cdist": _distances,
    "interpolate": _interpolate,
    "median": _median,
    "rrelu": _rrelu,
}
"""Rewrites by the name of torch's function, which runs if the rewrite returns NotImplemented."""
