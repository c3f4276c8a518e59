"""Resizing of pictures as training code does it.

Each new pixel is the weighted mean of the old pixels around its centre. With antialias, the weights
of a shrinking picture cover the area of the new pixel; without it, only the old pixels next to the
centre count. swscale uses antialias, but scales brightness and colour separately, before they are
converted to red, green and blue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from edgesplit._types import Float32, Float64, Int64, UInt8

__all__ = ["RESAMPLINGS", "resize_picture"]

Taps = tuple[Int64, Float32]
"""For each new line: the first old line that it uses `(lines,)`, and the weights of that line and
the following ones `(lines, taps)`."""

_UNIT = 1 << 15
"""Weights are integers, in fractions of this number. Sums of weights times bytes stay below
2 ** 24, which float32 represents exactly, so the result does not depend on the order of additions.
"""


def _triangle(distance: Float64) -> Float64:
    return np.maximum(0, 1 - distance)


def _cubic(distance: Float64) -> Float64:
    """Return Keys' kernel with a = -1/2, as in Pillow and torch with antialias, not OpenCV."""
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return np.where(distance < 1, near, np.where(distance < 2, far, 0))


class _Resampling(NamedTuple):
    kernel: Callable[[Float64], Float64]
    """Function from the distance from the centre to weights, not normalised."""
    radius: int
    """Smallest distance at which all weights are 0."""
    antialias: bool


RESAMPLINGS: Mapping[str, _Resampling] = {
    "antialias": _Resampling(_triangle, 1, antialias=True),
    "antialias-bicubic": _Resampling(_cubic, 2, antialias=True),
    "no-antialias": _Resampling(_triangle, 1, antialias=False),
}
"""Resamplings by their names in `Preprocessing.interpolation`."""


def resize_picture(
    picture: UInt8,
    height: int,
    width: int,
    *,
    rows: slice,
    columns: slice,
    resampling: str = "antialias",
) -> UInt8:
    """Return a part of the picture, scaled to height x width.

    As in Pillow, values are rounded to bytes after each axis.

    Args:
        picture: `(h, w, channels)`, any strides.
        height: height of the complete scaled picture.
        width: width of the complete scaled picture.
        rows: rows of the scaled picture to return.
        columns: columns of the scaled picture to return.
        resampling: one of `RESAMPLINGS`.

    Returns:
        `(rows, columns, channels)`, a new array.
    """
    used_rows, down = _part(picture.shape[0], height, rows, resampling)
    used_columns, across = _part(picture.shape[1], width, columns, resampling)
    narrow = _mix(picture[used_rows, used_columns].swapaxes(0, 1), across)
    return _mix(narrow.swapaxes(0, 1), down)


def _part(n: int, n_made: int, part: slice, resampling: str) -> tuple[slice, Taps]:
    """Return the slice of n lines that a part needs, and its taps, relative to that slice."""
    first, weights = _taps(n, n_made, resampling)
    first, weights = first[part], weights[part]
    start = int(first[0])
    return slice(start, int(first[-1]) + weights.shape[1]), (first - start, weights)


@lru_cache(maxsize=16)
def _taps(n: int, n_made: int, resampling: str) -> Taps:
    """Return the taps that make `n_made` lines from n lines."""
    kernel, radius, antialias = RESAMPLINGS[resampling]
    scale = n / n_made
    spread = max(scale, 1.0) if antialias else 1.0  # a growing picture needs no smoothing
    reach = radius * spread
    centre = (np.arange(n_made) + 0.5) * scale - 0.5
    n_taps = min(n, int(np.ceil(2 * reach)))
    first = np.clip(np.ceil(centre - reach).astype(np.int64), 0, n - n_taps)
    place = first[:, None] + np.arange(n_taps)
    weights = kernel(np.abs(place - centre[:, None]) / spread)
    units = np.rint(_UNIT * weights / weights.sum(axis=1, keepdims=True))
    # Every sum is exactly 1, so that an area of one grey keeps its value.
    units[np.arange(n_made), units.argmax(axis=1)] += _UNIT - units.sum(axis=1)
    return first, units.astype(np.float32)


def _mix(lines: UInt8, taps: Taps) -> UInt8:
    """Mix lines along the first axis."""
    first, weights = taps
    flat = np.ascontiguousarray(lines).reshape(len(lines), -1)
    mixed = np.full((len(first), flat.shape[1]), _UNIT // 2, np.float32)  # so the cut below rounds
    for tap in range(weights.shape[1]):
        mixed += weights[:, tap, None] * flat[first + tap]
    mixed /= _UNIT
    mixed.clip(0, 255, out=mixed)  # negative cubic weights overshoot
    return mixed.astype(np.uint8).reshape(-1, *lines.shape[1:])
