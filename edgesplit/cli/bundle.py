"""Commands about a bundle: heads, history, files, features and statistics."""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgesplit.cli.options import (
    FILE,
    FOLDER,
    NEW_FILE,
    Parsed,
    accept_changes_option,
    bundle_options,
    check_new,
    open_bundle,
    overwrite_option,
    write_new,
)
from edgesplit.cli.render.bundle import (
    show_bundle,
    show_diff,
    show_groups,
    show_history,
    show_videos,
)
from edgesplit.cli.render.console import console, echo, print_json, print_result, progress, short
from edgesplit.errors import BundleError, HeadError

if TYPE_CHECKING:
    from edgesplit.backbone.features import Features
    from edgesplit.bundle.bundle import Bundle
    from edgesplit.bundle.history import Version

__all__ = ["calibrate", "diff", "features", "log", "prune", "publish", "rollback", "show", "verify"]


@click.command()
@click.argument("file", type=FILE)
@accept_changes_option
@bundle_options
def publish(file: Path, accept_changes: bool, bundle_path: Path | None, as_json: bool) -> None:
    """Make the head in a file the live one.

    The head may come from another machine, but must have been made from the live head of this
    bundle. A head that is live already is not published again.

    \b
    Example:
        edgesplit publish head.onnx
    """
    from edgesplit.edits.checks import warn_of_flips
    from edgesplit.heads.head import Head
    from edgesplit.limits import HEAD_BYTES
    from edgesplit.storage.files import read_bytes

    bundle = open_bundle(bundle_path)
    head = Head.from_bytes(read_bytes(file, HEAD_BYTES, HeadError))
    if head.digest == bundle.live:
        if as_json:
            history = [one for one in bundle.history() if one.digest != one.before]
            live = [one.to_json() for one in history if one.digest == head.digest]
            print_json(live[-1] if live else {"to": head.digest})
        else:
            echo(f"head {short(head.digest)} is live already")
        return
    action = f"publish {file.name}"
    version = bundle.publish(head, action=action, accept_changes=accept_changes)
    if any(node.composition == "flat" for node in head.tree):
        for warning in warn_of_flips(bundle.head(version.before), head, bundle.statistics):
            echo(f"warning: {warning}", err=True)
    _show_version(version, as_json)


@click.command()
@click.argument("digest", required=False)
@bundle_options
def rollback(digest: str | None, bundle_path: Path | None, as_json: bool) -> None:
    """Make an earlier head live again.

    The default is the head that the live head was made from.

    \b
    Example:
        edgesplit rollback
        edgesplit rollback 3fa81c02
    """
    _show_version(open_bundle(bundle_path).rollback(digest), as_json)


def _show_version(version: Version, as_json: bool) -> None:
    if as_json:
        print_json(version.to_json())
    else:
        echo(f"head {short(version.before)} -> {short(version.digest)} is live")


def parse_moment(text: str) -> datetime:
    """Parse a time: `14:03`, `2026-11-22`, `2026-11-22 14:03` or ISO 8601; UTC without an offset.

    A time without a date means its last occurrence.

    Raises:
        ValueError: the text is none of these.
    """
    now = datetime.now(timezone.utc)
    text = text.strip().upper().replace("Z", "+00:00")
    dated = text[4:5] == "-"
    if not dated and not re.match(r"\d\d:\d\d", text):
        raise ValueError(f"{text!r} is not a time of day")
    moment = datetime.fromisoformat(text if dated else f"{now.date()}T{text}")
    moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return moment if dated or moment <= now else moment - timedelta(days=1)


@click.command()
@click.option(
    "--at",
    "moment",
    type=Parsed(parse_moment, "not a time. Write 14:03, 2026-11-22 or '2026-11-22 14:03' (UTC)."),
    metavar="TIME",
    help="Show only the head that was live at this UTC time: 14:03, '2026-11-22 14:03' or ISO "
    "8601.",
)
@bundle_options
def log(moment: datetime | None, bundle_path: Path | None, as_json: bool) -> None:
    """List the heads that went live, newest first.

    \b
    Example:
        edgesplit log
        edgesplit log --at 14:03
    """
    from edgesplit.bundle.history import live_at

    bundle = open_bundle(bundle_path)
    versions = bundle.history()
    if moment is not None:
        versions = live_at(versions, moment)
        when = f"{moment:%Y-%m-%d %H:%M:%S} {moment.tzname()}"
        if not versions:
            raise BundleError(f"No head was live at {when}: the first went live later.")
        echo(f"at {when}", err=True)
        if len(versions) > 1:
            echo(
                f"warning: the clock was set back, so one of these heads was live at {when}",
                err=True,
            )
    if as_json:
        print_json([version.to_json() for version in reversed(versions)])
        return
    try:
        live = bundle.live
    except BundleError as error:
        echo(f"warning: {error}", err=True)
        live = ""
    show_history(console(), versions, live=live)


@click.command()
@click.argument("digest", required=False)
@click.option("--groups", is_flag=True, help="List what the classes can be split into from text.")
@bundle_options
def show(digest: str | None, groups: bool, bundle_path: Path | None, as_json: bool) -> None:
    """Show a bundle and the label tree of a head.

    The default is the live head. With --groups, list what its classes can be split into from text.

    \b
    Example:
        edgesplit show
        edgesplit show --groups
    """
    bundle = open_bundle(bundle_path)
    head = bundle.head(digest)
    if groups:
        from edgesplit.edits.groups import find_knowledge

        knowledge = find_knowledge(head.tree)
        print_result(as_json, knowledge.to_json(), show_groups, knowledge)
        return
    content = {
        "bundle": str(bundle.path),
        "feature_space": bundle.feature_space,
        "dim": bundle.dim,
        "preprocessing": bundle.preprocessing.to_json(),
        "head": head.digest,
        "parent": head.parent,
        "classes": list(head.labels),
        "nodes": [asdict(node) for node in head.tree],
    }
    print_result(as_json, content, show_bundle, bundle, head)


@click.command()
@click.argument("old")
@click.argument("new", required=False)
@bundle_options
def diff(old: str, new: str | None, bundle_path: Path | None, as_json: bool) -> None:
    """Compare the labels and rows of two heads.

    OLD and NEW are digests. NEW is the live head by default.

    \b
    Example:
        edgesplit diff 3fa81c02
    """
    from edgesplit.heads.diff import diff_heads

    bundle = open_bundle(bundle_path)
    difference = diff_heads(bundle.head(old), bundle.head(new))
    print_result(as_json, difference.to_json(), show_diff, difference)


@click.command()
@bundle_options
def verify(bundle_path: Path | None, as_json: bool) -> None:
    """Check every file of a bundle.

    Compares files with their digests, the log with its hashes, and runs the backbone and the text
    encoder once. The exit code is 1 if a file is damaged or missing.

    \b
    Example:
        edgesplit verify
    """
    bundle = open_bundle(bundle_path)
    problems = bundle.verify()
    if as_json:
        print_json({"bundle": str(bundle.path), "problems": problems})
        click.get_current_context().exit(1 if problems else 0)
    if problems:
        raise BundleError("\n".join(problems))
    n_entries = len(bundle.history())
    entries = f"{n_entries} log entr{'y' if n_entries == 1 else 'ies'}"
    echo(f"{bundle.path}: backbone, {entries}, heads and HEAD are intact")


@click.command()
@click.option(
    "--keep",
    required=True,
    type=click.IntRange(min=1),
    help="Number of heads to keep: the live head and those that were live last. The exported head "
    "is always kept.",
)
@click.option("--dry-run", is_flag=True, help="List the heads; remove nothing.")
@bundle_options
def prune(keep: int, dry_run: bool, bundle_path: Path | None, as_json: bool) -> None:
    """Remove the files of old heads.

    The log keeps their entries.

    \b
    Example:
        edgesplit prune --keep 20
    """
    bundle = open_bundle(bundle_path)
    actions: dict[str, str] = {}
    for version in bundle.history():
        if version.digest != version.before:  # a prune names the live head
            actions.setdefault(version.digest, version.action)
    digests = bundle.prune(keep, dry_run=dry_run)
    if as_json:
        print_json({"pruned": list(digests), "removed": not dry_run})
        return
    for digest in digests:
        echo(f"{short(digest)}  {actions.get(digest, '')}".rstrip())
    what = "would be removed" if dry_run else "removed"
    echo(f"{len(digests)} heads {what}", err=True)


@click.command()
@click.argument("folder", type=FOLDER)
@click.option(
    "-o",
    "--output",
    type=NEW_FILE,
    help="Write names, features and feature space to this npz file.",
)
@overwrite_option
@bundle_options
def features(
    folder: Path, output: Path | None, overwrite: bool, bundle_path: Path | None, as_json: bool
) -> None:
    """Compute the features of a folder of videos.

    Features are cached: a stopped run continues where it stopped, and `edit --shots` and
    `calibrate` use them. Videos that cannot be read are listed.

    \b
    Example:
        edgesplit features clips/ -o features.npz
    """
    bundle = open_bundle(bundle_path)
    if output is not None:
        check_new(output, overwrite=overwrite)
    found = _extract(folder, bundle)
    if output is not None:
        write_new(output, found.to_bytes(bundle.feature_space), overwrite=overwrite)
    content = {
        "feature_space": bundle.feature_space,
        "dim": bundle.dim,
        "n_features": len(found.places),
        "missing": dict(found.missing),
        "output": output and str(output),
    }
    summary = f"features of {len(found.places)} videos" + (f" in {output}" if output else "")
    print_result(as_json, content, show_videos, summary, found.missing)


@click.command()
@click.argument("clips", type=FOLDER)
@click.option(
    "--accept-few",
    is_flag=True,
    help="Accept classes with too few clips; their splits will not be centred.",
)
@bundle_options
def calibrate(clips: Path, accept_few: bool, bundle_path: Path | None, as_json: bool) -> None:
    """Add statistics from unlabelled videos.

    This works once per bundle and does the same as `export --calibrate`, without torch. Afterwards,
    splits are centred on clips of the class and report an expected accuracy, and the gate compares
    features of real clips.

    \b
    Example:
        edgesplit calibrate clips/
    """
    bundle = open_bundle(bundle_path)
    bundle.check_uncalibrated()
    found = _extract(clips, bundle)
    statistics = bundle.calibrate(found.matrix, accept_few=accept_few)
    n_clips, missing = len(found.places), dict(found.missing)
    counts = dict(zip(statistics.labels, statistics.counts.tolist(), strict=True))
    content = {"n_features": n_clips, "clips": counts, "missing": missing}
    summary = f"statistics of {n_clips} videos in {bundle.path}"
    print_result(as_json, content, show_videos, summary, missing)


def _extract(folder: Path, bundle: Bundle) -> Features:
    from edgesplit.bundle.videos import extract_folder

    with progress("videos") as on_video:
        return extract_folder(folder, bundle, on_video)
