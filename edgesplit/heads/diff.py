"""The differences between two heads of one feature space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from edgesplit.heads.head import Head
from edgesplit.heads.labels import Node

__all__ = ["HeadDiff", "Rename", "Resplit", "diff_heads", "match_nodes"]


@dataclass(frozen=True, slots=True)
class Rename:
    """A node of both heads under two labels."""

    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Resplit:
    """A label of both heads whose split differs; the text is empty where it is not split."""

    label: str
    """The label in the second head."""
    before: str
    """Composition and temperature in the first head, as "gated, temperature 1"."""
    after: str


@dataclass(frozen=True, slots=True)
class HeadDiff:
    """Differences between two heads; labels are compared by name, rows and biases bit by bit."""

    added: tuple[Node, ...]
    """Labels that only the second head has, with the provenance of their rows."""
    removed: tuple[str, ...]
    """Labels that only the first head has."""
    renamed: tuple[Rename, ...]
    """Nodes that differ only in their label, or in their label and modifier."""
    changed: tuple[str, ...]
    """Labels of both heads whose row, bias, parent, modifier or provenance differs."""
    resplit: tuple[Resplit, ...]
    """Nodes of both heads that are split in one head only, or differently."""
    n_equal: int
    """Number of labels of both heads that are in neither `changed` nor `resplit`."""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return asdict(self)


def diff_heads(old: Head, new: Head, pairs: Mapping[int, int] | None = None) -> HeadDiff:
    """Compare two heads node by node.

    Args:
        old: the first head.
        new: the second head.
        pairs: the result of `match_nodes` for them; default: computed.

    Raises:
        ValueError: their features differ in size.
    """
    if old.dim != new.dim:
        raise ValueError(
            f"heads for features of {old.dim} and of {new.dim} values cannot be compared"
        )
    pairs = match_nodes(old, new) if pairs is None else pairs
    labels = {column: new.tree[pair].label for column, pair in pairs.items()}
    renamed = [c for c, label in labels.items() if old.tree[c].label != label]
    changed = [
        column
        for column, pair in pairs.items()
        if column not in renamed and _differ(old, column, new, pair, pairs)
    ]
    resplit = {
        column: Resplit(labels[column], before, after)
        for column, pair in pairs.items()
        if (before := _split(old.tree[column])) != (after := _split(new.tree[pair]))
    }
    matched = set(pairs.values())
    return HeadDiff(
        added=tuple(node for column, node in enumerate(new.tree) if column not in matched),
        removed=tuple(node.label for column, node in enumerate(old.tree) if column not in pairs),
        renamed=tuple(Rename(old.tree[column].label, labels[column]) for column in renamed),
        changed=tuple(labels[column] for column in changed),
        resplit=tuple(resplit.values()),
        n_equal=len(set(pairs) - set(renamed) - set(changed) - set(resplit)),
    )


def match_nodes(old: Head, new: Head) -> dict[int, int]:
    """Return the nodes that both heads have: `{column in old: column in new}`, ascending.

    A label that both heads have is the same node. A remaining node was renamed if its row, bias,
    parent and provenance are equal; several equal nodes are paired in order of columns.
    """
    by_label = {node.label: column for column, node in enumerate(new.tree)}
    pairs = {
        column: by_label[node.label]
        for column, node in enumerate(old.tree)
        if node.label in by_label
    }
    taken = set(pairs.values())
    free: dict[tuple[object, ...], list[int]] = {}
    for column in range(len(new.tree)):
        if column not in taken:
            free.setdefault(_content(new, column, new.tree[column].parent), []).append(column)
    for column in range(len(old.tree)):  # parents come first
        if column not in pairs:
            equal = free.get(_content(old, column, _above(old, column, pairs)))
            if equal:
                pairs[column] = equal.pop(0)
    return dict(sorted(pairs.items()))


def _content(head: Head, column: int, parent: int | None) -> tuple[object, ...]:
    """Return a node's row, bias, parent and provenance; `parent` is a column of the second head."""
    numbers = (head.weight[column].tobytes(), head.bias[column].tobytes())
    return (*numbers, parent, head.tree[column].provenance)


def _above(old: Head, column: int, pairs: Mapping[int, int]) -> int | None:
    """Return the parent's column in the second head; -1 if it has no such node."""
    parent = old.tree[column].parent
    return None if parent is None else pairs.get(parent, -1)


def _differ(old: Head, column: int, new: Head, pair: int, pairs: Mapping[int, int]) -> bool:
    before = _content(old, column, _above(old, column, pairs))
    after = _content(new, pair, new.tree[pair].parent)
    return before != after or old.tree[column].modifier != new.tree[pair].modifier


def _split(node: Node) -> str:
    return f"{node.composition}, temperature {node.temperature!r}" if node.composition else ""
