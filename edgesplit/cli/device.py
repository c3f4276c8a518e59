"""Commands about the device: `doctor` and `bench`."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from edgesplit._types import BackendName, BenchQuestion, VariantName
from edgesplit.cli.options import FILE, FOLDER, SECONDS, backend_options, bundle_options, check_new
from edgesplit.cli.render.backends import show_checkup
from edgesplit.cli.render.console import echo, notes, print_json, print_result, progress, steps
from edgesplit.cli.signals import handle_signals

if TYPE_CHECKING:
    from edgesplit.runtime.bench.timing import Job

__all__ = ["bench", "doctor"]

QUESTIONS: tuple[BenchQuestion, ...] = get_args(BenchQuestion)

SLOWER = 3
"""Exit code if a figure is slower than on the other side."""


@click.command()
@click.argument("questions", nargs=-1, type=click.Choice((*QUESTIONS, "all")))
@click.option("--seconds", type=SECONDS, help="Seconds to time predictions for.")
@click.option(
    "--quick", is_flag=True, help="Measure for only a minute or two; results are marked as quick."
)
@click.option("--clip", type=FILE, help="Video to predict (default: a generated video).")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="New folder for bench.json, bench.md and bench.html (default: bench-BUNDLE-TIME).",
)
@click.option(
    "--against-bundle", type=FOLDER, help="A/B test against another bundle; skips the questions."
)
@click.option(
    "--against-env",
    type=click.Path(path_type=Path, exists=True),
    help="A/B test against another Python environment; skips the questions.",
)
@backend_options
@bundle_options
def bench(
    questions: tuple[Any, ...],
    seconds: float | None,
    quick: bool,
    clip: Path | None,
    output: Path | None,
    against_bundle: Path | None,
    against_env: Path | None,
    backend: BackendName,
    variant: VariantName | None,
    bundle_path: Path | None,
    as_json: bool,
) -> None:
    """Measure what a bundle costs on this device.

    QUESTIONS name what to measure (default: all of these):

    \b
    latency   time of a prediction, from the video file to the decision, by part
    swap      time until a published head decides, and its cost for predictions
    edit      time of an edit, and the bytes to ship
    locality  changes that a split causes elsewhere

    The bundle is not changed. The figures are written to a new folder, as JSON, as a Markdown
    table and as an HTML page.

    --against-bundle and --against-env compare two sides instead and rate each figure as slower,
    faster, the same or unclear. The exit code is 3 if a figure is slower.

    \b
    Example:
        edgesplit bench latency --seconds 600
        edgesplit bench --against-env venv-before/
    """
    from edgesplit.bundle.bundle import find_bundle
    from edgesplit.runtime.bench.timing import Effort, Job

    turns = against_bundle is not None or against_env is not None
    if turns and (questions or output or seconds is not None):
        raise click.UsageError(
            "--against-bundle and --against-env compare two sides and measure no questions. Leave "
            "out QUESTIONS, --output and --seconds; add --quick for a shorter run."
        )
    effort = Effort.usual(quick=quick, seconds=seconds)
    job = Job(find_bundle(bundle_path), effort, backend, variant, clip)
    # A lost connection and SIGTERM act as Ctrl-C, which removes the copies of the bundle.
    ends = (signal.SIGTERM, signal.SIGHUP)
    handled = [number for number in ends if signal.getsignal(number) is not signal.SIG_IGN]  # nohup
    with handle_signals(signal.default_int_handler, *handled):
        if turns:
            _compare_in_turns(job, against_bundle, against_env, as_json=as_json)
        else:
            chosen = QUESTIONS if not questions or "all" in questions else questions
            _measure(job, chosen, output, as_json=as_json)


def _compare_in_turns(job: Job, bundle: Path | None, python: Path | None, *, as_json: bool) -> None:
    from edgesplit.runtime.bench.compare import compare_now
    from edgesplit.runtime.bench.page import to_verdicts

    with progress("in turns") as on_turn:
        comparison = compare_now(job, bundle=bundle, python=python, on_turn=on_turn)
    if as_json:
        print_json(comparison.to_json())
    else:
        echo(to_verdicts(comparison.to_json()))
    click.get_current_context().exit(SLOWER if comparison.slower else 0)


def _measure(
    job: Job, questions: tuple[BenchQuestion, ...], output: Path | None, *, as_json: bool
) -> None:
    from edgesplit.runtime.bench.page import to_table
    from edgesplit.runtime.bench.record import check_folder, run_bench, write_record

    if output is not None:
        check_new(output)
    check_folder(output)
    with steps("measuring") as on_step:
        record = run_bench(
            job, questions, on_wait=lambda question, what: on_step(f"{question}: {what}")
        )
    if as_json:  # printed first, so that the record is not lost if writing fails
        print_json(record)
    else:
        echo(to_table(record))
    folder = write_record(record, output)
    echo(f"written to {folder}: bench.json, bench.md, bench.html", err=True)


@click.command()
@bundle_options
def doctor(bundle_path: Path | None, as_json: bool) -> None:
    """Check what this device can do, and how fast.

    Print findings and recommended changes; change nothing. The exit code is 1 only if edgesplit
    cannot work on this device: ONNX Runtime is missing, or the bundle cannot be read.

    \b
    Example:
        edgesplit doctor --bundle lab.bundle
    """
    from edgesplit.runtime.device.doctor import examine

    with notes().status("testing this device"):
        checkup = examine(bundle_path)
    print_result(as_json, checkup.to_json(), show_checkup, checkup)
    click.get_current_context().exit(0 if checkup.usable else 1)
