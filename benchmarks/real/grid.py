"""Measure every rule and composition on heads of real motion, from labels and from known groups.

    python -m benchmarks.real.grid

The data are real motion (wrist sensors, hand skeletons), not real video. Splits every collapsed
category of every trained head, one at a time, and scores it on the held-out subjects' clips;
statistics are from the training subjects' clips without labels. If a data set has two axes, every
class is also split with a taxonomy of the other axis, so that no group varies as the subcategories
do. The rules have no constants that were chosen on these data, but the expected gain was also
fitted on them (`benchmarks.quality.expectation`). Writes benchmarks/results/real.json: a table per
axis, the limits of a split, and every row.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.harness.cells import Cell, as_json, measure
from benchmarks.harness.figures import interval, rank_correlation
from benchmarks.harness.results import write_result
from benchmarks.paper.baselines import BASELINES, BLIND
from benchmarks.real.data import AXES
from benchmarks.real.limits import Limits, agreement, find_limits
from benchmarks.real.models import RealHead, find_trained
from edgesplit.edits.rules import DEFAULT_RULE, RULES
from edgesplit.heads.labels import COMPOSITIONS, Composition

SAME = 0.01
"""Largest difference of expected gains that count as equal."""
KNOWN = ("labels", "taxonomy", "other axis")
"""Knowledge of the head's other classes: only their labels, also their groups, or only the groups
of the data set's other axis."""


@dataclass(frozen=True)
class _Where:
    """The head of a row, and the knowledge."""

    axis: str
    seed: int
    known: str
    """Knowledge, one of `KNOWN`."""


@dataclass(frozen=True)
class Row(Cell, _Where):
    """One category of one head under one way of splitting."""


Way = tuple[str, str, Composition, bool]
"""Knowledge, rule, composition, and True with unlabelled clips."""
DEFAULT: tuple[str, Composition, bool] = (DEFAULT_RULE, "gated", True)
AGAINST: tuple[str, Composition, bool] = ("alignment-mlp", "flat", False)
QUOTED = (
    ("default", DEFAULT),
    ("alignment-mlp flat", AGAINST),
    ("retrieval flat", ("retrieval", "flat", False)),
)
"""Columns of the short table; the last two are the paper's rules, which use no clips."""


def grid(model: RealHead, rules: Sequence[str] = (*RULES, *BASELINES)) -> Iterator[Row]:
    """Measure all rules and compositions, with and without knowledge and unlabelled clips.

    Rules that use no groups are run once.
    """
    full = model.statistics()
    for coarse in model.categories:
        for known in KNOWN:
            taxonomy = None
            if known != "labels":
                taxonomy = model.taxonomy(coarse) if known == KNOWN[1] else model.other_taxonomy()
                if taxonomy is None:
                    continue
            where = _Where(model.axis, model.about["seed"], known)
            for rule in rules if known == "labels" else sorted({*rules} - {*BLIND}):
                for composition in COMPOSITIONS:
                    for statistics in (full, None):
                        cell = measure(model, coarse, rule, composition, statistics, taxonomy)
                        if cell.rule == rule:  # not where one that needs statistics fell back
                            yield Row(**vars(where), **vars(cell))


def way_of(row: Row) -> Way:
    """Return the way in which a row's class was split."""
    return row.known, row.rule, row.composition, row.n_clips > 0


def gain(accuracy: float, n_subcategories: int) -> float:
    """Return the gain: 0 for chance, 1 for always right."""
    return (accuracy - 1 / n_subcategories) / (1 - 1 / n_subcategories)


def summarise(rows: Sequence[Row], against: Sequence[Row]) -> dict[str, Any]:
    """Return the figures of one way on one axis: means over splits, sums of flips and doubts.

    Differences to another way, in generality and in accuracy in the group, are over categories,
    with a 95 % bootstrap interval. Categories are few and share heads, so it may be too narrow.
    """

    def mean(value: Callable[[Row], float]) -> float:
        return round(float(np.mean([value(row) for row in rows])), 4)

    told = [(row, row.expected) for row in rows if row.expected is not None]
    expected = np.array([gain(value, row.n_subcategories) for row, value in told])
    real = np.array([gain(row.score.in_group, row.n_subcategories) for row, _ in told])
    # Where all splits expect the same, as where all expect to guess, there is no rank.
    ranked = len(told) == len(rows) and float(np.ptp(expected)) > SAME

    def difference(measure: str) -> list[float]:
        mine, theirs = _by_category(rows, measure), _by_category(against, measure)
        both = [category for category in mine if category in theirs]
        apart = interval(np.array([mine[category] - theirs[category] for category in both]))
        return [round(value, 4) for value in apart]

    apart, apart_in_group = difference("generality"), difference("in_group")
    known, rule, composition, clips = way_of(rows[0])
    return {
        "known": known,
        "rule": rule,
        "composition": composition,
        "clips": clips,
        "splits": len(rows),
        "generality": mean(lambda row: row.score.generality),
        "in_group": mean(lambda row: row.score.in_group),
        "locality": mean(lambda row: row.score.locality),
        "locality_paper": mean(lambda row: row.score.locality_paper),
        "churn": sum(row.score.churn for row in rows),
        "expected": round(float(np.mean([value for _, value in told])), 4) if told else None,
        "rank_correlation": round(rank_correlation(expected, real), 4) if ranked else None,
        "asks": sum(row.asks for row in rows),
        "difference": apart[0],
        "interval": apart[1:],
        "difference_in_group": apart_in_group[0],
        "interval_in_group": apart_in_group[1:],
    }


def _by_category(rows: Sequence[Row], measure: str) -> dict[str, float]:
    """Return generality or `in_group` by category, as means over heads."""
    found: dict[str, list[float]] = {}
    for row in rows:
        found.setdefault(row.category, []).append(getattr(row.score, measure))
    return {category: float(np.mean(values)) for category, values in found.items()}


def table(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return a line per way on one axis, best first, compared with the paper's rule."""
    by_way: dict[Way, list[Row]] = {}
    for row in rows:
        by_way.setdefault(way_of(row), []).append(row)
    lines = [summarise(part, by_way.get((way[0], *AGAINST), part)) for way, part in by_way.items()]
    return sorted(lines, key=lambda line: -line["generality"])


def bounds(limits: Sequence[Limits]) -> dict[str, float]:
    """Return the limits of one axis, as means over splits."""
    means = {
        name: round(float(np.mean([getattr(each, name) for each in limits])), 4)
        for name in ("ceiling", "probe", "gated_probe")
    }
    chance = float(np.mean([1 / each.n_subcategories for each in limits]))
    return {"splits": len(limits), "chance": round(chance, 4), **means}


def mean_agreement(models: Sequence[RealHead]) -> float | None:
    """Return the mean agreement of the heads' groups; None if no two have the same modifiers."""
    found = [value for model in models if not np.isnan(value := agreement(model))]
    return round(float(np.mean(found)), 4) if found else None


def show(axes: dict[str, dict[str, Any]]) -> Table:
    """Return the short table to print."""
    names = ("axis", "known", "splits", "chance", *(name for name, _ in QUOTED))
    shown = Table(*names, "in group", "ceiling", "probe", "expected", "rank", "asks", "flips")
    for axis, content in axes.items():
        for known in KNOWN:
            lines = {
                (line["rule"], line["composition"], line["clips"]): line
                for line in content["ways"]
                if line["known"] == known
            }
            if not lines:
                continue
            default, limits = lines[DEFAULT], content["limits"]
            rank = default["rank_correlation"]
            shown.add_row(
                axis,
                known,
                str(limits["splits"]),
                f"{limits['chance']:.3f}",
                *(
                    f"{lines[way]['generality']:.3f} / {lines[way]['locality']:.3f}"
                    for _, way in QUOTED
                ),
                *(f"{default['in_group']:.3f}", f"{limits['ceiling']:.3f}"),
                *(f"{limits['probe']:.3f}", f"{default['expected'] or float('nan'):.3f}"),
                *("" if rank is None else f"{rank:.2f}", str(default["asks"])),
                str(default["churn"]),
            )
    return shown


def write_if_whole(name: str, content: dict[str, Any], axes: Collection[str]) -> str:
    """Write a result only if it has all axes, so that a part never replaces a complete result."""
    missing = [axis for axis in AXES if axis not in axes]
    if missing:
        return f"nothing is written: {', '.join(missing)} not run"
    return str(write_result(name, content))


@click.command()
@click.argument("axes", nargs=-1, type=click.Choice(AXES))
def main(axes: tuple[str, ...]) -> None:
    """Run the grid on all trained heads of these AXES; by default of all."""
    models = [*find_trained(*axes)]
    rows = [row for model in track(models, description="splitting") for row in grid(model)]
    limits = [each for model in models for each in find_limits(model)]
    tables = {
        axis: {
            "limits": bounds([each for each in limits if each.axis == axis]),
            "agreement": mean_agreement([model for model in models if model.axis == axis]),
            "ways": table([row for row in rows if row.axis == axis]),
        }
        for axis in dict.fromkeys(model.axis for model in models)
    }
    Console(width=170).print(show(tables))
    told = ("seed", "collapsed", "heldout_subjects", "heldout_accuracy", "train_s", "versions")
    content = {
        "against": " ".join(AGAINST[:2]) + ", no clips",
        "models": [{"name": m.name, **{key: m.about[key] for key in told}} for m in models],
        "tables": tables,
        "splits": [asdict(each) for each in limits],
        "rows": [as_json(row) for row in rows],
    }
    click.echo(write_if_whole("real", content, tables))


if __name__ == "__main__":
    main()
