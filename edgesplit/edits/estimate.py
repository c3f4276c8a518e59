"""How accurate a split will be, from unlabelled clips and the head's own groups.

Four things can be known before anybody has seen a labelled clip:

- Trust in the texts. The known labels that a subcategory learns from should differ as the
  subcategories do; see `edgesplit.edits.matching`.
- Spread. Clips of the class should differ along the directions that separate the subcategories,
  and more so than clips of any class do. Where they do not, the backbone does not see the
  difference.
- Separation. Along those directions clips should lie in clusters, one for each subcategory, and not
  in one cloud that is cut through.
- Precedent. Every known group can be split as if it were unknown, with what the other groups
  know, and the head itself says which of its members a clip is. Where that fails for groups whose
  names are like the class's ("rotating the camera", "moving the camera"), it will fail for the
  class ("turning the camera"), and often the wrong way round.

Spread, separation and precedent enter a line, the gain by clips; the trust takes its share of that.
All was fitted by `python -m benchmarks.quality.expectation`, which also says how well it does on
data that it was not fitted on.
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
"""A group whose name is less like the class's by this, as a cosine, counts e times less."""

INTERCEPT, PER_SPREAD, PER_SEPARATION, PER_PRECEDENT = -0.578, 0.48, 1.303, 0.228
LOWEST, HIGHEST = 0.05, 0.9
"""Limits of the estimate: 162 splits cannot justify 0 % or 100 %."""

ANSWERED_INTERCEPT, PER_ANSWERED_SEPARATION = -2.07, 3.2
"""Once there are labelled clips, the separation of the fitted rows alone tells the gain."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is expected of a split, and why."""

    accuracy: float
    """Expected share of the class's clips that get the right subcategory; 1/n is guessing."""
    gain: float
    """The same, so that guessing is 0 and always right is 1; it may lie outside of that: below 0
    is worse than guessing."""
    gain_by_clips: float
    """What it would be if the texts could be trusted."""
    trust: float
    """In the texts, 0 to 1."""
    spread: float
    """Standard deviation of the class's clips along what tells the subcategories apart, over
    that of clips around their class means."""
    separation: float
    """Part of the clips' variance along those directions that lies between the clips of different
    subcategories, 0 to 1; 0.64 for two halves of one cloud."""
    precedent: float
    """Mean gain of the head's own groups when split as if unknown, the more alike in name the
    more it counts: -1 to 1."""


def estimate_accuracy(
    problem: SplitProblem, zero_shot: ZeroShot, gains: Mapping[int, float]
) -> Estimate | None:
    """Estimate the accuracy of a zero-shot split; None when that is not possible.

    There may be too few clips, or nothing in the head that varies as the subcategories do.

    Args:
        problem: the split.
        zero_shot: its rows.
        gains: of `find_gains`.
    """
    clips, statistics, rows = problem.clips, problem.statistics, zero_shot.rows
    if statistics is None or clips.mean is None or len(clips.features) < MIN_SEEN:
        return None
    if not zero_shot.match.trust or not gains:
        return None
    alike = np.array([problem.group_names[group] @ problem.class_name for group in gains])
    weights = np.exp((alike - alike.max()) / SHARPNESS)
    precedent = float(weights @ np.array(list(gains.values())) / weights.sum())
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
    )


def accuracy_of_separation(separation: float, n: int) -> float:
    """The accuracy to expect of rows that labelled clips moved and that were fitted to the class.

    Args:
        separation: of the scores of the class's clips; see `separation_of`.
        n: subcategories.
    """
    return round(accuracy_of_gain(ANSWERED_INTERCEPT + PER_ANSWERED_SEPARATION * separation, n), 3)


def accuracy_of_gain(gain: float, n: int) -> float:
    """The accuracy that belongs to a gain, among n subcategories."""
    return 1 / n + (1 - 1 / n) * min(max(gain, LOWEST), HIGHEST)


def find_gains(problem: SplitProblem, zero_shot: ZeroShot) -> dict[int, float]:
    """Split each known group by what the other groups know; no labelled clip is looked at.

    Returns:
        By group: how much better than guessing that is, as `Estimate.gain`. Empty where nothing can
        be expected of the split anyway.
    """
    statistics = problem.statistics
    if statistics is None or problem.class_clips.mean is None or not zero_shot.match.trust:
        return {}
    rows = leave_groups_out(zero_shot.problem)  # has the inverse already that the rule needed
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
    apart = rows[p] - rows[q]
    along = (clips @ apart.T).std(axis=0)
    usual = np.sqrt(np.einsum("ij,jk,ik->i", apart, covariance, apart))
    return float(np.mean(along / np.maximum(usual, 1e-12)))


def separation_of(scores: Float64) -> float:
    """Part of the variance of scores `(clips, wanted)` that lies between the subcategories, 0 to 1.

    0.64 for one cloud that is cut through its middle, 1 for clusters without width; 0 where all
    clips score alike.
    """
    best = settled(scores).argmax(axis=1)
    around = scores - scores.mean(axis=1, keepdims=True)
    around = around - around.mean(axis=0)
    total = float(np.sum(around**2))
    if total <= 1e-12 * float(np.sum(scores**2)):  # nothing but rounding
        return 0.0
    within = sum(
        float(np.sum((around[best == i] - around[best == i].mean(axis=0)) ** 2))
        for i in np.unique(best)
    )
    return 1 - within / total
