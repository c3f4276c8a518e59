"""Alignment in closed form: a linear map from modifier texts to modifier vectors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgesplit.rules.transfer import Floats, Request, Transfer, cosines, members_of

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
    weights = _Inverse(known).times(similarities.T).T
    return Transfer(rows=weights @ request.vectors, weights=weights, similarities=similarities)


def leave_groups_out(request: Request) -> Floats:
    """Rows of the known labels, each group's as if only the others were known: `(known, dim)`.

    With P the inverse of K + RIDGE I, the regression without group g misses g's own vectors by
    P_gg^-1 (P vectors)_g: one inverse serves all groups.
    """
    inverse = _Inverse(request.known.centred)
    fitted = inverse.times(request.vectors)
    rows: Floats = request.vectors.copy()
    for members in members_of(request.known.siblings):
        rows[members] -= np.linalg.solve(inverse.block(members), fitted[members])
    return rows


class _Inverse:
    """P = (X X^T + RIDGE I)^-1 for texts X `(known, text dim)`.

    Of more texts than dimensions it is never made: P = (I - X (X^T X + RIDGE I)^-1 X^T) / RIDGE
    needs only a matrix of the dimensions' size.
    """

    def __init__(self, texts: Floats) -> None:
        self.texts = texts
        self.of_texts = len(texts) <= texts.shape[1]
        square = texts @ texts.T if self.of_texts else texts.T @ texts
        self.matrix = np.linalg.inv(square + RIDGE * np.eye(len(square)))

    def times(self, right: Floats) -> Floats:
        """P times `(known, n)`."""
        if self.of_texts:
            return np.asarray(self.matrix @ right)
        return np.asarray((right - self.texts @ (self.matrix @ (self.texts.T @ right))) / RIDGE)

    def block(self, members: npt.NDArray[np.int64]) -> Floats:
        """Rows and columns of P."""
        if self.of_texts:
            return np.asarray(self.matrix[np.ix_(members, members)])
        texts = self.texts[members]
        return np.asarray((np.eye(len(members)) - texts @ self.matrix @ texts.T) / RIDGE)
