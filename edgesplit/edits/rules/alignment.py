"""Alignment in closed form: a linear map from modifier texts to modifier vectors."""

from __future__ import annotations

import numpy as np

from edgesplit._types import Float64
from edgesplit.edits.rules.base import Transfer, TransferProblem, cosines, members_of

__all__ = ["alignment", "leave_groups_out"]


def alignment(problem: TransferProblem) -> Transfer:
    """Kernel ridge regression from sibling-centred texts to modifier vectors.

    The paper trains an MLP on pairs of modifier text and modifier vector; the ridge solution of
    the same pairs needs no training loop. Texts are centred on their siblings on both sides, so
    that differences are compared with differences. With K the cosines between known texts and k
    those between wanted and known:  rows = k (K + 0.1 I)^-1 vectors.
    """
    similarities = cosines(problem.wanted.centred, problem.known.centred)
    weights = problem.ridge.times(similarities.T).T
    return Transfer(rows=weights @ problem.vectors, weights=weights, similarities=similarities)


def leave_groups_out(problem: TransferProblem) -> Float64:
    """Rows of the known labels, each group's as if only the others were known: `(known, dim)`.

    With P the inverse of K + 0.1 I, the regression without group g misses g's own vectors by
    P_gg^-1 (P vectors)_g: one inverse serves all groups.
    """
    fitted = problem.ridge.times(problem.vectors)
    rows: Float64 = problem.vectors.copy()
    for members in members_of(problem.known.siblings):
        rows[members] -= np.linalg.solve(problem.ridge.block(members), fitted[members])
    return rows
