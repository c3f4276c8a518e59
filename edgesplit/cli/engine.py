"""The commands about engines: the backbone compiled for this device, kept in the user's cache."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from edgesplit._types import EnginePrecision
from edgesplit.cli.options import bundle_option, json_option, open_bundle, print_json
from edgesplit.cli.shelf import rm_command

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.status import Status

    from edgesplit.runtime.backends.artifacts import ArtifactCache
    from edgesplit.runtime.backends.engines import Engine
    from edgesplit.runtime.backends.tensorrt import Batch

__all__ = ["engine"]


@click.group()
def engine() -> None:
    """Compile the backbone with TensorRT for this device: build, list, rm; each with --json.

    Engines lie in the cache (EDGESPLIT_CACHE), never in a bundle. Edits need no new one.

    \b
    Example:
        edgesplit engine build --precision fp16
        edgesplit engine list
    """


def _batch(context: click.Context, parameter: click.Parameter, text: str | None) -> Batch | None:
    from edgesplit.runtime.backends.tensorrt import Batch

    if text is None:
        return None
    try:
        least, best, most = map(int, text.split(","))
        return Batch(least, best, most)
    except ValueError as error:
        raise click.BadParameter(
            f"{text!r} is not three rising numbers from 1 on, such as 1,1,8", context, parameter
        ) from error


@engine.command()
@click.option(
    "--precision",
    type=click.Choice(get_args(EnginePrecision)),
    default="fp32",
    show_default=True,
    help="Of the operators; with fp16 those that it would spoil stay in fp32.",
)
@click.option(
    "--batch",
    callback=_batch,
    metavar="LEAST,BEST,MOST",
    help="How many clips it takes at once, and for how many it is fastest.  [default: 1,1,8]",
)
@click.option(
    "--clips",
    "folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of unlabelled videos like those the device sees: for int8, and better for fp16.",
)
@click.option("--rebuild", is_flag=True, help="Build it again if the cache has it.")
@bundle_option
@json_option
def build(folder: Path | None, bundle_path: Path | None, as_json: bool, **options: Any) -> None:
    """Build the engine of a bundle's backbone on this device; minutes on a small one.

    It is kept only if its features are those of ONNX Runtime.

    \b
    Example:
        edgesplit engine build --precision fp16 --clips videos/ --batch 1,1,4
        edgesplit engine build --precision int8 --clips videos/
    """
    from edgesplit.cli import screen
    from edgesplit.runtime import build_engine
    from edgesplit.video.clips import find_videos

    precision = options["precision"]
    if folder is None and precision == "int8":
        raise click.UsageError("--precision int8 needs --clips")
    if folder is not None and precision == "fp32":
        raise click.UsageError("--clips is for --precision int8 and fp16")
    bundle = open_bundle(bundle_path)
    notes = screen.notes()
    with notes.status("looking for a GPU and TensorRT") as status:
        done = build_engine(
            bundle,
            clips=find_videos(folder) if folder else None,
            # A terminal has one line that changes; a log file gets a line each time.
            progress=_status(status) if notes.is_terminal else _say,
            **options,
        )
    if as_json:
        print_json({**_content(done.artifact), "new": done.new, "seconds": done.seconds})
    else:
        screen.show_engine(screen.console(), done)


def _say(text: str) -> None:
    click.echo(text, err=True)


def _status(status: Status) -> Callable[[str], None]:
    from rich.markup import escape

    return lambda text: status.update(escape(text))  # TensorRT's words hold brackets


@engine.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """List the engines of the cache, the newest first, and which of them run here.

    \b
    Example:
        edgesplit engine list
    """
    from edgesplit.cli import screen
    from edgesplit.errors import EdgesplitError
    from edgesplit.runtime.backends.engines import ENGINES, Platform, TensorRT

    engines = ENGINES.list()
    platform: Platform | None = None
    why = ""
    if engines:
        try:
            platform = TensorRT().platform()
        except EdgesplitError as error:
            why = str(error)
    if as_json:
        print_json([{**_content(one), "fits": one.platform == platform} for one in engines])
        return
    screen.show_engines(screen.console(), engines, platform=platform)
    if why:
        click.echo(f"None of them runs here: {why}", err=True)


def _cache() -> ArtifactCache[Any]:
    from edgesplit.runtime import ENGINES

    return ENGINES


engine.add_command(rm_command("engine", _cache))


def _content(one: Engine) -> dict[str, Any]:
    return {"key": one.key, **asdict(one), "age_s": round(one.age_s)}
