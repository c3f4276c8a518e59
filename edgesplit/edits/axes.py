"""Choose the axis of a split: first by common words, then by the match of the texts."""

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
"""Minimum part of the wanted words that an axis must have to be chosen by words."""

MIN_LEAD = 0.1
"""Minimum lead of an axis in text match over the next one; see `ENCODER_ERROR`."""

N_CANDIDATES = 3
"""Maximum axes in the message of an unclear choice."""


@dataclass(frozen=True, slots=True, eq=False)
class AxisChoice:
    """The axis of a split, or the candidates where the choice is unclear."""

    axis: Axis | None
    """The chosen axis; None if the choice is unclear."""
    words: tuple[str, ...] = ()
    """For each wanted modifier, the axis's word of the same meaning; empty if it has none."""
    candidates: tuple[Axis, ...] = ()
    """The most likely axes, the best first, where the choice is unclear."""


def choose_axis(
    problem: TransferProblem, wanted: Sequence[str], axes: Sequence[Axis]
) -> tuple[AxisChoice, TransferProblem]:
    """Choose the axis of a split, by its words or by the match of the texts.

    Args:
        problem: embeddings of the wanted and the known texts.
        wanted: the modifiers of the subcategories.
        axes: the axes of the known labels.

    Returns:
        The choice, and the problem with the head's words in place of wanted words of the axis.
    """
    if not axes:
        return AxisChoice(None), problem
    found = [_find_words(wanted, axis) for axis in axes]
    by_words = np.array([score for score, _ in found])
    first = int(by_words.argmax())
    if by_words[first] < MIN_WORDS:
        by_text = np.array([_match_score(problem, axis) for axis in axes])
        order = np.argsort(-settled(by_text), kind="stable")
        first = int(order[0])
        lead = by_text[first] - (by_text[order[1]] if len(order) > 1 else -1.0)
        agreed = by_words[first] > 0 and by_words[first] == by_words.max()
        if by_text[first] < CHANCE or (lead < MIN_LEAD and not agreed):
            near = [axes[a] for a in order[:N_CANDIDATES] if by_text[a] >= CHANCE]
            return AxisChoice(None, candidates=tuple(near)), problem
    places, axis = found[first][1], axes[first]
    words = tuple(axis.words[place] if place >= 0 else "" for place in places)
    rows = problem.wanted.told_apart.copy()
    for i, place in enumerate(places):
        if place >= 0:
            rows[i] = problem.known.told_apart[axis.members[place]]
    return AxisChoice(axis, words), replace(problem, wanted=replace(problem.wanted, in_order=rows))


def _find_words(wanted: Sequence[str], axis: Axis) -> tuple[float, list[int]]:
    """Return the part of the wanted words that an axis has, and the index of each; -1 for none.

    If the axis has fewer words than are wanted, the part is that of its words.
    """
    new, texts = ([parse_label(text).stems for text in part] for part in (wanted, axis.words))
    scores = np.zeros((len(new), max(len(new), len(texts))))  # at least one column per wanted word
    scores[:, : len(texts)] = [[alike(word, text) for text in texts] for word in new]
    chosen = match_one_to_one(scores)
    found = scores[np.arange(len(new)), chosen]
    places = np.where(found > 0, chosen, -1).tolist()
    return float(found.sum()) / min(len(new), len(texts)), places


def _match_score(problem: TransferProblem, axis: Axis) -> float:
    """Return the text match of the wanted words with an axis; -1 if the axis has too few words."""
    wanted, known = problem.wanted.told_apart, problem.known.told_apart[axis.members]
    if len(known) < len(wanted):
        return -1.0
    return best_match(wanted, known, axis.members).score
