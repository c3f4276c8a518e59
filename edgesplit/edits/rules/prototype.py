"""Prototype: modifiers between mean features of clips, instead of between rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgesplit._types import Float64
from edgesplit.edits.rules.alignment import alignment
from edgesplit.edits.rules.base import Transfer, TransferProblem, members_of
from edgesplit.errors import TooFewClipsError
from edgesplit.heads.statistics import MIN_CLASS_CLIPS

__all__ = ["prototype"]


def prototype(problem: TransferProblem) -> Transfer:
    """The regression of `alignment`, without label rows, to differences of class-mean features.

    Mean features are on another scale than rows. The new rows are given the length that the known
    modifier vectors have, so that scores mean about the same; a fitted temperature does the rest.
    Groups whose classes have too few clips take no part.

    Raises:
        TooFewClipsError: there are no statistics, or fewer than two groups have enough clips.
    """
    if problem.means is None or problem.n_clips is None:
        raise TooFewClipsError(
            "the rule prototype needs unlabelled clips: `edgesplit calibrate CLIPS` adds them"
        )
    seen = np.flatnonzero(problem.n_clips > 0)
    groups = members_of(problem.known.siblings[seen])
    if not len(seen) or len(groups) < 2:
        raise TooFewClipsError(
            f"the rule prototype needs two groups whose classes have {MIN_CLASS_CLIPS} clips each, "
            f"{len(groups) if len(seen) else 0} have: export with more clips"
        )
    known = problem.known.part(seen)
    scale = _length(problem.vectors[seen]) / max(_length(problem.means[seen]), 1e-12)
    part = alignment(
        replace(problem, known=known, vectors=scale * problem.means[seen], labels=None)
    )
    weights, similarities = np.zeros((2, len(part.rows), len(problem.n_clips)))
    weights[:, seen], similarities[:, seen] = part.weights, part.similarities
    thin = len(members_of(problem.known.siblings)) - len(groups)
    notices = (
        f"{thin} of {thin + len(groups)} groups took no part: of each class of a group, "
        f"{MIN_CLASS_CLIPS} clips are wanted",
    )
    return Transfer(part.rows, weights, similarities, notices=notices if thin else ())


def _length(rows: Float64) -> float:
    return float(np.linalg.norm(rows, axis=1).mean())
