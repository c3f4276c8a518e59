"""Alignment in closed form: a linear map from texts to rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgesplit._types import Float64
from edgesplit.edits.rules.base import Transfer, TransferProblem, cosines, members_of

__all__ = ["alignment", "leave_groups_out"]


def alignment(problem: TransferProblem) -> Transfer:
    """Kernel ridge regression from texts to rows.

    The paper trains an MLP on pairs of modifier text and modifier vector, and of label text and
    row. The ridge solution for the same pairs needs no training loop. Texts and vectors of
    modifiers are both centred on their siblings, so that differences are compared with differences;
    texts and rows of labels are centred on all labels. With K the products of the training texts
    with each other, k those of the wanted texts with the training texts, and Y the training rows:
    rows = k (K + 0.1 I)^-1 Y.

    The result is scaled to its length without label rows. Label rows make longer rows, which do not
    separate the subcategories better but win clips of other classes in a flat split.
    """
    texts, rows = problem.lessons
    queries = problem.asked(problem.wanted)
    weights = problem.ridge.times((queries @ texts.T).T).T
    n_known = len(problem.vectors)
    shares = weights[:, :n_known].copy()
    if problem.labels is not None:  # the weight of a known label's row counts for its vector, too
        of_known = problem.labels.of_known
        inside = of_known >= 0
        shares[:, inside] += weights[:, n_known + of_known[inside]]
    new = weights @ rows
    if problem.labels is not None and n_known:
        new *= _length(alignment(replace(problem, labels=None)).rows) / max(_length(new), 1e-12)
    return Transfer(
        rows=new,
        weights=shares,
        similarities=cosines(problem.wanted.centred, problem.known.centred),
    )


def _length(rows: Float64) -> float:
    return float(np.linalg.norm(rows, axis=1).mean())


def leave_groups_out(problem: TransferProblem) -> Float64:
    """Return rows `(known, dim)` of the known labels, each as if its group were unknown.

    With X the training texts, Y the training rows, P the inverse of K + 0.1 I and A = P Y, the map
    without the pairs B is X^T (A - P_:B P_BB^-1 A_B), so one inverse serves all groups. B are the
    rows of the group's labels, and their modifiers in this and in any other group. Only the mean of
    all labels still includes them.
    """
    texts, targets = problem.lessons
    learned = problem.ridge.times(targets)
    queries = problem.asked(problem.known)
    rows: Float64 = (queries @ texts.T) @ learned
    n_known = len(problem.vectors)
    for members in members_of(problem.known.siblings):
        left_out = members
        if problem.labels is not None:
            of_known = problem.labels.of_known
            places = np.unique(of_known[members])
            places = places[places >= 0]
            elsewhere = np.flatnonzero(np.isin(of_known, places))
            left_out = np.concatenate([np.union1d(members, elsewhere), n_known + places])
        weights = problem.ridge.weights(queries[members], left_out)
        lost = np.linalg.solve(problem.ridge.block(left_out), weights.T)
        rows[members] -= lost.T @ learned[left_out]
    return rows
