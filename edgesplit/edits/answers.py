"""Move the new rows towards labelled clips, with the help of the class's unlabelled clips.

A labelled clip votes with the mean of the points nearest to it, which has less noise than the point
itself. The text rows are a prior for the same mean, with a weight in clips, the pull. The more
labelled clips the text rows get right, the larger the pull:

    v_s = (sum of the votes for s + pull * text row) / (votes for s + pull)

So the rows move little where the text rows were right. Text rows that get fewer clips right than
guessing have no weight. `python -m benchmarks.quality.asking` measures the gain by answers,
`python -m benchmarks.quality.refit_tried` the effect of the constants. No data was held out when
the constants were chosen.
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
"""Minimum unlabelled clips of a class for using their distribution."""
PRIOR = 8.0
"""Weight, in clips, of the expected accuracy of the text rows against their measured accuracy."""
LEAST_PULL, MORE_PULL = 3.0, 27.0
"""Pull of text rows with no trust, and what full trust adds to it."""
LEAST_NEAR, MOST_NEAR, NEAR_SHARE = 3, 20, 8
"""Size of a neighbourhood: an eighth of the clips, within these limits."""


@dataclass(frozen=True, slots=True, eq=False)
class Votes:
    """Rows from labelled clips and texts."""

    rows: Float64
    """`(wanted, dim)`: rows that score points."""
    pull: float
    """Weight of each text row, in clips."""
    n_right: int
    """Number of labelled clips that the text rows get right."""


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
        expected: expected accuracy of the text rows.
    """
    n = len(text_rows)
    owner = np.repeat(np.arange(n), [len(part) for part in labelled])
    scores = np.concatenate(labelled) @ text_rows.T
    n_right = int(np.sum(settled(scores).argmax(axis=1) == owner)) if text_rows.any() else 0
    accuracy = (PRIOR * expected + n_right) / (PRIOR + len(owner))
    trust = min(max((accuracy - 1 / n) / (1 - 1 / n), 0.0), 1.0) if text_rows.any() else 0.0
    pull = LEAST_PULL + MORE_PULL * trust
    if n_right * n < len(owner):  # worse than guessing
        pull = 0.0
    rows = np.empty_like(text_rows)
    for place, part in enumerate(labelled):
        votes = part
        if len(part) and len(pool) >= MIN_SEEN:
            # Labelled clips of other subcategories are never neighbours.
            near = np.concatenate([part, pool])
            n_near = min(max(len(near) // NEAR_SHARE, LEAST_NEAR), MOST_NEAR)
            nearest = np.argsort(settled(distances(part, near)), axis=1, kind="stable")
            votes = near[nearest[:, :n_near]].mean(axis=1)
        weight = max(len(part) + pull, 1.0)
        rows[place] = (votes.sum(axis=0) + pull * text_rows[place]) / weight
    return Votes(rows, round(pull, 1), n_right)


def near_labelled(pool: Float64, labelled: Float64, neither: Float64) -> npt.NDArray[np.bool_]:
    """Return a mask of the points that are as near to a labelled clip as to one of `neither`.

    A clip that is nearer to one of `neither` is taken to show no subcategory, too.

    Args:
        pool: points `(clips, dim)`.
        labelled: points of clips that show a subcategory; if empty, all of `pool` is taken.
        neither: points of clips that show no subcategory.

    Returns:
        `(clips,)`.
    """
    if not len(neither) or not len(labelled):
        return np.ones(len(pool), bool)
    near = settled(distances(pool, labelled).min(axis=1))
    return np.asarray(near <= settled(distances(pool, neither).min(axis=1)))
