"""The commands that take a folder of videos through the backbone: `features`, `calibrate`."""

from __future__ import annotations

from pathlib import Path

import click

from edgesplit.cli.options import (
    bundle_option,
    check_new,
    json_option,
    open_bundle,
    print_json,
    replace_option,
    write_new,
)

__all__ = ["calibrate", "features"]

_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command()
@click.argument("folder", type=_FOLDER)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write names, features and feature space to this npz file.",
)
@replace_option
@bundle_option
@json_option
def features(
    folder: Path, output: Path | None, replace: bool, bundle_path: Path | None, as_json: bool
) -> None:
    """Take all videos of a folder through the backbone, each once.

    Features are kept in the user's cache, so that a run that was stopped goes on from there, and
    `edit --shots` and `calibrate` find them. Videos that cannot be read are listed.

    \b
    Example:
        edgesplit features clips/ -o features.npz
    """
    from edgesplit.bundle.videos import extract_folder
    from edgesplit.cli import screen

    bundle = open_bundle(bundle_path)
    if output is not None and not replace:
        check_new(output)
    with screen.progress("videos") as progress:
        found = extract_folder(folder, bundle, progress)
    if output is not None:
        write_new(output, found.to_bytes(bundle.feature_space), replace=replace)
    if as_json:
        print_json(
            {
                "feature_space": bundle.feature_space,
                "dim": bundle.dim,
                "n_features": len(found.places),
                "missing": dict(found.missing),
                "output": None if output is None else str(output),
            }
        )
        return
    out = screen.console()
    where = "" if output is None else f" in {output}"
    out.print(f"features of {len(found.places)} videos{where}", markup=False)
    screen.show_missing(out, found.missing)


@click.command()
@click.argument("clips", type=_FOLDER)
@click.option("--force", is_flag=True, help="Accept too few clips of some classes.")
@bundle_option
@json_option
def calibrate(clips: Path, force: bool, bundle_path: Path | None, as_json: bool) -> None:
    """Give a bundle without statistics those of a folder of unlabelled videos, once.

    It is what `export --calibrate` does, without torch: from then on splits are centred on clips
    of the class and say how often they expect to be right, and the gate compares real features.

    \b
    Example:
        edgesplit calibrate clips/
    """
    from edgesplit.bundle.calibration import check_uncalibrated
    from edgesplit.bundle.videos import extract_folder
    from edgesplit.cli import screen

    bundle = open_bundle(bundle_path)
    check_uncalibrated(bundle.path)
    with screen.progress("videos") as progress:
        found = extract_folder(clips, bundle, progress)
    statistics = bundle.calibrate(found.matrix, accept_few=force)
    counts = dict(zip(statistics.labels, statistics.counts.tolist(), strict=True))
    if as_json:
        print_json(
            {"n_features": len(found.places), "clips": counts, "missing": dict(found.missing)}
        )
        return
    out = screen.console()
    out.print(f"statistics of {len(found.places)} videos in {bundle.path}", markup=False)
    screen.show_missing(out, found.missing)
