"""Print the report of an edit, and the results of the demo."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgesplit.cli.render.console import escape, new_table, short

if TYPE_CHECKING:
    from rich.console import Console

    from edgesplit.demo import DemoResult
    from edgesplit.edits.edit import Edit
    from edgesplit.edits.report import Report, ShotReport
    from edgesplit.heads.labels import Source

__all__ = ["show_demo", "show_edit", "show_report", "sources_text"]


def show_edit(
    out: Console, edit: Edit, outcome: str, calibrated: bool, *, told: bool = False
) -> None:
    """Print the report of an edit, then the outcome for the new head; see `show_report`."""
    show_report(out, edit.report, calibrated=calibrated, told=told)
    before, after = short(edit.before.digest), short(edit.head.digest)
    out.print(f"head {before} -> {after} {outcome}", markup=False)


def show_report(
    out: Console, report: Report, *, calibrated: bool = True, told: bool = False
) -> None:
    """Print what an edit changed and how reliable it is, without doubts that clips settled.

    Args:
        out: console to print on.
        report: report of the edit.
        calibrated: True if the bundle has statistics.
        told: True if `show_account` has printed the effect of the answers and the warnings.
    """
    if report.action == "plan":
        _show_plan(out, report)
    elif report.action == "rename":
        old, new = escape(repr(report.label)), escape(repr(report.to))
        out.print(f"renamed [bold]{old}[/] to [bold]{new}[/]")
    elif report.action != "split":
        done = {"merge": "merged", "drop": "dropped"}[report.action]
        out.print(f"{done} [bold]{escape(repr(report.label))}[/]")
    else:
        _show_split(out, report, calibrated, told)
    parts = (report, *report.splits)
    growth = max(part.roll_up_growth for part in parts)
    if growth:
        out.print(
            f"  [yellow]flat[/]: {'a' if report.splits else 'the'} class's logit grows by up to "
            f"{growth:.2f} (log of the number of subcategories), so it wins more often than before"
        )
    out.print(f"  logits of {report.n_untouched} root classes untouched, bit for bit")
    for part in parts:
        of = f"{escape(part.label)}: " if report.splits and part.label else ""
        if part.shots is not None and not told:
            out.print(f"  {of}{_shots_text(part.shots)}")
        for doubt in () if part.settled else part.doubts:
            out.print(f"  [yellow]doubt[/]: {of}{escape(doubt)}")
        for warning in () if told else part.warnings:
            out.print(f"  [yellow]warning[/]: {of}{escape(warning)}")


def _show_split(out: Console, report: Report, calibrated: bool, told: bool) -> None:
    into = " | ".join(escape(row.modifier) for row in report.rows)
    out.print(f"split [bold]{escape(report.label)}[/] into [bold]{into}[/]")
    out.print(f"  rule {report.rule}, composition {report.composition}")
    table = new_table("new class", "learned from", "margin")
    for row in report.rows:
        margin = f"{row.margin:+.2f}" if row.runner_up else ""
        table.add_row(escape(row.label), sources_text(row.sources), margin)
    out.print(table)
    expectation = _expectation(report, calibrated)
    if told and report.shots is not None and report.expected is not None:
        expectation = f"{report.n_clips} unlabelled clips"
    out.print(f"  text match {report.likeness:.2f}; {expectation}")


def _show_plan(out: Console, report: Report) -> None:
    """Print one line for each split."""
    n_splits = len(report.splits)
    out.print(f"split [bold]{n_splits} class{'es' * (n_splits > 1)}[/], one after another")
    table = new_table("class", "into", "text match", "margin", "expected")
    for split in report.splits:
        margins = [row.margin for row in split.rows if row.runner_up]
        tie = any(row.near_tie for row in split.rows)
        table.add_row(
            escape(split.label),
            escape(" | ".join(row.modifier for row in split.rows)),
            f"{split.likeness:.2f}",
            f"[{'yellow' if tie else 'none'}]{min(margins):+.2f}[/]" if margins else "",
            _accuracy(split) if split.expected is not None else "",
        )
    out.print(table)


def _shots_text(shots: ShotReport) -> str:
    """Return the effect of labelled clips on a split, in one line."""
    n_clips = sum(shots.clips)
    text = (
        f"{n_clips} labelled clip{'s' * (n_clips != 1)} ({', '.join(map(str, shots.clips))})"
        f"{f' and {shots.n_neither} of none of these' * bool(shots.n_neither)}; text alone: "
        f"{shots.n_right} correct; the labels move {100 * shots.moved_share:.0f} % of the class's "
        "clips to another subcategory"
    )
    if shots.separation is not None:
        text += f"; separation {shots.separation:.2f}"
    return f"{text}; these labels confirm the split" if shots.confirmed else text


def _expectation(report: Report, calibrated: bool) -> str:
    """Return the expected accuracy of a split, or why it is unknown."""
    if report.expected is not None:
        return f"expected accuracy {_accuracy(report)}, from {report.n_clips} unlabelled clips"
    if calibrated:
        return "accuracy unknown: the bundle's statistics have too few clips of this class"
    return "accuracy unknown: this bundle has no statistics (`edgesplit calibrate CLIPS`)"


def _accuracy(split: Report) -> str:
    """Return `95 % (chance 50 %)`, for a split with a known accuracy."""
    accuracy = float("nan") if split.expected is None else split.expected
    return f"{100 * accuracy:.0f} % (chance {100 / len(split.rows):.0f} %)"


def sources_text(sources: Sequence[Source]) -> str:
    """Return at most two of the known labels that a row was made from, as markup."""
    return escape(", ".join(source.label for source in sources[:2])) or "nothing"


def show_demo(out: Console, result: DemoResult, folder: Path) -> None:
    """Print the decisions before and after the edit, the figures, and the next commands."""
    table = new_table("clip", "shows", "before", "after")
    for answer in result.answers:
        before, after = answer.before.label, answer.after.label
        style = "green" if after == answer.truth else "red"
        same = "[dim]as before[/]" if before == after else f"[{style}]{escape(after)}[/]"
        table.add_row(answer.clip, escape(answer.truth), escape(before), same)
    out.print("\nThe runtime swapped the head in while it continued to predict:")
    out.print(table)
    score = result.score
    figures = new_table("", "", header=False)
    rows = (
        ("generality", f"{score.generality:.1%} of {score.n_target} clips of the new classes"),
        (
            "locality",
            f"{score.locality:.2%} of the decisions on {score.n_other} other clips that were "
            "correct before",
        ),
        (
            "locality (paper)",
            f"{score.locality_paper:.2%}, with the coarse class masked before the edit",
        ),
        ("churn", f"{score.churn} of {result.n_heldout} decisions changed outside the split"),
        ("edit", f"{result.edit_ms:.0f} ms; {result.edit_again_ms:.0f} ms with embedded texts"),
        ("publish", f"{result.publish_ms:.0f} ms, including the gate"),
        ("swap", f"{result.swap_ms:.1f} ms to build and check, while predictions continue"),
        ("predictions", f"{result.n_predictions} during the edit"),
        (
            "shipped",
            f"{result.head_bytes / 1e3:.0f} kB head; the {result.backbone_bytes / 1e6:.1f} "
            "MB backbone is not sent",
        ),
    )
    for name, text in rows:
        figures.add_row(name, text)
    out.print(f"\nOver {result.n_heldout} held-out clips (shipped as features):")
    out.print(figures)
    out.print(
        "\nThe edit was rolled back, byte for byte. Try it yourself:\n"
        f"$ cd {shlex.quote(str(folder))}{_activate(folder)}\n"
        "$ edgesplit edit --class pushing --into left,right\n"
        "$ edgesplit predict clips/*.mp4"
    )


def _activate(folder: Path) -> str:
    """Return a shell command that makes `edgesplit` available; empty if it is not needed."""
    script = Path(sys.prefix) / "bin" / "activate"
    if shutil.which("edgesplit") or not script.is_file():
        return ""
    return f" && . {shlex.quote(os.path.relpath(script, folder))}"
