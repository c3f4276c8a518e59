"""What a rule sees and what it answers.

A rule is a pure function `(TransferProblem) -> Transfer`. Texts and rows come in as arrays; a rule
reads no file, runs no model and knows nothing of label trees.

The same problem gives the same edit on every machine. BLAS libraries and CPUs differ in the last
bits of float64, so those never decide: what is compared is `settled`, what is stored `on_grid`.
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
    """Embeddings of some subcategories' texts, one row each, normalised to length 1."""

    modifiers: Float64
    """`(n, text dim)`."""
    labels: Float64
    """`(n, text dim)`: of the full labels."""
    siblings: Int64
    """`(n,)`: equal numbers are siblings (members of one group)."""
    in_order: Float64 | None = None
    """`(n, text dim)`: of the modifiers as `embedding.words_in_order` and then
    `matching.in_known_words` give them; None where that is how they are written. The paper's rules
    do without."""

    known_labels: Float64 | None = None
    """`(n, text dim)`: the labels, but a known label's where the modifier is in other words than
    the head's; see `matching.in_known_words`. None where all are as written."""

    @property
    def told_apart(self) -> Float64:
        """`(n, text dim)`: what differences between siblings are taken of."""
        return self.modifiers if self.in_order is None else self.in_order

    def part(self, chosen: Int64) -> Texts:
        """Some of the rows."""
        in_order = None if self.in_order is None else self.in_order[chosen]
        return Texts(self.modifiers[chosen], self.labels[chosen], self.siblings[chosen], in_order)

    @cached_property
    def centred(self) -> Float64:
        """`(n, text dim)`: modifiers, in order, minus their siblings' mean, normalised.

        The text-side twin of a modifier vector: what the siblings share ("it is a direction")
        would otherwise drown what tells them apart ("which direction").
        """
        return self._centre(self.told_apart)

    @cached_property
    def centred_labels(self) -> Float64:
        """`(n, text dim)`: the same of the full labels, in known words."""
        return self._centre(self.labels if self.known_labels is None else self.known_labels)

    def _centre(self, texts: Float64) -> Float64:
        centred = texts.copy()
        for members in members_of(self.siblings):
            centred[members] -= centred[members].mean(axis=0)
        return _normalise(centred)


@dataclass(frozen=True, slots=True, eq=False)
class LabelRows:
    """Labels of a head and their rows."""

    texts: Float64
    """`(labels, text dim)`: embeddings."""
    rows: Float64
    """`(labels, dim)`."""
    of_known: Int64
    """`(known,)`: the place here of each known label; -1 where it is missing."""


class Ridge:
    """P = (X X^T + 0.1 I)^-1 for texts X `(known, text dim)`.

    Of more texts than dimensions it is never made: P = (I - X (X^T X + 0.1 I)^-1 X^T) / 0.1
    needs only a matrix of the dimensions' size.
    """

    def __init__(self, texts: Float64) -> None:
        self.texts = texts
        self.of_texts = len(texts) <= texts.shape[1]
        square = texts @ texts.T if self.of_texts else texts.T @ texts
        self.matrix = np.linalg.inv(square + _RIDGE * np.eye(len(square)))

    def times(self, right: Float64) -> Float64:
        """P times `(known, n)`."""
        if self.of_texts:
            return np.asarray(self.matrix @ right)
        return np.asarray((right - self.texts @ (self.matrix @ (self.texts.T @ right))) / _RIDGE)

    def weights(self, asked: Float64, members: Int64) -> Float64:
        """Of texts `(n, text dim)`: asked X^T P, the columns of `members`, `(n, members)`."""
        if self.of_texts:
            return np.asarray((asked @ self.texts.T) @ self.matrix[:, members])
        return np.asarray((asked @ self.matrix) @ self.texts[members].T)

    def block(self, members: Int64) -> Float64:
        """Rows and columns of P."""
        if self.of_texts:
            return np.asarray(self.matrix[np.ix_(members, members)])
        texts = self.texts[members]
        return np.asarray((np.eye(len(members)) - texts @ self.matrix @ texts.T) / _RIDGE)


@dataclass(frozen=True, eq=False)
class TransferProblem:
    """What a rule sees."""

    wanted: Texts
    """The new subcategories, all siblings of one another."""
    known: Texts
    """The known labels that belong to a group."""
    vectors: Float64
    """`(known, dim)`: each known label's row minus the mean of its group's rows."""
    means: Float64 | None = None
    """`(known, dim)`: the same of the mean features of clips decided for each known label; None
    without statistics. Zeros where `n_clips` says that there are too few."""
    n_clips: Int64 | None = None
    """`(known,)`: how many clips each mean is of."""
    labels: LabelRows | None = None
    """Every label of the head with its row, in a group or not."""
    group_names: Float64 | None = None
    """`(groups, text dim)`: embeddings of the groups' names; only `alignment-mlp` wants them."""
    group_rows: Float64 | None = None
    """`(groups, dim)`: the mean of each group's rows; the same."""

    @cached_property
    def lessons(self) -> tuple[Float64, Float64]:
        """Texts `(n, text dim)` and rows `(n, dim)` that a linear map is fitted to.

        The known modifiers with their vectors come first; then every label with its row, both
        minus the mean of all.
        """
        texts, rows = self.known.centred, self.vectors
        if self.labels is None or not len(self.labels.rows):
            return texts, rows
        more = self.labels.texts - self.labels.texts.mean(axis=0)
        their_rows = self.labels.rows - self.labels.rows.mean(axis=0)
        return np.concatenate([texts, more]), np.concatenate([rows, their_rows])

    @cached_property
    def ridge(self) -> Ridge:
        """Of the texts of `lessons`. Rule and estimate both need it, and it is the slow part."""
        return Ridge(self.lessons[0])

    def asked(self, texts: Texts) -> Float64:
        """`(n, text dim)`: the texts that the map is asked about, of length 1.

        With all labels among the lessons, the modifier's text and that of its label count alike.
        """
        if self.labels is None:
            return texts.centred
        return _normalise(texts.centred + texts.centred_labels)


@dataclass(frozen=True, slots=True, eq=False)
class Transfer:
    """What a rule answers."""

    rows: Float64
    """`(wanted, dim)`: rows relative to the class that is split."""
    weights: Float64
    """`(wanted, known)`: how much of each known vector went into each row."""
    similarities: Float64
    """`(wanted, known)`: cosines as the rule compares the texts."""
    notices: tuple[str, ...] = ()
    """What the user should know of how the rows came about, in sentences."""


Rule = Callable[[TransferProblem], Transfer]


def cosines(left: Float64, right: Float64) -> Float64:
    """`(n, m)` cosines of rows that have length 1 already."""
    return np.asarray(left @ right.T)


def members_of(siblings: Int64) -> list[Int64]:
    """The places of each group's members, groups in ascending order; in linear time, nearly."""
    if not len(siblings):
        return []
    order = np.argsort(siblings, kind="stable")
    _, starts = np.unique(siblings[order], return_index=True)
    return np.split(order, starts[1:])


def settled(values: Float64) -> Float64:
    """Values to compare and to order by: rounding errors become ties, won by the first.

    Ties are common. "Moving something up" and "pulling something up" are equally good sources for
    "up", yet what a linear solver says of them differs in the last bits.
    """
    return np.round(values, 6) + 0.0  # -0.0 becomes 0.0


def on_grid(rows: Float64) -> Float32:
    """Rows to store: multiples of 2**-16 of the power of two above their largest entry.

    The last bits of float64 move one number in a billion to another multiple. The step is 1e-5 of
    the largest entry, far below what texts can say of a row.
    """
    step = np.ldexp(1.0, np.frexp(np.abs(rows).max())[1] - _GRID_BITS)
    return np.asarray(np.rint(rows / step) * step + 0.0, np.float32)  # -0.0 becomes 0.0


def match_one_to_one(similarities: Float64) -> Int64:
    """The column that each row of `(n, m)` gets, n <= m; greedy, the most alike first.

    The largest similarity of all is assigned, its row and column are removed, and so on.
    """
    left = settled(similarities)
    columns = np.zeros(len(left), np.int64)
    for _ in range(len(left)):
        row, column = np.unravel_index(np.argmax(left), left.shape)
        columns[row] = column
        left[row, :] = left[:, column] = -np.inf
    return columns


def _normalise(rows: Float64) -> Float64:
    # A lone or duplicate sibling is centred to zero and stays zero: it is like nothing.
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(length, 1e-6))
