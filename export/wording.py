"""Build parts of messages: shortened lists, and the text of an error inside other errors."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["causes", "first_line", "listing"]

_SHOWN = 5


def listing(items: Sequence[object]) -> str:
    """Return the first five items and the number of the others."""
    shown = ", ".join(map(str, items[:_SHOWN]))
    more = len(items) - _SHOWN
    return f"{shown}, and {more} more" if more > 0 else shown or "none"


def first_line(error: BaseException) -> str:
    """Return the error's own message, without the lines that torch and others add to it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    shown = lines[:2] if lines and lines[0].endswith(":") else lines[:1]
    return " ".join(shown) or type(error).__name__


def causes(error: BaseException) -> list[BaseException]:
    """Return the error and its chain of causes, the first cause last."""
    found = [error]
    while found[-1].__cause__ is not None:
        found.append(found[-1].__cause__)
    return found
