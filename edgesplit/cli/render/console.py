"""Consoles for results and notes, and functions that print progress, JSON and errors.

rich is imported inside the functions that need it, so that `edgesplit --help` runs without it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from edgesplit.errors import EdgesplitError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = [
    "console",
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


def console() -> Console:
    """Return a console for results on standard output; only a terminal limits the width."""
    from rich.console import Console

    closed = sys.stdout is None  # `>&-`
    width = None if not closed and sys.stdout.isatty() else WIDE
    return Console(highlight=False, emoji=False, soft_wrap=True, width=width)


def notes() -> Console:
    """Return a console for all other output, on standard error, so that results can be piped."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)


def escape(text: str) -> str:
    """Return a text as rich markup that shows its brackets unchanged."""
    from rich.markup import escape as escape_markup

    return escape_markup(text)


def new_table(*columns: str, header: bool = True) -> Table:
    """Return an empty table without lines."""
    from rich.table import Table

    return Table(*columns, box=None, pad_edge=False, show_header=header)


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on standard error; yield a function of (number done, number of all)."""
    from rich.progress import Progress

    with Progress(console=notes(), transient=True) as shown:
        task = shown.add_task(what, total=None)
        yield lambda done, n: shown.update(task, completed=done, total=n)


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
            click.echo(step, err=True)
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
    shown = Progress(*columns, console=out, transient=True, disable=silent or not out.is_terminal)
    last, start = first, time.monotonic()

    def finish() -> None:
        if not silent:
            seconds = f"{time.monotonic() - start:6.1f} s  "
            (shown.console if out.is_terminal else out).print(f"{seconds}{last}", markup=False)

    def show(step: str) -> None:
        nonlocal last, start
        name = step.partition(",")[0]
        if name != last:
            finish()
            last, start = name, time.monotonic()
            shown.reset(task)
        shown.update(task, description=escape(step))

    with shown:
        task = shown.add_task(escape(first), total=None)
        yield show
        finish()


def print_result(as_json: bool, content: Any, show: Callable[..., None], *shown: Any) -> None:
    """Print the result of a command: with --json `content`, else by `show(console(), *shown)`."""
    if as_json:
        print_json(content)
    else:
        show(console(), *shown)


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
    click.echo(text.encode(errors="backslashreplace").decode(), err=err)


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
        click.echo(f"Error: {message}", err=True)
