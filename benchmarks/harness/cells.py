"""Measure a cell of a grid: split a class of a trained head in one way, and score it."""

import time
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.harness.trained import TrainedHead
from benchmarks.paper.baselines import find_rule
from edgesplit.edits.edit import Edit
from edgesplit.edits.groups import Taxonomy
from edgesplit.edits.split import split_class
from edgesplit.heads.labels import Composition
from edgesplit.heads.metrics import Score, score_split
from edgesplit.heads.statistics import Statistics

__all__ = ["Cell", "as_json", "measure", "split"]


@dataclass(frozen=True)
class Cell:
    """One category of one head under one way of splitting."""

    category: str
    n_subcategories: int
    rule: str
    composition: Composition
    n_clips: int
    """Number of unlabelled clips of all classes that the edit used."""
    expected: float | None
    """Accuracy that the edit expected; None without an expectation."""
    asks: bool
    """True if the edit would have needed --accept-doubt."""
    seconds: float
    """Seconds from the head to the score."""
    score: Score


def split(
    model: TrainedHead,
    coarse: str,
    rule: str,
    composition: Composition,
    statistics: Statistics | None,
    taxonomy: Taxonomy | None = None,
) -> Edit:
    """Return the edit of one cell; doubts are recorded, but do not stop it."""
    return split_class(
        model.head,
        coarse,
        into=model.categories[coarse],
        rule=find_rule(rule),
        composition=composition,
        statistics=statistics,
        taxonomy=taxonomy,
        accept_doubt=True,
    )


def measure(
    model: TrainedHead,
    coarse: str,
    rule: str,
    composition: Composition,
    statistics: Statistics | None,
    taxonomy: Taxonomy | None = None,
) -> Cell:
    """Split the class and score the edit."""
    start = time.perf_counter()
    edit = split(model, coarse, rule, composition, statistics, taxonomy)
    score = score_split(model.head, edit.head, coarse, model.heldout[0], model.truth(coarse))
    report = edit.report
    return Cell(
        category=coarse,
        n_subcategories=len(model.categories[coarse]),
        rule=report.rule,
        composition=composition,
        n_clips=0 if statistics is None else int(statistics.counts.sum()),
        expected=report.expected,
        asks=bool(report.doubts),
        seconds=round(time.perf_counter() - start, 4),
        score=score,
    )


def as_json(row: Cell) -> dict[str, Any]:
    """Return a flat JSON object."""
    content = asdict(row)
    return {**content, **{k: round(v, 5) for k, v in content.pop("score").items()}}
