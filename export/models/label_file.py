"""Read a label file: the class names in the order of a model's outputs."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from edgesplit._data import load_json
from edgesplit.errors import LabelError
from edgesplit.limits import TEXT_FILE_BYTES
from edgesplit.storage.files import read_bytes
from edgesplit.storage.text_file import decode_text

__all__ = ["load_labels", "order_labels"]

_INDEX = re.compile(r"[0-9]{1,9}")
_NUMBERED = re.compile(
    # 1 OpenDoor, 1. OpenDoor, 0,"opening a door", 000.opening, [0] opening, #0 opening
    r"""\s*["(\[#]*(\d+)[")\]]*(?:\s*[.,;:|=_-]\s*|\s+|(?<=[)\]]))\S.*"""
    # opening a door,0  opening a door 0  opening a door: 0
    r"""|.*\S(?:\s*[,;:|=\t]\s*|\s+)["(\[#]*(\d+)[")\]]*\s*"""
)


def load_labels(path: Path) -> list[str]:
    """Read class names in class order.

    Args:
        path: a JSON list, a JSON object {label: index} or {index: label} with indices from 0 (a
            number or a text of digits), or one label per line, in CSV quotes or without.

    Raises:
        BundleError: the file cannot be read.
        LabelError: it holds no labels, its lines are numbered, or it is not UTF-8.
    """
    text = decode_text(read_bytes(path, TEXT_FILE_BYTES, LabelError), path, LabelError)
    try:
        content = load_json(text)
    except ValueError:
        labels: object = _read_lines(text, path)
    else:
        pairs = _index_pairs(content) if isinstance(content, dict) else None
        labels = content if pairs is None else order_labels(pairs, str(path))
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise LabelError(
            f"{path} does not list labels. Write a JSON list, {{label: index}}, or one label per "
            "line."
        )
    if labels and all(label.strip().isdecimal() for label in labels):
        raise LabelError(f"The labels of {path} are numbers. Name the classes in words.")
    return labels


def order_labels(pairs: Iterable[tuple[int, str]], origin: str) -> list[str]:
    """Return the labels of (index, label) in the order of their indices.

    Args:
        pairs: in any order; the indices must be 0, 1, 2, … without a gap.
        origin: source of the labels, for the message.

    Raises:
        LabelError: an index is missing, appears twice or does not start at 0.
    """
    ordered = sorted(pairs)
    for wanted, (index, label) in enumerate(ordered):
        if index != wanted:
            fault = f"{label!r} has the index {index}, where {wanted} is expected"
            raise LabelError(
                f"{origin} does not number its {len(ordered)} labels from 0 to "
                f"{len(ordered) - 1}: {fault}. Number them in the order of the model's outputs."
            )
    return [label for _, label in ordered]


def _index_pairs(content: dict[str, object]) -> list[tuple[int, str]] | None:
    """Return (index, label) of {label: index} or {index: label}; None if neither, or both."""
    by_label = all(_is_index(value) for value in content.values())
    by_index = all(_is_index(key) for key in content)
    if by_label and not by_index:
        return [(int(str(value)), key) for key, value in content.items()]
    if by_index and not by_label and all(isinstance(value, str) for value in content.values()):
        return [(int(key), str(value)) for key, value in content.items()]
    return None


def _is_index(value: object) -> bool:
    """Return True for an integer; Something-Something writes them as texts."""
    return type(value) is int or (isinstance(value, str) and bool(_INDEX.fullmatch(value)))


def _read_lines(text: str, path: Path) -> list[str]:
    # Keep empty lines: if the number of labels is wrong, export names them as the likely mistake.
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    _check_unnumbered(lines, path)
    return [_unquote(line, f"Line {number} of {path}") for number, line in enumerate(lines, 1)]


def _check_unnumbered(lines: Sequence[str], path: Path) -> None:
    """Raise LabelError if every line has a different number; the first may be a header."""
    filled = [line for line in lines if line.strip()]
    if filled and not _NUMBERED.fullmatch(filled[0]):
        filled = filled[1:]
    found = [match for line in filled if (match := _NUMBERED.fullmatch(line))]
    names = {match.string[: match.start(2)] for match in found if match[2]}
    if len(names) == 1 < len(found):
        return  # class 0, class 1: only the number distinguishes them
    if len({match[1] or match[2] for match in found}) == len(filled) > 1:
        raise LabelError(
            f"Every line of {path} has a number, such as {filled[0]!r}. If it is the index of the "
            "class, write only the labels, one per line, in the order of the model's outputs. If "
            "it is part of the label, write a JSON list."
        )


def _unquote(line: str, where: str) -> str:
    """Return the label of a line, without CSV quotes."""
    if not line.lstrip().startswith('"'):
        return line
    try:
        fields = next(csv.reader([line.strip()], strict=True))
    except csv.Error:
        fields = []
    if len(fields) != 1:
        raise LabelError(
            f"{where} begins with a quote, but is not one label in CSV quotes: {line!r}. Double "
            "the quotes inside the label, or write a JSON list."
        )
    return fields[0]
