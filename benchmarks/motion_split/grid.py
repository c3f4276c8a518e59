"""Measure every rule and composition on every trained backbone, with and without unlabelled clips.

    python -m benchmarks.motion_split.grid

Splits every collapsed category of a backbone's half, one at a time, and scores it on the features
of held-out clips that `features` wrote; then splits all categories of a half one after another.
Rules and their constants were chosen on the development seeds; claims are based on the test seeds.
Writes benchmarks/results/motion_split.json; `report` makes tables and pictures from it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.progress import track

from benchmarks.harness.cells import Cell, as_json, measure, split
from benchmarks.harness.figures import interval
from benchmarks.harness.results import write_result
from benchmarks.motion_split.models import Trained, find_trained
from benchmarks.paper.baselines import BASELINES
from edgesplit.edits.rules import DEFAULT_RULE, RULES
from edgesplit.edits.split import split_class
from edgesplit.heads.labels import COMPOSITIONS, Composition
from edgesplit.heads.metrics import count_flips, score_split
from edgesplit.heads.statistics import Statistics

N_CLIPS = (0, 100, 200, 400, 800, 1400, 2040)
"""Numbers of unlabelled clips of the curve."""
N_BINS = 10


@dataclass(frozen=True)
class _Where:
    """The backbone of a row."""

    family: str
    half: str
    seed: int
    seeds: str


@dataclass(frozen=True)
class Row(Cell, _Where):
    """One category of one backbone under one way of splitting."""


def cell(
    model: Trained, coarse: str, rule: str, composition: Composition, statistics: Statistics | None
) -> Row:
    """Split the class and score the edit."""
    about = model.about
    where = _Where(about["family"], model.half, about["seed"], model.seeds)
    return Row(**vars(where), **vars(measure(model, coarse, rule, composition, statistics)))


def grid(model: Trained, rules: Sequence[str]) -> Iterator[Row]:
    """Measure all rules and compositions, with all unlabelled clips and with none."""
    full = model.statistics()
    for coarse in model.categories:
        for rule in rules:
            for composition in COMPOSITIONS:
                for statistics in (full, None):
                    row = cell(model, coarse, rule, composition, statistics)
                    if row.rule == rule:  # not where one that needs statistics fell back
                        yield row


def curve(model: Trained) -> Iterator[Row]:
    """Measure the default edit, by the number of unlabelled clips."""
    for n_clips in N_CLIPS:
        statistics = model.statistics(n_clips) if n_clips else None
        for coarse in model.categories:
            yield cell(model, coarse, DEFAULT_RULE, "gated", statistics)


def in_sequence(model: Trained, composition: Composition) -> dict[str, Any]:
    """Split all categories of a half one after another; return flips and mutual costs."""
    statistics, features = model.statistics(), model.heldout[0]
    head = model.head
    alone, flips = {}, []
    for coarse, fine in model.categories.items():
        alone[coarse] = cell(model, coarse, DEFAULT_RULE, composition, statistics).score.generality
        head = split_class(
            head,
            coarse,
            into=fine,
            composition=composition,
            statistics=statistics,
            accept_doubt=True,
        ).head
        flips.append(count_flips(model.head, head, features))
    truth = model.truth(*model.categories)
    lost = [
        abs(score_split(model.head, head, coarse, features, truth).generality - alone[coarse])
        for coarse in model.categories
    ]
    return {
        "model": model.name,
        "seeds": model.seeds,
        "composition": composition,
        "splits": len(lost),
        "flips_after_each": flips,
        "largest_change_of_generality": round(max(lost), 5),
    }


@dataclass(frozen=True)
class Calibration:
    """Calibration of scores inside the splits, over all clips of split classes."""

    error: float
    """Expected calibration error over ten bins."""
    overconfident: float
    """Share of the wrong answers with a score of 0.9 or more."""
    n_clips: int
    bins: tuple[tuple[float, float, int], ...]
    """Mean score, accuracy and number of clips of each bin."""


def calibrate(models: Sequence[Trained]) -> Calibration:
    """Return the calibration of the default edit."""
    claimed, right = [], []
    for model in models:
        statistics, (features, _) = model.statistics(), model.heldout
        for coarse, fine in model.categories.items():
            edit = split(model, coarse, DEFAULT_RULE, "gated", statistics)
            truth = np.array(model.truth(coarse), dtype=object)
            inside = np.isin(truth, list(fine))
            head = edit.head
            column = head.tree.find(coarse)
            children = head.tree.children(column)
            probabilities = head.evaluate(features[inside]).probabilities
            shares = probabilities[:, children.start : children.stop]
            shares = shares / probabilities[:, [column]]
            labels = np.array([head.tree[child].label for child in children], dtype=object)
            claimed.append(shares.max(axis=1))
            right.append(labels[shares.argmax(axis=1)] == truth[inside])
    scores, correct = np.concatenate(claimed), np.concatenate(right).astype(bool)
    place = np.minimum((scores * N_BINS).astype(int), N_BINS - 1)
    bins = [
        (
            float(scores[place == b].mean()),
            float(correct[place == b].mean()),
            int(np.sum(place == b)),
        )
        for b in np.unique(place)
    ]
    error = sum(n * abs(score - accuracy) for score, accuracy, n in bins) / len(scores)
    return Calibration(
        error=round(error, 4),
        overconfident=round(float(np.mean(scores[~correct] >= 0.9)), 4),
        n_clips=len(scores),
        bins=tuple((round(a, 4), round(b, 4), n) for a, b, n in bins),
    )


# Summaries

Way = tuple[str, Composition, bool]
"""Rule, composition, and True with unlabelled clips."""
AGAINST: Way = ("alignment-mlp", "flat", False)


def way_of(row: Row) -> Way:
    """Return the way in which a row's class was split."""
    return row.rule, row.composition, row.n_clips > 0


def by_category(rows: Sequence[Row], way: Way, measure: str = "generality") -> dict[str, float]:
    """Return generality or `in_group` by category, as means over backbones."""
    found: dict[str, list[float]] = {}
    for row in rows:
        if way_of(row) == way:
            found.setdefault(row.category, []).append(getattr(row.score, measure))
    return {category: float(np.mean(values)) for category, values in found.items()}


def table(rows: Sequence[Row], against: Way) -> list[dict[str, Any]]:
    """Return one line per way of splitting: means over backbones and categories."""

    def difference(way: Way, measure: str) -> list[float]:
        mine, reference = (by_category(rows, each, measure) for each in (way, against))
        both = sorted(set(mine) & set(reference))
        apart = interval(np.array([mine[c] - reference[c] for c in both]))
        return [round(value, 4) for value in apart]

    lines = []
    for way in dict.fromkeys(map(way_of, rows)):
        scores = [row.score for row in rows if way_of(row) == way]
        apart, apart_in_group = difference(way, "generality"), difference(way, "in_group")
        lines.append(
            {
                "rule": way[0],
                "composition": way[1],
                "clips": way[2],
                **{
                    name: round(float(np.mean([getattr(score, name) for score in scores])), 4)
                    for name in ("generality", "in_group", "locality", "locality_paper")
                },
                "churn": sum(score.churn for score in scores),
                "difference": apart[0],
                "interval": apart[1:],
                "difference_in_group": apart_in_group[0],
                "interval_in_group": apart_in_group[1:],
                "splits": len(scores),
            }
        )
    return sorted(lines, key=lambda line: -line["generality"])


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, exists=True))
def main(files: tuple[Path, ...]) -> None:
    """Run the grid on the named files of features; by default on all."""
    models = [*find_trained(files)]
    rows: list[Row] = []
    curves: list[Row] = []
    for model in track(models, description="splitting"):
        rows += grid(model, (*RULES, *BASELINES))
        curves += curve(model)
    groups = {s: [m for m in models if m.seeds == s] for s in ("dev", "test")}
    content = {
        "models": [{"name": m.name, "seeds": m.seeds, **m.about} for m in models],
        "against": " ".join(AGAINST[:2]) + ", no clips",
        "tables": {
            seeds: table([row for row in rows if row.seeds == seeds], AGAINST)
            for seeds, members in groups.items()
            if members
        },
        "calibration": {
            seeds: asdict(calibrate(members)) for seeds, members in groups.items() if members
        },
        "seconds": {
            "median": float(np.median([row.seconds for row in rows])),
            "largest": max(row.seconds for row in rows),
        },
        "sequence": [in_sequence(model, each) for each in COMPOSITIONS for model in models],
        "rows": [as_json(row) for row in rows],
        "curve": [as_json(row) for row in curves],
    }
    click.echo(write_result("motion_split", content))


if __name__ == "__main__":
    main()
