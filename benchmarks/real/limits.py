"""Measure the limits of a split of a trained head: its ceiling, and a supervised probe.

The ceiling is the share of a class's clips that the head gives to the class; a gated split cannot
exceed it. The probe is a ridge regression on the labelled clips of the training subjects, among the
class's subcategories; it does not depend on the head finding the class.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from benchmarks.real.models import RealHead
from edgesplit._types import Float64, Int64

__all__ = ["Limits", "agreement", "find_limits"]

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)
"""Penalties of the ridge regression, relative to the number of clips."""


@dataclass(frozen=True)
class Limits:
    """Limits of one category of one head; shares of the category's held-out clips."""

    axis: str
    seed: int
    category: str
    n_subcategories: int
    n_clips: int
    """Number of held-out clips of the category."""
    ceiling: float
    probe: float
    """Share for which the probe is right, whatever the head decides."""
    gated_probe: float
    """Share for which the probe is right and the head decides the class."""


def find_limits(model: RealHead) -> Iterator[Limits]:
    """Yield the limits of every collapsed category."""
    features, fine = model.heldout
    decided = model.head.evaluate(features).class_index
    for coarse, group in model.categories.items():
        places = [model.fine_labels.index(label) for label in group]
        inside = np.isin(fine, places)
        found = decided[inside] == model.head.tree.find(coarse)
        right = _probe(model, places, features[inside].astype(np.float64)) == fine[inside]
        yield Limits(
            axis=model.axis,
            seed=model.about["seed"],
            category=coarse,
            n_subcategories=len(group),
            n_clips=int(inside.sum()),
            ceiling=round(float(found.mean()), 5),
            probe=round(float(right.mean()), 5),
            gated_probe=round(float((right & found).mean()), 5),
        )


def _probe(model: RealHead, places: list[int], wanted: Float64) -> Int64:
    """Return `(clips,)`: the fine class of each feature `(clips, dim)`, one of `places`."""
    features, fine = model.train
    mine = np.isin(fine, places)
    subject, truth = model.subjects("train")[mine], fine[mine]
    mean, scale = features[mine].mean(axis=0), features[mine].std(axis=0) + 1e-6
    scaled = ((features[mine] - mean) / scale).astype(np.float64)
    target = (truth[:, None] == places).astype(np.float64)

    def right(penalty: float) -> int:
        """Count the right answers on subjects that are left out in turn, as in the evaluation."""
        total = 0
        for who in np.unique(subject):
            out = subject == who
            rows = _ridge(scaled[~out], target[~out], penalty)
            total += int(np.sum(np.take(places, _decide(scaled[out], rows)) == truth[out]))
        return total

    rows = _ridge(scaled, target, max(PENALTIES, key=right))
    return np.take(places, _decide((wanted - mean) / scale, rows))


def _ridge(features: Float64, target: Float64, penalty: float) -> Float64:
    """Return the rows `(dim + 1, classes)`; the bias is last and has no penalty."""
    mean, offset = features.mean(axis=0), target.mean(axis=0)
    around = features - mean
    matrix = around.T @ around + penalty * len(features) * np.eye(features.shape[1])
    rows = np.linalg.solve(matrix, around.T @ (target - offset))
    return np.vstack([rows, offset - mean @ rows])


def _decide(features: Float64, rows: Float64) -> Int64:
    return np.asarray((features @ rows[:-1] + rows[-1]).argmax(axis=1))


def agreement(model: RealHead) -> float:
    """Return the mean cosine between the modifier differences of groups with the same modifiers.

    If it is about 0, nothing can be transferred between groups, whatever their texts are.
    """
    differences: dict[tuple[str, str], list[Float64]] = {}
    for group in model.taxonomy(next(iter(model.categories))).values():
        rows = {m: model.head.weight[model.head.tree.find(label)] for label, m in group.items()}
        for pair in combinations(sorted(rows), 2):
            apart = (rows[pair[0]] - rows[pair[1]]).astype(np.float64)
            differences.setdefault((pair[0], pair[1]), []).append(apart / np.linalg.norm(apart))
    cosines = [float(a @ b) for each in differences.values() for a, b in combinations(each, 2)]
    return float(np.mean(cosines)) if cosines else float("nan")
