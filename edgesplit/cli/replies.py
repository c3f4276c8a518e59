"""What somebody types when asked about a clip."""

from __future__ import annotations

import enum
from collections.abc import Sequence

__all__ = ["Key", "keys_text", "read_reply"]


class Key(enum.Enum):
    """What is no answer, but moves on."""

    BACK = "b"
    STOP = "q"


def keys_text(modifiers: Sequence[str]) -> str:
    """What may be typed, in one line."""
    own = [f"{key} {modifier}" for key, modifier in _keys(modifiers).items()] or [*modifiers]
    return ", ".join([*own, "n neither", "? cannot tell", "b back", "q stop"])


def read_reply(text: str, modifiers: Sequence[str]) -> str | Key | None:
    """What a text means; None if it means nothing, or several things.

    It is a key, a modifier, or an unambiguous beginning of a modifier, whatever the case.
    """
    from edgesplit.edits.answers_file import CANNOT_TELL, NEITHER

    said = " ".join(text.casefold().split())
    exact = [modifier for modifier in modifiers if modifier.casefold() == said]
    if exact:
        return exact[0]
    keys: dict[str, str | Key] = {
        **_keys(modifiers),
        "n": NEITHER,
        "?": CANNOT_TELL,
        NEITHER: NEITHER,
        CANNOT_TELL: CANNOT_TELL,
        **{key.value: key for key in Key},
    }
    if said in keys:
        return keys[said]
    begun = [modifier for modifier in modifiers if said and modifier.casefold().startswith(said)]
    return begun[0] if len(begun) == 1 else None


def _keys(modifiers: Sequence[str]) -> dict[str, str]:
    """The modifiers by number; none where a modifier could be read as another's number."""
    if any(modifier.isdigit() for modifier in modifiers):
        return {}
    return {str(number): modifier for number, modifier in enumerate(modifiers, start=1)}
