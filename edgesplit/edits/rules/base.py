"""Input and output of a rule.

A rule is a pure function `(TransferProblem) -> Transfer`. Texts and rows are arrays; a rule reads
no file, runs no model and uses no label tree.

The same problem gives the same edit on every machine. BLAS libraries and CPUs differ in the last
bits of float64, so these never decide: values are `settled` before they are compared, and rows are
`on_grid` before they are stored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from edgesplit._types import Float32, Float64, Int64

__all__ = [
    "LabelRows",
    "Ridge",
    "Rule",
    "Texts",
    "Transfer",
    "TransferProblem",
    "cosines",
    "match_one_to_one",
    "members_of",
    "on_grid",
    "settled",
]

_GRID_BITS = 16
_RIDGE = 0.1


@dataclass(frozen=True, eq=False)
class Texts:
    """Embeddings of subcategories' texts, one row each, normalised to length 1."""

    modifiers: Float64
    """`(n, text dim)`: embeddings of the modifiers as written."""
    labels: Float64
    """`(n, text dim)`: embeddings of the full labels as written."""
    siblings: Int64
    """`(n,)`: group numbers; equal numbers are siblings."""
    in_order: Float64 | None = None
    """`(n, text dim)`: embeddings of the modifiers after `embedding.words_in_order` and
    `matching.in_known_words`; None if these change nothing. The paper's rules do not use it."""

    known_labels: Float64 | None = None
    """`(n, text dim)`: embeddings of the labels, with a known label's in place of a label in other
    words; see `matching.in_known_words`. None if all are as written."""

    @property
    def told_apart(self) -> Float64:
        """`(n, text dim)`: embeddings for differences between siblings."""
        return self.modifiers if self.in_order is None else self.in_order

    def part(self, chosen: Int64) -> Texts:
        """Return some of the rows."""
        in_order = None if self.in_order is None else self.in_order[chosen]
        return Texts(self.modifiers[chosen], self.labels[chosen], self.siblings[chosen], in_order)

    @cached_property
    def centred(self) -> Float64:
        """`(n, text dim)`: modifiers, in order, minus their siblings' mean, normalised.

        They correspond to modifier vectors. Without centring, the common part of the siblings ("a
        direction") would outweigh their differences ("which direction").
        """
        return self._centre(self.told_apart)

    @cached_property
    def centred_labels(self) -> Float64:
        """`(n, text dim)`: full labels, in known words, centred in the same way."""
        return self._centre(self.labels if self.known_labels is None else self.known_labels)

    def _centre(self, texts: Float64) -> Float64:
        centred = texts.copy()
        for members in members_of(self.siblings):
            centred[members] -= centred[members].mean(axis=0)
        return _normalise(centred)


@dataclass(frozen=True, slots=True, eq=False)
class LabelRows:
    """A head's labels and their rows."""

    texts: Float64
    """`(labels, text dim)`: embeddings."""
    rows: Float64
    """`(labels, dim)`."""
    of_known: Int64
    """`(known,)`: index in these arrays of each known label; -1 if it is missing."""


class Ridge:
    """The matrix P = (X X^T + 0.1 I)^-1 for texts X `(known, text dim)`.

    With more texts than dimensions, P = (I - X (X^T X + 0.1 I)^-1 X^T) / 0.1 is used, which needs
    only a matrix of the size of the dimensions.
    """

    def __init__(self, texts: Float64) -> None:
        self.texts = texts
        self.of_texts = len(texts) <= texts.shape[1]
        square = texts @ texts.T if self.of_texts else texts.T @ texts
        self.matrix = np.linalg.inv(square + _RIDGE * np.eye(len(square)))

    def times(self, right: Float64) -> Float64:
        """Return P times `right`, `(known, n)`."""
        if self.of_texts:
            return np.asarray(self.matrix @ right)
        return np.asarray((right - self.texts @ (self.matrix @ (self.texts.T @ right))) / _RIDGE)

    def weights(self, queries: Float64, members: Int64) -> Float64:
        """Return columns `members` of Q X^T P, `(n, members)`, for queries Q `(n, text dim)`."""
        if self.of_texts:
            return np.asarray((queries @ self.texts.T) @ self.matrix[:, members])
        return np.asarray((queries @ self.matrix) @ self.texts[members].T)

    def block(self, members: Int64) -> Float64:
        """Return the rows and columns `members` of P."""
        if self.of_texts:
            return np.asarray(self.matrix[np.ix_(members, members)])
        texts = self.texts[members]
        return np.asarray((np.eye(len(members)) - texts @ self.matrix @ texts.T) / _RIDGE)


@dataclass(frozen=True, eq=False)
class TransferProblem:
    """The input of a rule."""

    wanted: Texts
    """New subcategories, all siblings of one another."""
    known: Texts
    """Known labels that belong to a group."""
    vectors: Float64
    """`(known, dim)`: each known label's row minus the mean of its group's rows."""
    means: Float64 | None = None
    """`(known, dim)`: mean feature of the clips decided for each known label, centred on its group;
    None without statistics. Zeros where `n_clips` is 0."""
    n_clips: Int64 | None = None
    """`(known,)`: number of clips of each mean; 0 if a label of the group has too few."""
    labels: LabelRows | None = None
    """Labels of the head, with or without a group, and their rows."""
    group_names: Float64 | None = None
    """`(groups, text dim)`: embeddings of the groups' names; only for `alignment-mlp`."""
    group_rows: Float64 | None = None
    """`(groups, dim)`: mean of each group's rows; only for `alignment-mlp`."""

    @cached_property
    def lessons(self) -> tuple[Float64, Float64]:
        """Training pairs of the linear map: texts `(n, text dim)` and rows `(n, dim)`.

        The known modifiers with their vectors come first, then every label with its row, both
        minus the mean of all labels.
        """
        texts, rows = self.known.centred, self.vectors
        if self.labels is None or not len(self.labels.rows):
            return texts, rows
        label_texts = self.labels.texts - self.labels.texts.mean(axis=0)
        label_rows = self.labels.rows - self.labels.rows.mean(axis=0)
        return np.concatenate([texts, label_texts]), np.concatenate([rows, label_rows])

    @cached_property
    def ridge(self) -> Ridge:
        """Matrix for the texts of `lessons`; slow to compute, and used by rule and estimate."""
        return Ridge(self.lessons[0])

    def asked(self, texts: Texts) -> Float64:
        """Return the query texts `(n, text dim)` of the map, of length 1.

        If the training pairs include all labels, the texts of modifier and label have equal weight.
        """
        if self.labels is None:
            return texts.centred
        return _normalise(texts.centred + texts.centred_labels)


@dataclass(frozen=True, slots=True, eq=False)
class Transfer:
    """The output of a rule."""

    rows: Float64
    """`(wanted, dim)`: rows relative to the class that is split."""
    weights: Float64
    """`(wanted, known)`: weight of each known vector in each row."""
    similarities: Float64
    """`(wanted, known)`: cosines between the texts, as the rule compares them."""
    notices: tuple[str, ...] = ()
    """Warnings for the user about the making of the rows."""


Rule = Callable[[TransferProblem], Transfer]


def cosines(left: Float64, right: Float64) -> Float64:
    """Return the cosines `(n, m)` of rows that already have length 1."""
    return np.asarray(left @ right.T)


def members_of(siblings: Int64) -> list[Int64]:
    """Return the indices of each group's members, groups in ascending order."""
    if not len(siblings):
        return []
    order = np.argsort(siblings, kind="stable")
    _, starts = np.unique(siblings[order], return_index=True)
    return np.split(order, starts[1:])


def settled(values: Float64) -> Float64:
    """Return values rounded for comparing and sorting: rounding errors become ties.

    Ties are common. "Moving something up" and "pulling something up" are equally good sources for
    "up", but the results of a linear solver differ in the last bits. The first one wins.
    """
    return np.round(values, 6) + 0.0  # -0.0 becomes 0.0


def on_grid(rows: Float64) -> Float32:
    """Return rows for storing: multiples of 2**-16 of the power of two above the largest entry.

    The last bits of float64 move one number in a billion to another multiple. The step is 1e-5 of
    the largest entry, far below the error of rows made from texts.
    """
    step = np.ldexp(1.0, np.frexp(np.abs(rows).max())[1] - _GRID_BITS)
    return np.asarray(np.rint(rows / step) * step + 0.0, np.float32)  # -0.0 becomes 0.0


def match_one_to_one(similarities: Float64) -> Int64:
    """Return a different column for each row of `(n, m)`, n <= m, by greedy assignment.

    The largest similarity is assigned, its row and column are removed, and so on.
    """
    remaining = settled(similarities)
    columns = np.zeros(len(remaining), np.int64)
    for _ in range(len(remaining)):
        row, column = np.unravel_index(np.argmax(remaining), remaining.shape)
        columns[row] = column
        remaining[row, :] = remaining[:, column] = -np.inf
    return columns


def _normalise(rows: Float64) -> Float64:
    # A sibling that is alone or a duplicate is centred to zero and stays zero: it matches nothing.
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(length, 1e-6))
