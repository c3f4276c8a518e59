"""The commands about versions: which head is live, was live, goes live; and what is in a bundle."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgesplit.cli.moment import parse_moment
from edgesplit.cli.options import bundle_option, json_option, open_bundle, print_json

if TYPE_CHECKING:
    from edgesplit.bundle.history import Version

__all__ = ["diff", "log", "prune", "publish", "rollback", "show", "verify"]


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@bundle_option
@json_option
def publish(file: Path, bundle_path: Path | None, as_json: bool) -> None:
    """Make a head that was edited elsewhere live here.

    The live head must be the one it was made from.

    \b
    Example:
        edgesplit publish head.onnx
    """
    from edgesplit.heads.head import Head
    from edgesplit.storage.files import read_bytes

    bundle = open_bundle(bundle_path)
    head = Head.from_bytes(read_bytes(file))
    version = bundle.publish(head, action=f"publish {file.name}")
    _show_version(version, as_json)


@click.command()
@click.argument("digest", required=False)
@bundle_option
@json_option
def rollback(digest: str | None, bundle_path: Path | None, as_json: bool) -> None:
    """Make an earlier head live again; by default the one the live head was made from.

    \b
    Example:
        edgesplit rollback
        edgesplit rollback 3fa81c02
    """
    _show_version(open_bundle(bundle_path).rollback(digest), as_json)


def _show_version(version: Version, as_json: bool) -> None:
    if as_json:
        print_json(version.to_json())
        return
    from edgesplit.cli import screen

    short = screen.SHORT
    screen.console().print(f"head {version.before[:short]} -> {version.digest[:short]} is live")


def _moment(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> datetime | None:
    try:
        return None if text is None else parse_moment(text)
    except ValueError as error:
        raise click.BadParameter(
            f"{text!r} is no time: write 14:03, 2026-11-22 or '2026-11-22 14:03' (UTC)."
        ) from error


@click.command()
@click.option(
    "--at",
    "moment",
    callback=_moment,
    metavar="TIME",
    help="Only the head that was live then: 14:03, '2026-11-22 14:03', ISO 8601; UTC.",
)
@bundle_option
@json_option
def log(moment: datetime | None, bundle_path: Path | None, as_json: bool) -> None:
    """List the heads that went live, the newest first.

    \b
    Example:
        edgesplit log
        edgesplit log --at 14:03
    """
    from edgesplit.cli import screen
    from edgesplit.errors import BundleError

    bundle = open_bundle(bundle_path)
    versions = bundle.history()
    if moment is not None:
        from edgesplit.bundle.history import live_at

        versions = live_at(versions, moment)
        when = f"{moment:%Y-%m-%d %H:%M:%S} {moment.tzname()}"
        if not versions:
            raise BundleError(f"No head was live at {when}: the first went live after that.")
        screen.notes().print(f"at {when}", markup=False)
        if len(versions) > 1:
            out = screen.notes()
            out.print(f"warning: the clock went back, so at {when} it was one of these")
    if as_json:
        print_json([version.to_json() for version in reversed(versions)])
        return
    try:
        live = bundle.live
    except BundleError as error:
        screen.notes().print(f"warning: {error}", markup=False)
        live = ""
    screen.show_history(screen.console(), versions, live=live)


@click.command()
@click.argument("digest", required=False)
@bundle_option
@json_option
def show(digest: str | None, bundle_path: Path | None, as_json: bool) -> None:
    """Show the bundle and the label tree of a head; the live one by default.

    \b
    Example:
        edgesplit show
    """
    bundle = open_bundle(bundle_path)
    head = bundle.head(digest)
    if as_json:
        from dataclasses import asdict

        print_json(
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
    from edgesplit.cli import screen

    screen.show_bundle(screen.console(), bundle, head)


@click.command()
@click.argument("old")
@click.argument("new", required=False)
@bundle_option
@json_option
def diff(old: str, new: str | None, bundle_path: Path | None, as_json: bool) -> None:
    """Compare two heads; the second is the live one by default.

    \b
    Example:
        edgesplit diff 3fa81c02
    """
    from edgesplit.heads.diff import diff_heads

    bundle = open_bundle(bundle_path)
    difference = diff_heads(bundle.head(old), bundle.head(new))
    if as_json:
        print_json(difference.to_json())
        return
    from edgesplit.cli import screen

    screen.show_diff(screen.console(), difference)


@click.command()
@bundle_option
@json_option
def verify(bundle_path: Path | None, as_json: bool) -> None:
    """Check every file of the bundle against its digest; exit 1 when something is wrong.

    \b
    Example:
        edgesplit verify
    """
    from edgesplit.errors import BundleError

    bundle = open_bundle(bundle_path)
    problems = bundle.verify()
    if as_json:
        print_json({"bundle": str(bundle.path), "problems": problems})
        if problems:
            click.get_current_context().exit(1)
        return
    if problems:
        raise BundleError("\n".join(problems))
    click.echo(
        f"{bundle.path}: backbone, {len(bundle.history())} log entries, heads and HEAD are sound"
    )


@click.command()
@click.option(
    "--keep",
    required=True,
    type=click.IntRange(min=1),
    help="How many heads to keep: the live one and those that were live last.",
)
@click.option("--dry-run", is_flag=True, help="List what would go; remove nothing.")
@bundle_option
@json_option
def prune(keep: int, dry_run: bool, bundle_path: Path | None, as_json: bool) -> None:
    """Remove the files of old heads; the log keeps their entries.

    \b
    Example:
        edgesplit prune --keep 20
    """
    bundle = open_bundle(bundle_path)
    digests = bundle.prune(keep, dry_run=dry_run)
    if as_json:
        print_json({"pruned": list(digests), "removed": not dry_run})
        return
    for digest in digests:
        click.echo(digest)
    what = "would be removed" if dry_run else "removed"
    click.echo(f"{len(digests)} heads {what}", err=True)
