"""A tokenizer from bytes that may be a stranger's: damage and slow patterns are errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from edgesplit._data import load_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["is_slow", "open_tokenizer"]

MOST_COUNTED = 64
"""A repeat of up to so many times is bounded."""
MOST_REPEATS = 2
"""Unbounded repeats in one branch of a pattern: with k of them, a text of n characters can take
n^k steps."""


def open_tokenizer(data: bytes) -> Tokenizer:
    """Return the tokenizer of a tokenizer.json.

    Raises:
        ValueError: The bytes are no tokenizer, or a pattern in them can take very long.
    """
    from tokenizers import Tokenizer

    for pattern in _patterns(load_json(data)):
        if is_slow(pattern):
            raise ValueError(f"its pattern {pattern[:60]!r} can take very long")
    try:
        return Tokenizer.from_buffer(data)
    except Exception as error:  # tokenizers raises plain Exceptions
        raise ValueError(str(error)) from error


def _patterns(content: Any) -> Iterator[str]:
    """Yield every `{"Regex": pattern}` at any depth."""
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(value.get("Regex"), str):
                yield value["Regex"]
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{\d*,?\d*\}|.", re.DOTALL)
"""An escaped letter, a class, a counted repeat, or one letter."""


def is_slow(pattern: str) -> bool:
    """Return True if a pattern may take more than quadratic time in a text's length.

    It does if a repeated group holds a repeat, or a branch has more than `MOST_REPEATS`. Patterns
    with unmatched brackets count as slow.
    """
    groups: list[tuple[int, int]] = []
    # Repeats in this branch, in the largest branch of its group, in the group that just ended.
    branch, largest, closed = 0, 0, 0
    for token in _TOKEN.findall(pattern):
        ended, closed = closed, 0
        if token == "(":
            groups.append((branch, largest))
            branch, largest = 0, 0
        elif token == ")":
            if not groups:
                return True
            closed = max(branch, largest)
            branch, largest = groups.pop()
            branch += closed
        elif token == "|":
            branch, largest = 0, max(branch, largest)
        elif token in "*+" or _is_open(token):
            branch += 1
            if ended:  # a repeat of a repeat
                return True
        if token == "[" or branch > MOST_REPEATS:
            return True
    return bool(groups)


def _is_open(token: str) -> bool:
    """Return True for a counted repeat without an upper end, or with a large one."""
    if len(token) < 3 or not token.startswith("{"):
        return False
    low, comma, high = token[1:-1].partition(",")
    return bool(comma and not high) or max(int(low or 0), int(high or 0)) > MOST_COUNTED
