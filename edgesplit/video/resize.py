"""Resizing of pictures as training code does it.

A pixel is the weighted mean of pixels around its centre. With antialias, the weights of a picture
that shrinks are spread as wide as the made pixels are; without, only the given ones next to the
centre count. swscale uses antialias, but scales brightness and colour separately, before they are
mixed to red, green and blue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from edgesplit._types import Float32, Float64, Int64, UInt8

__all__ = ["RESAMPLINGS", "resize_picture"]

Taps = tuple[Int64, Float32]
"""For each line that is made: the first line that goes into it `(lines,)`, and the weights of that
line and the next ones `(lines, taps)`."""

_UNIT = 1 << 15
"""Weights are whole numbers of this part. Times bytes they add up to less than 2 ** 24, which
float32 holds exactly: in whatever order a machine adds, the result is the same."""


def _triangle(distance: Float64) -> Float64:
    return np.maximum(0, 1 - distance)


def _cubic(distance: Float64) -> Float64:
    """Keys' with a = -1/2, as Pillow's and torch's with antialias; OpenCV's is another."""
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return np.where(distance < 1, near, np.where(distance < 2, far, 0))


class _Resampling(NamedTuple):
    kernel: Callable[[Float64], Float64]
    """Weights by the distance from the centre, not normalised."""
    radius: int
    """Distance from which on the weights are 0."""
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

    Like Pillow it rounds to bytes after either axis.

    Args:
        picture: `(h, w, channels)`, any strides.
        height: of the whole scaled picture, as `width`.
        width: see height.
        rows: of the scaled picture, that are made; as `columns`.
        columns: see rows.
        resampling: one of `RESAMPLINGS`.

    Returns:
        `(rows, columns, channels)`, an own array.
    """
    used_rows, down = _part(picture.shape[0], height, rows, resampling)
    used_columns, across = _part(picture.shape[1], width, columns, resampling)
    narrow = _mix(picture[used_rows, used_columns].swapaxes(0, 1), across)
    return _mix(narrow.swapaxes(0, 1), down)


def _part(n: int, n_made: int, part: slice, resampling: str) -> tuple[slice, Taps]:
    """Return which of n lines a part needs, and its taps, counted from the first of them."""
    first, weights = _taps(n, n_made, resampling)
    first, weights = first[part], weights[part]
    start = int(first[0])
    return slice(start, int(first[-1]) + weights.shape[1]), (first - start, weights)


@lru_cache(maxsize=16)
def _taps(n: int, n_made: int, resampling: str) -> Taps:
    """Return the taps of the lines that are made of n."""
    kernel, radius, antialias = RESAMPLINGS[resampling]
    scale = n / n_made
    spread = max(scale, 1.0) if antialias else 1.0  # nothing is to smooth when a picture grows
    reach = radius * spread
    centre = (np.arange(n_made) + 0.5) * scale - 0.5
    n_taps = min(n, int(np.ceil(2 * reach)))
    first = np.clip(np.ceil(centre - reach).astype(np.int64), 0, n - n_taps)
    place = first[:, None] + np.arange(n_taps)
    weights = kernel(np.abs(place - centre[:, None]) / spread)
    whole = np.rint(_UNIT * weights / weights.sum(axis=1, keepdims=True))
    whole[np.arange(n_made), whole.argmax(axis=1)] += _UNIT - whole.sum(axis=1)  # one grey stays
    return first, whole.astype(np.float32)


def _mix(lines: UInt8, taps: Taps) -> UInt8:
    """Mix lines along the first axis."""
    first, weights = taps
    flat = np.ascontiguousarray(lines).reshape(len(lines), -1)
    mixed = np.full((len(first), flat.shape[1]), _UNIT // 2, np.float32)  # rounds, as cut below
    for tap in range(weights.shape[1]):
        mixed += weights[:, tap, None] * flat[first + tap]
    mixed /= _UNIT
    mixed.clip(0, 255, out=mixed)  # a cubic's weights overshoot
    return mixed.astype(np.uint8).reshape(-1, *lines.shape[1:])
