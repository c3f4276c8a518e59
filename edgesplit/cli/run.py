"""Commands that classify videos and streams: `predict`, `run`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from edgesplit._types import BackendName, VariantName
from edgesplit.cli.options import (
    SECONDS,
    Number,
    backend_options,
    bundle_options,
    open_backend,
    open_bundle,
)
from edgesplit.cli.render.console import console, echo, print_error, print_json
from edgesplit.cli.render.stream import backend_text, decision_text, event_text, show_prediction
from edgesplit.cli.signals import handle_signals
from edgesplit.errors import ClipError, EdgesplitError, HeadError

if TYPE_CHECKING:
    from edgesplit.heads.head import Head
    from edgesplit.runtime.backends.select import OpenedBackend
    from edgesplit.runtime.stream import Event

__all__ = ["predict", "run"]


@click.command()
@click.argument("clips", nargs=-1, required=True, type=click.Path(path_type=Path))
@backend_options
@bundle_options
def predict(
    clips: tuple[Path, ...],
    backend: BackendName,
    variant: VariantName | None,
    bundle_path: Path | None,
    as_json: bool,
) -> None:
    """Classify video files.

    With --json, print one object per line. The number after each level of the label tree is its
    probability. If a video is shorter than a clip, the number of repeated frames is reported. If a
    file cannot be read, the other files are still classified and the exit code is 1.

    \b
    Example:
        edgesplit predict clips/*.mp4
    """
    from edgesplit.runtime import Runtime
    from edgesplit.video.clips import read_video

    bundle = open_bundle(bundle_path)
    with Runtime(bundle, backend=open_backend(bundle, backend, variant).backend) as runtime:
        failed = 0
        for path in clips:
            try:
                clip = read_video(path, runtime.bundle.preprocessing)
            except ClipError as error:
                print_error(type(error).__name__, str(error), as_json=as_json, clip=str(path))
                failed += 1
                continue
            prediction = runtime.predict(clip.pixels)
            if as_json:
                about = {"clip": str(path), "n_repeated": clip.n_repeated}
                print_json({**about, **prediction.to_json()}, indent=None)
                continue
            show_prediction(console(), path.name, prediction)
            if clip.n_repeated:
                frames = f"{clip.n_repeated} of {runtime.bundle.preprocessing.frames} frames"
                echo(f"warning: {path.name} is short: {frames} are repeated", err=True)
    click.get_current_context().exit(1 if failed else 0)


@click.command()
@click.option(
    "--source",
    required=True,
    envvar="EDGESPLIT_SOURCE",
    help="A file, rtsp://… or another URL, /dev/video0, or - for standard input. Use the variable "
    "EDGESPLIT_SOURCE to keep a password out of the process list.",
)
@click.option(
    "--window",
    "window_s",
    type=SECONDS,
    help="Length of a window in seconds; an event should fit. Required for a model with uniform "
    "sampling; dense sampling defines it.",
)
@click.option(
    "--stride",
    "stride_s",
    type=SECONDS,
    help="Seconds between window starts (default: half a window).",
)
@click.option("--fps", type=SECONDS, help="Frame rate for sampling (default: the source's).")
@click.option(
    "--smooth",
    default=1,
    type=click.IntRange(min=1),
    metavar="N",
    help="Average the last N windows.",
)
@click.option(
    "--live/--no-live",
    default=None,
    help="If windows arrive too fast: drop all but the newest (--live) or read more slowly "
    "(--no-live). Default: --live for streams and cameras, --no-live for files and standard input.",
)
@click.option(
    "--playlist",
    is_flag=True,
    help="Accept an HLS playlist from an http or https source. Its server then chooses which "
    "hosts this machine contacts, including this machine and its network.",
)
@click.option(
    "--stall",
    "stall_s",
    default=10.0,
    show_default=True,
    type=SECONDS,
    help="Reopen a live source after this many seconds without a frame.",
)
@click.option(
    "--give-up",
    "give_up_s",
    type=SECONDS,
    help="End with an error after this many seconds without a frame (default: never).",
)
@click.option("--every", is_flag=True, help="Print every window, not only changes of the class.")
@click.option(
    "--recent",
    default=10,
    show_default=True,
    type=click.IntRange(min=0),
    help="Recent windows to re-score after a head swap.",
)
@click.option(
    "--shadow",
    metavar="DIGEST|FILE",
    help="Also score this head, and report where it disagrees with the live head.",
)
@click.option(
    "--rollback-above",
    type=Number(0, 1, max_open=True),
    metavar="SHARE",
    help="Roll back an edit as soon as it is certain that it changes more than this share of the "
    "windows outside its splits.",
)
@backend_options
@bundle_options
def run(
    source: str,
    live: bool | None,
    playlist: bool,
    every: bool,
    shadow: str | None,
    rollback_above: float | None,
    backend: BackendName,
    variant: VariantName | None,
    bundle_path: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Classify a stream, window after window.

    With --json, print one event per line. A newly published head goes live between two windows. A
    lost source is opened again. Ctrl-C stops the command; the last event accounts for every frame.

    \b
    Example:
        edgesplit run --source rtsp://camera/1 --window 2.5 --json
    """
    from edgesplit.runtime import Runtime, Stream
    from edgesplit.runtime.stream import parse_source

    parsed = parse_source(source, live=live, playlist=playlist)
    bundle = open_bundle(bundle_path)
    opened = open_backend(bundle, backend, variant)
    show = _json_printer(opened) if as_json else _printer(opened, every)
    with Runtime(bundle, backend=opened.backend, rollback_above=rollback_above) as runtime:
        if shadow is not None:
            runtime.start_shadow(_find_head(shadow))
        stream = Stream(runtime, parsed, **options)
        try:
            with _signals_call(stream.stop), closing(iter(stream)) as events:
                for event in events:
                    show(event)
        except BrokenPipeError:  # `| head -n 3` ends the stream without an error
            # Python flushes what is still buffered when it closes standard output.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except EdgesplitError as error:
            if not stream.hangs:
                raise
            print_error(type(error).__name__, str(error), as_json=as_json)
            _exit(1)
    if stream.hangs:
        _exit(0)


def _exit(code: int) -> NoReturn:
    """Exit at once; Python would otherwise wait for the network timeout of a hanging reader."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _find_head(named: str) -> str | Head:
    """Return the head of --shadow: read from a file, or the digest of a head in the bundle."""
    from edgesplit.heads.head import Head
    from edgesplit.limits import HEAD_BYTES
    from edgesplit.storage.files import read_bytes

    file = Path(named)
    # A digest has no suffix and no folder. A name with one is a file, even if it is missing.
    is_file = file.suffix or len(file.parts) > 1 or file.is_file()
    return Head.from_bytes(read_bytes(file, HEAD_BYTES, HeadError)) if is_file else named


def _json_printer(opened: OpenedBackend) -> Callable[[Event], None]:
    """Return a function that prints an event as a line of JSON.

    The first event also names the backend and why the faster ones were not used.
    """
    from edgesplit.runtime.stream import Started

    def show(event: Event) -> None:
        content = event.to_json()
        if isinstance(event, Started):
            why = [asdict(one) for one in opened.passed_over]
            content |= {"backend": opened.description, "backend_why": why}
        print_json(content, indent=None)

    return show


def _printer(opened: OpenedBackend, every: bool) -> Callable[[Event], None]:
    """Return a function that prints decisions on standard output and other events on stderr."""
    from edgesplit.runtime.stream import Decision, Rescored

    echo(backend_text(opened), err=True)
    label = ""

    def show(event: Event) -> None:
        nonlocal label
        if isinstance(event, Rescored) and not event.changed:
            return
        if not isinstance(event, Decision):
            echo(event_text(event), err=True)
        elif every or event.prediction.label != label:
            label = event.prediction.label
            echo(decision_text(event))

    return show


def _signals_call(stop: Callable[[], None]) -> AbstractContextManager[None]:
    """Call `stop` at the first SIGINT or SIGTERM; a second signal ends the process at once."""
    numbers = (signal.SIGINT, signal.SIGTERM)

    def handle(number: int, frame: object) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_DFL)
        stop()

    return handle_signals(handle, *numbers)
