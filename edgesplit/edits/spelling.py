"""Correct misspelt words that are close to a word of the head: "letf" is read as "left"."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from edgesplit.edits.vocabulary import is_listed

__all__ = ["correct_spelling"]

_WORD = re.compile(r"[^\W\d_]+")
_SHORT, _LONG = 3, 8
"""Lengths of words. Words shorter than the first are not corrected. In longer words, one letter may
be missing, added, or swapped with its neighbour. From the second length on, two letters may be
wrong, and a letter may be replaced. So "light" is not read as "right"."""


def correct_spelling(text: str, known: Collection[str], is_word: Callable[[str], bool]) -> str:
    """Return the text with misspelt words replaced by words of the head.

    A word is kept if the head has it, if it is a correct word, or if it is close to two words of
    the head.

    Args:
        text: the user's text.
        known: words of the head's labels, casefolded.
        is_word: returns True for a correct word; called only for words close to a word of the head.
    """

    def correct(match: re.Match[str]) -> str:
        word = match[0].casefold()
        if word in known or is_listed(word):
            return match[0]
        near = [other for other in known if _is_misspelt(word, other)]
        return near[0] if len(near) == 1 and not is_word(word) else match[0]

    return _WORD.sub(correct, text)


def _is_misspelt(word: str, of: str) -> bool:
    """Return True if `word` may be a misspelt `of`."""
    limit = 2 if len(of) >= _LONG else 1
    if abs(len(word) - len(of)) > limit or min(len(word), len(of)) < _SHORT:
        return False
    if len(of) < _LONG and len(word) == len(of) and sorted(word) != sorted(of):
        return False
    return _distance(word, of) <= limit


def _distance(one: str, other: str) -> int:
    """Return the edit distance: insert, remove, replace, or swap two adjacent letters."""
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
