"""Low-shot: rows from a few labelled clips, started from zero-shot rows.

With Gaussian classes of one covariance S around the class's mean m, the best linear rows are
S^-1 (m_s - m) for the subcategories' means m_s. A clip x is one look at m_s, so it votes for the
row S^-1 (x - m): the features whitened by S. The zero-shot row is a guess at the same quantity,
worth some number of clips, the pull. The row of the largest posterior probability is the mean of
all votes:

    v_s = (sum of S^-1 (x - m) over its clips + pull * zero-shot row) / (clips + pull)

No step size, no epochs; leaving a clip out changes one sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgesplit.edits.rules.base import Floats, settled

__all__ = ["MIN_LEFT_OUT", "PULL", "LowShot", "low_shot"]

Integers = npt.NDArray[np.int64]

PULL = 10.0
"""How many clips a zero-shot row is worth, where too few clips are there to say; best on the
development backbones of benchmarks/motion_split."""
PULLS = (0.0, 1.0, 3.0, 10.0, 30.0, 100.0)
"""What leaving one clip out chooses from."""
MIN_LEFT_OUT = 3
"""Clips of every subcategory that has any, from which one can be left out."""
SHRINKAGE = 0.3
"""Share of the covariance that is made equal in all directions."""


@dataclass(frozen=True, slots=True, eq=False)
class LowShot:
    """Rows from clips, and how they do on the clips themselves."""

    rows: Floats
    """`(wanted, dim)`: relative rows."""
    mean: Floats
    """`(dim,)`: where no subcategory is ahead."""
    pull: float
    """Clips that each zero-shot row counted as."""
    n_clips: int
    n_right: int
    """Clips that rows made of the other clips, and the zero-shot start, get right."""


def low_shot(
    start: Floats,
    shots: Sequence[Floats],
    *,
    mean: Floats | None,
    covariance: Floats | None,
    trust_start: bool = True,
) -> LowShot:
    """Rows from some labelled clips of each subcategory, one clip at least in all.

    Args:
        start: `(wanted, dim)`: zero-shot rows.
        shots: `(clips, dim)` features for each subcategory; some may have none.
        mean: `(dim,)` feature of the class; the middle of the clips when it is not known.
        covariance: `(dim, dim)`, shared by all classes; that of the clips themselves, equal in
            all directions, when it is not known.
        trust_start: off leaves the zero-shot rows out, as if they were worth no clip.
    """
    seen = [clips for clips in shots if len(clips)]
    if mean is None:
        mean = np.mean([clips.mean(axis=0) for clips in seen], axis=0)
    around = np.concatenate(shots) - mean
    votes = np.linalg.solve(_shrunk(covariance, seen), around.T).T
    owner = np.repeat(np.arange(len(shots)), [len(clips) for clips in shots])
    start = start - start.mean(axis=0)
    fit = _Fit(start, around, votes, owner)
    if not trust_start:
        pull = 0.0
    elif min(map(len, seen)) < MIN_LEFT_OUT:
        pull = PULL
    else:  # of equally good ones, the one nearest to what served elsewhere
        pull = max(PULLS, key=lambda p: (fit.right(p), -abs(np.log((p + 0.1) / (PULL + 0.1)))))
    return LowShot(fit.rows(pull), mean, pull, len(owner), fit.right(pull))


def _shrunk(covariance: Floats | None, seen: Sequence[Floats]) -> Floats:
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

    def __init__(self, start: Floats, around: Floats, votes: Floats, owner: Integers) -> None:
        self.start, self.around, self.votes, self.owner = start, around, votes, owner
        self.counts = np.bincount(owner, minlength=len(start))[:, None]
        self.sums = np.zeros_like(start)
        np.add.at(self.sums, owner, votes)

    def rows(self, pull: float) -> Floats:
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
