"""Show texts that may come from somebody else's file: a terminal obeys control characters."""

from __future__ import annotations

import re

__all__ = ["CONTROL", "shown"]

_CONTROLS = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff"
    "\ud800-\udfff\U000e0000-\U000e007f"
)
CONTROL = re.compile(f"[{_CONTROLS}]")
"""Control characters except tab and line end, marks that turn the direction of writing, invisible
characters, and surrogates, which cannot be printed."""
_CONTROL_OR_END = re.compile(f"[{_CONTROLS}\t\n]")


def shown(text: str, *, one_line: bool = False) -> str:
    """Return a text with control characters as escapes; with line ends, too, for one line."""
    pattern = _CONTROL_OR_END if one_line else CONTROL
    return pattern.sub(lambda found: ascii(found[0])[1:-1], text)
