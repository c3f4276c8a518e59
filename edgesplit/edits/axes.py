"""What varies in a head, and which of it a user means.

Groups that share two modifiers or more vary in the same thing: "left, right, up, down" of swiping
and "up, down" of a thumb are one axis, "one finger, whole hand" is another. The axis that is meant
is told by its words first, then by how alike the wanted and the known words differ.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from edgesplit._types import Int64
from edgesplit.edits.disjoint_sets import Joined
from edgesplit.edits.groups import Group
from edgesplit.edits.matching import CHANCE, best_match
from edgesplit.edits.rules.base import TransferProblem, match_one_to_one, settled
from edgesplit.edits.tokens import parse_label
from edgesplit.edits.vocabulary import alike, is_verbs, meaning

__all__ = ["Axis", "AxisChoice", "choose_axis", "find_axes"]

MIN_WORDS = 0.75
"""Part of the wanted words that an axis must have to be the one that is meant."""

MIN_LEAD = 0.1
"""Likeness by which an axis must be ahead of the next one; `ENCODER_ERROR` says why."""

MAX_LINKING = 64
"""Modifiers of a group that may link it with another, the first ones."""

N_CANDIDATES = 3
"""Axes that are named where it is not clear which one is meant."""


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """Groups of known labels that vary in the same thing."""

    groups: tuple[int, ...]
    """Their places in the list of groups."""
    words: tuple[str, ...]
    """Their distinct modifiers, each as it is written first."""
    members: Int64
    """`(words,)`: of each word, the place of a known label that has it."""
    by: str
    """Why; see `Group.by`."""

    @property
    def name(self) -> str:
        """The words, for people: "left, right, up, down"."""
        return ", ".join(self.words)


def find_axes(groups: Sequence[Group]) -> tuple[Axis, ...]:
    """The axes of some groups, in the order of their first groups.

    Groups are linked by two common modifiers, or by the same pair of opposite verbs.
    """
    meanings = [[meaning(parse_label(m.modifier).stems) for m in group.members] for group in groups]
    joined = Joined()
    first_with: dict[Hashable, int] = {}
    for g, group in enumerate(groups):
        links: list[Hashable] = [group.by] if is_verbs(group.by) else []
        links += map(frozenset, combinations(meanings[g][:MAX_LINKING], 2))
        for link in links:
            joined.join(first_with.setdefault(link, g), g)
    together: dict[Hashable, list[int]] = {}
    for g in range(len(groups)):
        together.setdefault(joined.find(g), []).append(g)
    starts = np.cumsum([0, *(len(group.members) for group in groups)])
    axes = []
    for places in together.values():
        words: dict[Hashable, tuple[str, int]] = {}
        for g in places:
            for m, member in enumerate(groups[g].members):
                words.setdefault(meanings[g][m], (member.modifier, int(starts[g]) + m))
        texts, members = zip(*words.values(), strict=True)
        axes.append(Axis(tuple(places), texts, np.array(members, np.int64), groups[places[0]].by))
    return tuple(axes)


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
    """The part of the wanted words that an axis has, and the place of each, -1 without one."""
    texts = [parse_label(text).stems for text in axis.words]
    scores = np.array([[alike(parse_label(w).stems, text) for text in texts] for w in wanted])
    more = len(wanted) > len(texts)
    chosen = match_one_to_one(scores.T if more else scores)
    pairs = zip(chosen, range(len(texts)), strict=True) if more else enumerate(chosen)
    places = [-1] * len(wanted)
    total = 0.0
    for i, place in pairs:
        if scores[i, place] > 0:
            places[i] = int(place)
            total += float(scores[i, place])
    return total / len(wanted), places


def _likeness(problem: TransferProblem, axis: Axis) -> float:
    """How alike the wanted words and an axis' differ; -1 where it has too few words."""
    wanted, known = problem.wanted.told_apart, problem.known.told_apart[axis.members]
    if len(known) < len(wanted):
        return -1.0
    return best_match(wanted, known, axis.members).score
