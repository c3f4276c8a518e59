"""How good will a split be? An answer from unlabelled clips and the head's own groups.

Three things can be known before anybody has seen a labelled clip:

- Trust in the texts. The known labels that a subcategory learns from should differ as the
  subcategories do; see `edgesplit.edits.matching`.
- Spread. Clips of the class should lie apart along the directions that tell the subcategories
  apart, and more so than clips of any class do. Where they do not, the backbone does not see
  the difference.
- Precedent. Every known group can be split as if it were unknown, with what the other groups
  know, and the head itself says which of its members a clip is. Where that fails for groups whose
  names are like the class's ("rotating the camera", "moving the camera"), it will fail for the
  class ("turning the camera"), and often the wrong way round.

Spread and precedent enter a line, the gain by clips; the trust takes its share of that. All was
fitted on the development backbones of benchmarks/motion_split, by
`python -m benchmarks.motion_split.fit`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edgesplit.edits.problem import Question
from edgesplit.edits.rules.alignment import leave_groups_out
from edgesplit.edits.rules.base import Floats, members_of, on_grid
from edgesplit.edits.rules.lowshot import PULL, LowShot
from edgesplit.heads.statistics import Statistics

__all__ = [
    "Confidence",
    "Sight",
    "fit_temperature",
    "look",
    "measure",
    "predict_accuracy",
    "with_clips",
]

MIN_SEEN = 10
"""Clips of a class, or of a group's classes, from which a spread or a gain is told."""

SHARPNESS = 0.1
"""How alike two names must be to be a precedent, as cosines of their embeddings."""

INTERCEPT, PER_SPREAD, PER_PRECEDENT = 0.08, 0.67, 0.64
LOWEST, HIGHEST = 0.05, 0.9
"""Nothing that was fitted on sixty splits knows that one is hopeless, or sure to succeed."""


@dataclass(frozen=True, slots=True)
class Confidence:
    """What is expected of a split, and why."""

    accuracy: float
    """Expected share of the class's clips that get the right subcategory; 1/n is guessing."""
    gain: float
    """The same, so that guessing is 0 and always right is 1; below 0 where the precedents say
    that the transfer points the wrong way. Not limited to these."""
    gain_by_clips: float
    """What it would be if the texts could be trusted."""
    trust: float
    """In the texts, 0 to 1."""
    spread: float
    """Standard deviation of the class's clips along what tells the subcategories apart, over
    that of clips around their class means."""
    precedent: float
    """Mean gain of the head's own groups when split as if unknown, the more alike in name the
    more it counts: -1 to 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """What unlabelled clips of the class make of the new rows."""

    bias: npt.NDArray[np.float32]
    """`(wanted,)`."""
    n_clips: int
    """That the rows were centred on; 0 when they were not."""
    temperature: float
    confidence: Confidence | None
    shares: Floats
    """`(wanted,)`: of the class's clips, how many each subcategory gets; empty when unknown."""


def look(
    question: Question,
    rows: Floats,
    statistics: Statistics | None,
    confidence: Confidence | None,
    fitted: LowShot | None = None,
) -> Sight:
    """Centres new rows on the class, and makes its scores as sure as they should be.

    Args:
        question: what the rule was asked.
        rows: `(wanted, dim)`: what it answered, as it is stored.
        statistics: of unlabelled clips, if there are any.
        confidence: what is expected of the split, see `measure`.
        fitted: how the rows came out of labelled clips, if there are any.
    """
    unseen = Sight(np.zeros(len(rows), np.float32), 0, 1.0, confidence, np.zeros(0))
    mean = question.mean
    if mean is None and fitted is not None:
        mean = fitted.mean
    if mean is None:
        return unseen
    bias = on_grid(-(rows @ mean))
    n_clips = 0 if question.mean is None else question.n_clips
    centred = replace(unseen, bias=bias, n_clips=n_clips)
    scores = question.clips @ rows.T + bias
    if confidence is None or len(scores) < MIN_SEEN:
        return centred
    return replace(
        centred,
        temperature=fit_temperature(scores, confidence.accuracy),
        shares=np.bincount(scores.argmax(axis=1), minlength=len(rows)) / len(scores),
    )


def measure(
    question: Question, rows: Floats, statistics: Statistics | None, trust: float = 1.0
) -> Confidence | None:
    """What to expect of a zero-shot split; None when there are too few clips to say.

    Args:
        question: what the rule was asked.
        rows: `(wanted, dim)`: what it answered.
        statistics: of unlabelled clips, if there are any.
        trust: in the texts.
    """
    if statistics is None or question.mean is None or len(question.clips) < MIN_SEEN:
        return None
    gains = _gains(question, statistics)
    if not gains:
        return None
    alike = np.array([question.names[group] @ question.name for group in gains])
    weights = np.exp((alike - alike.max()) / SHARPNESS)
    precedent = float(weights @ np.array(list(gains.values())) / weights.sum())
    spread = _spread(rows, question.clips, statistics.covariance.astype(np.float64))
    by_clips = INTERCEPT + PER_SPREAD * float(np.log(max(spread, 1e-3))) + PER_PRECEDENT * precedent
    gain = trust * by_clips
    return Confidence(
        accuracy=round(predict_accuracy(gain, len(rows)), 3),
        gain=round(gain, 3),
        gain_by_clips=round(by_clips, 3),
        trust=round(trust, 3),
        spread=round(spread, 3),
        precedent=round(precedent, 3),
    )


def with_clips(confidence: Confidence, fitted: LowShot, n: int) -> Confidence:
    """What to expect once there are labelled clips: each of them counts for one.

    What was expected of the zero-shot rows counts for as many clips as they do by default.
    """
    accuracy = (PULL * confidence.accuracy + fitted.n_right) / (PULL + fitted.n_clips)
    return replace(confidence, accuracy=round(max(accuracy, predict_accuracy(LOWEST, n)), 3))


def predict_accuracy(gain: float, n: int) -> float:
    """The accuracy that belongs to a gain, among n subcategories."""
    return 1 / n + (1 - 1 / n) * min(max(gain, LOWEST), HIGHEST)


def _gains(question: Question, statistics: Statistics) -> dict[int, float]:
    """By group: how much better than guessing it is split by what the other groups know."""
    request, columns = question.request, question.columns
    rows = leave_groups_out(request)
    gains = {}
    for group, members in enumerate(members_of(request.known.siblings)):
        clips = [statistics.of_class(int(columns[member])) for member in members]
        counts = [len(part) for part in clips]
        if sum(counts) < MIN_SEEN or np.count_nonzero(counts) < 2:
            continue
        features = np.concatenate(clips).astype(np.float64)
        truth = np.repeat(np.arange(len(members)), counts)
        scores = (features - features.mean(axis=0)) @ rows[members].T
        right = float(np.mean(scores.argmax(axis=1) == truth))
        gains[group] = (right - 1 / len(members)) / (1 - 1 / len(members))
    return gains


def _spread(rows: Floats, clips: Floats, covariance: Floats) -> float:
    p, q = np.triu_indices(len(rows), 1)
    apart = rows[p] - rows[q]
    along = (clips @ apart.T).std(axis=0)
    usual = np.sqrt(np.einsum("ij,jk,ik->i", apart, covariance, apart))
    return float(np.mean(along / np.maximum(usual, 1e-12)))


def fit_temperature(scores: Floats, accuracy: float) -> float:
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
