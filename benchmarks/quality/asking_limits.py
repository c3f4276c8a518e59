"""Measure where answers help less: uneven subcategories, wrong answers, heads of another scale.

    python -m benchmarks.quality.asking_limits

Every category of every head is split from text alone and with answers about chosen clips: without a
change, with all clips of one subcategory and a sixth of the others' clips, with an eighth of the
answers wrong, and with the head's weights times 3 and times 1/3. Then the demo's "turning the
camera" is split with and without its file of answers, and scored on the clips without an answer.
Writes benchmarks/results/asking_limits.json.
"""

import csv
import json
import multiprocessing
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.harness.results import write_result
from benchmarks.harness.trained import TrainedHead
from benchmarks.quality.asking import LOSS, Cell, find_jobs
from benchmarks.real.data import AXES
from edgesplit.bundle.bundle import open_bundle
from edgesplit.bundle.videos import extract_folder
from edgesplit.demo import ASSETS, BUNDLE
from edgesplit.edits.edit import Edit
from edgesplit.edits.request import SplitRequest

RARE = 6
"""Factor by which the other subcategories are rarer."""
WRONG = 1 / 8
"""Share of wrong answers."""
PER = (1, 2)
FACTORS = (3.0, 1 / 3)
CAMERA, DIRECTIONS = "turning the camera", ("left", "right", "up", "down")


def make_uneven(cell: Cell) -> Cell:
    """Return the cell with all clips of the first subcategory, and fewer of the others."""
    others = [*cell.fine][1:]
    truth = np.array(cell.truth)
    kept = [*np.flatnonzero(~np.isin(truth, others))]
    for label in others:
        kept += [*np.flatnonzero(truth == label)[::RARE]]
    places = np.sort(kept)
    cell.features, cell.truth = cell.features[places], [cell.truth[i] for i in places]
    return cell


def make_wrong(cell: Cell) -> Cell:
    """Return the cell with wrong subcategories for some clips."""
    rng, names = np.random.default_rng(0), [*cell.fine]
    for place in np.flatnonzero(rng.random(len(cell.truth)) < WRONG):
        if cell.truth[place] in names:
            others = [name for name in names if name != cell.truth[place]]
            cell.truth[place] = others[rng.integers(len(others))]
    return cell


def scaled(model: TrainedHead, factor: float) -> TrainedHead:
    """Return the head with its logits times a factor."""
    same = type(model)(model.path)
    head = model.head
    vars(same)["head"] = replace(
        head, weight=head.weight * np.float32(factor), bias=head.bias * np.float32(factor)
    )
    return same


def _generality(cell: Cell, per: int) -> float:
    """Return the generality with `per` answers for each subcategory; 0 is text alone."""
    chosen = cell.choose(per * len(cell.fine)) if per else []
    return cell.row("", per, cell.split(chosen)[0]).generality


def _run(job: tuple[str, TrainedHead, str, int]) -> dict[str, list[float]]:
    """Return generality by way, from text alone and with one and two answers each."""
    data, model, coarse, draw = job
    cells = {
        "as it is": Cell(*job),
        "uneven": make_uneven(Cell(*job)),
        "wrong answers": make_wrong(Cell(*job)),
        **{f"weights x {f:.2g}": Cell(data, scaled(model, f), coarse, draw) for f in FACTORS},
    }
    return {name: [_generality(cell, n) for n in (0, *PER)] for name, cell in cells.items()}


def summarise(data: str, found: Sequence[dict[str, list[float]]]) -> list[dict[str, Any]]:
    """Return a line for each way on one set."""
    lines = []
    for way in found[0]:
        values = np.array([each[way] for each in found])
        below = values[:, 1:] < values[:, :1] - LOSS
        lines.append(
            {
                "data": data,
                "way": way,
                "generality": [round(float(value), 4) for value in values.mean(axis=0)],
                "below_text": [round(float(share), 3) for share in below.mean(axis=0)],
            }
        )
    return lines


def measure_demo() -> dict[str, Any]:
    """Measure the shipped clips of a turning camera, with and without the shipped answers."""
    folder = ASSETS / "camera"
    bundle, truth = open_bundle(ASSETS / BUNDLE), json.loads((folder / "truth.json").read_text())
    answers = _read_answers(folder / "answers.csv")
    clips = extract_folder(folder, bundle)
    others = [name for name in truth if name not in answers]

    def right(edit: Edit) -> int:
        said = edit.head.classify(clips.pick(others))
        return sum(label.endswith(truth[name]) for label, name in zip(said, others, strict=True))

    text = bundle.split_class(CAMERA, SplitRequest(DIRECTIONS, accept_doubt=True))
    placed = {clips.places[name]: answer for name, answer in answers.items()}
    answered = bundle.split_class(
        CAMERA, SplitRequest(DIRECTIONS, features=clips.matrix, answers=placed)
    )
    return {
        "clips": len(others),
        "answers": len(answers),
        "right_by_text": right(text),
        "right_by_answers": right(answered),
        "expected": answered.report.expected,
    }


def _read_answers(path: Path) -> dict[str, str]:
    with path.open(newline="") as file:
        _, *rows = csv.reader(file)
    return {name: answer for name, answer in rows}  # noqa: C416  # rows are lists


@click.command()
@click.option("--processes", default=2, show_default=True, help="That share the work.")
def main(processes: int) -> None:
    """Measure all trained heads, except the later ones."""
    jobs = [job for job in find_jobs() if job[3] == 0 and "later" not in job[0]]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        found = [*track(pool.imap(_run, jobs, chunksize=2), "limits", total=len(jobs))]
    sets = [*dict.fromkeys(job[0] for job in jobs)]
    lines = []
    for data in sets:
        mine = [each for job, each in zip(jobs, found, strict=True) if job[0] == data]
        lines += summarise(data, mine)
    shown = Table("data", "way", "text, 1, 2 answers", "below text", box=None)
    for line in lines:
        shown.add_row(*(str(value) for value in line.values()))
    demo = measure_demo()
    console = Console(width=120)
    console.print(shown)
    console.print(demo)
    if not {*AXES} <= {*sets}:
        click.echo("Nothing was written: some heads are missing.")
        return
    click.echo(write_result("asking_limits", {"table": lines, "demo": demo}))


if __name__ == "__main__":
    main()
