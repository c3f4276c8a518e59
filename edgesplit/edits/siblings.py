"""Find labels with the same beginning: "poking something so that it moves", "… slightly".

The remaining words of such labels may be of different kinds, so they are not an axis.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from edgesplit.heads.label_text import differing_words, words

__all__ = ["Siblings", "find_siblings"]

Siblings = tuple[str, list[tuple[int, str]]]
"""Shared beginning, and (index in the list, remaining words) of each label."""

# Words that neither end the name of an action nor distinguish actions: "turning the" continues to
# "turning the camera". "over" is missing, because "tipping something over" is complete.
_FUNCTION_WORDS = frozenset(
    """
    a an the one two each other both it its they them their that which so not
    and or but then until while because than as if
    to of with without in into on onto up down off out away from for by at
    behind next under underneath against along across past towards toward
    is are be been does doesn't can can't cannot
    """.split()  # noqa: SIM905 - a list reads worse
)
_OBJECTS = ("it", "them")
_MIN_ACTION_WORDS = 2
MIN_SHARED = 0.3
"""Minimum part of a label's weight in its action; a smaller value joins more labels. From 0.26 to
0.33 about nine in ten joined pairs belong together, see `benchmarks/quality/label_groups.py`. From
0.36 on "pushing something from left to right" may be lost from its group."""


def find_siblings(labels: Sequence[str]) -> list[Siblings]:
    """Return groups of labels with the same action, in the order of their first labels.

    An action is a beginning of at least two words that does not end in a function word and is a
    large enough part of the label (see `MIN_SHARED`): "pulling something", "turning the camera",
    "pretending to put". Each label joins those with which it shares the longest action, so "moving
    something across a surface" is not in "moving something". A label that is only the action has no
    modifier and is skipped, as is a label without siblings.
    """
    texts = [words(label) for label in labels]
    weights = _weights(texts)
    by_action: dict[tuple[str, ...], list[int]] = {}
    for i, text in enumerate(texts):
        for action in _actions(text, weights):
            by_action.setdefault(action, []).append(i)
    found: list[Siblings] = []
    grouped: set[int] = set()
    for action in sorted(by_action, key=len, reverse=True):
        places = [i for i in by_action[action] if i not in grouped]
        modifiers = _modifiers([labels[i] for i in places])
        if modifiers:
            members = list(zip(places, modifiers, strict=True))
            found.append((_spelled(action, labels[places[0]]), members))
            grouped.update(places)
    return sorted(found, key=lambda siblings: siblings[1][0])


def _weights(texts: Sequence[Sequence[str]]) -> dict[str, float]:
    """Return the weight of each word; rare words weigh more.

    The weight is a fourth root of the frequency. With a logarithm, an action that every label of a
    head shares would have no weight, and there would be no group.
    """
    n_labels = Counter(word for text in texts for word in set(text))
    return {word: 0.0 if word in _FUNCTION_WORDS else n**-0.25 for word, n in n_labels.items()}


def _actions(text: tuple[str, ...], weights: Mapping[str, float]) -> Iterator[tuple[str, ...]]:
    """Yield the beginnings of a label that may be its action; the complete label is not one."""
    sums = list(accumulate(weights[word] for word in text))
    for length in range(_MIN_ACTION_WORDS, len(text)):
        shared = sums[length - 1] >= MIN_SHARED * sums[-1]
        if shared and _is_complete(text[:length], text[length:]):
            yield text[:length]


def _is_complete(action: Sequence[str], rest: Sequence[str]) -> bool:
    """Return True if `action` is a complete phrase, followed by `rest`."""
    *_, before, last = action
    if last in _FUNCTION_WORDS and (last not in _OBJECTS or before in _FUNCTION_WORDS):
        return False  # "moving it" is complete; "moving something so that it" is not
    # "moving something and something" is complete; "moving something" is only a part of it.
    return rest[0] != last and tuple(rest[:2]) != ("and", last)


def _modifiers(labels: Sequence[str]) -> list[str]:
    """Return the modifiers of the labels; empty if they do not distinguish all labels."""
    if len(labels) < 2:
        return []
    modifiers = differing_words(labels)
    if modifiers == [*labels]:  # "Back+15som" is one word to `str.split`
        return []
    distinct = all(modifiers) and len({m.casefold() for m in modifiers}) == len(modifiers)
    return modifiers if distinct else []


def _spelled(action: tuple[str, ...], label: str) -> str:
    """Return the action as written in the label."""
    written = label.split()
    length = 1
    while len(words(" ".join(written[:length]))) < len(action):
        length += 1
    return " ".join(written[:length]).strip(" ,.;:")
