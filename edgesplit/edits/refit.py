"""Fit rows to the clips of the class by self-training.

The initial rows, from texts or a few labelled clips, divide the class's clips somewhere. A ridge
regression on the rows' own decisions moves the boundary to the gap between the clips. It is
self-training (Scudder 1965) of linear rows, with the initial rows as its centre:

    minimise  sum_i w_i |r_i - V z_i|^2 + PULL |V - b V_start|^2
    with      r_i = softmax(SHARPNESS (V z_i - m))

over points z_i of all clips. For a labelled clip, r_i is its label. z and r are centred on their
weighted means, m is the middle of the scores (`middle_of`), and b is the scale at which b V_start
fits best. Few clips move the rows little. `python -m benchmarks.quality.refit_tried` measures the
gain.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgesplit._types import Float64
from edgesplit.edits.rules.base import settled

__all__ = ["middle_of", "refit"]

N_ROUNDS = 3
PULL = 100.0
"""Weight of the initial rows, in clips."""
SHARPNESS = 3.0
"""Sharpness of the softmax r_i, for scores of unit size."""
LABELLED = 5.0
"""Weight of a labelled clip, in unlabelled clips."""
N_STEPS = 5
"""Number of iterations of `middle_of`."""


def refit(rows: Float64, pool: Float64, labelled: Sequence[Float64] = ()) -> Float64:
    """Fit rows to points; the result has scores of the same size as `rows`.

    Args:
        rows: `(wanted, dim)`, for points.
        pool: points `(clips, dim)` of unlabelled clips of the class.
        labelled: points `(clips, dim)` of each subcategory, if any.
    """
    start = rows - rows.mean(axis=0)
    points = np.concatenate([*labelled, pool])
    n = len(rows)
    known = np.repeat(np.eye(n), [len(part) for part in labelled], axis=0) if labelled else None
    weight = np.ones(len(points))
    weight[: len(points) - len(pool)] = LABELLED
    around = points - weight @ points / weight.sum()
    first = around @ start.T
    size = _size(points @ start.T)
    if _size(first) <= 1e-9 * max(size, 1.0):  # all clips have equal scores: nothing to fit
        return np.asarray(start)
    solve = _Ridge(around, weight)
    fitted = start
    for _ in range(N_ROUNDS):
        scores = points @ fitted.T
        scores -= middle_of(scores)
        wanted = _shares(SHARPNESS * scores / max(_size(scores), 1e-12))
        if known is not None:
            wanted[: len(known)] = known
        wanted -= weight @ wanted / weight.sum()
        scale = float(np.sum(weight[:, None] * first * wanted))
        scale /= max(float(np.sum(weight[:, None] * first**2)), 1e-12)
        fitted = scale * start + solve(wanted - scale * first)
        fitted -= fitted.mean(axis=0)
    return np.asarray(fitted * (size / max(_size(points @ fitted.T), 1e-12)))


def middle_of(scores: Float64) -> Float64:
    """Return the scores `(wanted,)` of the middle of the clips, to be subtracted from scores.

    The mean of all clips is the middle only if all subcategories are equally frequent. So the
    middle is the mean of the means of each subcategory's decided clips. Each mean is weighted by
    the root of its count: with equal weights, a few clips with wrong decisions would count as much
    as all others. `python -m benchmarks.quality.asking_limits` measures this.

    Args:
        scores: `(clips, wanted)` of unlabelled clips of the class, at least one clip.
    """
    middle = scores.mean(axis=0)
    for _ in range(N_STEPS):
        best = settled(scores - middle).argmax(axis=1)
        counts = np.bincount(best)
        found = np.flatnonzero(counts)
        means = np.array([scores[best == i].mean(axis=0) for i in found])
        weights = np.sqrt(counts[found])
        middle = weights @ means / weights.sum()
    return np.asarray(middle)


class _Ridge:
    """Ridge regression to rows `(wanted, dim)` for targets `(clips, wanted)`.

    Of the two equivalent forms, the one with the smaller matrix is used.
    """

    def __init__(self, around: Float64, weight: Float64) -> None:
        self._root = np.sqrt(weight)[:, None]
        self._scaled = around * self._root
        n, dim = around.shape
        self._by_clips = n < dim
        square = self._scaled @ self._scaled.T if self._by_clips else self._scaled.T @ self._scaled
        self._inverse = np.linalg.inv(square + PULL * np.eye(len(square)))

    def __call__(self, wanted: Float64) -> Float64:
        targets = wanted * self._root
        if self._by_clips:
            return np.asarray((self._scaled.T @ (self._inverse @ targets)).T)
        return np.asarray((self._inverse @ (self._scaled.T @ targets)).T)


def _size(scores: Float64) -> float:
    return float(np.sqrt(np.mean(scores**2)))


def _shares(scores: Float64) -> Float64:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
