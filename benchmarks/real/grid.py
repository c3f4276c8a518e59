"""Every rule and composition on heads trained on real motion, by labels alone and by known groups.

    python -m benchmarks.real.grid

Real motion (wrist sensors, hand skeletons), not real video. Splits every collapsed category of
every head that is there, one at a time, and scores it on the held-out subjects' clips; statistics
are of the training subjects' clips without labels. Where a data set has two axes, every class is
also split with a taxonomy of the other one, so that no group varies as the subcategories do. Rules
have no constant that was chosen on these data; the line of what is expected was fitted on them,
too (`benchmarks.quality.expectation`). Writes benchmarks/results/real.json: a table per axis, what
a split can come to, and every row.
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
"""Expected gains that lie no further apart are one."""
KNOWN = ("labels", "taxonomy", "other axis")
"""What is known of the head's other classes: their labels alone, their groups as well, or no group
but those of the data set's other axis."""


@dataclass(frozen=True)
class _Where:
    """A head, and what was known."""

    axis: str
    seed: int
    known: str
    """One of `KNOWN`."""


@dataclass(frozen=True)
class Row(Cell, _Where):
    """One category of one head under one way of splitting."""


Way = tuple[str, str, Composition, bool]
"""Known, rule, composition, whether unlabelled clips were there."""
DEFAULT: tuple[str, Composition, bool] = (DEFAULT_RULE, "gated", True)
AGAINST: tuple[str, Composition, bool] = ("alignment-mlp", "flat", False)
QUOTED = (
    ("default", DEFAULT),
    ("alignment-mlp flat", AGAINST),
    ("retrieval flat", ("retrieval", "flat", False)),
)
"""The columns of the short table; the last two are the paper's, which looks at no clips."""


def grid(model: RealHead, rules: Sequence[str] = (*RULES, *BASELINES)) -> Iterator[Row]:
    """All rules and compositions, with what is known and unlabelled clips or without.

    What looks at no groups is run once.
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
    """How a row's class was split."""
    return row.known, row.rule, row.composition, row.n_clips > 0


def gain(accuracy: float, n_subcategories: int) -> float:
    """0 is guessing, 1 always right."""
    return (accuracy - 1 / n_subcategories) / (1 - 1 / n_subcategories)


def summarise(rows: Sequence[Row], against: Sequence[Row]) -> dict[str, Any]:
    """One way on one axis: means over splits, sums of flips and doubts.

    The difference to another way, of generality and of accuracy in the group, is over categories,
    with a 95 % bootstrap interval. They are few, and share the heads: it is rather too narrow.
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
    """Generality or `in_group`, mean over heads."""
    found: dict[str, list[float]] = {}
    for row in rows:
        found.setdefault(row.category, []).append(getattr(row.score, measure))
    return {category: float(np.mean(values)) for category, values in found.items()}


def table(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """A line for each way on one axis, the best first; against the paper's rule, as much known."""
    by_way: dict[Way, list[Row]] = {}
    for row in rows:
        by_way.setdefault(way_of(row), []).append(row)
    lines = [summarise(part, by_way.get((way[0], *AGAINST), part)) for way, part in by_way.items()]
    return sorted(lines, key=lambda line: -line["generality"])


def bounds(limits: Sequence[Limits]) -> dict[str, float]:
    """Of one axis: means over splits."""
    means = {
        name: round(float(np.mean([getattr(each, name) for each in limits])), 4)
        for name in ("ceiling", "probe", "gated_probe")
    }
    chance = float(np.mean([1 / each.n_subcategories for each in limits]))
    return {"splits": len(limits), "chance": round(chance, 4), **means}


def mean_agreement(models: Sequence[RealHead]) -> float | None:
    """Of the heads' own groups; None where no two have the same modifiers."""
    found = [value for model in models if not np.isnan(value := agreement(model))]
    return round(float(np.mean(found)), 4) if found else None


def show(axes: dict[str, dict[str, Any]]) -> Table:
    """The short table, for people."""
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
    """Writes a result of all axes, and no other: half of it would take the place of the whole."""
    missing = [axis for axis in AXES if axis not in axes]
    if missing:
        return f"nothing is written: {', '.join(missing)} not run"
    return str(write_result(name, content))


@click.command()
@click.argument("axes", nargs=-1, type=click.Choice(AXES))
def main(axes: tuple[str, ...]) -> None:
    """Run the grid on all heads of these AXES that are there; of all by default."""
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
