"""What differs between two heads of one feature space."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from edgesplit.head import Head
from edgesplit.labels import Node

__all__ = ["HeadDiff", "diff_heads"]


@dataclass(frozen=True, slots=True)
class HeadDiff:
    """Labels are compared by name, rows and biases to the bit."""

    added: tuple[Node, ...]
    """Labels that only the second head has, with the provenance of their rows."""
    removed: tuple[str, ...]
    """Labels that only the first head has."""
    changed: tuple[str, ...]
    """Labels of both whose own row or bias differs."""
    n_equal: int
    """Labels of both whose own row and bias are the same bits."""

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
    changed = [
        label
        for label in both
        if old.weight[before[label]].tobytes() != new.weight[after[label]].tobytes()
        or old.bias[before[label]].tobytes() != new.bias[after[label]].tobytes()
    ]
    return HeadDiff(
        added=tuple(new.tree[column] for label, column in after.items() if label not in before),
        removed=tuple(label for label in before if label not in after),
        changed=tuple(changed),
        n_equal=len(both) - len(changed),
    )
