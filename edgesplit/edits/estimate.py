"""Estimate the accuracy of a split, from unlabelled clips and the head's own groups.

Four quantities are known without a labelled clip:

- Trust in the texts. The known labels that a subcategory learns from should differ as the
  subcategories do; see `edgesplit.edits.matching`.
- Spread. Clips of the class should vary along the directions that separate the subcategories, and
  more than clips of other classes. Otherwise the backbone does not see the difference.
- Separation. Along those directions the clips should form one cluster per subcategory, and not one
  cluster that is cut in two.
- Precedent. Each known group is split as if it were unknown, with the knowledge of the other
  groups; the head's decisions are the truth. If that fails for groups whose names are similar to
  the class's ("rotating the camera", "moving the camera"), it will fail for the class ("turning the
  camera"), too, often with swapped subcategories.

The gain by clips is a linear function of spread, separation and precedent; the gain is that times
the trust. `python -m benchmarks.quality.expectation` fitted the constants, and measures the
estimate on data that it was not fitted on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgesplit._types import Float64
from edgesplit.edits.answers import MIN_SEEN
from edgesplit.edits.problem import SplitProblem
from edgesplit.edits.rules.alignment import leave_groups_out
from edgesplit.edits.rules.base import members_of, settled
from edgesplit.edits.transfer import ZeroShot

__all__ = [
    "Estimate",
    "accuracy_of_gain",
    "accuracy_of_separation",
    "estimate_accuracy",
    "find_gains",
    "separation_of",
]

SHARPNESS = 0.1
"""Difference in cosine between group name and class at which a group's weight falls by 1/e."""

INTERCEPT, PER_SPREAD, PER_SEPARATION, PER_PRECEDENT = -0.578, 0.48, 1.303, 0.228
LOWEST, HIGHEST = 0.05, 0.9
"""Limits of the estimate: 162 splits cannot justify 0 % or 100 %."""

ANSWERED_INTERCEPT, PER_ANSWERED_SEPARATION = -2.07, 3.2
"""Constants of the gain with labelled clips: a linear function of the fitted rows' separation."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The expected accuracy of a split, and its causes."""

    accuracy: float
    """Expected share of the class's clips that get the right subcategory; 1/n is guessing."""
    gain: float
    """Same, scaled so that guessing is 0 and always right is 1. Not limited to that range: below 0
    is worse than guessing."""
    gain_by_clips: float
    """Gain with full trust in the texts."""
    trust: float
    """Trust in the texts, 0 to 1."""
    spread: float
    """Standard deviation of the class's clips along the differences of the subcategories' rows,
    divided by that of clips around their class means."""
    separation: float
    """Part of the clips' variance along those directions that lies between different subcategories,
    0 to 1; 0.64 for two halves of one cluster."""
    precedent: float
    """Mean gain of the head's own groups when split as if unknown, weighted by the similarity of
    their names: -1 to 1."""
    low_group: str
    """Name of the most similar group with a gain of at most `precedent`."""


def estimate_accuracy(
    problem: SplitProblem, zero_shot: ZeroShot, gains: Mapping[int, float]
) -> Estimate | None:
    """Estimate the accuracy of a zero-shot split.

    Args:
        problem: the split.
        zero_shot: its rows.
        gains: the result of `find_gains`.

    Returns:
        None if there are too few clips, or no known labels that differ as the subcategories do.
    """
    clips, statistics, rows = problem.clips, problem.statistics, zero_shot.rows
    if statistics is None or clips.mean is None or len(clips.features) < MIN_SEEN:
        return None
    if not zero_shot.match.trust or not gains:
        return None
    similarity = np.array([problem.group_names[group] @ problem.class_name for group in gains])
    weights = np.exp((similarity - similarity.max()) / SHARPNESS)
    gained = np.array(list(gains.values()))
    precedent = float(weights @ gained / weights.sum())
    low = settled(np.where(gained <= precedent, similarity, -np.inf)[None]).argmax()
    spread = _spread(rows, clips.features, statistics.covariance.astype(np.float64))
    separation = separation_of((clips.features - clips.features.mean(axis=0)) @ rows.T)
    by_clips = (
        INTERCEPT
        + PER_SPREAD * float(np.log(max(spread, 1e-3)))
        + PER_SEPARATION * separation
        + PER_PRECEDENT * precedent
    )
    gain = zero_shot.match.trust * by_clips
    return Estimate(
        accuracy=round(accuracy_of_gain(gain, len(rows)), 3),
        gain=round(gain, 3),
        gain_by_clips=round(by_clips, 3),
        trust=round(zero_shot.match.trust, 3),
        spread=round(spread, 3),
        separation=round(separation, 3),
        precedent=round(precedent, 3),
        low_group=problem.groups[list(gains)[int(low)]].name,
    )


def accuracy_of_separation(separation: float, n: int) -> float:
    """Return the expected accuracy of rows that were moved by labelled clips and then fitted.

    Args:
        separation: separation of the scores of the class's clips; see `separation_of`.
        n: number of subcategories.
    """
    return round(accuracy_of_gain(ANSWERED_INTERCEPT + PER_ANSWERED_SEPARATION * separation, n), 3)


def accuracy_of_gain(gain: float, n: int) -> float:
    """Return the accuracy for a gain, among n subcategories."""
    return 1 / n + (1 - 1 / n) * min(max(gain, LOWEST), HIGHEST)


def find_gains(problem: SplitProblem, zero_shot: ZeroShot) -> dict[int, float]:
    """Split each known group with the knowledge of the other groups, without labelled clips.

    Returns:
        By group: the gain over guessing, as in `Estimate.gain`. Empty if no estimate is possible.
    """
    statistics = problem.statistics
    if statistics is None or problem.class_clips.mean is None or not zero_shot.match.trust:
        return {}
    rows = leave_groups_out(zero_shot.problem)  # reuses the inverse that the rule computed
    gains = {}
    for group, members in enumerate(members_of(problem.transfer.known.siblings)):
        clips = [statistics.of_class(int(problem.known_columns[member])) for member in members]
        counts = [len(part) for part in clips]
        if sum(counts) < MIN_SEEN or np.count_nonzero(counts) < 2:
            continue
        features = np.concatenate(clips).astype(np.float64)
        truth = np.repeat(np.arange(len(members)), counts)
        scores = (features - features.mean(axis=0)) @ rows[members].T
        right = float(np.mean(scores.argmax(axis=1) == truth))
        gains[group] = (right - 1 / len(members)) / (1 - 1 / len(members))
    return gains


def _spread(rows: Float64, clips: Float64, covariance: Float64) -> float:
    p, q = np.triu_indices(len(rows), 1)
    differences = rows[p] - rows[q]
    along = (clips @ differences.T).std(axis=0)
    usual = np.sqrt(np.einsum("ij,jk,ik->i", differences, covariance, differences))
    return float(np.mean(along / np.maximum(usual, 1e-12)))


def separation_of(scores: Float64) -> float:
    """Return the part of the variance of scores `(clips, wanted)` between subcategories, 0 to 1.

    It is 0.64 for one cluster cut through its middle, 1 for clusters without width, and 0 if all
    clips have equal scores.
    """
    best = settled(scores).argmax(axis=1)
    around = scores - scores.mean(axis=1, keepdims=True)
    around = around - around.mean(axis=0)
    total = float(np.sum(around**2))
    if total <= 1e-12 * float(np.sum(scores**2)):  # only rounding errors
        return 0.0
    within = sum(
        float(np.sum((around[best == i] - around[best == i].mean(axis=0)) ** 2))
        for i in np.unique(best)
    )
    return 1 - within / total
