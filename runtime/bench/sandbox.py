"""A copy of the bundle to measure edits on, and splits that can be made on it."""

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
"""Files that are never written, so the copy links to them."""


@contextlib.contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """Create a temporary folder beside a bundle, on the same disk if that is writable."""
    beside = path.resolve().parent
    place = beside if os.access(beside, os.W_OK) else None
    with TemporaryDirectory(prefix=".edgesplit-bench-", dir=place) as folder:
        yield Path(folder)


@contextlib.contextmanager
def copied_bundle(path: Path, scratch: Path | None = None) -> Iterator[Bundle]:
    """Make a temporary copy of a bundle, with only the live head; the backbone is linked.

    Args:
        path: the bundle.
        scratch: folder for the copy; by default the system's folder for temporary files.
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
    """Let this process and its child processes keep embeddings in another folder."""
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
    """Return up to `wanted` classes that the head's own modifiers can split, with two modifiers.

    The splits need not make sense.

    Raises:
        EditError: no class can be split.
    """
    tree = bundle.head().tree
    members = {member.column for group in known_groups(tree, target=0) for member in group.members}
    # Coarse categories first: classes that are in no group.
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
            "The labels of this bundle hold no modifiers that split a class, so no edit was "
            "measured. `edgesplit bench latency` needs no edit."
        )
    return found
