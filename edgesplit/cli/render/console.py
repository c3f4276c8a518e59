"""Consoles for results and notes, and functions that print progress, JSON and errors.

Labels, file names and messages may come from somebody else's file. Nothing here shows their control
characters, which a terminal would obey: they are printed as escapes.

rich is imported inside the functions that need it, so that `edgesplit --help` runs without it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from edgesplit._text import CONTROL, shown
from edgesplit.errors import EdgesplitError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = [
    "console",
    "echo",
    "escape",
    "new_table",
    "notes",
    "print_error",
    "print_json",
    "print_result",
    "progress",
    "short",
    "steps",
    "timed_steps",
]

WIDE = 200


def short(digest: str) -> str:
    """Return the part of a digest that is shown to people."""
    return digest[:12]


def echo(text: str = "", *, err: bool = False) -> None:
    """Print a line, as `shown`; no other function prints text without a console."""
    click.echo(shown(text), err=err)


def console() -> Console:
    """Return a console for results on standard output; only a terminal limits the width."""
    closed = sys.stdout is None  # `>&-`
    width = None if not closed and sys.stdout.isatty() else WIDE
    return _make_console(width=width)


def notes() -> Console:
    """Return a console for all other output, on standard error, so that results can be piped."""
    return _make_console(stderr=True)


def _make_console(**options: Any) -> Console:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class SafeConsole(Console):
        """Prints as `shown`, whatever a table or a text holds."""

        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                if segment.control:  # the console's own
                    yield segment
                else:
                    yield Segment(shown(segment.text), segment.style)

    return SafeConsole(highlight=False, emoji=False, soft_wrap=True, **options)


def escape(text: str) -> str:
    """Return a text as rich markup that shows its brackets unchanged."""
    from rich.markup import escape as escape_markup

    return escape_markup(shown(text, one_line=True))


def new_table(*columns: str, header: bool = True) -> Table:
    """Return an empty table without lines."""
    from rich.table import Table

    return Table(*columns, box=None, pad_edge=False, show_header=header)


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on standard error; yield a function of (number done, number of all)."""
    from rich.progress import Progress

    with Progress(console=notes(), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, n: bar.update(task, completed=done, total=n)


@contextmanager
def steps(first: str) -> Iterator[Callable[[str], None]]:
    """Show the current step on standard error; yield a function that takes the next step.

    A terminal shows one line that changes; a log file gets a line for each step.
    """
    out, last = notes(), first

    def show(step: str) -> None:
        nonlocal last
        if out.is_terminal:
            status.update(escape(step))
        elif step != last:
            echo(step, err=True)
        last = step

    with out.status(first) as status:
        yield show


@contextmanager
def timed_steps(first: str, *, silent: bool) -> Iterator[Callable[[str], None]]:
    """Show each step with its time on standard error; yield a function that takes the next step.

    A terminal shows the seconds as they pass. A text that differs only after a comma is the same
    step.

    Args:
        first: the first step.
        silent: True to show nothing, because standard error is JSON.
    """
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    out = notes()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    bar = Progress(*columns, console=out, transient=True, disable=silent or not out.is_terminal)
    last, start = first, time.monotonic()

    def finish() -> None:
        if not silent:
            seconds = f"{time.monotonic() - start:6.1f} s  "
            (bar.console if out.is_terminal else out).print(f"{seconds}{last}", markup=False)

    def show(step: str) -> None:
        nonlocal last, start
        name = step.partition(",")[0]
        if name != last:
            finish()
            last, start = name, time.monotonic()
            bar.reset(task)
        bar.update(task, description=escape(step))

    with bar:
        task = bar.add_task(escape(first), total=None)
        yield show
        finish()


def print_result(as_json: bool, content: Any, show: Callable[..., None], *found: Any) -> None:
    """Print the result of a command: with --json `content`, else by `show(console(), *found)`."""
    if as_json:
        print_json(content)
    else:
        show(console(), *found)


def print_json(content: Any, *, indent: int | None = 2, err: bool = False) -> None:
    """Print one JSON document, on one line if `indent` is None. No other function prints JSON.

    Raises:
        EdgesplitError: a number is not finite, which JSON cannot express.
    """
    try:
        text = json.dumps(content, indent=indent, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise EdgesplitError(
            "A number of the result is not finite, which JSON cannot express. Run the command "
            "without --json to see which."
        ) from error
    # File names need not be valid Unicode; their surrogates are escaped as JSON escapes them.
    text = CONTROL.sub(lambda found: json.dumps(found[0])[1:-1], text)
    click.echo(text, err=err)


def print_error(kind: str, message: str, *, as_json: bool, **about: Any) -> None:
    """Print an error on standard error: a sentence, or with --json one object on one line.

    Args:
        kind: the name of the error's class.
        message: what is wrong, and what to do next.
        as_json: True if --json was given.
        about: more entries of the object.
    """
    if as_json:
        error = {"type": kind, "message": message}
        print_json({"error": error, **about}, indent=None, err=True)
    else:
        echo(f"Error: {message}", err=True)
