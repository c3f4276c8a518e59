"""Fits the line behind edgesplit.confidence on the development backbones.

    python -m benchmarks.motion_split.fit

The gain of every split (0 guessing, 1 always right) is regressed on the logarithm of the spread
and on the precedent. One half's line is tried on the other half's categories, and the shipped one,
of both halves, on the test seeds.
"""

from dataclasses import dataclass

import click
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from benchmarks.motion_split.models import Trained, find_trained
from benchmarks.results import write_result
from edgesplit.confidence import INTERCEPT, PER_PRECEDENT, PER_SPREAD
from edgesplit.metrics import score_split
from edgesplit.split import split_class

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """A split, what was known before, and how it came out."""

    model: str
    half: str
    seeds: str
    category: str
    spread: float
    precedent: float
    gain: float


def cases(model: Trained) -> list[Case]:
    """Every category of a model, split by the default rule."""
    statistics = model.statistics()
    found = []
    for coarse, fine in model.categories.items():
        edit = split_class(model.head, coarse, into=fine, statistics=statistics, force=True)
        score = score_split(model.head, edit.head, coarse, model.heldout[0], model.truth(coarse))
        confidence, chance = edit.report.confidence, 1 / len(fine)
        if confidence is not None:
            gain = (score.in_group - chance) / (1 - chance)
            row = (model.directory.name, model.half, model.seeds, coarse)
            found.append(Case(*row, confidence.spread, confidence.precedent, gain))
    return found


def design(rows: list[Case]) -> Floats:
    """`(cases, 3)`: intercept, log spread, precedent."""
    return np.array([[1.0, np.log(max(row.spread, 1e-3)), row.precedent] for row in rows])


def fit(rows: list[Case]) -> Floats:
    """The three coefficients."""
    return np.asarray(np.linalg.lstsq(design(rows), [row.gain for row in rows], rcond=None)[0])


def rank_correlation(left: Floats, right: Floats) -> float:
    """Spearman's; the numbers are all different."""
    ranks = np.stack([np.argsort(np.argsort(values)) for values in (left, right)])
    matrix = np.atleast_2d(np.corrcoef(ranks))
    return float(matrix[0, 1])


def judge(coefficients: Floats, rows: list[Case]) -> float:
    """Rank correlation of expected and real gain."""
    gains = np.array([row.gain for row in rows])
    return round(rank_correlation(design(rows) @ coefficients, gains), 3)


@click.command()
def main() -> None:
    """Fit, print, and write benchmarks/results/confidence.json."""
    rows = [row for model in find_trained() for row in cases(model)]
    dev = [row for row in rows if row.seeds == "dev"]
    test = [row for row in rows if row.seeds == "test"]
    by_half = {half: [row for row in dev if row.half == half] for half in "AB"}
    shipped = np.array([INTERCEPT, PER_SPREAD, PER_PRECEDENT])
    table = Table("fitted on", "intercept", "per log spread", "per precedent", "tried on", "ranks")
    lines = []
    for fitted, coefficients, tried, on in (
        ("dev A", fit(by_half["A"]), "dev B", by_half["B"]),
        ("dev B", fit(by_half["B"]), "dev A", by_half["A"]),
        ("dev", fit(dev), "dev", dev),
        ("dev", fit(dev), "test", test),
        ("shipped", shipped, "test", test),
    ):
        if len(on) < 3:
            continue
        numbers = [round(float(value), 3) for value in coefficients]
        ranks = judge(coefficients, on)
        table.add_row(fitted, *map(str, numbers), tried, str(ranks))
        names = ("fitted_on", "coefficients", "tried_on", "n_splits", "rank_correlation")
        lines.append(dict(zip(names, (fitted, numbers, tried, len(on), ranks), strict=True)))
    Console(width=100).print(table)
    models = sorted({row.model for row in rows})
    click.echo(write_result("confidence", {"models": models, "fits": lines}))


if __name__ == "__main__":
    main()
