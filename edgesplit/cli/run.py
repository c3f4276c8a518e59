"""The command that watches a stream: `run`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from edgesplit.cli.options import (
    SECONDS,
    Number,
    backend_options,
    bundle_option,
    json_option,
    open_backend,
    open_bundle,
    print_error,
    print_json,
)

if TYPE_CHECKING:
    from edgesplit._types import BackendName, VariantName
    from edgesplit.heads.head import Head
    from edgesplit.runtime import Event
    from edgesplit.runtime.backends.select import OpenedBackend

__all__ = ["run"]


@click.command()
@click.option(
    "--source",
    required=True,
    envvar="EDGESPLIT_SOURCE",
    help="A file, rtsp://… or another URL, /dev/video0, or - for standard input. "
    "EDGESPLIT_SOURCE keeps a password out of the list of processes.",
)
@click.option(
    "--window",
    "window_s",
    type=SECONDS,
    help="Length of an event in seconds. Required for models that sample frames uniformly over "
    "an event; follows from the model for others.",
)
@click.option(
    "--stride",
    "stride_s",
    type=SECONDS,
    help="Seconds between window starts (default: half a window).",
)
@click.option("--fps", type=SECONDS, help="Frame rate for sampling (default: the source's).")
@click.option("--smooth", default=1, type=click.IntRange(min=1), help="Average the last N windows.")
@click.option(
    "--live/--no-live",
    default=None,
    help="When windows come too fast, drop all but the newest, or read more slowly. By default "
    "streams and cameras are live, files and standard input are not.",
)
@click.option(
    "--playlist",
    is_flag=True,
    help="The http or https source may be an HLS playlist. Its server then chooses which hosts "
    "this machine asks, and may choose this machine itself or its network.",
)
@click.option(
    "--stall",
    "stall_s",
    default=10.0,
    show_default=True,
    type=SECONDS,
    help="Open a live source again after so many seconds without a frame.",
)
@click.option(
    "--give-up",
    "give_up_s",
    type=SECONDS,
    help="End with an error after so many seconds without a frame (default: never).",
)
@click.option("--every", is_flag=True, help="Print every window, not only when the class changes.")
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
    help="Score this head beside the live one, and report where they disagree.",
)
@click.option(
    "--rollback-above",
    type=Number(0, 1, max_open=True),
    metavar="SHARE",
    help="Roll back an edit that surely changes a larger share of windows outside its splits.",
)
@backend_options
@bundle_option
@json_option
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
    """Predict a video stream, window by window.

    A head that is published meanwhile goes live between two windows. A source that breaks off is
    opened again. With --json, each line is one event; the last one, also after an interrupt,
    accounts for every frame.

    \b
    Example:
        edgesplit run --source rtsp://camera/1 --window 2.5 --json
    """
    from edgesplit.cli.events import backend_text
    from edgesplit.errors import EdgesplitError
    from edgesplit.runtime import Runtime, Stream
    from edgesplit.runtime.stream import parse_source

    parsed = parse_source(source, live=live, playlist=playlist)
    bundle = open_bundle(bundle_path)
    opened = open_backend(bundle, backend, variant)
    show = _json_printer(opened) if as_json else _printer(every)
    if not as_json:
        click.echo(backend_text(opened), err=True)
    with Runtime(bundle, backend=opened.backend, rollback_above=rollback_above) as runtime:
        if shadow is not None:
            runtime.start_shadow(_find_head(shadow))
        stream = Stream(runtime, parsed, **options)
        events = iter(stream)
        try:
            with _signals_call(stream.stop), _closed_pipe_ends(), closing(events):
                for event in events:
                    show(event)
        except EdgesplitError as error:
            if not stream.hangs:
                raise
            print_error(type(error).__name__, str(error), as_json=as_json)
            _exit(1)
    if stream.hangs:
        _exit(0)


def _exit(code: int) -> NoReturn:
    """End the process at once; Python itself would wait until the network's timeout is over."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _find_head(named: str) -> str | Head:
    """Return the head in the file of that name, or the text itself, a digest, if there is none."""
    from edgesplit.heads.head import Head
    from edgesplit.storage.files import read_bytes

    file = Path(named)
    return Head.from_bytes(read_bytes(file)) if file.is_file() else named


def _json_printer(opened: OpenedBackend) -> Callable[[Event], None]:
    """Prints each event as a line of JSON; the first says which backend runs, and why."""
    from edgesplit.runtime import Started

    def show(event: Event) -> None:
        content = event.to_json()
        if isinstance(event, Started):
            why = [asdict(one) for one in opened.passed_over]
            content |= {"backend": opened.description, "backend_why": why}
        print_json(content, indent=None)

    return show


def _printer(every: bool) -> Callable[[Event], None]:
    """Return what prints decisions, and other events to standard error."""
    from edgesplit.cli.events import decision_text, event_text
    from edgesplit.runtime.stream import Decision, Rescored

    label = ""

    def show(event: Event) -> None:
        nonlocal label
        if isinstance(event, Rescored) and not event.changed:
            return
        if not isinstance(event, Decision):
            click.echo(event_text(event), err=True)
        elif every or event.prediction.label != label:
            label = event.prediction.label
            click.echo(decision_text(event))

    return show


@contextmanager
def _signals_call(stop: Callable[[], None]) -> Iterator[None]:
    """Let the first SIGINT or SIGTERM call `stop`, and a second one end the process at once."""
    numbers = (signal.SIGINT, signal.SIGTERM)

    def handle(number: int, frame: object) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_DFL)
        stop()

    before = [signal.signal(number, handle) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@contextmanager
def _closed_pipe_ends() -> Iterator[None]:
    """End the stream without an error when standard output is closed (`| head -n 3`)."""
    try:
        yield
    except BrokenPipeError:
        # Python flushes what is still buffered when it closes standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
