"""What labelled clips say of the new rows, and what the class's other clips add to it.

A clip speaks for its neighbourhood: it votes with the mean of the points nearest to it, which has
less noise than the point itself. The rows that texts gave are a guess at the same quantity, worth
some clips, the pull; the more of the labelled clips they get right, the more they count:

    v_s = (sum of the votes for s + pull * text row) / (votes for s + pull)

So answers that the texts had right move the rows little, and texts that get fewer right than
guessing would do not count. What answers gain is measured by
`python -m benchmarks.quality.asking`, what the constants are worth by
`python -m benchmarks.quality.refit_tried`; no set was held back when they were chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgesplit._types import Float64
from edgesplit.edits.rules.base import settled
from edgesplit.edits.whitening import distances

__all__ = ["MIN_SEEN", "Votes", "count_votes", "near_labelled"]

MIN_SEEN = 10
"""Unlabelled clips of a class from which their distribution tells something."""
PRIOR = 8.0
"""Clips that the expected accuracy of the text rows is worth, against how many they get right."""
LEAST_PULL, MORE_PULL = 3.0, 27.0
"""Clips that the text rows are worth when they cannot be trusted, and how many more when they
can."""
LEAST_NEAR, MOST_NEAR, NEAR_SHARE = 3, 20, 8
"""A neighbourhood is an eighth of the clips, within these limits."""


@dataclass(frozen=True, slots=True, eq=False)
class Votes:
    """Rows from labelled clips and texts."""

    rows: Float64
    """`(wanted, dim)`: they score points."""
    pull: float
    """Clips that each text row counted as."""
    n_right: int
    """Labelled clips that the text rows get right."""


def count_votes(
    text_rows: Float64,
    labelled: Sequence[Float64],
    pool: Float64,
    expected: float,
) -> Votes:
    """Move rows towards the neighbourhoods of labelled clips.

    Args:
        text_rows: `(wanted, dim)`, for points.
        labelled: points `(clips, dim)` of each subcategory; some may have none.
        pool: points `(clips, dim)` of unlabelled clips of the class.
        expected: accuracy that is expected of the text rows.
    """
    n = len(text_rows)
    owner = np.repeat(np.arange(n), [len(part) for part in labelled])
    scores = np.concatenate(labelled) @ text_rows.T
    n_right = int(np.sum(settled(scores).argmax(axis=1) == owner)) if text_rows.any() else 0
    accuracy = (PRIOR * expected + n_right) / (PRIOR + len(owner))
    trust = min(max((accuracy - 1 / n) / (1 - 1 / n), 0.0), 1.0) if text_rows.any() else 0.0
    pull = LEAST_PULL + MORE_PULL * trust
    if n_right * n < len(owner):  # guessing gets more right
        pull = 0.0
    rows = np.empty_like(text_rows)
    for place, part in enumerate(labelled):
        votes = part
        if len(part) and len(pool) >= MIN_SEEN:
            # A clip that is known to show something else is no neighbour.
            others = np.concatenate([part, pool])
            n_near = min(max(len(others) // NEAR_SHARE, LEAST_NEAR), MOST_NEAR)
            nearest = np.argsort(settled(distances(part, others)), axis=1, kind="stable")
            votes = others[nearest[:, :n_near]].mean(axis=1)
        weight = max(len(part) + pull, 1.0)
        rows[place] = (votes.sum(axis=0) + pull * text_rows[place]) / weight
    return Votes(rows, round(pull, 1), n_right)


def near_labelled(pool: Float64, labelled: Float64, neither: Float64) -> npt.NDArray[np.bool_]:
    """`(clips,)`: whether a point is at least as near to a labelled clip as to one of `neither`.

    Clips that are like one that shows no subcategory do not show any, either.

    Args:
        pool: points `(clips, dim)`.
        labelled: points of clips that show some subcategory; without any, all of `pool` counts.
        neither: points of clips that show no subcategory.
    """
    if not len(neither) or not len(labelled):
        return np.ones(len(pool), bool)
    near = settled(distances(pool, labelled).min(axis=1))
    return np.asarray(near <= settled(distances(pool, neither).min(axis=1)))
