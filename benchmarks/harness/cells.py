"""One cell of a grid: a class of a trained head is split in one way, and scored."""

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
    """Unlabelled clips of all classes that the edit could look at."""
    expected: float | None
    """Accuracy that the edit expected, None where it said nothing."""
    asks: bool
    """Whether the edit would have wanted --accept-doubt."""
    seconds: float
    """From the head to the score."""
    score: Score


def split(
    model: TrainedHead,
    coarse: str,
    rule: str,
    composition: Composition,
    statistics: Statistics | None,
    taxonomy: Taxonomy | None = None,
) -> Edit:
    """The edit of one cell; doubts are recorded, not heeded."""
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
    """Splits and scores."""
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
    """A flat object."""
    content = asdict(row)
    return {**content, **{k: round(v, 5) for k, v in content.pop("score").items()}}
