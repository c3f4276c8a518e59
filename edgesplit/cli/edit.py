"""The commands that change a head: `edit`, `merge`, `rename`, `drop`."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgesplit.cli.options import bundle_option, json_option, open_bundle, print_json, write_new
from edgesplit.edits.rules import DEFAULT_RULE, RULES
from edgesplit.errors import LabelError
from edgesplit.heads.labels import COMPOSITIONS

if TYPE_CHECKING:
    from edgesplit.bundle.bundle import Bundle
    from edgesplit.edits.edit import Edit
    from edgesplit.edits.plan import Plan
    from edgesplit.edits.request import Into, Shots, SplitRequest

__all__ = ["drop", "edit", "merge", "rename"]

Command = TypeVar("Command", bound=Callable[..., Any])


def _no_dry_run(context: click.Context, parameter: click.Parameter, path: Path | None) -> Any:
    if path is not None and context.params.get("dry_run"):
        raise click.UsageError("--dry-run writes nothing; leave out --output.")
    return path


def _edit_options(command: Command) -> Command:
    for option in (
        click.option(
            "--dry-run", is_flag=True, is_eager=True, help="Print the report; change nothing."
        ),
        click.option(
            "-o",
            "--output",
            type=click.Path(path_type=Path, dir_okay=False),
            callback=_no_dry_run,
            help="Write the new head to this file instead of publishing it.",
        ),
    ):
        command = option(command)
    return command


@click.command()
@click.option("--class", "name", help="The class to split; leading words will do.")
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
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Split several classes at once: YAML {class: [subcategory, …]}. What other options say is "
    "the default for each.",
)
@click.option("--rule", type=click.Choice(RULES), default=DEFAULT_RULE, show_default=True)
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
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="JSON {coarse category: {fine label: modifier}}, instead of groups from the labels.",
)
@click.option(
    "--shots",
    "shots_path",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Labelled clips: a sub-folder for each subcategory, with videos or features (.npy).",
)
@click.option(
    "--accept-doubt",
    is_flag=True,
    help="Make the split even if it is expected to be hardly better than guessing.",
)
@_edit_options
@bundle_option
@json_option
def edit(
    name: str | None,
    into: tuple[str, ...],
    plan_path: Path | None,
    rule: str,
    composition: Any,
    like: str | None,
    taxonomy_path: Path | None,
    shots_path: Path | None,
    accept_doubt: bool,
    dry_run: bool,
    output: Path | None,
    bundle_path: Path | None,
    as_json: bool,
) -> None:
    """Split a class, or all classes of a plan, and make the new head live.

    \b
    Example:
        edgesplit edit --class pushing --into left,right
        edgesplit edit --plan splits.yaml
    """
    from edgesplit.edits.groups import load_taxonomy
    from edgesplit.edits.request import SplitRequest

    parsed = _parse_into(into)
    if plan_path and (name is not None or into or shots_path):
        raise click.UsageError(
            "--plan names classes, subcategories and clips: leave out --class, --into and --shots."
        )
    if not plan_path and (name is None or not into):
        raise click.UsageError("Give --class and --into, or --plan.")

    request = SplitRequest(parsed, rule, composition, like, accept_doubt=accept_doubt)
    taxonomy = load_taxonomy(taxonomy_path) if taxonomy_path else None

    def make(bundle: Bundle) -> Edit:
        if plan_path:
            return bundle.split_classes(_read_plan(plan_path, request, bundle), taxonomy=taxonomy)
        shots = _read_shots(shots_path, bundle) if shots_path else None
        return bundle.split_class(str(name), replace(request, shots=shots), taxonomy=taxonomy)

    _make(bundle_path, make, dry_run=dry_run, output=output, as_json=as_json)


def _read_plan(path: Path, defaults: SplitRequest, bundle: Bundle) -> Plan:
    from edgesplit.edits.plan_file import load_plan

    plan = load_plan(path, defaults)
    shots = {name: _read_shots(folder, bundle) for name, folder in plan.shot_folders.items()}
    return {
        name: replace(request, shots=shots.get(name)) for name, request in plan.requests.items()
    }


def _read_shots(folder: Path, bundle: Bundle) -> Shots:
    from edgesplit.bundle.shots import read_shots
    from edgesplit.cli import screen

    with screen.progress("clips") as progress:
        return read_shots(folder, bundle, progress)


def _parse_into(values: tuple[str, ...]) -> Into:
    """CSV texts, or a mapping when every one is LABEL=MODIFIER."""
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


def _make(
    bundle_path: Path | None,
    make: Callable[[Bundle], Edit],
    *,
    dry_run: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Makes an edit and publishes it, or writes it to a file, or neither; prints the report."""
    bundle = open_bundle(bundle_path)
    start = time.perf_counter()
    made = make(bundle)
    edit_ms = 1000 * (time.perf_counter() - start)
    publish_ms = None
    if dry_run:
        bundle.check(made)
    elif output is not None:
        write_new(output, made.head.to_bytes())
    else:
        start = time.perf_counter()
        bundle.publish(made)
        publish_ms = 1000 * (time.perf_counter() - start)
    if as_json:
        print_json(
            {
                "report": made.report.to_json(),
                "before": made.before.digest,
                "head": made.head.digest,
                "published": publish_ms is not None,
                "edit_ms": edit_ms,
                "publish_ms": publish_ms,
            }
        )
        return
    from rich.markup import escape

    from edgesplit.cli import screen

    out = screen.console()
    screen.show_report(out, made.report)
    digests = f"head {made.before.digest[: screen.SHORT]} -> {made.head.digest[: screen.SHORT]}"
    if publish_ms is not None:
        out.print(f"{digests} is live  (edit {edit_ms:.0f} ms, publish {publish_ms:.0f} ms)")
    elif output is not None:
        shown = escape(str(output))
        how = f"publish {shown}"
        if made.head.digest == made.before.parent:  # a merge that gave the parent itself back
            how = f"rollback {made.head.digest[: screen.SHORT]}"
        out.print(f"{digests} written to {shown}; `edgesplit {how}` makes it live")
    else:
        out.print(f"{digests} not published (dry run)")


@click.command()
@click.option("--class", "name", required=True, help="The class that was split.")
@_edit_options
@bundle_option
@json_option
def merge(
    name: str, dry_run: bool, output: Path | None, bundle_path: Path | None, as_json: bool
) -> None:
    """Undo the split of a class.

    \b
    Example:
        edgesplit merge --class "pushing something"
    """
    _make(
        bundle_path,
        lambda bundle: bundle.merge_class(name),
        dry_run=dry_run,
        output=output,
        as_json=as_json,
    )


@click.command()
@click.option("--class", "name", required=True, help="The class to rename; leading words will do.")
@click.option("--to", required=True, metavar="LABEL", help="Its new label, in full.")
@click.option("--modifier", help="What tells the subcategory from its siblings; else as before.")
@_edit_options
@bundle_option
@json_option
def rename(
    name: str,
    to: str,
    modifier: str | None,
    dry_run: bool,
    output: Path | None,
    bundle_path: Path | None,
    as_json: bool,
) -> None:
    """Give a class another label; its weights stay.

    \b
    Example:
        edgesplit rename --class "pushing something left" --to "shoving something to the left"
    """
    _make(
        bundle_path,
        lambda bundle: bundle.rename_class(name, to, modifier=modifier),
        dry_run=dry_run,
        output=output,
        as_json=as_json,
    )


@click.command()
@click.option("--class", "name", required=True, help="The subcategory; leading words will do.")
@_edit_options
@bundle_option
@json_option
def drop(
    name: str, dry_run: bool, output: Path | None, bundle_path: Path | None, as_json: bool
) -> None:
    """Leave a subcategory out; its siblings share what was its.

    \b
    Example:
        edgesplit drop --class "pushing something up"
    """
    _make(
        bundle_path,
        lambda bundle: bundle.drop_class(name),
        dry_run=dry_run,
        output=output,
        as_json=as_json,
    )
