"""Fit the expected gain of a split and the bounds for --accept-doubt; test them on left-out data.

    python -m benchmarks.quality.expectation

Every category of Motion-Split's development backbones is split in every wording (`wordings`), and
every category of the real sets (`benchmarks.real`) in its own words. The gain of a split is 0 for
chance and 1 for always right; clips that the head does not find count as wrong. The expected gain
is the trust in the texts times a linear function of the logarithm of the spread, the separation and
the precedent. The similarity from which texts count as sure is the one with the smallest error.
Each set has equal weight. A split needs --accept-doubt if its expected gain is below a bound, or,
without clips, if the trust in its texts is below another bound. The bounds are those that best
distinguish failed splits from the others. Claims are based on sets that were not used for the fit:
each set under the fit of the others, and the test seeds of Motion-Split.
"""

from collections.abc import Iterator, Sequence
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
from benchmarks.harness.trained import TrainedHead
from benchmarks.motion_split.models import find_trained as find_motion_split
from benchmarks.motion_split.wordings import KINDS, with_labels, wordings
from benchmarks.real.data import AXES
from benchmarks.real.models import find_trained as find_real
from edgesplit._types import Float64
from edgesplit.edits.checks import MIN_GAIN, MIN_TRUST
from edgesplit.edits.estimate import (
    INTERCEPT,
    PER_PRECEDENT,
    PER_SEPARATION,
    PER_SPREAD,
    accuracy_of_gain,
)
from edgesplit.edits.matching import CHANCE, SURE
from edgesplit.edits.split import split_class
from edgesplit.heads.metrics import score_split

FAILED = 0.15
"""Gain below which a split has failed."""
SURES = tuple(percent / 100 for percent in range(25, 80, 5))
BOUNDS = tuple(percent / 100 for percent in range(0, 41, 2))
TRUST_BOUNDS = tuple(percent / 100 for percent in range(0, 101, 5))
TOLERANCE = 0.01
CLAIM, MISS = 0.8, 0.5
"""A split with an expected accuracy of `CLAIM` or more should not end below `MISS`."""
N_RESAMPLES = 2000
MADE = "Motion-Split"


@dataclass(frozen=True)
class Case:
    """A split, its measurements before the split, and its result."""

    data: str
    """Name of the set."""
    model: str
    category: str
    n: int
    """Number of subcategories."""
    kind: str
    """Kind of the wording, one of `KINDS`."""
    likeness: float
    known: bool
    """True if the edit had an expectation; otherwise the next three are 0."""
    spread: float
    separation: float
    precedent: float
    gain: float


@dataclass(frozen=True)
class Fit:
    """The constants of the product."""

    sure: float
    line: tuple[float, float, float, float]
    """Intercept, and slopes by logarithm of the spread, separation and precedent."""
    bound: float
    """Bound of the expected gain."""
    trust_bound: float
    """Bound of the trust, without clips."""

    def trust(self, cases: Sequence[Case]) -> Float64:
        """Return the trust in the texts."""
        likeness = np.array([case.likeness for case in cases])
        return np.asarray(np.clip((likeness - CHANCE) / (self.sure - CHANCE), 0, 1))

    def expect(self, cases: Sequence[Case]) -> Float64:
        """Return the expected gain."""
        return np.asarray(self.trust(cases) * (_design(cases) @ np.array(self.line)))


SHIPPED = Fit(SURE, (INTERCEPT, PER_SPREAD, PER_SEPARATION, PER_PRECEDENT), MIN_GAIN, MIN_TRUST)


def find_cases(data: str, model: TrainedHead, kinds: Sequence[str]) -> Iterator[Case]:
    """Split every category of a model in every wording of these kinds by the default rule."""
    statistics = model.statistics()
    for coarse, fine in model.categories.items():
        truth, chance = model.truth(coarse), 1 / len(fine)
        for kind, texts in wordings([*fine.values()], kinds):
            said = [*fine] if kind == KINDS[0] else [f"{coarse} {text}" for text in texts]
            edit = split_class(
                model.head,
                coarse,
                into=dict(zip(said, texts, strict=True)),
                statistics=statistics,
                accept_doubt=True,
            )
            named = with_labels(edit.head, dict(zip(said, fine, strict=True)))
            score = score_split(model.head, named, coarse, model.heldout[0], truth)
            estimate = edit.report.estimate
            yield Case(
                data,
                model.name,
                coarse,
                len(fine),
                kind,
                float(np.nan_to_num(edit.report.likeness)),
                estimate is not None,
                estimate.spread if estimate else 1.0,
                estimate.separation if estimate else 0.0,
                estimate.precedent if estimate else 0.0,
                (score.generality - chance) / (1 - chance),
            )


def _design(cases: Sequence[Case]) -> Float64:
    """Return the design matrix `(cases, 4)`; rows without an expectation are zeros."""
    rows = [
        [1.0, np.log(max(case.spread, 1e-3)), case.separation, case.precedent]
        if case.known
        else [0.0] * 4
        for case in cases
    ]
    return np.array(rows)


def _gains(cases: Sequence[Case]) -> Float64:
    return np.array([case.gain for case in cases])


def _weights(cases: Sequence[Case]) -> Float64:
    """Return weights of the cases, so that each set has the same sum."""
    names, places = np.unique([case.data for case in cases], return_inverse=True)
    return np.asarray(1 / (len(names) * np.bincount(places)[places]))


def fit(cases: Sequence[Case]) -> Fit:
    """Fit the constants to these cases."""
    gains, roots = _gains(cases), np.sqrt(_weights(cases))

    def at(sure: float) -> Fit:
        unfitted = Fit(sure, (0, 0, 0, 0), 0, 0)
        weighted = (unfitted.trust(cases) * roots)[:, None] * _design(cases)
        line = np.round(np.linalg.lstsq(weighted, gains * roots, rcond=None)[0], 3)
        return replace(unfitted, line=tuple(line.tolist()))

    worded = any(case.kind != KINDS[0] for case in cases)  # else nothing tells which is sure
    found = min(map(at, SURES if worded else [SURE]), key=lambda each: rmse(each, cases))
    return replace(
        found,
        # The strictest of equally good bounds, since a split that is refused costs two answers;
        # without clips it costs more.
        bound=max(_best_bounds(BOUNDS, found.expect(cases), gains)),
        trust_bound=median_low(_best_bounds(TRUST_BOUNDS, found.trust(cases), gains)),
    )


def _best_bounds(bounds: Sequence[float], values: Float64, gains: Float64) -> list[float]:
    """Return the bounds that best distinguish failed splits from the others, to `TOLERANCE`."""
    told_apart = {}
    for bound in bounds:
        failed, worked = _below(values, bound, gains)
        told_apart[bound] = failed - worked
    best = max(told_apart.values())
    return [b for b, value in told_apart.items() if value >= best - TOLERANCE]


def rmse(constants: Fit, cases: Sequence[Case]) -> float:
    """Return the error of the expected gain, with equal weight per set."""
    errors = (constants.expect(cases) - _gains(cases)) ** 2
    return float(np.sqrt(_weights(cases) @ errors))


def _below(values: Float64, bound: float, gains: Float64) -> tuple[float, float]:
    """Return the shares of the failed splits and of the others that are below a bound."""
    return float(np.mean(values[gains < FAILED] < bound)), float(
        np.mean(values[gains >= FAILED] < bound)
    )


def judge(constants: Fit, cases: Sequence[Case]) -> dict[str, Any]:
    """Compare expected and real gains."""
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


@dataclass(frozen=True)
class LeftOut:
    """Splits in known words, with the gain expected by a fit without their set."""

    cases: Sequence[Case]
    gains: Float64

    def verdict(self) -> dict[str, Any]:
        """Return the errors of the expectation on the left-out set."""
        known = np.array([case.known for case in self.cases])
        cases = [case for case in self.cases if case.known]
        expected, real = self.gains[known], _gains(cases)
        chance = np.array([1 / case.n for case in cases])
        claimed = np.array(
            [accuracy_of_gain(float(g), c.n) for g, c in zip(expected, cases, strict=True)]
        )
        accuracy = chance + (1 - chance) * real
        sure = claimed >= CLAIM
        return {
            "n_splits": len(self.cases),
            "told": round(float(known.mean()), 3),
            "rank_correlation": round(rank_correlation(expected, real), 3),
            "interval": _interval(cases, expected, real),
            "error": round(float(np.abs(claimed - accuracy).mean()), 3),
            "claimed": round(float(claimed.mean()), 3),
            "came_out": round(float(accuracy.mean()), 3),
            "sure": int(sure.sum()),
            "sure_and_wrong": int(np.sum(accuracy[sure] < MISS)),
        }


def _interval(cases: Sequence[Case], expected: Float64, real: Float64) -> list[float]:
    """Return the 95 % bootstrap interval of the rank correlation, over resampled categories."""
    names = np.array([f"{case.data}/{case.category}" for case in cases])
    places = [np.flatnonzero(names == name) for name in np.unique(names)]
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(N_RESAMPLES):
        chosen = np.concatenate([places[i] for i in rng.integers(len(places), size=len(places))])
        drawn.append(rank_correlation(expected[chosen], real[chosen]))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return [round(float(low), 3), round(float(high), 3)]


def leave_out(cases: Sequence[Case]) -> dict[str, Any]:
    """Evaluate each set under the fit of the others, and all sets together."""
    lines: dict[str, Any] = {}
    parts: list[LeftOut] = []
    for name in dict.fromkeys(case.data for case in cases):
        without = fit([case for case in cases if case.data != name])
        mine = [case for case in cases if case.data == name and case.kind == KINDS[0]]
        parts.append(LeftOut(mine, without.expect(mine)))
        lines[name] = {"fit": asdict(without), **parts[-1].verdict()}
    together = [case for part in parts for case in part.cases]
    lines["all"] = LeftOut(together, np.concatenate([part.gains for part in parts])).verdict()
    return lines


def print_left_out(console: Console, lines: dict[str, Any]) -> None:
    """Print a line for each set."""
    names = ["n_splits", "told", "rank_correlation", "interval", "error", "claimed", "came_out"]
    names += ["sure", "sure_and_wrong"]
    table = Table("left out", *(name.replace("_", " ") for name in names), box=None)
    for data, line in lines.items():
        table.add_row(data, *(str(line[name]) for name in names))
    console.print(table)


@click.command()
def main() -> None:
    """Fit, print, and write benchmarks/results/confidence.json."""
    made = [*find_motion_split()]
    real = {axis: [*find_real(axis)] for axis in AXES}
    jobs: list[tuple[str, TrainedHead, Sequence[str]]] = []
    jobs += [(MADE, model, KINDS) for model in made if model.seeds == "dev"]
    jobs += [(axis, model, KINDS[:1]) for axis, models in real.items() for model in models]
    cases = [case for job in track(jobs, "splitting") for case in find_cases(*job)]
    test_models = [model for model in made if model.seeds == "test"]
    test = [case for model in track(test_models, "test") for case in find_cases(MADE, model, KINDS)]
    console = Console(width=150)
    left_out = leave_out(cases)
    known = [case for case in test if case.kind == KINDS[0]]
    left_out[f"{MADE}, test seeds"] = LeftOut(known, SHIPPED.expect(known)).verdict()
    print_left_out(console, left_out)
    fits = []
    for fitted, constants, tried, on in (
        ("all sets", fit(cases), "all sets", cases),
        ("shipped", SHIPPED, "all sets", cases),
        ("shipped", SHIPPED, "test", test),
    ):
        fits.append({"fitted_on": fitted, **asdict(constants), "tried_on": tried})
        fits[-1] |= judge(constants, on)
        console.print(fits[-1])
    missing = [axis for axis, models in real.items() if not models]
    if missing:
        console.print(f"Nothing was written: heads of {', '.join(missing)} are missing.")
        return
    models = [model.name for _, model, _ in jobs]
    click.echo(write_result("confidence", {"models": models, "left_out": left_out, "fits": fits}))


if __name__ == "__main__":
    main()
