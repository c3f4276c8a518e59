"""Parse replies to questions about a clip, and to yes/no questions."""

from __future__ import annotations

import enum
from collections.abc import Sequence

import click

from edgesplit.cli.render.console import echo

__all__ = ["Key", "ask_yes", "keys_text", "read_reply"]


class Key(enum.Enum):
    """A reply that is not an answer about the clip."""

    BACK = "back"
    STOP = "stop"


def keys_text(modifiers: Sequence[str]) -> str:
    """Return the possible replies, in one line."""
    own = [f"{key} {modifier}" for key, modifier in _numbers(modifiers).items()] or [*modifiers]
    shared = [f"{key} {word}" for key, word in _letters(modifiers).items()]
    return ", ".join([*own, *shared])


def read_reply(text: str, modifiers: Sequence[str]) -> str | Key | None:
    """Return the reply that a text means; None if it is unknown or ambiguous.

    A reply is a key, a modifier, or an unambiguous prefix of a modifier. Case is ignored.
    """
    from edgesplit.edits.answers_file import CANNOT_TELL, NEITHER

    said = " ".join(text.casefold().split())
    exact = [modifier for modifier in modifiers if modifier.casefold() == said]
    if exact:
        return exact[0]
    said = _letters(modifiers).get(said, said)
    if said in (NEITHER, CANNOT_TELL):
        return said
    if said in [key.value for key in Key]:
        return Key(said)
    if said in _numbers(modifiers):
        return _numbers(modifiers)[said]
    begun = [modifier for modifier in modifiers if said and modifier.casefold().startswith(said)]
    return begun[0] if len(begun) == 1 else None


def ask_yes(question: str, *, err: bool) -> bool | Key:
    """Ask until the reply is yes, no or `Key.STOP`; an empty reply means yes.

    Args:
        question: text of the question.
        err: True to ask on standard error.
    """
    known: dict[str, bool | Key]
    known = {"y": True, "yes": True, "n": False, "no": False, "q": Key.STOP, "stop": Key.STOP}
    while True:
        text = click.prompt(f"{question} [Y/n]", default="y", show_default=False, err=err)
        said = text.strip().casefold()
        if said in known:
            return known[said]
        echo(f"{text!r} is not one of: y yes, n no, q stop", err=True)


def _numbers(modifiers: Sequence[str]) -> dict[str, str]:
    """Return the modifiers by number; empty if a modifier begins with a digit."""
    if any(modifier[:1].isdigit() for modifier in modifiers):
        return {}
    return {str(number): modifier for number, modifier in enumerate(modifiers, start=1)}


def _letters(modifiers: Sequence[str]) -> dict[str, str]:
    """Return the other replies by key; by the full word if a modifier begins with the key."""
    begun = {modifier[:1].casefold() for modifier in modifiers}
    words = {"n": "neither", "?": "cannot tell", "b": Key.BACK.value, "q": Key.STOP.value}
    return {word if key in begun else key: word for key, word in words.items()}
