"""A label file: the class names in the order of a model's outputs."""

from __future__ import annotations

import json
from pathlib import Path

from edgesplit.errors import LabelError
from edgesplit.store import read_bytes

__all__ = ["load_labels"]


def load_labels(path: Path) -> list[str]:
    """Reads class names in class order.

    Args:
        path: a JSON list, a JSON object {label: index} or {index: label}, or one label per line.

    Raises:
        BundleError: the file cannot be read.
        LabelError: it holds something else.
    """
    text = read_bytes(path).decode("utf-8-sig", errors="replace")
    try:
        content = json.loads(text)
    except ValueError:
        # Empty lines are kept: export counts the labels and names them as the likely mistake.
        return text.removesuffix("\n").split("\n")
    if isinstance(content, dict):
        content = _in_order(content)
    if isinstance(content, list) and all(isinstance(label, str) for label in content):
        return content
    raise LabelError(
        f"{path} does not list labels. Write a JSON list, {{label: index}}, or one label per line."
    )


def _in_order(content: dict[str, object]) -> list[object] | None:
    """The labels of {label: index} or {index: label}; None if an index is missing."""
    pairs = list(content.items())
    if all(isinstance(value, str) and key.isdigit() for key, value in pairs):
        pairs = [(str(value), int(key)) for key, value in pairs]
    by_index = {index: label for label, index in pairs if isinstance(index, int)}
    if sorted(by_index) != list(range(len(pairs))):
        return None
    return [by_index[index] for index in range(len(pairs))]
