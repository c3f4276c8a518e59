"""Measure alternatives of the default rule and of its expectation that did not help.

    python -m benchmarks.quality.tried

Every category of the real sets and of Motion-Split's development backbones is split by variants of
`alignment`: other weights of the labels' rows, other penalties, other mixtures of modifier and
label text; on SHREC'17 also with only the groups of the other axis. Then the line of the expected
gain gets one more measurement at a time, and each set is evaluated under the fit of the others.
Writes benchmarks/results/tried.json.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.harness.figures import rank_correlation
from benchmarks.harness.trained import TrainedHead
from benchmarks.motion_split.models import find_trained as find_motion_split
from benchmarks.real.grid import write_if_whole
from benchmarks.real.models import RealHead
from benchmarks.real.models import find_trained as find_real
from edgesplit._types import Float64
from edgesplit.edits.estimate import estimate_accuracy, find_gains
from edgesplit.edits.groups import Taxonomy
from edgesplit.edits.problem import SplitProblem, pose_problem
from edgesplit.edits.request import SplitRequest
from edgesplit.edits.rules.alignment import alignment
from edgesplit.edits.rules.base import Rule, Transfer, TransferProblem
from edgesplit.edits.split import split_class
from edgesplit.edits.tokens import parse_label
from edgesplit.edits.transfer import ZeroShot, transfer_rows
from edgesplit.edits.vocabulary import meaning
from edgesplit.heads.metrics import score_split
from edgesplit.heads.statistics import Statistics

MADE = "Motion-Split, development seeds"
AS_SHIPPED = "as shipped"
N_DIRECTIONS = 3
"""Number of principal directions of a class's clips."""

# The rule


def variant(*, weight: float = 1.0, ridge: float = 0.1, of_label: float = 0.5) -> Rule:
    """Return `alignment` with other constants; rows keep their length, so gated answers stay.

    Args:
        weight: weight of the labels' rows; the modifier vectors have weight 1.
        ridge: the penalty.
        of_label: share of the label's text in the request, from 0 to 1.
    """

    def rule(problem: TransferProblem) -> Transfer:
        texts, rows = problem.lessons
        n_known, n_wanted = len(problem.vectors), len(problem.wanted.modifiers)
        weights = np.where(np.arange(len(texts)) < n_known, 1.0, weight)[:, None]
        square = texts.T @ (weights * texts) + ridge * np.eye(texts.shape[1])
        learned = np.linalg.solve(square, texts.T @ (weights * rows))
        wanted = problem.wanted
        asked = (1 - of_label) * wanted.centred + of_label * wanted.centred_labels
        asked /= np.maximum(np.linalg.norm(asked, axis=1, keepdims=True), 1e-6)
        nothing = np.zeros((n_wanted, n_known))
        return Transfer(rows=asked @ learned, weights=nothing, similarities=nothing)

    return rule


RULES: dict[str, Rule] = {
    AS_SHIPPED: alignment,
    **{f"labels' rows weigh {weight:g}": variant(weight=weight) for weight in (0, 0.3, 3, 10)},
    **{f"ridge {ridge:g}": variant(ridge=ridge) for ridge in (0.01, 0.03, 0.3, 1)},
    **{f"asked by label: {part:.0%}": variant(of_label=part) for part in (0, 0.25, 0.75, 1)},
}

Job = tuple[str, TrainedHead, Statistics, str, Taxonomy | None]
"""Set, head, its clips' statistics, category, and a taxonomy that replaces the labels' groups."""


def find_jobs(*, other_axis: bool) -> Iterator[Job]:
    """Yield every category of every head."""
    models: list[TrainedHead] = [*find_real()]
    models += [model for model in find_motion_split() if model.seeds == "dev"]
    for model in models:
        data = model.axis if isinstance(model, RealHead) else MADE
        other = model.other_taxonomy() if other_axis and isinstance(model, RealHead) else None
        statistics = model.statistics()
        for coarse in model.categories:
            yield data, model, statistics, coarse, None
            if other is not None:
                yield f"{data}, other axis", model, statistics, coarse, other


def try_rules() -> list[dict[str, Any]]:
    """Return a line for each variant: accuracy in the group, mean over the splits of each set."""
    found: dict[tuple[str, str], list[float]] = {}
    for data, model, statistics, coarse, taxonomy in track([*find_jobs(other_axis=True)], "rules"):
        truth = model.truth(coarse)
        for name, rule in RULES.items():
            edit = split_class(
                model.head,
                coarse,
                into=model.categories[coarse],
                rule=rule,
                statistics=statistics,
                taxonomy=taxonomy,
                accept_doubt=True,
            )
            score = score_split(model.head, edit.head, coarse, model.heldout[0], truth)
            found.setdefault((name, data), []).append(score.in_group)
    sets = dict.fromkeys(data for _, data in found)
    return [
        {"variant": name, **{d: round(float(np.mean(found[name, d])), 3) for d in sets}}
        for name in RULES
    ]


# What is expected


def agreement(problem: SplitProblem, zero_shot: ZeroShot) -> float:
    """Return the mean cosine between modifier vectors of one word in two groups of the axis."""
    if zero_shot.choice.axis is None:
        return 0.0
    starts = np.cumsum([0, *(len(group.members) for group in problem.groups)])
    by_word: dict[Any, list[Float64]] = {}
    for g in zero_shot.choice.axis.groups:
        for m, member in enumerate(problem.groups[g].members):
            vector = zero_shot.problem.vectors[starts[g] + m]
            unit = vector / max(float(np.linalg.norm(vector)), 1e-12)
            by_word.setdefault(meaning(parse_label(member.modifier).stems), []).append(unit)
    cosines = [float(a @ b) for each in by_word.values() for a, b in combinations(each, 2)]
    return float(np.mean(cosines)) if cosines else 0.0


def number_of_groups(problem: SplitProblem, zero_shot: ZeroShot) -> float:
    """Return the logarithm of the number of groups of the axis."""
    axis = zero_shot.choice.axis
    return float(np.log(len(axis.groups))) if axis else 0.0


def length(problem: SplitProblem, zero_shot: ZeroShot) -> float:
    """Return the logarithm of the length of the rows, divided by that of the known vectors."""
    usual = np.linalg.norm(zero_shot.problem.vectors, axis=1).mean()
    return float(np.log(np.linalg.norm(zero_shot.rows, axis=1).mean() / usual))


def principal_directions(problem: SplitProblem, zero_shot: ZeroShot) -> float:
    """Return the share of the rows' differences in the first principal directions of the clips."""
    clips = problem.clips.features
    directions = np.linalg.svd(clips - clips.mean(axis=0), full_matrices=False)[2][:N_DIRECTIONS]
    apart = zero_shot.rows - zero_shot.rows.mean(axis=0)
    return float(np.sum((apart @ directions.T) ** 2) / max(float(np.sum(apart**2)), 1e-12))


MORE: dict[str, Callable[[SplitProblem, ZeroShot], float]] = {
    "agreement of the axis' modifier vectors": agreement,
    "number of the axis' groups": number_of_groups,
    "length of the rows": length,
    "principal directions of the class's clips": principal_directions,
}


@dataclass(frozen=True)
class Case:
    """A split, its measurements before the split, and its result."""

    data: str
    category: str
    trust: float
    line: tuple[float, ...]
    """1, logarithm of the spread, separation, precedent; then the measurements of `MORE`."""
    gain: float


def find_cases() -> Iterator[Case]:
    """Split every category in its own words."""
    for data, model, statistics, coarse, _ in track([*find_jobs(other_axis=False)], "expectation"):
        request = SplitRequest(into=model.categories[coarse], accept_doubt=True)
        problem = pose_problem(
            model.head, coarse, request, statistics=statistics, taxonomy=None, encoder=None
        )
        zero_shot = transfer_rows(problem)
        estimate = estimate_accuracy(problem, zero_shot, find_gains(problem, zero_shot))
        if estimate is None:
            continue
        edit = split_class(model.head, coarse, request, statistics=statistics)
        score = score_split(model.head, edit.head, coarse, model.heldout[0], model.truth(coarse))
        chance = 1 / len(model.categories[coarse])
        spread = float(np.log(max(estimate.spread, 1e-3)))
        more = tuple(measure(problem, zero_shot) for measure in MORE.values())
        yield Case(
            data,
            coarse,
            estimate.trust,
            (1.0, spread, estimate.separation, estimate.precedent, *more),
            (score.generality - chance) / (1 - chance),
        )


def judge(cases: Sequence[Case], columns: Sequence[int]) -> dict[str, float]:
    """Evaluate each set under the fit of the others: rank correlation, mean absolute error."""
    sets = np.array([case.data for case in cases])
    lines = np.array([case.line for case in cases])[:, columns]
    lines *= np.array([case.trust for case in cases])[:, None]
    gains = np.array([case.gain for case in cases])
    expected = np.zeros(len(cases))
    ranks = []
    for name in dict.fromkeys(sets.tolist()):
        out = sets == name
        names, places = np.unique(sets[~out], return_inverse=True)
        root = 1 / np.sqrt(len(names) * np.bincount(places)[places])  # each set counts alike
        fitted = np.linalg.lstsq(lines[~out] * root[:, None], gains[~out] * root, rcond=None)[0]
        expected[out] = lines[out] @ fitted
        ranks.append(rank_correlation(expected[out], gains[out]))
    return {
        "rank_correlation": round(rank_correlation(expected, gains), 3),
        "mean_rank_correlation_of_a_set": round(float(np.mean(ranks)), 3),
        "error_of_gain": round(float(np.abs(expected - gains).mean()), 3),
    }


def try_measurements(cases: Sequence[Case]) -> list[dict[str, Any]]:
    """Return a line for each added measurement, and for each of the four that is left out."""
    base = [0, 1, 2, 3]
    lines: dict[str, list[int]] = {AS_SHIPPED: base}
    for place, name in enumerate(("spread", "separation", "precedent"), start=1):
        lines[f"without {name}"] = [column for column in base if column != place]
    for place, name in enumerate(MORE, start=len(base)):
        lines[f"with {name}"] = [*base, place]
    return [{"line": name, **judge(cases, columns)} for name, columns in lines.items()]


def show(title: str, lines: Sequence[dict[str, Any]]) -> Table:
    """Return a table to print."""
    table = Table(*(name.replace("_", " ") for name in lines[0]), title=title, box=None)
    for line in lines:
        table.add_row(*map(str, line.values()))
    return table


@click.command()
def main() -> None:
    """Measure all trained heads."""
    rules = try_rules()
    cases = [*find_cases()]
    measurements = try_measurements(cases)
    console = Console(width=170)
    console.print(show("accuracy in the group", rules))
    console.print(show("expected gain, sets left out", measurements))
    content = {"splits": len(cases), "rules": rules, "measurements": measurements}
    click.echo(write_if_whole("tried", content, {case.data for case in cases}))


if __name__ == "__main__":
    main()
