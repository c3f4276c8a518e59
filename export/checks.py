"""Check a request for a bundle before its model is loaded, and report all problems at once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from edgesplit.errors import EdgesplitError, ExportError
from edgesplit.export.models.label_file import load_labels
from edgesplit.video.preprocessing import Preprocessing

__all__ = ["check_request"]

_MOST_FRAMES, _LONGEST_SIDE = 1024, 4096
"""Largest clip that is accepted; more is a typing error, and would fill the memory."""


def check_request(
    spec: str,
    *,
    output: Path,
    labels_path: Path | None,
    checkpoint: Path | None,
    options: Mapping[str, Any],
) -> list[str] | None:
    """Check a request; return the labels, or None without a label file.

    Args:
        spec: The argument MODEL.
        output: The bundle's folder.
        labels_path: A label file.
        checkpoint: Weights.
        options: Fields of `Preprocessing`; None for fields that are not given.

    Raises:
        ExportError: The request cannot succeed; one problem per line.
    """
    problems = list(_output_problems(output))
    labels: list[str] | None = None
    if labels_path is not None:
        try:
            labels = load_labels(labels_path)
        except EdgesplitError as error:
            problems.append(str(error))
    problems += _missing_options(spec, labels_path, checkpoint, options)
    problems += _clip_problems(options)
    if problems:
        raise ExportError("\n".join(problems))
    return labels


def _output_problems(output: Path) -> Iterator[str]:
    # Missing parent folders are created.
    folder = next(path for path in output.absolute().parents if path.exists())
    if output.exists() or output.is_symlink():
        yield f"{output} exists already. Choose another name, or remove it first."
    elif not folder.is_dir():
        yield f"{output} cannot be created: {folder} is not a folder. Choose another -o."
    elif not os.access(folder, os.W_OK | os.X_OK):
        yield f"{output} cannot be created: {folder} is not writable. Choose another -o."


def _missing_options(
    spec: str, labels_path: Path | None, checkpoint: Path | None, options: Mapping[str, Any]
) -> Sequence[str]:
    """Return the options that this form of MODEL always needs and that are missing."""
    kind, colon, _ = spec.partition(":")
    if not colon or Path(spec).is_dir():
        return []
    known = kind in ("mvd", "torchvision")
    wanted = {"--labels": labels_path is None and not (kind == "torchvision" and not checkpoint)}
    if not known:
        wanted |= {"--frames": options.get("frames") is None}
        wanted |= {"--size": options.get("height") is None}
    missing = [option for option, is_missing in wanted.items() if is_missing]
    if not missing:
        return []
    return [f"{spec} does not define its classes and clips: give {', '.join(missing)}."]


def _clip_problems(options: Mapping[str, Any]) -> Sequence[str]:
    given = {name: value for name, value in options.items() if value is not None}
    problems = []
    if given.get("frames", 1) > _MOST_FRAMES:
        problems.append(f"--frames {given['frames']} is too large; it is at most {_MOST_FRAMES}.")
    sides = [given[name] for name in ("height", "width") if name in given]
    if sides and not all(1 <= side <= _LONGEST_SIDE for side in sides):
        size = "x".join(map(str, sides))
        problems.append(f"--size {size} is out of range: 1 to {_LONGEST_SIDE} pixels per side.")
    elif sides or "std" in given:
        names = {item.name for item in fields(Preprocessing)}
        known = {"frames": 1, "height": 1, "width": 1, "sampling": "uniform"}
        given = {name: value for name, value in given.items() if name in names}
        if not sides:
            given.pop("resize", None)
        try:
            Preprocessing(**{**known, **given})
        except ValueError as error:
            problems.append(f"{error}.")
    return problems
