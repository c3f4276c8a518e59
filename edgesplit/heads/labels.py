"""The label tree: the labels of a head's columns, and their parents.

The root classes are the classes that the model was trained on. Splitting a class turns its leaf
into an inner node with children; the leaves are the classes that the head predicts. A node's
position in `LabelTree.nodes` is its column in the head. Columns are in order of creation: the root
classes first, then the children of each split as one block.
"""

from __future__ import annotations

import contextlib
import difflib
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, get_args

from edgesplit.errors import EditError, HeadError, LabelError
from edgesplit.heads.label_text import check_label, words
from edgesplit.limits import TREE_DEPTH

__all__ = [
    "COMPOSITIONS",
    "DIGEST_DIGITS",
    "Composition",
    "LabelTree",
    "Node",
    "Provenance",
    "Source",
]

Composition = Literal["gated", "flat"]
COMPOSITIONS: tuple[Composition, ...] = get_args(Composition)
EXPORTED = "export"
MIN_KNOWN = 5
"""Minimum labelled clips of a row that later splits may learn from. They never learn from a row
made from text alone, since errors would add up."""
DIGEST_DIGITS = 16
"""Hex digits in the digest of a clip that a person was asked about."""
_DIGEST = re.compile(f"[0-9a-f]{{{DIGEST_DIGITS}}}")
MIN_TEMPERATURE, MAX_TEMPERATURE = 1e-3, 1e3
"""Outside of these, float32 scores overflow, or padding gets a probability above 0."""


@dataclass(frozen=True, slots=True)
class Source:
    """A known label that a row was made from."""

    label: str
    similarity: float
    """Cosine between the wanted and the known modifier's text, as the rule compares them."""
    weight: float
    """Weight of the known modifier vector in the row."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.similarity) and math.isfinite(self.weight)):
            raise HeadError(
                f"The similarity or weight of the source {self.label!r} is not finite. Make the "
                "edit again."
            )


@dataclass(frozen=True, slots=True)
class Provenance:
    """The origin of a row."""

    rule: str = EXPORTED
    """`export` for the rows of the trained head, else the split rule that made the row."""
    sources: tuple[Source, ...] = ()
    """Known labels that the row was made from, the largest share first."""
    n_clips: int = 0
    """Number of labelled clips that the row was fitted to."""
    asked: tuple[str, ...] = ()
    """Digests of the clips among them that a person was asked about; see
    `edgesplit.edits.problem.Answer.digest`."""

    def __post_init__(self) -> None:
        if not all(_DIGEST.fullmatch(digest) for digest in self.asked):
            raise HeadError("The digest of an answered clip is damaged. Restore the head.")
        if len(self.asked) > self.n_clips:
            raise HeadError("A row has more answered clips than labelled ones. Restore the head.")

    @property
    def known(self) -> bool:
        """True if later splits may learn from the row: it was trained or has enough clips."""
        return self.rule == EXPORTED or self.n_clips >= MIN_KNOWN


@dataclass(frozen=True, slots=True)
class Node:
    """One column of a head."""

    label: str
    parent: int | None = None
    """Column of the parent, of which this node is a subcategory; None for a root class."""
    modifier: str = ""
    """Words that distinguish it from its siblings; empty for a root class."""
    composition: Composition | None = None
    """Composition of the node's split; None for a leaf."""
    temperature: float = 1.0
    """Divisor of the children's relative scores before the softmax (gated only)."""
    provenance: Provenance = Provenance()


@dataclass(frozen=True)
class LabelTree:
    """An immutable, checked label tree.

    Raises:
        HeadError: the nodes are inconsistent (see `_check`).
        LabelError: a label is not allowed or appears twice.
    """

    nodes: tuple[Node, ...]
    _blocks: dict[int, range] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        blocks: dict[int, range] = {}
        for column, node in enumerate(self.nodes):
            if node.parent is None:
                continue
            block = blocks.get(node.parent, range(column, column))
            if block.stop != column:
                raise HeadError(
                    f"The children of column {node.parent} are not one block of columns."
                )
            blocks[node.parent] = range(block.start, column + 1)
        object.__setattr__(self, "_blocks", blocks)
        self._check()

    @classmethod
    def from_labels(cls, labels: Iterable[str]) -> LabelTree:
        """Return a tree of root classes, in the given order."""
        return cls(tuple(Node(label=check_label(label)) for label in labels))

    def _check(self) -> None:
        seen: dict[str, int] = {}
        for column, node in enumerate(self.nodes):
            if check_label(node.label) != node.label:
                raise HeadError(
                    f"Column {column}: the label {node.label!r} is not in its stored form (NFC, "
                    "single spaces)."
                )
            if node.label in seen:
                raise LabelError(
                    f"Columns {seen[node.label]} and {column} are both called {node.label!r}. "
                    "Labels must differ; rename one."
                )
            seen[node.label] = column
            self._check_place(column, node)
        if max(self.depths, default=0) > TREE_DEPTH:
            raise HeadError(
                f"Splits lie {max(self.depths)} below each other, and at most {TREE_DEPTH} may."
            )
        if len(self.roots) < 2:
            raise HeadError(
                f"A head needs at least 2 root classes; this one has {len(self.roots)}."
            )

    def _check_place(self, column: int, node: Node) -> None:
        children = self.children(column)
        if (node.composition is None) != (len(children) == 0) or len(children) == 1:
            raise HeadError(
                f"Column {column} ({node.label!r}) has composition {node.composition!r} and "
                f"{len(children)} children; a split has a composition and at least 2 children."
            )
        if node.composition not in (None, *COMPOSITIONS):
            raise HeadError(f"Column {column}: unknown composition {node.composition!r}.")
        if not MIN_TEMPERATURE <= node.temperature <= MAX_TEMPERATURE:
            raise HeadError(
                f"Column {column}: the temperature {node.temperature} is not within "
                f"{MIN_TEMPERATURE:g} to {MAX_TEMPERATURE:g}."
            )
        if node.temperature != 1.0 and node.composition != "gated":
            raise HeadError(f"Column {column}: only a gated split has a temperature.")
        if node.parent is None:
            if column >= len(self.roots):
                raise HeadError(f"Column {column} is a root class after a split's children.")
        elif not 0 <= node.parent < column:
            raise HeadError(f"Column {column} has the impossible parent {node.parent}.")
        elif node.composition == "flat" and self.nodes[node.parent].composition != "flat":
            raise HeadError(f"Column {column} ({node.label!r}) is flat inside a gated split.")

    def __len__(self) -> int:
        return len(self.nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __getitem__(self, column: int) -> Node:
        return self.nodes[column]

    def children(self, column: int) -> range:
        """Return the columns of the node's children; empty for a leaf."""
        return self._blocks.get(column, range(0))

    @cached_property
    def roots(self) -> range:
        """Columns of the root classes, which come first."""
        return range(sum(node.parent is None for node in self.nodes))

    @cached_property
    def leaves(self) -> tuple[int, ...]:
        """Columns of the classes that the head predicts, in ascending order."""
        return tuple(c for c, node in enumerate(self.nodes) if node.composition is None)

    @cached_property
    def inner(self) -> tuple[int, ...]:
        """Columns of the nodes that are split, in ascending order."""
        return tuple(c for c, node in enumerate(self.nodes) if node.composition is not None)

    @cached_property
    def competitors(self) -> tuple[int, ...]:
        """Columns that compete at the root level, ascending.

        These are the root classes and, in place of a flat split, its children.
        """
        return tuple(
            column
            for column, node in enumerate(self.nodes)
            if node.composition != "flat"
            and (node.parent is None or self.nodes[node.parent].composition == "flat")
        )

    @cached_property
    def flat_splits(self) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """Column of every flat split, and the competitors below it."""
        competitors = set(self.competitors)
        return tuple(
            (column, tuple(c for c in self.descendants(column) if c in competitors))
            for column, node in enumerate(self.nodes)
            if node.composition == "flat"
        )

    @cached_property
    def depths(self) -> tuple[int, ...]:
        """Depth of every column: 0 for a root class."""
        depths: list[int] = []
        for node in self.nodes:
            depths.append(0 if node.parent is None else depths[node.parent] + 1)
        return tuple(depths)

    def path(self, column: int) -> tuple[int, ...]:
        """Return the columns from the root class down to `column`, which is the last."""
        path = [column]
        while (parent := self.nodes[path[-1]].parent) is not None:
            path.append(parent)
        return tuple(reversed(path))

    def descendants(self, column: int) -> list[int]:
        """Return all columns below `column`, parents before children."""
        below: list[int] = []
        waiting = [*reversed(self.children(column))]
        while waiting:  # no recursion: a tree may be deeper than Python's recursion limit
            below.append(waiting.pop())
            waiting += reversed(self.children(below[-1]))
        return below

    def find(self, name: str, *, among: Sequence[int] | None = None) -> int:
        """Return the column of the label that `name` names.

        An exact label wins; else the only label whose leading complete words are `name`,
        ignoring case. `among` restricts the search to some columns.

        Raises:
            LabelError: no label matches (the text names the nearest), or several do.
        """
        columns = range(len(self)) if among is None else among
        exact = [c for c in columns if self.nodes[c].label == name]
        if exact:
            return exact[0]
        wanted = words(name)
        found = [
            c for c in columns if wanted and words(self.nodes[c].label)[: len(wanted)] == wanted
        ]
        whole = [c for c in found if len(words(self.nodes[c].label)) == len(wanted)]
        if len(whole) == 1:
            return whole[0]
        if len(found) == 1:
            return found[0]
        if found:
            listed = ", ".join(repr(self.nodes[c].label) for c in found[:8])
            more = f" and {len(found) - 8} more" if len(found) > 8 else ""
            raise LabelError(
                f"{name!r} matches {len(found)} classes: {listed}{more}. Name one in full."
            )
        raise LabelError(self._unknown(name, columns))

    def find_first(self, name: str, first: Sequence[int], second: Sequence[int]) -> int:
        """Return the column of the label that `name` names, preferring the `first` columns.

        Fall back to the `second`, so that the caller can report "already split" instead of "no
        such class".

        Raises:
            LabelError: no label matches, or several do.
        """
        exact = [column for column, node in enumerate(self) if node.label == name]
        if exact:
            return exact[0]
        try:
            return self.find(name, among=first)
        except LabelError:
            with contextlib.suppress(LabelError):
                return self.find(name, among=second)
            raise

    def _unknown(self, name: str, columns: Sequence[int]) -> str:
        labels = {self.nodes[c].label.casefold(): self.nodes[c].label for c in columns}
        # Compare with the first words, too: "pusing" is near to the first word of "pushing
        # something" only.
        starts = {" ".join(words(key)[: max(1, len(words(name)))]): key for key in labels}
        near = difflib.get_close_matches(name.casefold(), labels, n=3, cutoff=0.5)
        near += [starts[s] for s in difflib.get_close_matches(name.casefold(), starts, n=3)]
        if not near:
            return f"There is no class {name!r}. `edgesplit show` lists the labels."
        listed = ", ".join(repr(labels[key]) for key in dict.fromkeys(near))
        return f"There is no class {name!r}. Did you mean {listed}?"

    def split(
        self, column: int, children: Sequence[Node], *, composition: Composition
    ) -> LabelTree:
        """Return the tree with `children` appended below the leaf `column`.

        Raises:
            EditError: `column` is split already, or flat was requested inside a gated split.
            LabelError: a child's label is taken.
        """
        if composition not in COMPOSITIONS:
            raise ValueError(
                f"composition must be one of {', '.join(COMPOSITIONS)}, got {composition!r}"
            )
        node = self.nodes[column]
        if node.composition is not None:
            below = ", ".join(repr(self.nodes[c].label) for c in self.children(column))
            raise EditError(
                f"{node.label!r} is already split into {below}. Split one of these, or undo with "
                f"`edgesplit merge --class {node.label!r}`."
            )
        parent = node.parent
        if (
            composition == "flat"
            and parent is not None
            and self.nodes[parent].composition != "flat"
        ):
            raise EditError(
                f"{node.label!r} is inside a gated split, so its children cannot compete with the "
                "root classes, as flat needs. Use composition gated."
            )
        self._refuse_taken([child.label for child in children], self.nodes)
        grown = list(self.nodes)
        grown[column] = replace(node, composition=composition)
        grown += [replace(child, parent=column) for child in children]
        return LabelTree(tuple(grown))

    def merge(self, column: int) -> tuple[LabelTree, list[int]]:
        """Return the tree without the nodes below `column`, and the columns that were kept.

        Raises:
            EditError: `column` is not split.
        """
        node = self.nodes[column]
        if node.composition is None:
            raise EditError(f"{node.label!r} is not split, so there is nothing to merge.")
        return self._without(self.descendants(column), leaf=column)

    def drop(self, column: int) -> tuple[LabelTree, list[int]]:
        """Return the tree without the subcategory `column`, and the columns that were kept.

        Raises:
            EditError: `column` is a root class, or has only one sibling.
        """
        node = self.nodes[column]
        if node.parent is None:
            raise EditError(
                f"{node.label!r} is one of the model's original classes: without it, its clips "
                "would get another class. Only subcategories can be dropped."
            )
        if len(self.children(node.parent)) == 2:
            above = self.nodes[node.parent].label
            raise EditError(
                f"{node.label!r} has only one sibling, and a split needs two. Undo it with "
                f"`edgesplit merge --class {above!r}`."
            )
        return self._without([column, *self.descendants(column)])

    def rename(self, column: int, label: str, modifier: str) -> LabelTree:
        """Return the tree with another label and modifier at `column`.

        Raises:
            EditError: label and modifier stay the same.
            LabelError: another class has that label.
        """
        old = self.nodes[column]
        if (label, modifier) == (old.label, old.modifier):
            raise EditError(f"The class is already called {label!r}. Choose another name.")
        self._refuse_taken([label], (node for node in self.nodes if node is not old))
        nodes = list(self.nodes)
        nodes[column] = replace(old, label=label, modifier=modifier)
        return LabelTree(tuple(nodes))

    def _refuse_taken(self, labels: Sequence[str], nodes: Iterable[Node]) -> None:
        taken = {node.label.casefold() for node in nodes}
        for label in labels:
            if label.casefold() in taken:
                raise LabelError(f"A class {label!r} already exists. Choose another name.")

    def _without(
        self, removed: Iterable[int], *, leaf: int | None = None
    ) -> tuple[LabelTree, list[int]]:
        """Return the tree without `removed`, and the kept columns; column `leaf` becomes a leaf."""
        left_out = set(removed)
        kept = [column for column in range(len(self)) if column not in left_out]
        place = {old: new for new, old in enumerate(kept)}
        nodes = []
        for column in kept:
            node = self.nodes[column]
            if column == leaf:
                node = replace(node, composition=None, temperature=1.0)
            if node.parent is not None:
                node = replace(node, parent=place[node.parent])
            nodes.append(node)
        return LabelTree(tuple(nodes)), kept
