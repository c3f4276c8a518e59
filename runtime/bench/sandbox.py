"""What edits are measured on: a copy of the bundle, and a split that can be made there."""

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
from edgesplit.heads.labels import Composition

__all__ = ["copied_bundle", "find_splits", "own_cache", "scratch_folder"]

_SHARED = (GRAPH, WEIGHTS, "text")
"""Never written: the copy links to them."""


@contextlib.contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """A hidden folder beside a bundle, so on the same disk; elsewhere where none can be made."""
    beside = path.resolve().parent
    place = beside if os.access(beside, os.W_OK) else None
    with TemporaryDirectory(prefix=".edgesplit-bench-", dir=place) as folder:
        yield Path(folder)


@contextlib.contextmanager
def copied_bundle(path: Path, scratch: Path | None = None) -> Iterator[Bundle]:
    """A copy of a bundle for as long as it is wanted.

    The live head is its only one; the backbone is linked, not copied.

    Args:
        path: the bundle.
        scratch: where the copy goes; the system's folder for such things by default.
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
    """Has this process, and those that it starts, keep embeddings in another folder."""
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
    """Classes of the live head that can be split, and into what, by the head's own modifiers.

    Whether the splits are any good is not asked.

    Raises:
        EditError: none can be split.
    """
    tree = bundle.head().tree
    members = {member.column for group in known_groups(tree, target=0) for member in group.members}
    # Classes that stand alone first: they are the coarse ones.
    leaves = [column for column in tree.roots if column in tree.leaves]
    found: list[tuple[str, list[str]]] = []
    for column in sorted(leaves, key=lambda column: (column in members, column)):
        groups = known_groups(tree, target=column)
        modifiers = [member.modifier for group in groups for member in group.members]
        into = list(dict.fromkeys(modifiers))[:2]
        label = tree[column].label
        if len(into) == 2 and can_split(bundle, label, into, "gated"):
            found.append((label, into))
        if len(found) == wanted:
            break
    if not found:
        raise EditError(
            "No class of this bundle can be split by what its labels know, so no edit was "
            "measured. `edgesplit bench latency` and `growth` need none."
        )
    return found


def can_split(bundle: Bundle, label: str, into: list[str], composition: Composition) -> bool:
    """Whether a split can be made at all, however bad."""
    try:
        bundle.split_class(label, into=into, composition=composition, accept_doubt=True)
    except EdgesplitError:
        return False
    return True
