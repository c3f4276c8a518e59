"""What `ask` prints: the clips that it asks about, and what their answers did."""

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
    """Print what is asked, what may be typed, and what is expected of a split by texts alone.

    What speaks against that is printed while nothing is answered.
    """
    out.print(f"{title}  ({keys})", markup=False)
    out.print(f"by texts alone, the expected accuracy is {_accuracy(before.expected)}")
    for doubt in () if answered else before.doubts:
        out.print(f"  [yellow]doubt[/]: {escape(doubt)}")


def show_cards(out: Console, cards: Sequence[Card]) -> None:
    """Print a table of the clips: number, path, length."""
    table = new_table("clip", "path", "length")
    for card in cards:
        table.add_row(str(card.number), escape(place_text(card)), seconds_text(card))
    out.print(table)


def place_text(card: Card) -> str:
    """The path of a clip, or its name where there is no video; without control characters."""
    text = card.name if card.path is None else str(card.path)
    return text if text.isprintable() else ascii(text)


def seconds_text(card: Card) -> str:
    """How long a clip is; empty where that is not known."""
    return "" if card.seconds is None else f"{card.seconds:.1f} s"


def show_account(
    out: Console, names: Sequence[str], before: Report, report: Report, pays: bool
) -> None:
    """Print what each answer says of the texts, what all did, and whether another would pay.

    Args:
        out: where to.
        names: of the clips, by their place in the features.
        before: of the split without answers.
        report: of the split with them.
        pays: whether another answer is worth asking for.
    """
    shots = report.shots
    if shots is None:
        out.print("the answers say of no clip which subcategory it shows: texts alone count")
        return
    table = new_table("answered", "clip", "against texts")
    for answer in shots.answers:
        if not answer.answer:
            said = f"texts alone say {escape(answer.by_text)}"
        elif answer.answer == answer.by_text:
            said = "[green]as texts alone say[/]"
        else:
            said = f"[yellow]corrected[/]: texts alone say {escape(answer.by_text)}"
        name = names[answer.clip]
        name = name if name.isprintable() else ascii(name)
        table.add_row(escape(answer.answer or "neither"), escape(name), said)
    out.print(table)
    n_right, n_clips = shots.n_right, sum(shots.clips)
    confirmed = " These answers confirm the split." if shots.confirmed and n_clips else ""
    out.print(f"  texts alone get {n_right} of {n_clips} right.{confirmed}")
    out.print(
        f"  {100 * shots.moved_share:.0f} % of the class's clips get another subcategory by them"
    )
    if shots.neither_share or shots.n_neither:
        out.print(
            f"  {100 * shots.neither_share:.0f} % of the class's clips look like those of neither"
        )
    unseen = [row.modifier for row, n in zip(report.rows, shots.clips, strict=True) if not n]
    if unseen:
        out.print(f"  [yellow]no clip yet[/] of {escape(', '.join(unseen))}")
    was, now = _accuracy(before.expected), _accuracy(report.expected)
    chance = _accuracy(1 / len(report.rows))
    out.print(
        f"  expected accuracy: {was} without answers, [bold]{now}[/] with them (chance {chance})"
    )
    out.print(f"  another round {'would pay' if pays else 'is expected to gain little'}")


def _accuracy(expected: float | None) -> str:
    return "unknown" if expected is None else f"{100 * expected:.0f} %"
