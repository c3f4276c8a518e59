"""Pictures in another size, as the code that trainings use makes them.

Bilinear: a pixel is the mean of pixels around its centre, weighted by a triangle. With antialias
the triangle is as wide as two of the made pixels, without it as wide as two of the given ones.
swscale's `bilinear` means the first, but scales brightness and colour apart, before they are mixed
to red, green and blue.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

__all__ = ["resize_picture"]

Bytes = npt.NDArray[np.uint8]
Taps = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]
"""Of each line that is made: the first line that goes into it, and the weights of that one and the
next ones, `(lines, taps)`."""

_UNIT = 1 << 16
"""Weights are whole numbers of this part. Times bytes they add up to less than 2 ** 24, which
float32 holds exactly: in whatever order a machine adds, the result is the same."""


def resize_picture(
    picture: Bytes,
    height: int,
    width: int,
    *,
    rows: slice,
    columns: slice,
    antialias: bool = True,
) -> Bytes:
    """A part of the picture that is scaled to height x width.

    With antialias it is within one level of Pillow's `resize(…, BILINEAR)`: both round to bytes
    after either axis.

    Args:
        picture: `(h, w, channels)`, any strides.
        height: of the whole scaled picture, as `width`.
        width: see height.
        rows: of the scaled picture, that are made; as `columns`.
        columns: see rows.
        antialias: smooth what shrinks.

    Returns:
        `(rows, columns, channels)`, an own array.
    """
    used_rows, down = _part(picture.shape[0], height, rows, antialias)
    used_columns, across = _part(picture.shape[1], width, columns, antialias)
    narrow = _mix(picture[used_rows, used_columns].swapaxes(0, 1), across)
    return _mix(narrow.swapaxes(0, 1), down)


def _part(n: int, n_made: int, part: slice, antialias: bool) -> tuple[slice, Taps]:
    """Which of n lines a part of those made needs, and its taps, counted from the first of them."""
    first, weights = _taps(n, n_made, antialias)
    first, weights = first[part], weights[part]
    start = int(first[0])
    return slice(start, int(first[-1]) + weights.shape[1]), (first - start, weights)


@lru_cache(maxsize=16)
def _taps(n: int, n_made: int, antialias: bool) -> Taps:
    """What goes into each line that is made of n."""
    scale = n / n_made
    reach = max(scale, 1.0) if antialias else 1.0  # nothing is to smooth when a picture grows
    centre = (np.arange(n_made) + 0.5) * scale - 0.5
    n_taps = min(n, int(np.ceil(2 * reach)))
    first = np.clip(np.ceil(centre - reach).astype(np.int64), 0, n - n_taps)
    place = first[:, None] + np.arange(n_taps)
    weights = np.maximum(0, 1 - np.abs(place - centre[:, None]) / reach)
    weights *= _UNIT / weights.sum(axis=1, keepdims=True)
    return first, np.rint(weights).astype(np.float32)


def _mix(lines: Bytes, taps: Taps) -> Bytes:
    """Mixes lines along the first axis."""
    first, weights = taps
    flat = np.ascontiguousarray(lines).reshape(len(lines), -1)
    mixed = np.full((len(first), flat.shape[1]), _UNIT // 2, np.float32)  # rounds, as cut below
    for tap in range(weights.shape[1]):
        mixed += weights[:, tap, None] * flat[first + tap]
    mixed /= _UNIT
    return mixed.astype(np.uint8).reshape(-1, *lines.shape[1:])
