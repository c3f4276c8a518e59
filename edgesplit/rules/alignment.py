"""Alignment in closed form: a linear map from modifier texts to modifier vectors."""

from __future__ import annotations

import numpy as np

from edgesplit.rules.transfer import Request, Transfer, cosines

__all__ = ["alignment"]

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
    kernel = cosines(known, known) + RIDGE * np.eye(len(known))
    weights = np.linalg.solve(kernel, similarities.T).T
    return Transfer(rows=weights @ request.vectors, weights=weights, similarities=similarities)
