"""Commands that make a new head: `edit`, `merge`, `rename`, `drop`."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgesplit.cli.options import (
    FILE,
    FOLDER,
    bundle_options,
    open_bundle,
    output_options,
    write_new,
)
from edgesplit.cli.render.console import print_result, progress, short
from edgesplit.cli.render.edits import show_edit
from edgesplit.edits.rules import DEFAULT_RULE, RULES
from edgesplit.errors import LabelError
from edgesplit.heads.labels import COMPOSITIONS, Composition

if TYPE_CHECKING:
    from edgesplit.bundle.bundle import Bundle
    from edgesplit.edits.edit import Edit
    from edgesplit.edits.plan import Plan
    from edgesplit.edits.request import Into, Shots, SplitRequest

__all__ = ["drop", "edit", "merge", "rename"]


@click.command()
@click.option("--class", "name", help="The class to split; its leading words are enough.")
@click.option(
    "--into",
    "into",
    multiple=True,
    metavar="CSV",
    help="Subcategories: modifiers, full labels, or LABEL=MODIFIER. Repeats; quote commas as CSV.",
)
@click.option(
    "--plan",
    "plan_path",
    type=FILE,
    help="Split several classes at once: YAML {class: [subcategory, …]}. The other options are the "
    "defaults of each.",
)
@click.option(
    "--rule",
    type=click.Choice(RULES),
    default=DEFAULT_RULE,
    show_default=True,
    help="How new rows are made from what the head knows; prototype needs statistics, "
    "alignment-mlp and retrieval are the paper's.",
)
@click.option(
    "--composition",
    type=click.Choice(COMPOSITIONS),
    default="gated",
    show_default=True,
    help="gated changes no other answer; flat is the paper's.",
)
@click.option("--like", help='The group of known labels to learn from, as "pulling something".')
@click.option(
    "--taxonomy",
    "taxonomy_path",
    type=FILE,
    help="JSON {coarse category: {fine label: modifier}}, instead of groups from the labels.",
)
@click.option(
    "--shots",
    "shots_path",
    type=FOLDER,
    help="Labelled clips: a sub-folder for each subcategory, with videos or features (.npy, .npz).",
)
@click.option(
    "--accept-doubt",
    is_flag=True,
    help="Make the split even if it is expected to be hardly better than guessing.",
)
@output_options
@bundle_options
def edit(
    name: str | None,
    into: tuple[str, ...],
    plan_path: Path | None,
    rule: str,
    composition: Composition,
    like: str | None,
    taxonomy_path: Path | None,
    shots_path: Path | None,
    accept_doubt: bool,
    bundle_path: Path | None,
    **output: Any,
) -> None:
    """Split a class, or the classes of a plan.

    The new head goes live at once; a running device swaps it in between two clips.

    \b
    Example:
        edgesplit edit --class pushing --into left,right
        edgesplit edit --plan splits.yaml
    """
    from edgesplit.edits.groups import load_taxonomy
    from edgesplit.edits.request import SplitRequest

    subcategories = _parse_into(into)
    if plan_path and (name is not None or into or shots_path):
        raise click.UsageError(
            "--plan names classes, subcategories and clips: leave out --class, --into and --shots."
        )
    if not plan_path and (name is None or not into):
        raise click.UsageError("Give --class and --into, or --plan.")
    request = SplitRequest(subcategories, rule, composition, like, accept_doubt=accept_doubt)
    taxonomy = load_taxonomy(taxonomy_path) if taxonomy_path else None

    def split(bundle: Bundle) -> Edit:
        if plan_path:
            return bundle.split_classes(_read_plan(plan_path, request, bundle), taxonomy=taxonomy)
        shots = _read_shots(shots_path, bundle) if shots_path else None
        return bundle.split_class(str(name), replace(request, shots=shots), taxonomy=taxonomy)

    _publish_edit(bundle_path, split, **output)


def _parse_into(values: tuple[str, ...]) -> Into:
    """CSV texts, or a mapping if every one is LABEL=MODIFIER."""
    try:
        texts = [
            text for row in csv.reader(values, skipinitialspace=True, strict=True) for text in row
        ]
    except csv.Error as error:
        raise click.UsageError(f"--into is not CSV ({error}).") from error
    parts = [text.rpartition("=") for text in texts]
    named = [(label, modifier) for label, equals, modifier in parts if equals]
    if not named:
        return texts
    if len(named) < len(texts):
        raise click.UsageError("--into: give every subcategory as LABEL=MODIFIER, or none.")
    labels = [label for label, _ in named]
    for label in labels:
        if labels.count(label) > 1:
            raise LabelError(f"The subcategory {label!r} appears twice. Name each one once.")
    return dict(named)


def _read_plan(path: Path, defaults: SplitRequest, bundle: Bundle) -> Plan:
    from edgesplit.edits.plan_file import load_plan

    plan = load_plan(path, defaults)
    shots = {name: _read_shots(folder, bundle) for name, folder in plan.shot_folders.items()}
    return {
        name: replace(request, shots=shots.get(name)) for name, request in plan.requests.items()
    }


def _read_shots(folder: Path, bundle: Bundle) -> Shots:
    from edgesplit.bundle.videos import read_shots

    with progress("clips") as on_clip:
        return read_shots(folder, bundle, on_clip)


@click.command()
@click.option("--class", "name", required=True, help="The class that was split.")
@output_options
@bundle_options
def merge(name: str, bundle_path: Path | None, **output: Any) -> None:
    """Undo the split of a class.

    \b
    Example:
        edgesplit merge --class "pushing something"
    """
    _publish_edit(bundle_path, lambda bundle: bundle.merge_class(name), **output)


@click.command()
@click.option(
    "--class", "name", required=True, help="The class to rename; its leading words are enough."
)
@click.option("--to", required=True, metavar="LABEL", help="Its new label, in full.")
@click.option(
    "--modifier", help="What distinguishes the subcategory from its siblings (default: as before)."
)
@output_options
@bundle_options
def rename(
    name: str, to: str, modifier: str | None, bundle_path: Path | None, **output: Any
) -> None:
    """Give a class another label.

    Its weights stay as they are.

    \b
    Example:
        edgesplit rename --class "pushing something left" --to "shoving something to the left"
    """
    _publish_edit(
        bundle_path, lambda bundle: bundle.rename_class(name, to, modifier=modifier), **output
    )


@click.command()
@click.option(
    "--class", "name", required=True, help="The subcategory; its leading words are enough."
)
@output_options
@bundle_options
def drop(name: str, bundle_path: Path | None, **output: Any) -> None:
    """Remove a subcategory.

    Its clips go to its siblings.

    \b
    Example:
        edgesplit drop --class "pushing something up"
    """
    _publish_edit(bundle_path, lambda bundle: bundle.drop_class(name), **output)


def _publish_edit(
    bundle_path: Path | None,
    make: Callable[[Bundle], Edit],
    *,
    dry_run: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Make an edit; publish it, write it to a file with -o or only check it; print it.

    Args:
        bundle_path: of the bundle to edit, as for `open_bundle`.
        make: makes the edit.
        dry_run: whether --dry-run was given.
        output: the file of -o.
        as_json: whether --json was given.
    """
    if dry_run and output is not None:
        raise click.UsageError("--dry-run writes nothing; leave out --output.")
    bundle, start = open_bundle(bundle_path), time.perf_counter()
    edit = make(bundle)
    done = time.perf_counter()
    edit_ms, publish_ms = 1000 * (done - start), None
    if dry_run:
        bundle.check(edit)
        outcome = "not published (dry run)"
    elif output is not None:
        write_new(output, edit.head.to_bytes())
        # A merge can restore the parent itself, which was live before.
        restored = edit.head.digest == edit.before.parent
        way = f"rollback {short(edit.head.digest)}" if restored else f"publish {output}"
        outcome = f"written to {output}; `edgesplit {way}` makes it live"
    else:
        bundle.publish(edit)
        publish_ms = 1000 * (time.perf_counter() - done)
        outcome = f"is live  (edit {edit_ms:.0f} ms, publish {publish_ms:.0f} ms)"
    content = {
        "report": edit.report.to_json(),
        "before": edit.before.digest,
        "head": edit.head.digest,
        "published": publish_ms is not None,
        "edit_ms": edit_ms,
        "publish_ms": publish_ms,
    }
    calibrated = bundle.statistics is not None
    print_result(as_json, content, show_edit, edit, outcome, calibrated)
