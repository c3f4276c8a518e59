"""Measure what a split changes outside its class, gated and flat, with the runtime's session."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgesplit._types import Float32
from edgesplit.bundle.bundle import Bundle
from edgesplit.errors import EdgesplitError
from edgesplit.heads.labels import COMPOSITIONS
from edgesplit.heads.metrics import count_flips
from edgesplit.runtime.bench.sandbox import copied_bundle, find_splits
from edgesplit.runtime.bench.timing import Answer, Job, Progress
from edgesplit.runtime.live.live_head import ServingHead

__all__ = ["answer"]

_RANDOM = 2048


def answer(job: Job, progress: Progress) -> Answer:
    """Split classes one at a time; compare logits and decisions before and after."""
    with copied_bundle(job.bundle, job.scratch) as bundle:
        features, what = _features(bundle)
        before = ServingHead(bundle.head())
        old = before.evaluate(features)
        rows: list[dict[str, Any]] = []
        for label, into in find_splits(bundle, job.effort.repeats):
            progress(f"splits of {label}")
            for composition in COMPOSITIONS:
                try:
                    edit = bundle.split_class(
                        label, into=into, composition=composition, accept_doubt=True
                    )
                except EdgesplitError:  # flat needs a root class without subcategories
                    continue
                new = ServingHead(edit.head).evaluate(features)
                target = edit.before.tree.find(label)
                others = [column for column in edit.before.tree.roots if column != target]
                differences = np.abs(new.logits[:, others] - old.logits[:, others])
                rows.append(
                    {
                        "class": label,
                        "into": into,
                        "composition": composition,
                        "largest_logit_difference": float(differences.max(initial=0.0)),
                        "decisions_changed": count_flips(edit.before, edit.head, features),
                    }
                )
    return Answer((), {"features": what, "n_features": len(features), "splits": rows})


def _features(bundle: Bundle) -> tuple[Float32, str]:
    statistics = bundle.statistics
    if statistics is not None and len(statistics.sample):
        return statistics.sample, "the bundle's sample of clips"
    rng = np.random.default_rng(0)
    return rng.standard_normal((_RANDOM, bundle.dim), np.float32), "random numbers"
