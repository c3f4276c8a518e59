"""The command that watches a stream: `run`."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgesplit.cli.options import RECIPES, bundle_option, json_option, open_bundle

if TYPE_CHECKING:
    from edgesplit.runtime import Decision, Ended, Event
    from edgesplit.runtime.variants import Recipe

__all__ = ["run"]

SECONDS = click.FloatRange(min=0, min_open=True)


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
    help="Seconds that an event lasts. Needed where frames are spread over the whole event "
    "(sampling uniform); follows from the model where they are dense.",
)
@click.option("--stride", "stride_s", type=SECONDS, help="From window to window; half a window.")
@click.option("--fps", type=SECONDS, help="Frames a second for the model; as many as come.")
@click.option("--smooth", default=1, type=click.IntRange(min=1), help="Decide over N windows.")
@click.option(
    "--live/--no-live",
    default=None,
    help="When windows come too fast: drop all but the newest, or read more slowly. By default "
    "streams and cameras are live, files and standard input are not.",
)
@click.option(
    "--stall",
    "stall_s",
    default=10.0,
    show_default=True,
    type=SECONDS,
    help="A live source without a frame for so many seconds is opened again.",
)
@click.option(
    "--give-up",
    "give_up_s",
    type=SECONDS,
    help="End with an error after so many seconds without a frame. By default never.",
)
@click.option("--every", is_flag=True, help="Print every window, not only when the class changes.")
@click.option(
    "--variant", type=click.Choice(RECIPES), help="Run this variant; see `edgesplit variant`."
)
@bundle_option
@json_option
def run(
    source: str,
    live: bool | None,
    every: bool,
    variant: Recipe | None,
    bundle_path: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Say what happens in a stream, window after window; with --json one event a line.

    A head that is published meanwhile goes live between two windows. A source that breaks off is
    opened again. Interrupt it to end it: the last event accounts for every frame.

    \b
    Example:
        edgesplit run --source rtsp://camera/1 --window 2.5 --json
    """
    from edgesplit.runtime import Runtime, Stream, open_variant, parse_source

    parsed = parse_source(source, live=live)
    bundle = open_bundle(bundle_path)
    backend = open_variant(bundle, variant) if variant else None
    show = _print_json if as_json else _printer(every)
    with Runtime(bundle, backend=backend) as runtime:
        stream = Stream(runtime, parsed, **options)
        events = iter(stream)
        with _signals_call(stream.stop), _closed_pipe_ends(), closing(events):
            for event in events:
                show(event)
    if stream.hangs:
        sys.stdout.flush()
        os._exit(0)  # or Python would wait until a network's timeout is over


def _print_json(event: Event) -> None:
    click.echo(json.dumps(event.to_json(), ensure_ascii=False))


def _printer(every: bool) -> Callable[[Event], None]:
    """Prints decisions, and on standard error what else happens."""
    from edgesplit.runtime import Decision

    label = ""

    def show(event: Event) -> None:
        nonlocal label
        if not isinstance(event, Decision):
            click.echo(_event_text(event), err=True)
        elif every or event.prediction.label != label:
            label = event.prediction.label
            click.echo(_decision_text(event))

    return show


def _decision_text(event: Decision) -> str:
    """One line about a window of a stream."""
    from edgesplit import screen

    path = screen.path_text(event.prediction).plain
    head = event.prediction.head_digest[: screen.SHORT]
    return f"{event.start:.1f}-{event.end:.1f} s  {path}  [head {head}]"


def _event_text(event: Event) -> str:
    """What a stream tells that is no decision, in a line; a warning in a second one."""
    from edgesplit.runtime import Ended, Gap, Reconnecting, Stalled, Started, Swapped
    from edgesplit.screen import SHORT

    match event:
        case Started():
            policy = "the newest window first" if event.policy == "latest" else "every window"
            line = (
                f"{event.source}: {event.fps:g} frames a second, windows of {event.window_s:.3g} s "
                f"every {event.stride_s:.3g} s; {policy}"
            )
            if event.n_repeated:
                line += f"\nwarning: {event.n_repeated} frames of each clip are repeated: the "
                line += "window is shorter than the model's clip"
            return line
        case Swapped():
            return f"head {event.before[:SHORT]} -> {event.after[:SHORT]}"
        case Gap():
            return f"{event.at_s:.1f} s  gap of {event.lost_s:.1f} s: {event.reason}"
        case Stalled():
            return f"no frame for {event.silent_s:.1f} s"
        case Reconnecting():
            return f"{event.reason}; opened again in {event.delay_s:.1f} s ({event.attempt}.)"
        case Ended():
            return _ended_text(event)
    return str(event)


def _ended_text(event: Ended) -> str:
    n = event.accounting
    line = (
        f"{event.reason} after {event.lasted_s:.1f} s\n"
        f"frames   {n.frames} = {n.used} used + {n.unsampled} between samples + {n.late} late + "
        f"{n.unfinished} unfinished; {n.damaged} packets damaged\n"
        f"windows  {n.windows} = {n.predicted} predicted + {n.dropped} dropped"
    )
    if n.gaps or n.reconnects:
        line += f"\ngaps     {n.gaps}, {n.lost_s:.1f} s lost; opened again {n.reconnects} times"
    if event.reason == "source ended" and not n.windows:
        line += "\nwarning: the source is shorter than one window; nothing was predicted"
    return line


@contextmanager
def _signals_call(stop: Callable[[], None]) -> Iterator[None]:
    """SIGINT and SIGTERM end what is inside in an orderly way; a second one ends it at once."""
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
    """A reader that has enough (`| head -n 3`) ends the stream, and that is no error."""
    try:
        yield
    except BrokenPipeError:
        # What is still buffered must go somewhere when Python closes standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
