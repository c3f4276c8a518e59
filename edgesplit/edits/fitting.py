"""From zero-shot rows to the rows that are stored: moved by labelled clips, centred, tempered.

Rows from a few labelled clips: with Gaussian classes of one covariance S around the class's mean m,
the best linear rows are S^-1 (m_s - m) for the subcategories' means m_s. A clip x is one look at
m_s, so it votes for the row S^-1 (x - m): the features whitened by S. The zero-shot row is a guess
at the same quantity, worth some number of clips, the pull. The row of the largest posterior
probability is the mean of all votes:

    v_s = (sum of S^-1 (x - m) over its clips + pull * zero-shot row) / (clips + pull)

No step size, no epochs; leaving a clip out changes one sum.

Centring: a subcategory's bias is minus its row's score of the class's mean feature, so that none
is ahead before a clip has said anything. The temperature makes the scores as sure as the split is
expected to be right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgesplit._types import Float32, Float64, Int64
from edgesplit.edits.checks import Start
from edgesplit.edits.estimate import MIN_SEEN, PULL, Estimate, update_with_shots
from edgesplit.edits.problem import SplitProblem
from edgesplit.edits.rules.base import on_grid, settled
from edgesplit.edits.transfer import ZeroShot

__all__ = [
    "MIN_LEFT_OUT",
    "FittedRows",
    "LowShot",
    "fit_rows",
    "fit_temperature",
    "low_shot",
]

PULLS = (0.0, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Worths of a zero-shot row, in clips, that leaving one clip out chooses from."""
MIN_LEFT_OUT = 3
"""Clips of every subcategory that has any, from which one can be left out."""
SHRINKAGE = 0.3
"""Share of the covariance that is made equal in all directions."""


@dataclass(frozen=True, slots=True, eq=False)
class FittedRows:
    """The new rows as they are stored, and what unlabelled clips of the class make of them."""

    rows: Float32
    """`(wanted, dim)`."""
    bias: Float32
    """`(wanted,)`."""
    temperature: float
    n_clips: int
    """Unlabelled clips that the rows were centred on; 0 when they were not."""
    shares: Float64
    """`(wanted,)`: of the class's clips, how many each subcategory gets; empty when unknown."""
    shots: LowShot | None
    """How the rows came out of labelled clips; None without any."""
    estimate: Estimate | None
    """Of the split, labelled clips included."""


def fit_rows(
    problem: SplitProblem, zero_shot: ZeroShot, estimate: Estimate | None, start: Start
) -> FittedRows:
    """Moves the zero-shot rows by labelled clips, if there are any, and centres them.

    Args:
        problem: the class, its clips and the labelled ones.
        zero_shot: rows that texts gave.
        estimate: of the zero-shot split.
        start: what the rows are fitted from.
    """
    clips, statistics = problem.clips, problem.statistics
    shots = None
    if problem.has_shots:
        shots = low_shot(
            zero_shot.rows,
            problem.labelled,
            mean=clips.mean,
            covariance=None if statistics is None else statistics.covariance.astype(np.float64),
            start_from=start,
        )
        if estimate is not None:
            estimate = update_with_shots(
                estimate, n_right=shots.n_right, n_clips=shots.n_clips, n=len(zero_shot.rows)
            )
    stored = on_grid(zero_shot.rows if shots is None else shots.rows)
    rows = stored.astype(np.float64)
    bias, temperature, shares = np.zeros(len(rows), np.float32), 1.0, np.zeros(0)
    mean = shots.mean if clips.mean is None and shots is not None else clips.mean
    if mean is not None:
        bias = on_grid(-(rows @ mean))
        scores = clips.features @ rows.T + bias
        if estimate is not None and len(scores) >= MIN_SEEN:
            shares = np.bincount(scores.argmax(axis=1), minlength=len(rows)) / len(scores)
            if problem.request.composition == "gated":
                temperature = fit_temperature(scores, estimate.accuracy)
    n_clips = 0 if clips.mean is None else clips.count
    return FittedRows(stored, bias, temperature, n_clips, shares, shots, estimate)


@dataclass(frozen=True, slots=True, eq=False)
class LowShot:
    """Rows from clips, and how they do on the clips themselves."""

    rows: Float64
    """`(wanted, dim)`: relative rows."""
    mean: Float64
    """`(dim,)`: where no subcategory is ahead."""
    pull: float
    """Clips that each zero-shot row counted as."""
    n_clips: int
    n_right: int
    """Clips that rows made of the other clips, and the zero-shot start, get right."""


def low_shot(
    start: Float64,
    shots: Sequence[Float64],
    *,
    mean: Float64 | None,
    covariance: Float64 | None,
    start_from: Start = "zero-shot rows",
) -> LowShot:
    """Rows from some labelled clips of each subcategory, one clip at least in all.

    Args:
        start: `(wanted, dim)`: zero-shot rows.
        shots: `(clips, dim)` features for each subcategory; some may have none.
        mean: `(dim,)` feature of the class; the middle of the clips when it is not known.
        covariance: `(dim, dim)`, shared by all classes; that of the clips themselves, equal in
            all directions, when it is not known.
        start_from: "clips alone" leaves the zero-shot rows out, as if they were worth no clip.
    """
    seen = [clips for clips in shots if len(clips)]
    if mean is None:
        mean = np.mean([clips.mean(axis=0) for clips in seen], axis=0)
    around = np.concatenate(shots) - mean
    votes = np.linalg.solve(_shrunk(covariance, seen), around.T).T
    owner = np.repeat(np.arange(len(shots)), [len(clips) for clips in shots])
    start = start - start.mean(axis=0)
    fit = _Fit(start, around, votes, owner)
    if start_from == "clips alone":
        pull = 0.0
    elif min(map(len, seen)) < MIN_LEFT_OUT:
        pull = PULL
    else:  # of equally good ones, the one nearest to what served elsewhere
        pull = max(PULLS, key=lambda p: (fit.right(p), -abs(np.log((p + 0.1) / (PULL + 0.1)))))
    return LowShot(fit.rows(pull), mean, pull, len(owner), fit.right(pull))


def _shrunk(covariance: Float64 | None, seen: Sequence[Float64]) -> Float64:
    if covariance is None:
        # Clips of one subcategory say how far clips lie apart; one clip each can only say less.
        within = [clips - clips.mean(axis=0) for clips in seen]
        degrees = sum(len(clips) - 1 for clips in seen)
        if not degrees:
            middle = np.concatenate(seen)
            within, degrees = [middle - middle.mean(axis=0)], max(1, len(middle) - 1)
        dim = seen[0].shape[1]
        variance = sum(float(np.sum(part**2)) for part in within) / (degrees * dim)
        return np.asarray(max(variance, 1e-12) * np.eye(dim))
    dim = len(covariance)
    level = max(float(np.trace(covariance)) / dim, 1e-12)
    return np.asarray((1 - SHRINKAGE) * covariance + SHRINKAGE * level * np.eye(dim))


class _Fit:
    """Rows for any pull, with all clips or with one left out."""

    def __init__(self, start: Float64, around: Float64, votes: Float64, owner: Int64) -> None:
        self.start, self.around, self.votes, self.owner = start, around, votes, owner
        self.counts = np.bincount(owner, minlength=len(start))[:, None]
        self.sums = np.zeros_like(start)
        np.add.at(self.sums, owner, votes)

    def rows(self, pull: float) -> Float64:
        """`(wanted, dim)`; zeros where there is neither a clip nor a pull."""
        return np.asarray((self.sums + pull * self.start) / np.maximum(self.counts + pull, 1e-9))

    def right(self, pull: float) -> int:
        """Clips that the rows without them put where they belong."""
        scores = self.around @ self.rows(pull).T
        places = np.arange(len(self.owner))
        left = self.sums[self.owner] - self.votes + pull * self.start[self.owner]
        share = np.maximum(self.counts[self.owner, 0] - 1 + pull, 1e-9)
        scores[places, self.owner] = np.einsum("nd,nd->n", self.around, left) / share
        return int(np.sum(settled(scores).argmax(axis=1) == self.owner))


def fit_temperature(scores: Float64, accuracy: float) -> float:
    """The temperature at which the best child's share is, on average, the expected accuracy.

    No label is needed: a split that is right in 7 of 10 cases should say 0.7 on average.

    Args:
        scores: `(clips, children)`: relative scores of unlabelled clips of the class.
        accuracy: what is expected of the split.

    Returns:
        A power of 1.1 between 0.02 and 50.
    """
    temperatures = np.power(1.1, np.arange(-40, 42))
    shares = np.empty(len(temperatures))
    shifted = scores - scores.max(axis=1, keepdims=True)
    for place, temperature in enumerate(temperatures):
        shares[place] = np.mean(1 / np.exp(shifted / temperature).sum(axis=1))
    best = int(np.argmin(np.round(np.abs(shares - accuracy), 9)))
    return float(np.round(temperatures[best], 6))
