"""A page of moving clips for the person who labels them: one self-contained HTML file.

Each clip is a strip of pictures inside the page, and a style sheet moves it. The page has no
script, and its content security policy forbids loading anything.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape as escape_html
from pathlib import Path
from typing import TYPE_CHECKING

from edgesplit._text import shown
from edgesplit.errors import EdgesplitError

if TYPE_CHECKING:
    from edgesplit.video.previews import Preview

__all__ = ["Card", "check_sheet", "sheet_html", "write_sheet"]

MARK = '<meta name="generator" content="edgesplit ask">'
"""Mark of a page that may be replaced; a file without it is never replaced."""

_FASTEST_S, _SLOWEST_S = 1.0, 4.0
"""Limits of a clip's playing time in seconds; within them it plays at its real speed."""

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem; color: #1b1b1b; background: #fff; }
ol { display: flex; flex-wrap: wrap; gap: 1.5rem; padding: 0; list-style: none; }
li { max-width: 100%; }
.clip { height: var(--height); width: var(--width); background-repeat: no-repeat;
  animation: play var(--seconds) steps(var(--frames)) infinite; }
@keyframes play { to { background-position-x: calc(-1 * var(--frames) * var(--width)); } }
.about { max-width: 20rem; margin: .3rem 0; overflow-wrap: anywhere; font-size: .85rem; }
.number { font-size: 1.3rem; font-weight: 700; }
.fault { max-width: 20rem; padding: .5rem; border: 1px solid; overflow-wrap: anywhere; }
@media (prefers-color-scheme: dark) { body { color: #eee; background: #181818; } }
@media (prefers-reduced-motion: reduce) {
  .moves { overflow-x: auto; }
  .clip { animation: none; width: calc(var(--frames) * var(--width)); }
}
"""


@dataclass(frozen=True, slots=True)
class Card:
    """A clip of a question."""

    number: int
    name: str
    path: Path | None
    """Path of the video; None if it was not found."""
    seconds: float | None
    preview: Preview | None
    fault: str
    """Reason for a missing preview; empty if there is a preview."""


def check_sheet(path: Path) -> None:
    """Raise EdgesplitError if the file exists and was not made by `sheet_html`."""
    from edgesplit.storage.files import map_os_errors

    # `path.exists()` raises for a name that is too long; writing it fails later.
    if not os.path.exists(path):
        return
    with map_os_errors("read", path, EdgesplitError), path.open("rb") as file:
        begin = file.read(1000)
    if MARK.encode() not in begin:
        raise EdgesplitError(
            f"{path} exists already and is not a page of clips. Name another file with --sheet."
        )


def write_sheet(path: Path, title: str, modifiers: Sequence[str], cards: Sequence[Card]) -> None:
    """Write the page of `sheet_html`; replace an older page.

    Raises:
        EdgesplitError: as `check_sheet`, or the file cannot be written.
    """
    from edgesplit.storage.files import Store, map_os_errors

    check_sheet(path)
    with map_os_errors("write", path, EdgesplitError):
        Store().replace_file(path, sheet_html(title, modifiers, cards))


def sheet_html(title: str, modifiers: Sequence[str], cards: Sequence[Card]) -> bytes:
    """Return the page.

    Args:
        title: the question.
        modifiers: modifiers of the subcategories.
        cards: the clips, in order.
    """
    said = ", ".join(f"<b>{_escape(modifier)}</b>" for modifier in modifiers)
    page = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
{MARK}
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{_escape(title)}</h1>
<p>Answer for each clip, by its number: {said}, <b>neither</b> of them, or <b>cannot tell</b>.
</p>
<ol>
{"".join(map(_card, cards))}</ol>
</body>
</html>
"""
    # A file's name need not be valid Unicode.
    return page.encode(errors="backslashreplace")


def _card(card: Card) -> str:
    place = _escape(card.name if card.path is None else str(card.path))
    length = "" if card.seconds is None else f", {card.seconds:.1f} s"
    return (
        f'<li>\n<p class="about"><span class="number">{card.number}</span> {place}{length}</p>\n'
        f"{_picture(card)}\n</li>\n"
    )


def _picture(card: Card) -> str:
    preview = card.preview
    if preview is None:
        return f'<p class="fault">{_escape(card.fault)}</p>'
    data = base64.b64encode(preview.jpeg).decode()
    seconds = min(max(card.seconds or _SLOWEST_S, _FASTEST_S), _SLOWEST_S)
    style = (
        f"--height: {preview.height}px; --width: {preview.width}px; --frames: {preview.frames}; "
        f"--seconds: {seconds:.2f}s; background-image: url(data:image/jpeg;base64,{data})"
    )
    label = _escape(f"Clip {card.number}: {card.name}")
    return (
        f'<div class="moves"><div class="clip" role="img" aria-label="{label}" style="{style}">'
        "</div></div>"
    )


def _escape(text: str) -> str:
    """Return a text as HTML, without control characters."""
    return escape_html(shown(text, one_line=True))
