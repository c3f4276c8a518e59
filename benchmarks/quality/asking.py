"""Measure splits with answers about chosen clips, against random clips and other uses of answers.

    python -m benchmarks.quality.asking

Every category of every trained head is split from texts alone, and with one, two and three answers
for each subcategory, in four draws of nine tenths of the clips. An answer is the true label; clips
are chosen by `choose_clips`, or at random. Baselines use the chosen clips by the mean of the
answered clips, by spreading each answer to the nearest clips, and by the paper's low-shot rule. The
probe is a ridge regression on the labels of all clips. In rounds, one answer per subcategory is
given at a time, until `pays` returns False. Heads of `benchmarks.real.train --later` were trained
after the procedure was fixed. Writes benchmarks/results/asking.json and docs/asking.svg.
"""

import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.harness.figures import interval
from benchmarks.harness.results import write_result
from benchmarks.harness.trained import TrainedHead
from benchmarks.motion_split.models import Trained
from benchmarks.motion_split.models import find_trained as find_motion_split
from benchmarks.paper.low_shot import train_rows
from benchmarks.quality.asking_plot import draw
from benchmarks.real.data import AXES
from benchmarks.real.models import LATER, RealHead
from benchmarks.real.models import find_trained as find_real
from edgesplit._types import Float32, Float64
from edgesplit.edits.asking import choose_clips, pays
from edgesplit.edits.estimate import accuracy_of_gain
from edgesplit.edits.request import SplitRequest
from edgesplit.edits.split import split_class
from edgesplit.edits.whitening import Whitening, distances
from edgesplit.heads.head import Head
from edgesplit.heads.metrics import score_split

N_DRAWS = 4
PER = (1, 2, 3)
"""Answers for each subcategory."""
CHOSEN, RANDOM, MEDOID, SPREAD = "chosen clips", "random clips", "medoid", "spread"
PAPER, ROUNDS, TEXT, PROBE = "paper's low-shot", "in rounds", "text alone", "probe"
LOSS = 0.02
"""Loss of generality against the zero-shot split above which answers have harmed a split."""
SURE, WRONG = 0.9, 0.75


@dataclass(frozen=True)
class Row:
    """The result of one way to use answers about one category of one head."""

    data: str
    category: str
    n: int
    """Subcategories."""
    draw: int
    way: str
    per: float
    """Number of answers for each subcategory."""
    generality: float
    in_group: float
    separation: float | None = None


class Cell:
    """One category of one head, with the clips of one draw that answers may be about."""

    def __init__(self, data: str, model: TrainedHead, coarse: str, draw: int) -> None:
        self.data, self.model, self.coarse, self.draw = data, model, coarse, draw
        self.fine = model.categories[coarse]
        self.statistics = model.statistics()
        features, truth = _clips(model)
        kept = np.random.default_rng(draw).permutation(len(truth))[: len(truth) * 9 // 10]
        self.features, self.truth = features[kept], [truth[i] for i in kept]
        self.heldout_truth = model.truth(coarse)

    def split(self, places: Sequence[int] = ()) -> tuple[Head, float | None]:
        """Split with answers about these clips; return the head and the separation."""
        answers = {int(i): self.truth[i] if self.truth[i] in self.fine else None for i in places}
        request = SplitRequest(
            into=self.fine, features=self.features, answers=answers, accept_doubt=True
        )
        edit = split_class(self.model.head, self.coarse, request, statistics=self.statistics)
        self.report = edit.report
        shots = edit.report.shots
        return edit.head, shots.separation if shots else None

    def choose(self, n: int, places: Sequence[int] = ()) -> list[int]:
        """Return the clips to ask about next, given the answered ones."""
        answers = {int(i): self.truth[i] if self.truth[i] in self.fine else None for i in places}
        request = SplitRequest(into=self.fine, answers=answers)
        head, statistics = self.model.head, self.statistics
        chosen = choose_clips(head, self.coarse, request, self.features, n, statistics=statistics)
        return [int(place) for place in chosen]

    def row(self, way: str, per: float, head: Head, separation: float | None = None) -> Row:
        """Return the row with the score of a head."""
        features, truth = self.model.heldout[0], self.heldout_truth
        score = score_split(self.model.head, head, self.coarse, features, truth)
        found = (score.generality, score.in_group, separation)
        return Row(self.data, self.coarse, len(self.fine), self.draw, way, per, *found)


def _clips(model: TrainedHead) -> tuple[Float32, list[str]]:
    """Return the features of clips that are not held out, with their fine labels."""
    if isinstance(model, RealHead):
        features, fine = model.train
        return features, [model.fine_labels[i] for i in fine]
    assert isinstance(model, Trained)
    parts = model.labelled
    return np.concatenate([*parts.values()]), [name for name in parts for _ in parts[name]]


def measure(cell: Cell) -> Iterator[Row]:
    """Measure all ways of one cell."""
    k = len(cell.fine)
    zero_shot, _ = cell.split()
    yield cell.row(TEXT, 0, zero_shot)
    paper = paper_split(cell.model, cell.coarse)
    decided = cell.model.head.evaluate(cell.features).class_index
    mine = np.flatnonzero(decided == cell.model.head.tree.find(cell.coarse))
    rng = np.random.default_rng(cell.draw)
    for per in PER:
        chosen = cell.choose(per * k)
        yield cell.row(CHOSEN, per, *cell.split(chosen))
        some = rng.permutation(mine)[: per * k].tolist()
        yield cell.row(RANDOM, per, *cell.split(some))
        yield cell.row(MEDOID, per, plain(cell, chosen, zero_shot, spread=False))
        yield cell.row(SPREAD, per, plain(cell, chosen, zero_shot, spread=True))
        known = [i for i in chosen if cell.truth[i] in cell.fine]
        owner = np.array([[*cell.fine].index(cell.truth[i]) for i in known], np.int64)
        yield cell.row(PAPER, per, train_rows(paper, cell.features[known], owner))
    yield in_rounds(cell)
    yield cell.row(PROBE, 0, probe(cell, mine.tolist(), zero_shot))


@cache
def paper_split(model: TrainedHead, coarse: str) -> Head:
    """Return the paper's zero-shot split, which uses no clips and is the same for all draws."""
    return split_class(
        model.head,
        coarse,
        into=model.categories[coarse],
        rule="alignment-mlp",
        composition="flat",
        accept_doubt=True,
    ).head


def in_rounds(cell: Cell) -> Row:
    """Add one answer per subcategory at a time, until another does not pay."""
    k = len(cell.fine)
    asked = cell.choose(k)
    head, separation = cell.split(asked)
    while pays(cell.report):
        asked += cell.choose(k, asked)
        head, separation = cell.split(asked)
    return cell.row(ROUNDS, len(asked) / k, head, separation)


def plain(cell: Cell, places: Sequence[int], zero_shot: Head, *, spread: bool) -> Head:
    """Return rows from means of answered clips or their nearest clips; texts weigh ten clips."""
    space, points = _points(cell)
    n = len(cell.fine)
    text = space.rows_for_points(zero_shot.weight[-n:].astype(np.float64))
    names, rows, counts = [*cell.fine], 10 * text, np.full(n, 10.0)
    decided = cell.model.head.evaluate(cell.features).class_index
    mine = points[decided == cell.model.head.tree.find(cell.coarse)]
    nearest = distances(mine, points[[*places]]).argmin(axis=1)
    share = min(1.0, 12 * n / len(mine))
    for number, place in enumerate(places):
        if cell.truth[place] in cell.fine:
            row = names.index(cell.truth[place])
            votes = mine[nearest == number] if spread else points[place : place + 1]
            weight = share if spread else 1.0
            rows[row] += weight * votes.sum(axis=0)
            counts[row] += weight * len(votes)
    return _with_rows(zero_shot, space, rows / counts[:, None])


def probe(cell: Cell, places: Sequence[int], zero_shot: Head) -> Head:
    """Fit a ridge regression on the labels of all clips that the head gives to the class."""
    space, points = _points(cell)
    names = [*cell.fine]
    known = [i for i in places if cell.truth[i] in cell.fine]
    target = np.eye(len(names))[[names.index(cell.truth[i]) for i in known]]
    around = points[known] - points[known].mean(axis=0)
    square = around.T @ around + len(known) * np.eye(around.shape[1])
    rows = np.linalg.solve(square, around.T @ (target - target.mean(axis=0))).T
    return _with_rows(zero_shot, space, rows)


def _points(cell: Cell) -> tuple[Whitening, Float64]:
    column = cell.model.head.tree.find(cell.coarse)
    mean = cell.statistics.means[column].astype(np.float64)
    space = Whitening(mean, cell.statistics.covariance.astype(np.float64))
    return space, space.points(cell.features.astype(np.float64))


def _with_rows(split: Head, space: Whitening, rows: Float64) -> Head:
    n = len(rows)
    weight, bias = split.weight.copy(), split.bias.copy()
    weight[-n:] = space.rows_for_features(rows)
    bias[-n:] = -weight[-n:] @ space.mean
    return replace(split, weight=weight, bias=bias)


def fit_separation(rows: Sequence[Row]) -> tuple[float, float]:
    """Fit the line from separation to gain, over answered splits, with equal weight per set."""
    sets = [row.data for row in rows]
    weight = np.sqrt([1 / sets.count(name) for name in sets])[:, None]
    separation = np.array([row.separation for row in rows], np.float64)
    design = np.column_stack([np.ones(len(rows)), separation])
    gains = np.array([(row.in_group - 1 / row.n) / (1 - 1 / row.n) for row in rows])[:, None]
    line = np.linalg.lstsq(design * weight, gains * weight, rcond=None)[0].ravel()
    return float(round(line[0], 2)), float(round(line[1], 2))


def judge(rows: Sequence[Row], line: tuple[float, float]) -> dict[str, Any]:
    """Return the error of the expectation, by number of answers for each subcategory."""
    content: dict[str, Any] = {"line": list(line)}
    for per in PER:
        mine = [row for row in rows if row.per == per]
        claimed = np.array(
            [accuracy_of_gain(line[0] + line[1] * (row.separation or 0), row.n) for row in mine]
        )
        real = np.array([row.in_group for row in mine])
        content[str(per)] = {
            "error": round(float(np.abs(claimed - real).mean()), 3),
            "claimed": round(float(claimed.mean()), 3),
            "came_out": round(float(real.mean()), 3),
            "sure": round(float(np.mean(claimed >= SURE)), 3),
            "sure_and_wrong": round(float(np.mean((claimed >= SURE) & (real < WRONG))), 3),
        }
    return content


def expectations(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the fit on all sets except the later heads, and each set under the fit of the others.

    Both parts of Motion-Split are left out together, and so are the later heads of a set.
    """
    told = [row for row in rows if row.way == CHOSEN and row.separation is not None]
    family = {row.data: row.data.split(",")[0] for row in told}
    first = [row for row in told if "later" not in row.data]
    content = {"all sets": {"line": list(fit_separation(first))}}
    for name in dict.fromkeys(family.values()):
        without = fit_separation([row for row in first if family[row.data] != name])
        for data in dict.fromkeys(row.data for row in told if family[row.data] == name):
            content[data] = judge([row for row in told if row.data == data], without)
    return content


def table(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return a line per set and way: means over categories, and the number below text alone."""
    text = {
        (row.data, row.category, row.draw, i): row.generality
        for row, i in _numbered(rows)
        if row.way == TEXT
    }
    found: dict[tuple[str, str, float], list[tuple[Row, int]]] = {}
    for row, i in _numbered(rows):
        per = row.per if row.way != ROUNDS else -1.0
        found.setdefault((row.data, row.way, per), []).append((row, i))
    lines = []
    for (data, way, per), part in found.items():
        means: dict[str, list[float]] = {}
        for row, _ in part:
            means.setdefault(row.category, []).append(row.generality)
        mean, low, high = interval(np.array([np.mean(values) for values in means.values()]))
        below = [
            row.generality < text[row.data, row.category, row.draw, i] - LOSS for row, i in part
        ]
        lines.append(
            {
                "data": data,
                "way": way,
                "per": round(float(np.mean([row.per for row, _ in part])), 2) if per < 0 else per,
                "splits": len(part),
                "generality": round(float(np.mean([row.generality for row, _ in part])), 4),
                "interval": [round(low - mean, 4), round(high - mean, 4)],
                "below_text": round(float(np.mean(below)), 3),
            }
        )
    return lines


def _numbered(rows: Sequence[Row]) -> Iterator[tuple[Row, int]]:
    """Yield rows with the number of their head among those of the category and draw."""
    seen: dict[tuple[str, str, int], int] = {}
    for row in rows:
        key = (row.data, row.category, row.draw)
        if row.way == TEXT:  # the first way of each cell
            seen[key] = seen.get(key, -1) + 1
        yield row, seen[key]


def _run(job: tuple[str, TrainedHead, str, int]) -> list[Row]:
    return [*measure(Cell(*job))]


def find_jobs() -> list[tuple[str, TrainedHead, str, int]]:
    """Return every category of every head, in every draw."""
    heads: list[tuple[str, TrainedHead]] = []
    for model in find_motion_split():
        heads.append((f"Motion-Split, {model.seeds} seeds", model))
    for axis in AXES:
        heads += [(axis, head) for head in find_real(axis)]
        heads += [(f"{axis}, later heads", head) for head in find_real(axis, folder=LATER)]
    return [
        (data, head, coarse, draw)
        for data, head in heads
        for coarse in head.categories
        for draw in range(N_DRAWS)
    ]


def show(lines: Sequence[dict[str, Any]]) -> Table:
    """Return a table to print."""
    shown = Table("data", "way", "answers each", "generality", "below text alone", box=None)
    for line in lines:
        shown.add_row(
            line["data"],
            line["way"],
            f"{line['per']:g}",
            f"{line['generality']:.3f}",
            f"{line['below_text']:.0%}",
        )
    return shown


@click.command()
@click.option("--processes", default=2, show_default=True, help="That share the work.")
def main(processes: int) -> None:
    """Measure all trained heads."""
    jobs = find_jobs()
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        found = [*track(pool.imap(_run, jobs, chunksize=4), "asking", total=len(jobs))]
    rows = [row for part in found for row in part]
    lines, told = table(rows), expectations(rows)
    console = Console(width=120)
    console.print(show(lines))
    for name, line in told.items():
        console.print(name, line)
    sets = {line["data"] for line in lines}
    missing = [axis for axis in AXES if not {axis, f"{axis}, later heads"} <= sets]
    if missing:
        console.print(f"Nothing was written: some heads of {', '.join(missing)} are missing.")
        return
    click.echo(write_result("asking", {"table": lines, "expected": told}))
    click.echo(draw(lines))


if __name__ == "__main__":
    main()
