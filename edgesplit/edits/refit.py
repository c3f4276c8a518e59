"""Rows fitted to the clips of the class: each clip teaches what the rows already say of it.

The rows that texts or a few labelled clips gave cut through the class's clips somewhere; a ridge
regression on the answers that they give themselves moves the cut to where the clips part. It is
self-training (Scudder 1965), of linear rows, with the rows that it starts from as its centre:

    minimise  sum_i w_i |r_i - V z_i|^2 + PULL |V - b V_start|^2
    with      r_i = softmax(SHARPNESS (V z_i - m))

over points z_i of all clips, with the answer in place of r_i for a labelled one; z and r are minus
their weighted means, m is the middle of the scores (`middle_of`), and b is the scale at which
b V_start alone fits best. Few clips hardly move the rows. What it gains is measured by
`python -m benchmarks.quality.refit_tried`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgesplit._types import Float64
from edgesplit.edits.rules.base import settled

__all__ = ["middle_of", "refit"]

N_ROUNDS = 3
PULL = 100.0
"""Clips that the rows at the start are worth."""
SHARPNESS = 3.0
"""Of the answers that clips are taken to have, with scores of unit size."""
LABELLED = 5.0
"""Unlabelled clips that a labelled one is worth."""
N_STEPS = 5
"""Times that `middle_of` decides anew what the clips are taken for."""


def refit(rows: Float64, pool: Float64, labelled: Sequence[Float64] = ()) -> Float64:
    """Fit rows to points; what is returned scores as widely as `rows` do.

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
    if _size(first) <= 1e-9 * max(size, 1.0):  # all clips score alike: there is nothing to teach
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
    """`(wanted,)`: what to subtract from scores, so that none is ahead in the middle of the clips.

    The mean of all clips is the middle only if all subcategories are equally frequent. So each
    subcategory's clips, as they are decided, have a mean, and the middle is the mean of these. Each
    weighs the root of its count: with equal weights, a few clips that are decided wrongly would
    count as much as all others. Measured by `python -m benchmarks.quality.asking_limits`.

    Args:
        scores: `(clips, wanted)` of unlabelled clips of the class, a clip at least.
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
    """Rows `(wanted, dim)` for targets `(clips, wanted)`, pulled to 0; the smaller form of two."""

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
