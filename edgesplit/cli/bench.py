"""The command that measures: `bench`."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgesplit.cli.options import (
    SECONDS,
    backend_options,
    bundle_option,
    check_new,
    json_option,
    print_json,
)

if TYPE_CHECKING:
    from edgesplit._types import BackendName, VariantName
    from edgesplit.runtime.bench.record import Question
    from edgesplit.runtime.bench.timing import Job

__all__ = ["bench"]

QUESTIONS: tuple[Question, ...] = ("latency", "swap", "edit", "locality", "growth")
"""`edgesplit.runtime.bench.record.Question`, without the import that would slow `--help` down."""

SLOWER = 3
"""Exit code when something is slower than what it is compared with."""


@click.command()
@click.argument("questions", nargs=-1, type=click.Choice((*QUESTIONS, "all")))
@click.option("--seconds", type=SECONDS, help="Of predictions.")
@click.option("--quick", is_flag=True, help="A look of a minute or two; results are marked so.")
@click.option(
    "--clip",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Predict this video; by default one is made.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="A new folder for bench.json, bench.md and bench.html; by default bench-BUNDLE-TIME.",
)
@click.option(
    "--against",
    type=click.Path(path_type=Path, exists=True),
    help="Compare with an earlier bench.json, or its folder, by the reference.",
)
@click.option(
    "--against-bundle",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Run another bundle and this one in turns, and nothing else.",
)
@click.option(
    "--against-env",
    type=click.Path(path_type=Path, exists=True),
    help="Run another environment's Python and this one in turns, and nothing else.",
)
@backend_options
@bundle_option
@json_option
def bench(
    questions: tuple[Any, ...],
    seconds: float | None,
    quick: bool,
    clip: Path | None,
    output: Path | None,
    against: Path | None,
    against_bundle: Path | None,
    against_env: Path | None,
    backend: BackendName,
    variant: VariantName | None,
    bundle_path: Path | None,
    as_json: bool,
) -> None:
    """Measure what a bundle costs on this device; the bundle is not changed.

    QUESTIONS are latency (from the video file to the decision, part by part), swap (until a
    published head decides, and what predictions feel of it), edit, locality and growth; all of
    them by default. A folder gets the figures as JSON, as a Markdown table and as a page.

    A comparison says slower, faster, same or unclear of each figure, with its interval. The exit
    code is 3 when something is slower.

    \b
    Example:
        edgesplit bench latency --seconds 600
        edgesplit bench --quick --against bench-lab-before/
        edgesplit bench --against-env venv-before/
    """
    from edgesplit.bundle.bundle import find_bundle
    from edgesplit.runtime.bench.timing import Effort, Job

    turns = against_bundle is not None or against_env is not None
    if turns and (questions or against or output or seconds is not None):
        raise click.UsageError(
            "--against-bundle and --against-env run in turns, and nothing else: leave out "
            "questions, --against, --output and --seconds; without --quick they take longer."
        )
    effort = Effort.usual(quick=quick, seconds=seconds)
    job = Job(find_bundle(bundle_path), effort, backend, variant, clip)
    with _hang_up_as_interrupt():
        if turns:
            _compare_in_turns(job, against_bundle, against_env, as_json=as_json)
        else:
            chosen = QUESTIONS if not questions or "all" in questions else questions
            _measure(job, chosen, output, against, as_json=as_json)


@contextmanager
def _hang_up_as_interrupt() -> Iterator[None]:
    """A lost connection and SIGTERM end it as Ctrl-C does: nothing stays beside the bundle."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _compare_in_turns(job: Job, bundle: Path | None, python: Path | None, *, as_json: bool) -> None:
    from edgesplit.cli import screen
    from edgesplit.runtime.bench.compare import compare_now
    from edgesplit.runtime.bench.page import to_verdicts

    with screen.progress("in turns") as on_turn:
        comparison = compare_now(job, bundle=bundle, python=python, on_turn=on_turn)
    if as_json:
        print_json(comparison.to_json())
    else:
        click.echo(to_verdicts(comparison.to_json()))
    click.get_current_context().exit(SLOWER if comparison.slower else 0)


def _measure(
    job: Job,
    questions: tuple[Question, ...],
    output: Path | None,
    against: Path | None,
    *,
    as_json: bool,
) -> None:
    from edgesplit.cli import screen
    from edgesplit.errors import EdgesplitError
    from edgesplit.runtime.bench.compare import compare_earlier
    from edgesplit.runtime.bench.page import to_table
    from edgesplit.runtime.bench.record import (
        check_comparable,
        check_folder,
        read_record,
        run_bench,
        write_record,
    )

    earlier = read_record(against) if against else None
    if earlier is not None:
        check_comparable(earlier, questions)
    if output is not None:
        check_new(output)
    check_folder(output)
    with screen.notes().status("measuring") as status:
        record = run_bench(
            job, questions, on_wait=lambda question, what: status.update(f"{question}: {what}")
        )
    comparison, trouble = None, None
    if earlier is not None:
        try:
            comparison = compare_earlier(record, earlier)
            record["comparison"] = comparison.to_json()
        except EdgesplitError as error:  # what was measured is kept
            trouble = error
    if as_json:  # first of all: should it not be written, it is not lost
        print_json(record)
    else:
        click.echo(to_table(record))
    folder = write_record(record, output)
    click.echo(f"written to {folder}: bench.json, bench.md, bench.html", err=True)
    if trouble is not None:
        raise trouble
    slower = comparison is not None and comparison.slower
    click.get_current_context().exit(SLOWER if slower else 0)
