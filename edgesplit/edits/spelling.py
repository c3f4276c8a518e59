"""Words that are one or two letters from a word of the head: "letf" is read as "left"."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from edgesplit.edits.vocabulary import is_listed

__all__ = ["correct_spelling"]

_WORD = re.compile(r"[^\W\d_]+")
_SHORT, _LONG = 3, 8
"""Shorter words are left alone. In longer ones a letter may be lost, added, or exchanged with its
neighbour; from the second length on two may be wrong, and replaced. "light" is not "right"."""


def correct_spelling(text: str, known: Collection[str], is_word: Callable[[str], bool]) -> str:
    """The text with its misspelt words as the head writes them.

    A word stays if the head has it, or if it is a word of its own; also if it is near to two words
    of the head.

    Args:
        text: what a user wrote.
        known: words of the head's labels, casefolded.
        is_word: whether a word is one that people write, whatever the head has; asked only of what
            is near a word of the head.
    """

    def correct(match: re.Match[str]) -> str:
        word = match[0].casefold()
        if word in known or is_listed(word):
            return match[0]
        near = [other for other in known if _is_misspelt(word, other)]
        return near[0] if len(near) == 1 and not is_word(word) else match[0]

    return _WORD.sub(correct, text)


def _is_misspelt(word: str, of: str) -> bool:
    """Whether a word may be another one, misspelt."""
    limit = 2 if len(of) >= _LONG else 1
    if abs(len(word) - len(of)) > limit or min(len(word), len(of)) < _SHORT:
        return False
    if len(of) < _LONG and len(word) == len(of) and sorted(word) != sorted(of):
        return False
    return _distance(word, of) <= limit


def _distance(one: str, other: str) -> int:
    """Letters to insert, remove, replace, or exchange with their neighbour."""
    before: list[int] = []
    last = list(range(len(other) + 1))
    for i, letter in enumerate(one):
        row = [i + 1]
        for j, wanted in enumerate(other):
            cost = min(last[j + 1] + 1, row[j] + 1, last[j] + (letter != wanted))
            if i and j and letter == other[j - 1] and one[i - 1] == wanted:
                cost = min(cost, before[j - 1] + 1)
            row.append(cost)
        before, last = last, row
    return last[-1]
