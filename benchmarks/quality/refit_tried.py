"""Measure the value of the fit to the class's clips, of the votes, and of their constants.

    python -m benchmarks.quality.refit_tried

Every category of every head is split from text alone and with two answers for each subcategory,
once for each changed constant. Writes benchmarks/results/refit_tried.json.
"""

import multiprocessing
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import click
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.harness.results import write_result
from benchmarks.harness.trained import TrainedHead
from benchmarks.quality.asking import Cell, find_jobs
from benchmarks.real.data import AXES
from edgesplit.edits import answers, refit

Changes = dict[str, Any]
"""Values of constants by name; the constants are in `refit` or in `answers`."""
VARIANTS: dict[str, Changes] = {
    "as shipped": {},
    "no fit to the class's clips": {"N_ROUNDS": 0},
    "fitted once": {"N_ROUNDS": 1},
    "fitted six times": {"N_ROUNDS": 6},
    "start worth 30 clips": {"PULL": 30.0},
    "start worth 300 clips": {"PULL": 300.0},
    "half as sharp": {"SHARPNESS": 1.5},
    "twice as sharp": {"SHARPNESS": 6.0},
    "an answer worth 1 clip": {"LABELLED": 1.0},
    "an answer worth 20 clips": {"LABELLED": 20.0},
    "a clip votes for itself": {"LEAST_NEAR": 1, "MOST_NEAR": 1},
    "neighbourhoods of a sixteenth": {"NEAR_SHARE": 16},
    "neighbourhoods of a quarter": {"NEAR_SHARE": 4, "MOST_NEAR": 40},
    "text always worth 3 clips": {"MORE_PULL": 0.0},
    "text always worth 10 clips": {"LEAST_PULL": 10.0, "MORE_PULL": 0.0},
    "text always worth 30 clips": {"LEAST_PULL": 30.0, "MORE_PULL": 0.0},
}
PER = 2


def _run(job: tuple[str, TrainedHead, str, int]) -> list[tuple[str, float, float]]:
    """Return (variant, generality from text, generality with answers) of one cell."""
    cell = Cell(*job)
    chosen = cell.choose(PER * len(cell.fine))
    found = []
    for name, changes in VARIANTS.items():
        with ExitStack() as stack:
            for constant, value in changes.items():
                home = refit if hasattr(refit, constant) else answers
                stack.enter_context(patch.object(home, constant, value))
            text = cell.row("", 0, cell.split()[0]).generality
            answered = cell.row("", PER, cell.split(chosen)[0]).generality
        found.append((name, text, answered))
    return found


@click.command()
@click.option("--processes", default=2, show_default=True, help="That share the work.")
def main(processes: int) -> None:
    """Measure all trained heads, except the later ones."""
    jobs = [job for job in find_jobs() if job[3] == 0 and "later" not in job[0]]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        found = [*track(pool.imap(_run, jobs, chunksize=2), "fitting", total=len(jobs))]
    sets = [*dict.fromkeys(job[0] for job in jobs)]
    lines = []
    for place, name in enumerate(VARIANTS):
        line: dict[str, Any] = {"variant": name}
        for data in sets:
            values = [
                rows[place][1:] for job, rows in zip(jobs, found, strict=True) if job[0] == data
            ]
            line[data] = [round(float(value), 4) for value in np.mean(values, axis=0)]
        lines.append(line)
    shown = Table("variant", *sets, title="text alone, two answers each", box=None)
    for line in lines:
        shown.add_row(line["variant"], *("{:.3f} {:.3f}".format(*line[data]) for data in sets))
    Console(width=150).print(shown)
    if not {*AXES} <= {*sets}:
        click.echo("Nothing was written: some heads are missing.")
        return
    click.echo(write_result("refit_tried", {"answers_each": PER, "variants": lines}))


if __name__ == "__main__":
    main()
