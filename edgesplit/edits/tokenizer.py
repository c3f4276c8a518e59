"""Open a tokenizer that may come from a stranger: damage and slow parts are errors."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from edgesplit._data import load_json
from edgesplit.errors import BundleError

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

__all__ = ["encode", "is_slow", "open_tokenizer"]

MOST_REPEATS = 2
"""Repeats in one branch of a pattern: with k of them, a text of n characters can take n^k steps."""
MOST_OPTIONS = 4
"""Optional parts in one branch of a pattern: k of them can take 2^k steps."""
MOST_GROWTH = 64
"""How many times as long a text may become by all replacements of a tokenizer."""


def open_tokenizer(data: bytes) -> Tokenizer:
    """Return the tokenizer of a tokenizer.json, without its padding and truncation.

    Raises:
        ValueError: the bytes are no tokenizer, or a part of it can take very long.
    """
    from tokenizers import Tokenizer

    content = load_json(data)
    for pattern in _find(content, "Regex"):
        if is_slow(pattern):
            raise ValueError(f"its pattern {pattern[:60]!r} can take very long")
    normalizer = content.get("normalizer") if isinstance(content, dict) else None
    growth = math.prod(max(1, len(text)) for text in _find(normalizer, "content"))
    if growth > MOST_GROWTH:
        raise ValueError(f"its replacements can make a text {growth:.0e} times as long")
    try:
        with _panics_as_errors():
            tokenizer = Tokenizer.from_buffer(data)
    except Exception as error:  # tokenizers raises plain Exceptions
        raise ValueError(" ".join(str(error).split())) from error
    tokenizer.no_padding()  # it could ask for any length
    tokenizer.no_truncation()
    return tokenizer


def encode(tokenizer: Tokenizer, text: str) -> Encoding:
    """Return the word pieces of a text.

    Raises:
        BundleError: the tokenizer fails on it.
    """
    try:
        with _panics_as_errors():
            return tokenizer.encode(text)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise BundleError(f"The text encoder's tokenizer fails on {text!r}: {reason}.") from error


@contextmanager
def _panics_as_errors() -> Iterator[None]:
    """Turn a panic of tokenizers, which is not an Exception, into a ValueError."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ == "PanicException":
            raise ValueError(str(error)) from error
        raise


def _find(content: Any, key: str) -> Iterator[str]:
    """Yield every text under a key, at any depth."""
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(value.get(key), str):
                yield value[key]
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


_ESCAPED = r"\\."
_CLASS = rf"\[\^?\]?(?:{_ESCAPED}|\[(?:{_ESCAPED}|[^\]\\])*\]|[^\]\\])*\]"
_OPENING = r"\((?:\?(?:<?[=!]|>|[imsx-]*:))?"
_REPEAT = r"(?:[*+?]|\{\d*,?\d*\})[+?]?"
_TOKEN = re.compile(rf"{_ESCAPED}|{_CLASS}|{_OPENING}|{_REPEAT}|.", re.DOTALL)
"""An escaped letter, a class, the opening of a group, a repeat with its kind, or one letter."""


class _Cost(NamedTuple):
    """What can multiply the steps of a pattern or a part of it."""

    repeats: int = 0
    options: int = 0


def is_slow(pattern: str) -> bool:
    """Return True if a pattern may take more than quadratic time in a text's length.

    It does if a repeated group holds a repeat, or a branch has more than `MOST_REPEATS` repeats or
    `MOST_OPTIONS` optional parts. References to groups, groups with names, and patterns with
    unmatched brackets count as slow.
    """
    groups: list[tuple[_Cost, _Cost]] = []
    branch, largest, closed = _Cost(), _Cost(), _Cost()  # `closed` is of the group that just ended
    before = ""
    for token in _TOKEN.findall(pattern):
        if before == "(" and token.startswith("?"):  # a name
            return True
        ended, closed, before = closed, _Cost(), token
        if token.startswith("("):
            groups.append((branch, largest))
            branch, largest = _Cost(), _Cost()
        elif token == ")" and groups:
            closed = _larger(branch, largest)
            outer, largest = groups.pop()
            branch = _Cost(outer.repeats + closed.repeats, outer.options + closed.options)
        elif token == "|":
            # Alternatives can fit in the same place: within a repeat, each is a choice.
            branch, largest = _Cost(), _larger(branch, largest, _Cost(options=1))
        else:
            cost = _cost_of(token)
            if cost is None or (cost.repeats and any(ended)):
                return True
            branch = _Cost(branch.repeats + cost.repeats, branch.options + cost.options)
        if branch.repeats > MOST_REPEATS or branch.options > MOST_OPTIONS:
            return True
    return bool(groups)


def _larger(*costs: _Cost) -> _Cost:
    return _Cost(max(one.repeats for one in costs), max(one.options for one in costs))


def _cost_of(token: str) -> _Cost | None:
    """Return the cost of one token outside of groups; None if nothing bounds it."""
    if token in ("[", ")") or re.fullmatch(r"\\[gk1-9]", token):
        return None
    if not re.fullmatch(_REPEAT, token):
        return _Cost()
    if token.startswith("?"):
        return _Cost(options=1)
    if token[0] in "*+":
        return _Cost(repeats=1)
    numbers = [int(number) for number in re.findall(r"\d+", token)]
    return _Cost(repeats=int(not numbers or max(numbers) > 1 or ",}" in token))
