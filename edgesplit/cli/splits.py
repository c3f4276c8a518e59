"""Shared by the commands that make a new head: options of a split, and publishing of an edit."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgesplit.cli.options import FILE, check_new, write_new
from edgesplit.cli.render.console import print_result, short
from edgesplit.cli.render.edits import show_edit
from edgesplit.edits.rules import DEFAULT_RULE, RULES
from edgesplit.errors import LabelError
from edgesplit.heads.labels import COMPOSITIONS, Composition

if TYPE_CHECKING:
    from edgesplit.bundle.bundle import Bundle
    from edgesplit.edits.edit import Edit
    from edgesplit.edits.groups import Taxonomy
    from edgesplit.edits.request import Into, SplitRequest

__all__ = ["check_output", "class_options", "publish_edit", "read_split", "split_options"]

Command = TypeVar("Command", bound=Callable[..., Any])


def class_options(*, required: bool) -> Callable[[Command], Command]:
    """Add --class and --into, for `read_split`."""

    def add(command: Command) -> Command:
        name = click.option(
            "--class",
            "name",
            required=required,
            help="The class to split; its leading words are enough.",
        )
        into = click.option(
            "--into",
            "into",
            multiple=True,
            required=required,
            metavar="CSV",
            help="Subcategories, separated by commas (quoted as in CSV): modifiers, full labels or "
            "LABEL=MODIFIER. Can be given several times.",
        )
        return name(into(command))

    return add


def split_options(command: Command) -> Command:
    """Add --rule, --composition, --like, --taxonomy and --accept-doubt, for `read_split`."""
    options = (
        click.option(
            "--rule",
            type=click.Choice(RULES),
            default=DEFAULT_RULE,
            show_default=True,
            help="Rule that makes the new rows from known labels. prototype needs statistics; "
            "alignment-mlp and retrieval are from the paper.",
        ),
        click.option(
            "--composition",
            type=click.Choice(COMPOSITIONS),
            default="gated",
            show_default=True,
            help="gated changes no other answer; flat is from the paper.",
        ),
        click.option(
            "--like", help='Group of known labels to learn from, such as "pulling something".'
        ),
        click.option(
            "--taxonomy",
            "taxonomy_path",
            type=FILE,
            help="JSON file {coarse category: {fine label: modifier}}; replaces the groups that "
            "are found in the labels.",
        ),
        click.option(
            "--accept-doubt",
            is_flag=True,
            help="Make the split even if it is in doubt: its meaning is unclear, or it is expected "
            "to be little better than guessing.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def read_split(
    into: tuple[str, ...],
    *,
    rule: str,
    composition: Composition,
    like: str | None,
    taxonomy_path: Path | None,
    accept_doubt: bool,
) -> tuple[SplitRequest, Taxonomy | None]:
    """Return the request and the taxonomy of `class_options` and `split_options`."""
    from edgesplit.edits.groups import load_taxonomy
    from edgesplit.edits.request import SplitRequest

    subcategories = _parse_into(into)
    taxonomy = load_taxonomy(taxonomy_path) if taxonomy_path else None
    request = SplitRequest(subcategories, rule, composition, like, accept_doubt=accept_doubt)
    return request, taxonomy


def _parse_into(values: tuple[str, ...]) -> Into:
    """Return the CSV texts, or a mapping if every text is LABEL=MODIFIER."""
    try:
        texts = [
            text for row in csv.reader(values, skipinitialspace=True, strict=True) for text in row
        ]
    except csv.Error as error:
        raise click.UsageError(f"--into is not valid CSV ({error}). Check its quotes.") from error
    parts = [text.rpartition("=") for text in texts]
    named = [(label, modifier) for label, equals, modifier in parts if equals]
    if not named:
        return texts
    if len(named) < len(texts):
        raise click.UsageError(
            "--into has subcategories with and without LABEL=MODIFIER. Use it for all or none."
        )
    labels = [label for label, _ in named]
    for label in labels:
        if labels.count(label) > 1:
            raise LabelError(f"The subcategory {label!r} appears twice. Name each one once.")
    return dict(named)


def check_output(*, dry_run: bool, output: Path | None, **_: Any) -> None:
    """Raise UsageError for --dry-run with -o, EdgesplitError for a file that exists.

    For commands that work for minutes or ask questions before they call `publish_edit`.
    """
    if dry_run and output is not None:
        raise click.UsageError("--dry-run writes no file. Leave out --output.")
    if output is not None:
        check_new(output)


def publish_edit(
    bundle: Bundle,
    make: Callable[[Bundle], Edit],
    *,
    dry_run: bool,
    output: Path | None,
    as_json: bool,
    describe: Callable[[Edit], dict[str, Any]] | None = None,
    show: Callable[..., None] = show_edit,
    accept_changes: bool = False,
) -> None:
    """Make an edit; publish it, write it to a file with -o or only check it; print it.

    Args:
        bundle: the bundle to edit.
        make: makes the edit.
        dry_run: True if --dry-run was given.
        output: the file of -o.
        as_json: True if --json was given.
        describe: returns more entries of the JSON object.
        show: prints the edit for people, as `show_edit` does.
        accept_changes: True if --accept-changes was given.
    """
    check_output(dry_run=dry_run, output=output)
    start = time.perf_counter()
    edit = make(bundle)
    edit_ms, publish_ms = 1000 * (time.perf_counter() - start), None
    more = {} if describe is None else describe(edit)  # it reads the head before the edit
    if dry_run:
        bundle.check(edit, accept_changes=accept_changes)
        outcome = "not published (dry run)"
    elif output is not None:
        write_new(output, edit.head.to_bytes())
        # A merge can restore the parent, which was live before.
        restored = edit.head.digest == edit.before.parent
        way = f"rollback {short(edit.head.digest)}" if restored else f"publish {output}"
        outcome = f"written to {output}; `edgesplit {way}` makes it live"
    else:
        done = time.perf_counter()
        bundle.publish(edit, accept_changes=accept_changes)
        publish_ms = 1000 * (time.perf_counter() - done)
        outcome = f"is live  (edit {edit_ms:.0f} ms, publish {publish_ms:.0f} ms)"
    content = {
        "report": edit.report.to_json(),
        "before": edit.before.digest,
        "head": edit.head.digest,
        "published": publish_ms is not None,
        "edit_ms": edit_ms,
        "publish_ms": publish_ms,
        **more,
    }
    calibrated = bundle.statistics is not None
    print_result(as_json, content, show, edit, outcome, calibrated)
