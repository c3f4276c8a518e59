"""Print the clips that `ask` asks about, and the effect of the answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgesplit.cli.render.console import escape, new_table

if TYPE_CHECKING:
    from rich.console import Console

    from edgesplit.cli.render.sheet import Card
    from edgesplit.edits.report import Report

__all__ = ["place_text", "seconds_text", "show_account", "show_cards", "show_question"]


def show_question(
    out: Console, title: str, keys: str, before: Report, *, answered: bool = False
) -> None:
    """Print the question, the possible replies and the expected accuracy from text alone.

    The doubts about that split are printed until something is answered.
    """
    out.print(f"{title}  ({keys})", markup=False)
    out.print(f"expected accuracy from text alone: {_accuracy(before.expected)}")
    for doubt in () if answered else before.doubts:
        out.print(f"  [yellow]doubt[/]: {escape(doubt)}")


def show_cards(out: Console, cards: Sequence[Card]) -> None:
    """Print a table of the clips: number, path, length."""
    table = new_table("clip", "path", "length")
    for card in cards:
        table.add_row(str(card.number), escape(place_text(card)), seconds_text(card))
    out.print(table)


def place_text(card: Card) -> str:
    """Return the path of a clip, or its name if there is no video; without control characters."""
    text = card.name if card.path is None else str(card.path)
    return text if text.isprintable() else ascii(text)


def seconds_text(card: Card) -> str:
    """Return the length of a clip as text; empty if it is unknown."""
    return "" if card.seconds is None else f"{card.seconds:.1f} s"


def show_account(
    out: Console, names: Sequence[str], before: Report, report: Report, pays: bool
) -> None:
    """Print each answer beside the answer from text, the effect of all answers, and the warnings.

    `show_edit(told=True)` prints the rest of the report.

    Args:
        out: console to print on.
        names: names of the clips, by their place in the features.
        before: report of the split without answers.
        report: report of the split with the answers.
        pays: True if another answer is worth asking for.
    """
    shots = report.shots
    if shots is None:
        out.print("no answer names a subcategory: the split is made from text alone")
        _show_warnings(out, report)
        return
    table = new_table("answer", "clip", "from text alone")
    for answer in shots.answers:
        by_text = escape(answer.by_text) or "nothing"
        if answer.answer == answer.by_text:
            by_text = f"[green]{by_text}[/]"
        elif answer.answer:
            by_text = f"[yellow]{by_text}, corrected[/]"
        name = names[answer.clip]
        name = name if name.isprintable() else ascii(name)
        table.add_row(escape(answer.answer or "neither"), escape(name), by_text)
    out.print(table)
    n_right, n_clips = shots.n_right, sum(shots.clips)
    confirmed = "; these answers confirm the split" if shots.confirmed and n_clips else ""
    out.print(f"  text alone: {n_right} of {n_clips} correct{confirmed}")
    out.print(
        f"  the answers move {100 * shots.moved_share:.0f} % of the class's clips to another "
        "subcategory"
    )
    _show_warnings(out, report)
    was, now = _accuracy(before.expected), _accuracy(report.expected)
    chance = _accuracy(1 / len(report.rows))
    out.print(
        f"  expected accuracy: {was} without answers, [bold]{now}[/] with them (chance {chance})"
    )
    out.print(f"  another round is {'worthwhile' if pays else 'expected to gain little'}")


def _show_warnings(out: Console, report: Report) -> None:
    for warning in report.warnings:
        out.print(f"  [yellow]warning[/]: {escape(warning)}")


def _accuracy(expected: float | None) -> str:
    return "unknown" if expected is None else f"{100 * expected:.0f} %"
