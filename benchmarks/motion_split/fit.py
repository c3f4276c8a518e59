"""Fits what edgesplit expects of a split, and when it asks, on the development backbones.

    python -m benchmarks.motion_split.fit

Every category is split in every wording (`wordings`). The gain of a split (0 guessing, 1 always
right) is the trust in its texts times a line in the logarithm of the spread and the precedent; the
likeness from which texts are sure is the one that leaves the smallest error. A split that is
expected to gain less than a bound wants --force; the bound is the one that tells those that failed
from the others best. One half's fit is tried on the other half's categories, and what is shipped,
of both halves, on the test seeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.motion_split.models import Trained, find_trained
from benchmarks.motion_split.wordings import KINDS, wordings
from benchmarks.results import write_result
from edgesplit.confidence import INTERCEPT, PER_PRECEDENT, PER_SPREAD
from edgesplit.doubts import MIN_GAIN, TYPICAL_GAIN
from edgesplit.metrics import score_split
from edgesplit.sources import CHANCE, SURE
from edgesplit.split import split_class

FAILED = 0.15
"""A split that gains less has failed."""
SURES = tuple(percent / 100 for percent in range(25, 80, 5))
BOUNDS = tuple(percent / 100 for percent in range(0, 41, 2))

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """A split, what was known before, and how it came out."""

    model: str
    half: str
    seeds: str
    category: str
    kind: str
    """Of the wording, one of `KINDS`."""
    likeness: float
    spread: float
    precedent: float
    gain: float


@dataclass(frozen=True)
class Fit:
    """The constants that the product has."""

    sure: float
    line: tuple[float, float, float]
    """Intercept, per logarithm of the spread, per precedent."""
    bound: float

    def by_clips(self, cases: Sequence[Case]) -> Floats:
        """Gain if the texts could be trusted."""
        return np.asarray(_design(cases) @ np.array(self.line))

    def expect(self, cases: Sequence[Case]) -> Floats:
        """Gain."""
        return _trust(cases, self.sure) * self.by_clips(cases)


SHIPPED = Fit(SURE, (INTERCEPT, PER_SPREAD, PER_PRECEDENT), MIN_GAIN)


def find_cases(model: Trained) -> list[Case]:
    """Every category of a model in every wording, split by the default rule."""
    statistics = model.statistics()
    found = []
    for coarse, fine in model.categories.items():
        truth, chance = model.truth(coarse), 1 / len(fine)
        for kind, texts in wordings([*fine.values()]):
            edit = split_class(
                model.head,
                coarse,
                into=dict(zip(fine, texts, strict=True)),
                statistics=statistics,
                force=True,
            )
            confidence = edit.report.confidence
            if confidence is None:
                continue
            score = score_split(model.head, edit.head, coarse, model.heldout[0], truth)
            found.append(
                Case(
                    model.name,
                    model.half,
                    model.seeds,
                    coarse,
                    kind,
                    float(np.nan_to_num(edit.report.likeness)),
                    confidence.spread,
                    confidence.precedent,
                    (score.in_group - chance) / (1 - chance),
                )
            )
    return found


def _design(cases: Sequence[Case]) -> Floats:
    """`(cases, 3)`."""
    return np.array([[1.0, np.log(max(case.spread, 1e-3)), case.precedent] for case in cases])


def _trust(cases: Sequence[Case], sure: float) -> Floats:
    likeness = np.array([case.likeness for case in cases])
    return np.asarray(np.clip((likeness - CHANCE) / (sure - CHANCE), 0, 1))


def _gains(cases: Sequence[Case]) -> Floats:
    return np.array([case.gain for case in cases])


def fit(cases: Sequence[Case]) -> Fit:
    """The constants that suit these cases best."""
    gains = _gains(cases)

    def line(sure: float) -> Floats:
        weighted = _trust(cases, sure)[:, None] * _design(cases)
        return np.asarray(np.linalg.lstsq(weighted, gains, rcond=None)[0])

    def error(sure: float) -> float:
        return rmse(Fit(sure, tuple(line(sure)), 0.0), cases)

    sure = min(SURES, key=error)
    found = Fit(sure, tuple(np.round(line(sure), 3).tolist()), 0.0)

    def told_apart(bound: float) -> float:
        failed, worked = refused(Fit(found.sure, found.line, bound), cases)
        return round(failed - worked, 9)

    return Fit(found.sure, found.line, max(BOUNDS, key=told_apart))


def rmse(constants: Fit, cases: Sequence[Case]) -> float:
    """Of the expected gain."""
    return float(np.sqrt(np.mean((constants.expect(cases) - _gains(cases)) ** 2)))


def refused(constants: Fit, cases: Sequence[Case]) -> tuple[float, float]:
    """Share of the splits that failed which want --force, and of the others."""
    failed, asks = _gains(cases) < FAILED, constants.expect(cases) < constants.bound
    return float(np.mean(asks[failed])), float(np.mean(asks[~failed]))


def rank_correlation(left: Floats, right: Floats) -> float:
    """Spearman's; the numbers are all different, nearly."""
    ranks = np.stack([np.argsort(np.argsort(values)) for values in (left, right)])
    matrix = np.atleast_2d(np.corrcoef(ranks))
    return float(matrix[0, 1])


def judge(constants: Fit, cases: Sequence[Case]) -> dict[str, Any]:
    """How well what is expected agrees with what happens."""
    known = [case for case in cases if case.kind == KINDS[0]]
    failed, worked = refused(constants, cases)
    return {
        "n_splits": len(cases),
        "rank_correlation": round(rank_correlation(constants.expect(cases), _gains(cases)), 3),
        "rank_correlation_as_known": round(
            rank_correlation(constants.expect(known), _gains(known)), 3
        ),
        "error": round(rmse(constants, cases), 3),
        "refused_of_failed": round(failed, 3),
        "refused_of_others": round(worked, 3),
        "by_kind": [_of_kind(constants, cases, kind) for kind in KINDS],
    }


def _of_kind(constants: Fit, cases: Sequence[Case], kind: str) -> dict[str, Any]:
    mine = [case for case in cases if case.kind == kind]
    asks, failed = constants.expect(mine) < constants.bound, _gains(mine) < FAILED
    return {
        "kind": kind,
        "n_splits": len(mine),
        "gain": round(float(_gains(mine).mean()), 3),
        "failed": int(failed.sum()),
        "failed_and_refused": int(np.sum(failed & asks)),
        "refused": int(asks.sum()),
    }


@click.command()
def main() -> None:
    """Fit, print, and write benchmarks/results/confidence.json."""
    models = [*find_trained()]
    cases = [case for model in track(models, "splitting") for case in find_cases(model)]
    dev = [case for case in cases if case.seeds == "dev"]
    test = [case for case in cases if case.seeds == "test"]
    by_half = {half: [case for case in dev if case.half == half] for half in "AB"}
    trials = (
        ("dev A", fit(by_half["A"]), "dev B", by_half["B"]),
        ("dev B", fit(by_half["B"]), "dev A", by_half["A"]),
        ("dev", fit(dev), "dev", dev),
        ("shipped", SHIPPED, "dev", dev),
        ("shipped", SHIPPED, "test", test),
    )
    table = Table("fitted on", "sure", "line", "bound", "tried on", "ranks", "as known", "refused")
    lines = []
    for fitted, constants, tried, on in trials:
        if not on:
            continue
        verdict = judge(constants, on)
        table.add_row(
            fitted,
            f"{constants.sure:.2f}",
            " ".join(f"{value:+.2f}" for value in constants.line),
            f"{constants.bound:.2f}",
            f"{tried}, {len(on)}",
            f"{verdict['rank_correlation']:.2f}",
            f"{verdict['rank_correlation_as_known']:.2f}",
            f"{verdict['refused_of_failed']:.0%} of failed, {verdict['refused_of_others']:.0%}",
        )
        about = {"sure": constants.sure, "line": constants.line, "bound": constants.bound}
        lines.append({"fitted_on": fitted, **about, "tried_on": tried, **verdict})
    console = Console(width=130)
    console.print(table)
    known = [case for case in dev if case.kind == KINDS[0]]
    typical = round(float(fit(dev).by_clips(known).mean()), 3)
    console.print(f"typical gain by clips {typical}, shipped {TYPICAL_GAIN}")
    for line in lines[-1]["by_kind"]:
        console.print(line)
    content = {
        "models": [model.name for model in models],
        "typical_gain": typical,
        "fits": lines,
    }
    click.echo(write_result("confidence", content))


if __name__ == "__main__":
    main()
