"""A copy of the bundle to measure edits on, and splits that can be made there."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from edgesplit.backbone.identity import GRAPH, WEIGHTS
from edgesplit.bundle.bundle import Bundle, open_bundle
from edgesplit.edits.groups import known_groups
from edgesplit.errors import EdgesplitError, EditError

__all__ = ["copied_bundle", "find_splits", "own_cache", "scratch_folder"]

_SHARED = (GRAPH, WEIGHTS, "text")
"""Files that are never written, so that the copy links to them."""


@contextlib.contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """A hidden folder beside a bundle, so on the same disk, or a temporary one elsewhere."""
    beside = path.resolve().parent
    place = beside if os.access(beside, os.W_OK) else None
    with TemporaryDirectory(prefix=".edgesplit-bench-", dir=place) as folder:
        yield Path(folder)


@contextlib.contextmanager
def copied_bundle(path: Path, scratch: Path | None = None) -> Iterator[Bundle]:
    """A temporary copy of a bundle, with the live head alone; the backbone is linked.

    Args:
        path: the bundle.
        scratch: where the copy goes; the system's folder for temporary files by default.
    """
    source = open_bundle(path)
    with TemporaryDirectory(dir=scratch) as folder:
        target = Path(folder) / path.resolve().name
        (target / "heads").mkdir(parents=True)
        live = source.live
        shutil.copy(path / "heads" / f"{live}.onnx", target / "heads")
        for file in path.iterdir():
            if file.name in _SHARED:
                (target / file.name).symlink_to(file.resolve())
            elif file.is_file() and not file.name.startswith("."):
                shutil.copy(file, target)
        yield open_bundle(target)


@contextlib.contextmanager
def own_cache(folder: Path) -> Iterator[None]:
    """Let this process, and those that it starts, keep embeddings in another folder."""
    before = os.environ.get("EDGESPLIT_CACHE")
    os.environ["EDGESPLIT_CACHE"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["EDGESPLIT_CACHE"]
        else:
            os.environ["EDGESPLIT_CACHE"] = before


def find_splits(bundle: Bundle, wanted: int) -> list[tuple[str, list[str]]]:
    """Return up to `wanted` classes that can be split, and into what, by the head's own modifiers.

    The splits may be bad ones.

    Raises:
        EditError: no class can be split.
    """
    tree = bundle.head().tree
    members = {member.column for group in known_groups(tree, target=0) for member in group.members}
    # Classes that are in no group first: they are the coarse ones.
    leaves = [column for column in tree.roots if column in tree.leaves]
    found: list[tuple[str, list[str]]] = []
    for column in sorted(leaves, key=lambda column: (column in members, column)):
        groups = known_groups(tree, target=column)
        modifiers = [member.modifier for group in groups for member in group.members]
        into = list(dict.fromkeys(modifiers))[:2]
        label = tree[column].label
        if len(into) == 2:
            with contextlib.suppress(EdgesplitError):
                bundle.split_class(label, into=into, accept_doubt=True)
                found.append((label, into))
        if len(found) == wanted:
            break
    if not found:
        raise EditError(
            "No class of this bundle can be split by what its labels know, so no edit was "
            "measured. `edgesplit bench latency` needs no edit."
        )
    return found
