"""Prototype: modifier vectors from mean features of clips, instead of from rows."""

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
    """Apply the regression of `alignment`, without label rows, to differences of mean features.

    Mean features have another scale than rows. The new rows are scaled to the length of the known
    modifier vectors, so that scores are comparable; the fitted temperature corrects the rest.
    Groups whose classes have too few clips are ignored.

    Raises:
        TooFewClipsError: there are no statistics, or fewer than two groups have enough clips.
    """
    if problem.means is None or problem.n_clips is None:
        raise TooFewClipsError(
            "rule 'prototype' needs statistics of unlabelled clips: add them with `edgesplit "
            "calibrate CLIPS`"
        )
    seen = np.flatnonzero(problem.n_clips > 0)
    groups = members_of(problem.known.siblings[seen])
    if not len(seen) or len(groups) < 2:
        raise TooFewClipsError(
            f"rule 'prototype' needs two groups whose classes have {MIN_CLASS_CLIPS} clips each, "
            f"but only {len(groups) if len(seen) else 0} have: export with more clips"
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
        f"rule 'prototype' ignored {thin} of {thin + len(groups)} groups: each class of a group "
        f"needs {MIN_CLASS_CLIPS} clips",
    )
    return Transfer(part.rows, weights, similarities, notices=notices if thin else ())


def _length(rows: Float64) -> float:
    return float(np.linalg.norm(rows, axis=1).mean())
