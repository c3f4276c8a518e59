"""Alignment in closed form: a linear map from modifier texts to modifier vectors."""

from __future__ import annotations

import numpy as np

from edgesplit.rules.transfer import Floats, Request, Transfer, cosines

__all__ = ["alignment", "leave_groups_out"]

RIDGE = 0.1


def alignment(request: Request) -> Transfer:
    """Kernel ridge regression from sibling-centred texts to modifier vectors.

    The paper trains an MLP on pairs of modifier text and modifier vector; the ridge solution of
    the same pairs needs no training loop. Texts are centred on their siblings on both sides, so
    that differences are compared with differences. With K the cosines between known texts and k
    those between wanted and known:  rows = k (K + RIDGE I)^-1 vectors.
    """
    known = request.known.centred
    similarities = cosines(request.wanted.centred, known)
    weights = np.linalg.solve(_kernel(known), similarities.T).T
    return Transfer(rows=weights @ request.vectors, weights=weights, similarities=similarities)


def leave_groups_out(request: Request) -> Floats:
    """Rows of the known labels, each group's as if only the others were known: `(known, dim)`.

    With P the inverse of K + RIDGE I, the regression without group g misses g's own vectors by
    P_gg^-1 (P vectors)_g: one inverse serves all groups.
    """
    inverse = np.linalg.inv(_kernel(request.known.centred))
    fitted = inverse @ request.vectors
    rows: Floats = request.vectors.copy()
    for group in np.unique(request.known.siblings):
        members = np.flatnonzero(request.known.siblings == group)
        rows[members] -= np.linalg.solve(inverse[np.ix_(members, members)], fitted[members])
    return rows


def _kernel(known: Floats) -> Floats:
    return np.asarray(cosines(known, known) + RIDGE * np.eye(len(known)))
