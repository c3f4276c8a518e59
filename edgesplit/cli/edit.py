"""Commands that make a new head: `edit`, `merge`, `rename`, `drop`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgesplit.cli.options import (
    FILE,
    FOLDER,
    accept_changes_option,
    bundle_options,
    open_bundle,
    output_options,
)
from edgesplit.cli.render.console import progress
from edgesplit.cli.splits import class_options, publish_edit, read_split, split_options
from edgesplit.errors import EditError, LabelError

if TYPE_CHECKING:
    from edgesplit.bundle.bundle import Bundle
    from edgesplit.edits.edit import Edit
    from edgesplit.edits.naming import Subcategories
    from edgesplit.edits.plan import Plan
    from edgesplit.edits.plan_file import AnsweredClips
    from edgesplit.edits.request import Shots, SplitRequest
    from edgesplit.heads.labels import LabelTree

__all__ = ["drop", "edit", "merge", "rename"]


@click.command()
@class_options(required=False)
@click.option(
    "--plan",
    "plan_path",
    type=FILE,
    help="Split several classes at once: YAML {class: [subcategory, …]}. The other options are "
    "defaults for each split.",
)
@split_options
@click.option(
    "--shots",
    "shots_path",
    type=FOLDER,
    help="Folder of labelled clips: one sub-folder for each subcategory, with videos or features "
    "(.npy, .npz).",
)
@accept_changes_option
@output_options
@bundle_options
def edit(
    name: str | None,
    into: tuple[str, ...],
    plan_path: Path | None,
    shots_path: Path | None,
    accept_changes: bool,
    bundle_path: Path | None,
    dry_run: bool,
    output: Path | None,
    as_json: bool,
    **choices: Any,
) -> None:
    """Split a class, or the classes of a plan.

    The new head goes live at once. A running device swaps it in between two clips.

    \b
    Example:
        edgesplit edit --class pushing --into left,right
        edgesplit edit --plan splits.yaml
    """
    request, taxonomy = read_split(into, **choices)
    if plan_path and (name is not None or into or shots_path):
        raise click.UsageError(
            "--plan names classes, subcategories and clips. Leave out --class, --into and --shots."
        )
    if not plan_path and (name is None or not into):
        raise click.UsageError("Give --class and --into, or --plan.")

    def split(bundle: Bundle) -> Edit:
        if plan_path:
            return bundle.split_classes(_read_plan(plan_path, request, bundle), taxonomy=taxonomy)
        shots = _read_shots(shots_path, bundle) if shots_path else None
        return bundle.split_class(str(name), replace(request, shots=shots), taxonomy=taxonomy)

    publish_edit(
        open_bundle(bundle_path),
        split,
        dry_run=dry_run,
        output=output,
        as_json=as_json,
        accept_changes=accept_changes,
    )


def _read_plan(path: Path, defaults: SplitRequest, bundle: Bundle) -> Plan:
    from edgesplit.edits.plan_file import load_plan

    plan = load_plan(path, defaults)
    shots = {name: _read_shots(folder, bundle) for name, folder in plan.shot_folders.items()}
    requests = {
        name: replace(request, shots=shots.get(name)) for name, request in plan.requests.items()
    }
    if not plan.answered:
        return requests
    tree = bundle.head().tree
    for name, request in requests.items():
        # An earlier split of the plan may make the class.
        tree, subcategories = _grow(tree, name, request)
        if name in plan.answered:
            requests[name] = _read_answers(plan.answered[name], request, subcategories, bundle)
    return requests


def _grow(
    tree: LabelTree, name: str, request: SplitRequest
) -> tuple[LabelTree, Subcategories | None]:
    """Return the tree after a split and the subcategories; None if the split will be refused."""
    from edgesplit.edits.naming import find_split, grow

    try:
        column, subcategories = find_split(tree, name, request.into)
        return grow(tree, column, subcategories, request.composition), subcategories
    except (EditError, LabelError):
        return tree, None


def _read_answers(
    answered: AnsweredClips,
    request: SplitRequest,
    subcategories: Subcategories | None,
    bundle: Bundle,
) -> SplitRequest:
    from edgesplit.bundle.videos import read_clips
    from edgesplit.edits.answers_file import load_answers, place_answers

    with progress("clips") as on_clip:
        clips = read_clips(answered.clips, bundle, on_clip)
    said = load_answers(answered.answers, clips.places, subcategories)
    answers = place_answers(said, clips.places, answered.answers)
    return replace(request, features=clips.matrix, answers=answers)


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
    publish_edit(open_bundle(bundle_path), lambda bundle: bundle.merge_class(name), **output)


@click.command()
@click.option(
    "--class", "name", required=True, help="The class to rename; its leading words are enough."
)
@click.option("--to", required=True, metavar="LABEL", help="The complete new label.")
@click.option(
    "--modifier",
    help="Modifier that distinguishes the subcategory from its siblings (default: unchanged).",
)
@output_options
@bundle_options
def rename(
    name: str, to: str, modifier: str | None, bundle_path: Path | None, **output: Any
) -> None:
    """Give a class another label.

    The weights do not change.

    \b
    Example:
        edgesplit rename --class "pushing something left" \\
            --to "shoving something to the left"
    """
    publish_edit(
        open_bundle(bundle_path),
        lambda bundle: bundle.rename_class(name, to, modifier=modifier),
        **output,
    )


@click.command()
@click.option(
    "--class",
    "name",
    required=True,
    help="The subcategory to remove; its leading words are enough.",
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
    publish_edit(open_bundle(bundle_path), lambda bundle: bundle.drop_class(name), **output)
