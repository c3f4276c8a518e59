"""Fits what edgesplit expects of a split, and when it asks, on the development backbones.

    python -m benchmarks.motion_split.fit

Every category is split in every wording (`wordings`). The gain of a split (0 guessing, 1 always
right) is the trust in its texts times a line in the logarithm of the spread and the precedent; the
likeness from which texts are sure is the one that leaves the smallest error. A split that is
expected to gain less than a bound wants --accept-doubt, and so, where there are no clips, is one
whose texts are trusted less than another; the bounds are those that tell splits that failed from
the others best. One half's fit is tried on the other half's categories, and what is shipped,
of both halves, on the test seeds.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median_low
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.harness.figures import rank_correlation
from benchmarks.harness.results import write_result
from benchmarks.motion_split.models import Trained, find_trained
from benchmarks.motion_split.wordings import KINDS, wordings
from edgesplit._types import Float64
from edgesplit.edits.checks import MIN_GAIN, MIN_TRUST
from edgesplit.edits.estimate import INTERCEPT, PER_PRECEDENT, PER_SPREAD
from edgesplit.edits.matching import CHANCE, SURE
from edgesplit.edits.split import split_class
from edgesplit.heads.metrics import score_split

FAILED = 0.15
"""A split that gains less has failed."""
SURES = tuple(percent / 100 for percent in range(25, 80, 5))
BOUNDS = tuple(percent / 100 for percent in range(0, 41, 2))
TRUST_BOUNDS = tuple(percent / 100 for percent in range(0, 101, 5))
TOLERANCE = 0.01


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
    """Of the expected gain."""
    trust_bound: float
    """Of the trust, without clips."""

    def trust(self, cases: Sequence[Case]) -> Float64:
        """In the texts."""
        likeness = np.array([case.likeness for case in cases])
        return np.asarray(np.clip((likeness - CHANCE) / (self.sure - CHANCE), 0, 1))

    def expect(self, cases: Sequence[Case]) -> Float64:
        """Gain."""
        return np.asarray(self.trust(cases) * (_design(cases) @ np.array(self.line)))


SHIPPED = Fit(SURE, (INTERCEPT, PER_SPREAD, PER_PRECEDENT), MIN_GAIN, MIN_TRUST)


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
                accept_doubt=True,
            )
            estimate = edit.report.estimate
            if estimate is None:
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
                    estimate.spread,
                    estimate.precedent,
                    (score.in_group - chance) / (1 - chance),
                )
            )
    return found


def _design(cases: Sequence[Case]) -> Float64:
    """`(cases, 3)`."""
    return np.array([[1.0, np.log(max(case.spread, 1e-3)), case.precedent] for case in cases])


def _gains(cases: Sequence[Case]) -> Float64:
    return np.array([case.gain for case in cases])


def fit(cases: Sequence[Case]) -> Fit:
    """The constants that suit these cases best."""
    gains = _gains(cases)

    def at(sure: float) -> Fit:
        unfitted = Fit(sure, (0, 0, 0), 0, 0)
        weighted = unfitted.trust(cases)[:, None] * _design(cases)
        line = np.round(np.linalg.lstsq(weighted, gains, rcond=None)[0], 3)
        return replace(unfitted, line=tuple(line.tolist()))

    found = min(map(at, SURES), key=lambda each: rmse(each, cases))
    return replace(
        found,
        bound=_best_bound(BOUNDS, found.expect(cases), gains),
        trust_bound=_best_bound(TRUST_BOUNDS, found.trust(cases), gains),
    )


def _best_bound(bounds: Sequence[float], values: Float64, gains: Float64) -> float:
    """The bound below which most of the failed and fewest of the others are.

    The middle one of all that are as good to `TOLERANCE`.
    """
    told_apart = {}
    for bound in bounds:
        failed, worked = _below(values, bound, gains)
        told_apart[bound] = failed - worked
    best = max(told_apart.values())
    return median_low(b for b, value in told_apart.items() if value >= best - TOLERANCE)


def rmse(constants: Fit, cases: Sequence[Case]) -> float:
    """Of the expected gain."""
    return float(np.sqrt(np.mean((constants.expect(cases) - _gains(cases)) ** 2)))


def _below(values: Float64, bound: float, gains: Float64) -> tuple[float, float]:
    """Share of the splits that failed which are below a bound, and of the others."""
    return float(np.mean(values[gains < FAILED] < bound)), float(
        np.mean(values[gains >= FAILED] < bound)
    )


def judge(constants: Fit, cases: Sequence[Case]) -> dict[str, Any]:
    """How well what is expected agrees with what happens."""
    known = [case for case in cases if case.kind == KINDS[0]]
    gains = _gains(cases)
    failed, worked = _below(constants.expect(cases), constants.bound, gains)
    failed_by_texts, worked_by_texts = _below(constants.trust(cases), constants.trust_bound, gains)
    return {
        "n_splits": len(cases),
        "rank_correlation": round(rank_correlation(constants.expect(cases), _gains(cases)), 3),
        "rank_correlation_as_known": round(
            rank_correlation(constants.expect(known), _gains(known)), 3
        ),
        "error": round(rmse(constants, cases), 3),
        "refused_of_failed": round(failed, 3),
        "refused_of_others": round(worked, 3),
        "by_texts_refused_of_failed": round(failed_by_texts, 3),
        "by_texts_refused_of_others": round(worked_by_texts, 3),
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
    table = Table("fitted on", "sure", "line", "bounds", "tried on", "ranks", "as known", "refused")
    lines = []
    for fitted, constants, tried, on in trials:
        if not on:
            continue
        verdict = judge(constants, on)
        table.add_row(
            fitted,
            f"{constants.sure:.2f}",
            " ".join(f"{value:+.2f}" for value in constants.line),
            f"{constants.bound:.2f}, {constants.trust_bound:.2f}",
            f"{tried}, {len(on)}",
            f"{verdict['rank_correlation']:.2f}",
            f"{verdict['rank_correlation_as_known']:.2f}",
            f"{verdict['refused_of_failed']:.0%} of failed, {verdict['refused_of_others']:.0%}",
        )
        lines.append({"fitted_on": fitted, **asdict(constants), "tried_on": tried, **verdict})
    console = Console(width=130)
    console.print(table)
    for line in lines[-1]["by_kind"]:
        console.print(line)
    content = {
        "models": [model.name for model in models],
        "fits": lines,
    }
    click.echo(write_result("confidence", content))


if __name__ == "__main__":
    main()
