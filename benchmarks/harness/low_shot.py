"""Measure splits from a few labelled clips per subcategory, from zero-shot rows and from copies."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.harness.trained import TrainedHead
from benchmarks.paper.baselines import find_rule
from edgesplit.edits.split import split_class
from edgesplit.heads.metrics import Score, score_split

__all__ = ["STARTS", "Shot", "low_shot"]

STARTS = ("alignment", "copies")


@dataclass(frozen=True)
class Shot:
    """One category of one head, split with some clips."""

    category: str
    start: str
    """Rule whose rows the clips change, one of `STARTS`."""
    n_clips: int
    """Labelled clips of each subcategory; fewer if there are not so many."""
    draw: int
    score: Score


def low_shot(model: TrainedHead, n_shots: Sequence[int], n_draws: int) -> Iterator[Shot]:
    """Split every category, gated, for each number of clips per subcategory and several draws."""
    statistics = model.statistics()
    for coarse, fine in model.categories.items():
        truth = model.truth(coarse)
        pools = {label: model.labelled[label] for label in fine}
        most = max(map(len, pools.values()))
        for n in n_shots:
            for draw in range(n_draws if 0 < n < most else 1):
                rng = np.random.default_rng(draw)
                shots = {label: rng.permutation(pool)[:n] for label, pool in pools.items()}
                for start in STARTS:
                    edit = split_class(
                        model.head,
                        coarse,
                        into=fine,
                        rule=find_rule(start),
                        statistics=statistics,
                        shots=shots if n else None,
                        accept_doubt=True,
                    )
                    score = score_split(model.head, edit.head, coarse, model.heldout[0], truth)
                    yield Shot(coarse, start, n, draw, score)
