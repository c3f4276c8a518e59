"""Measure low-shot splits: the gain of a few labelled clips, with and without texts.

    python -m benchmarks.motion_split.shots

Splits every category of every trained backbone, gated, from 0, 1, 2, 5, 10 and 60 clips of each
subcategory, three times with different clips, starting from zero-shot rows (alignment) and from
copies of the class. 60 clips are all available clips. A logistic regression on all of them, with
its penalty chosen by cross-validation, is the full-data probe. Writes
benchmarks/results/shots.json.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.optimize import minimize
from scipy.special import log_softmax

from benchmarks.harness.figures import interval
from benchmarks.harness.low_shot import STARTS, low_shot
from benchmarks.harness.results import write_result
from benchmarks.motion_split.models import Trained, find_trained
from edgesplit._types import Float32, Float64, Int64
from edgesplit.edits.split import split_class
from edgesplit.heads.head import Head
from edgesplit.heads.metrics import score_split

N_SHOTS = (0, 1, 2, 5, 10, 60)
PROBE = "probe"
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)
N_FOLDS = 5
N_DRAWS = 3


Row = tuple[str, str, str, int, float]
"""Seeds, category, start, clips, generality."""


def rows(model: Trained) -> Iterator[Row]:
    """Measure all cells of one backbone."""
    statistics = model.statistics()
    for shot in low_shot(model, N_SHOTS, N_DRAWS):
        yield model.seeds, shot.category, shot.start, shot.n_clips, shot.score.generality
    for coarse, fine in model.categories.items():
        pools = {label: model.labelled[label] for label in fine}
        split = split_class(
            model.head, coarse, into=fine, statistics=statistics, accept_doubt=True
        ).head
        probe = generality(model, coarse, probed(split, pools))
        yield model.seeds, coarse, PROBE, max(N_SHOTS), probe


def generality(model: Trained, coarse: str, head: Head) -> float:
    """Return the generality of a split, including the recall of the class."""
    return score_split(model.head, head, coarse, model.heldout[0], model.truth(coarse)).generality


def probed(split: Head, pools: dict[str, Float32]) -> Head:
    """Replace the rows of the split by those of the probe."""
    features = np.concatenate([*pools.values()]).astype(np.float64)
    truth = np.repeat(np.arange(len(pools)), [len(pool) for pool in pools.values()])
    mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-6
    scaled = (features - mean) / scale
    folds = np.random.default_rng(0).permutation(len(scaled)) % N_FOLDS

    def right(penalty: float) -> int:
        found = 0
        for fold in range(N_FOLDS):
            inside = folds != fold
            rows = regression(scaled[inside], truth[inside], len(pools), penalty)
            found += int(np.sum(_scores(scaled[~inside], rows).argmax(axis=1) == truth[~inside]))
        return found

    rows = regression(scaled, truth, len(pools), max(PENALTIES, key=right))
    n = len(pools)  # the children are the last rows
    weight, bias = split.weight.copy(), split.bias.copy()
    weight[-n:] = rows[:, :-1] / scale
    bias[-n:] = rows[:, -1] - weight[-n:] @ mean
    return replace(split, weight=weight, bias=bias)


def regression(features: Float64, truth: Int64, n: int, penalty: float) -> Float64:
    """Return rows `(n, dim + 1)` of a logistic regression; the bias is last and has no penalty."""
    wanted = np.eye(n)[truth]

    def loss(flat: Float64) -> tuple[float, Float64]:
        rows = flat.reshape(n, -1)
        logs = log_softmax(_scores(features, rows), axis=1)
        apart = np.exp(logs) - wanted
        slope = np.column_stack([apart.T @ features, apart.sum(axis=0)]) / len(features)
        slope[:, :-1] += penalty * rows[:, :-1]
        value = -(wanted * logs).sum() / len(features) + penalty / 2 * (rows[:, :-1] ** 2).sum()
        return float(value), slope.ravel()

    start = np.zeros(n * (features.shape[1] + 1))
    return np.asarray(minimize(loss, start, jac=True, method="L-BFGS-B").x).reshape(n, -1)


def _scores(features: Float64, rows: Float64) -> Float64:
    return np.asarray(features @ rows[:, :-1].T + rows[:, -1])


def by_category(found: list[Row], start: str, n: int) -> dict[str, float]:
    """Return generality by category, as means over backbones and draws."""
    values: dict[str, list[float]] = {}
    for _, category, its_start, its_n, generality in found:
        if (its_start, its_n) == (start, n):
            values.setdefault(category, []).append(generality)
    return {category: float(np.mean(part)) for category, part in values.items()}


def summarise(found: list[Row]) -> list[dict[str, Any]]:
    """Return one line per start and number of clips; differences with 95 % bootstrap intervals."""
    lines = []
    for start in STARTS:
        for place, n in enumerate(N_SHOTS):
            if start == "copies" and not n:
                continue  # every subcategory alike: nothing to compare
            mine = by_category(found, start, n)
            line: dict[str, Any] = {
                "start": start,
                "clips": n,
                "generality": round(float(np.mean(list(mine.values()))), 4),
            }
            against = {"over_zero_shot": ("alignment", 0), "over_copies": ("copies", n)}
            if place > 1:
                against["over_fewer"] = (start, N_SHOTS[place - 1])
            for name, (other, clips) in against.items():
                if (other, clips) in ((start, n), ("copies", 0)):
                    continue
                theirs = by_category(found, other, clips)
                apart = np.array([mine[category] - theirs[category] for category in mine])
                line[name] = [round(value, 4) for value in interval(apart)]
            lines.append(line)
    probe = by_category(found, PROBE, max(N_SHOTS))
    ceiling = {"start": PROBE, "clips": max(N_SHOTS)}
    return [*lines, {**ceiling, "generality": round(float(np.mean([*probe.values()])), 4)}]


def cell(line: dict[str, Any], name: str) -> str:
    """Format a difference with its interval."""
    return "{:+.3f} [{:+.3f}, {:+.3f}]".format(*line[name]) if name in line else ""


@click.command()
def main() -> None:
    """Measure all trained backbones."""
    models = [*find_trained()]
    found = [row for model in track(models, "low-shot") for row in rows(model)]
    content = {}
    for seeds in ("dev", "test"):
        part = [row for row in found if row[0] == seeds]
        if not part:
            continue
        content[seeds] = summarise(part)
        differences = ("over_zero_shot", "over_copies", "over_fewer")
        table = Table("start", "clips each", "generality", *differences, title=f"{seeds} seeds")
        for line in content[seeds]:
            shown = (cell(line, name) for name in differences)
            table.add_row(line["start"], str(line["clips"]), f"{line['generality']:.3f}", *shown)
        Console(width=130).print(table)
    names = [model.name for model in models]
    click.echo(write_result("shots", {"models": names, "tables": content}))


if __name__ == "__main__":
    main()
