"""Which axis of a head a user means: told by its words, then by how alike the words differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgesplit.edits.groups import Axis
from edgesplit.edits.matching import CHANCE, best_match
from edgesplit.edits.rules.base import TransferProblem, match_one_to_one, settled
from edgesplit.edits.tokens import parse_label
from edgesplit.edits.vocabulary import alike

__all__ = ["AxisChoice", "choose_axis"]

MIN_WORDS = 0.75
"""Part of the wanted words that an axis must have to be the one that is meant."""

MIN_LEAD = 0.1
"""Likeness by which an axis must be ahead of the next one; `ENCODER_ERROR` says why."""

N_CANDIDATES = 3
"""Axes that are named where it is not clear which one is meant."""


@dataclass(frozen=True, slots=True, eq=False)
class AxisChoice:
    """The axis that is meant, as far as that is clear."""

    axis: Axis | None
    """None where it is not."""
    words: tuple[str, ...] = ()
    """Of each wanted modifier, the axis' word that says the same; empty where none does."""
    candidates: tuple[Axis, ...] = ()
    """Axes that may be meant, the likeliest first, where it is not clear."""


def choose_axis(
    problem: TransferProblem, wanted: Sequence[str], axes: Sequence[Axis]
) -> tuple[AxisChoice, TransferProblem]:
    """The axis that a split is meant along, by its words or by likeness.

    Args:
        problem: embeddings of what is wanted and known.
        wanted: the modifiers of the subcategories.
        axes: of the known labels.

    Returns:
        The choice, and the problem in which words that the axis has are those of the head.
    """
    if not axes:
        return AxisChoice(None), problem
    found = [_find_words(wanted, axis) for axis in axes]
    by_words = np.array([score for score, _ in found])
    first = int(by_words.argmax())
    if by_words[first] < MIN_WORDS:
        likeness = np.array([_likeness(problem, axis) for axis in axes])
        order = np.argsort(-settled(likeness), kind="stable")
        first = int(order[0])
        lead = likeness[first] - (likeness[order[1]] if len(order) > 1 else -1.0)
        agreed = by_words[first] > 0 and by_words[first] == by_words.max()
        if likeness[first] < CHANCE or (lead < MIN_LEAD and not agreed):
            near = [axes[a] for a in order[:N_CANDIDATES] if likeness[a] >= CHANCE]
            return AxisChoice(None, candidates=tuple(near)), problem
    places, axis = found[first][1], axes[first]
    words = tuple(axis.words[place] if place >= 0 else "" for place in places)
    rows = problem.wanted.told_apart.copy()
    for i, place in enumerate(places):
        if place >= 0:
            rows[i] = problem.known.told_apart[axis.members[place]]
    return AxisChoice(axis, words), replace(problem, wanted=replace(problem.wanted, in_order=rows))


def _find_words(wanted: Sequence[str], axis: Axis) -> tuple[float, list[int]]:
    """The part of the wanted words that an axis has, and the place of each, -1 without one.

    Of an axis that has fewer words, the part of its words.
    """
    said, texts = ([parse_label(text).stems for text in part] for part in (wanted, axis.words))
    scores = np.zeros((len(said), max(len(said), len(texts))))  # a column for each wanted word
    scores[:, : len(texts)] = [[alike(word, text) for text in texts] for word in said]
    chosen = match_one_to_one(scores)
    found = scores[np.arange(len(said)), chosen]
    places = np.where(found > 0, chosen, -1).tolist()
    return float(found.sum()) / min(len(said), len(texts)), places


def _likeness(problem: TransferProblem, axis: Axis) -> float:
    """How alike the wanted words and an axis' differ; -1 where it has too few words."""
    wanted, known = problem.wanted.told_apart, problem.known.told_apart[axis.members]
    if len(known) < len(wanted):
        return -1.0
    return best_match(wanted, known, axis.members).score
