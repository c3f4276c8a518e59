"""What differs between two heads of one feature space."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from edgesplit.head import Head
from edgesplit.labels import Node

__all__ = ["HeadDiff", "Resplit", "diff_heads"]


@dataclass(frozen=True, slots=True)
class Resplit:
    """A label of both heads whose split differs; empty texts where it is not split."""

    label: str
    before: str
    """Composition and temperature in the first head, as "gated, temperature 1"."""
    after: str


@dataclass(frozen=True, slots=True)
class HeadDiff:
    """Labels are compared by name, rows and biases to the bit."""

    added: tuple[Node, ...]
    """Labels that only the second head has, with the provenance of their rows."""
    removed: tuple[str, ...]
    """Labels that only the first head has."""
    changed: tuple[str, ...]
    """Labels of both whose own row, bias, parent, modifier or provenance differs."""
    resplit: tuple[Resplit, ...]
    """Labels of both that are split in one head only, or otherwise."""
    n_equal: int
    """Labels of both that are in neither `changed` nor `resplit`."""

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)


def diff_heads(old: Head, new: Head) -> HeadDiff:
    """Compares two heads label by label.

    Raises:
        ValueError: their features differ in size.
    """
    if old.dim != new.dim:
        raise ValueError(f"features of {old.dim} and of {new.dim} values cannot be compared")
    before = {node.label: column for column, node in enumerate(old.tree)}
    after = {node.label: column for column, node in enumerate(new.tree)}
    both = [label for label in before if label in after]
    changed = [x for x in both if _row(old, before[x]) != _row(new, after[x])]
    splits = [Resplit(x, _split(old.tree[before[x]]), _split(new.tree[after[x]])) for x in both]
    resplit = [split for split in splits if split.before != split.after]
    return HeadDiff(
        added=tuple(new.tree[column] for label, column in after.items() if label not in before),
        removed=tuple(label for label in before if label not in after),
        changed=tuple(changed),
        resplit=tuple(resplit),
        n_equal=len(set(both) - set(changed) - {split.label for split in resplit}),
    )


def _row(head: Head, column: int) -> tuple[object, ...]:
    node = head.tree[column]
    parent = None if node.parent is None else head.tree[node.parent].label
    numbers = (head.weight[column].tobytes(), head.bias[column].tobytes())
    return (*numbers, parent, node.modifier, node.provenance)


def _split(node: Node) -> str:
    return f"{node.composition}, temperature {node.temperature!r}" if node.composition else ""
