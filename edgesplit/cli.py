"""The command line: parse, one library call, echo. Heavy modules load inside the commands."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgesplit import __version__
from edgesplit.cli_make import demo, export, json_option
from edgesplit.errors import EdgesplitError, EditError, LabelError
from edgesplit.labels import COMPOSITIONS
from edgesplit.rules import DEFAULT_RULE, RULES

if TYPE_CHECKING:
    from edgesplit.bundle import Bundle
    from edgesplit.history import Version
    from edgesplit.split import Edit, Into

__all__ = ["main"]

Command = TypeVar("Command", bound=Callable[..., Any])


class _Group(click.Group):
    """Turns an EdgesplitError into one message and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # `edgesplit show | head`: click ends quietly
        except (EdgesplitError, OSError) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Split a class of a deployed video classifier, on the device, in milliseconds.

    Most commands work on a bundle: --bundle, else EDGESPLIT_BUNDLE, else the one in the current
    folder. `edgesplit demo` makes one to try.
    """


def _bundle_option(command: Command) -> Command:
    option = click.option(
        "--bundle",
        "bundle_path",
        type=click.Path(path_type=Path, file_okay=False),
        help="The bundle; by default EDGESPLIT_BUNDLE or the one in the current folder.",
    )
    return option(command)


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


def _open(path: Path | None) -> Bundle:
    from edgesplit.bundle import find_bundle, open_bundle

    return open_bundle(find_bundle(path))


def _print_json(content: Any) -> None:
    click.echo(json.dumps(content, indent=2, ensure_ascii=False))


@main.command()
@click.option("--class", "name", required=True, help="The class to split; leading words will do.")
@click.option(
    "--into",
    "into",
    required=True,
    multiple=True,
    metavar="CSV",
    help="Subcategories: modifiers, full labels, or LABEL=MODIFIER. Repeats; quote commas as CSV.",
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
@click.option("--force", is_flag=True, help="Accept sources that are a near tie.")
@_edit_options
@_bundle_option
@json_option
def edit(
    name: str,
    into: tuple[str, ...],
    rule: str,
    composition: Any,
    like: str | None,
    taxonomy_path: Path | None,
    force: bool,
    dry_run: bool,
    output: Path | None,
    bundle_path: Path | None,
    as_json: bool,
) -> None:
    """Split a class into subcategories and make the new head live.

    \b
    Example:
        edgesplit edit --class pushing --into left,right
    """
    from edgesplit.knowledge import load_taxonomy

    bundle = _open(bundle_path)
    start = time.perf_counter()
    made = bundle.split_class(
        name,
        into=_parse_into(into),
        rule=rule,
        composition=composition,
        like=like,
        taxonomy=load_taxonomy(taxonomy_path) if taxonomy_path else None,
        force=force,
    )
    _finish(bundle, made, start, dry_run=dry_run, output=output, as_json=as_json)


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


def _finish(
    bundle: Bundle,
    made: Edit,
    start: float,
    *,
    dry_run: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Publishes an edit, or writes it to a file, or neither; then prints the report."""
    edit_ms = 1000 * (time.perf_counter() - start)
    publish_ms = None
    if dry_run:
        bundle.check(made)
    elif output is not None:
        _write_new(output, made.head.to_bytes())
    else:
        start = time.perf_counter()
        bundle.publish(made)
        publish_ms = 1000 * (time.perf_counter() - start)
    if as_json:
        _print_json(
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

    from edgesplit import screen

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


def _write_new(path: Path, content: bytes) -> None:
    from edgesplit.store import map_os_errors, replace_file

    if path.exists():
        raise EditError(f"{path} exists already. Choose another name, or remove it first.")
    with map_os_errors("write", path):
        replace_file(path, content)


@main.command()
@click.option("--class", "name", required=True, help="The class that was split.")
@_edit_options
@_bundle_option
@json_option
def merge(
    name: str, dry_run: bool, output: Path | None, bundle_path: Path | None, as_json: bool
) -> None:
    """Undo the split of a class.

    \b
    Example:
        edgesplit merge --class "pushing something"
    """
    bundle = _open(bundle_path)
    start = time.perf_counter()
    made = bundle.merge_class(name)
    _finish(bundle, made, start, dry_run=dry_run, output=output, as_json=as_json)


@main.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_bundle_option
@json_option
def publish(file: Path, bundle_path: Path | None, as_json: bool) -> None:
    """Make a head that was edited elsewhere live here.

    The live head must be the one it was made from.

    \b
    Example:
        edgesplit publish head.onnx
    """
    from edgesplit.head import Head
    from edgesplit.store import read_bytes

    bundle = _open(bundle_path)
    head = Head.from_bytes(read_bytes(file))
    version = bundle.publish(head, action=f"publish {file.name}")
    _show_version(version, as_json)


@main.command()
@click.argument("digest", required=False)
@_bundle_option
@json_option
def rollback(digest: str | None, bundle_path: Path | None, as_json: bool) -> None:
    """Make an earlier head live again; by default the one the live head was made from.

    \b
    Example:
        edgesplit rollback
        edgesplit rollback 3fa81c02
    """
    _show_version(_open(bundle_path).rollback(digest), as_json)


def _show_version(version: Version, as_json: bool) -> None:
    if as_json:
        _print_json(version.to_json())
        return
    from edgesplit import screen

    short = screen.SHORT
    screen.console().print(f"head {version.before[:short]} -> {version.digest[:short]} is live")


@main.command()
@click.argument("clips", nargs=-1, required=True, type=click.Path(path_type=Path))
@_bundle_option
@json_option
def predict(clips: tuple[Path, ...], bundle_path: Path | None, as_json: bool) -> None:
    """Say what happens in video files; with --json one object a line.

    The score of each level is its probability. A file that cannot be read is reported, the others
    go on, and the exit code is 1.

    \b
    Example:
        edgesplit predict clips/*.mp4
    """
    from edgesplit import screen
    from edgesplit.clips import read_clip
    from edgesplit.errors import ClipError
    from edgesplit.runtime import Runtime

    out = screen.console()
    with Runtime(_open(bundle_path)) as runtime:
        failed = 0
        for path in clips:
            try:
                prediction = runtime.predict(read_clip(path, runtime.bundle.preprocessing))
            except ClipError as error:
                click.echo(f"Error: {error}", err=True)
                failed += 1
                continue
            if as_json:
                content = {"clip": str(path), **prediction.to_json()}
                click.echo(json.dumps(content, ensure_ascii=False))
            else:
                screen.show_prediction(out, path.name, prediction)
    click.get_current_context().exit(1 if failed else 0)


@main.command()
@_bundle_option
@json_option
def log(bundle_path: Path | None, as_json: bool) -> None:
    """List the heads that went live, the newest first.

    \b
    Example:
        edgesplit log
    """
    from edgesplit import screen
    from edgesplit.errors import BundleError

    bundle = _open(bundle_path)
    versions = bundle.history()
    if as_json:
        _print_json([version.to_json() for version in reversed(versions)])
        return
    try:
        live = bundle.live
    except BundleError as error:
        screen.notes().print(f"warning: {error}", markup=False)
        live = ""
    screen.show_history(screen.console(), versions, live=live)


@main.command()
@click.argument("digest", required=False)
@_bundle_option
@json_option
def show(digest: str | None, bundle_path: Path | None, as_json: bool) -> None:
    """Show the bundle and the label tree of a head; the live one by default.

    \b
    Example:
        edgesplit show
    """
    bundle = _open(bundle_path)
    head = bundle.head(digest)
    if as_json:
        from dataclasses import asdict

        _print_json(
            {
                "bundle": str(bundle.path),
                "feature_space": bundle.feature_space,
                "dim": bundle.dim,
                "preprocessing": bundle.preprocessing.to_json(),
                "head": head.digest,
                "parent": head.parent,
                "classes": list(head.labels),
                "nodes": [asdict(node) for node in head.tree],
            }
        )
        return
    from edgesplit import screen

    screen.show_bundle(screen.console(), bundle, head)


@main.command()
@click.argument("old")
@click.argument("new", required=False)
@_bundle_option
@json_option
def diff(old: str, new: str | None, bundle_path: Path | None, as_json: bool) -> None:
    """Compare two heads; the second is the live one by default.

    \b
    Example:
        edgesplit diff 3fa81c02
    """
    from edgesplit.diff import diff_heads

    bundle = _open(bundle_path)
    difference = diff_heads(bundle.head(old), bundle.head(new))
    if as_json:
        _print_json(difference.to_json())
        return
    from edgesplit import screen

    screen.show_diff(screen.console(), difference)


@main.command()
@_bundle_option
@json_option
def verify(bundle_path: Path | None, as_json: bool) -> None:
    """Check every file of the bundle against its digest; exit 1 when something is wrong.

    \b
    Example:
        edgesplit verify
    """
    from edgesplit.errors import BundleError

    bundle = _open(bundle_path)
    problems = bundle.verify()
    if as_json:
        _print_json({"bundle": str(bundle.path), "problems": problems})
        if problems:
            click.get_current_context().exit(1)
        return
    if problems:
        raise BundleError("\n".join(problems))
    click.echo(
        f"{bundle.path}: backbone, {len(bundle.history())} log entries, heads and HEAD are sound"
    )


main.add_command(export)
main.add_command(demo)
