"""Words that are one or two letters from a word of the head: "letf" is read as "left"."""

from __future__ import annotations

import re
from collections.abc import Collection

from edgesplit.edits.vocabulary import is_listed

__all__ = ["correct_spelling"]

_WORD = re.compile(r"[^\W\d_]+")
_SHORT, _LONG = 4, 8
"""Up to the first length letters may be lost, doubled or exchanged, not replaced; from the second
on two may be wrong. Else "lift" would be "left"."""


def correct_spelling(text: str, known: Collection[str]) -> str:
    """The text with its misspelt words as the head writes them.

    A word stays if the head has it, or if it is known to mean something; also if it is as near to
    two words of the head.

    Args:
        text: what a user wrote.
        known: words of the head's labels, casefolded.
    """

    def correct(match: re.Match[str]) -> str:
        word = match[0].casefold()
        if word in known or is_listed(word):
            return match[0]
        near = {other for other in known if _is_misspelt(word, other)}
        return near.pop() if len(near) == 1 else match[0]

    return _WORD.sub(correct, text)


def _is_misspelt(word: str, of: str) -> bool:
    """Whether a word may be another one, misspelt."""
    limit = 2 if len(of) >= _LONG else 1
    if abs(len(word) - len(of)) > limit or min(len(word), len(of)) < _SHORT - 1:
        return False
    if len(of) <= _SHORT and len(word) == len(of) and sorted(word) != sorted(of):
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
