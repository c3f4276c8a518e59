"""The heads of a bundle: heads/<digest>.onnx, and HEAD, which holds the digest of the live one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edgesplit._data import is_digest
from edgesplit.bundle.history import read_history
from edgesplit.errors import BundleError, FeatureSpaceError
from edgesplit.heads.head import Head, head_digest
from edgesplit.limits import HEAD_BYTES, HEAD_POINTER_BYTES
from edgesplit.storage.files import is_regular, read_regular

__all__ = [
    "HeadFiles",
    "check_space",
    "find_live",
    "has_head",
    "head_file",
    "head_files",
    "heads_folder",
    "read_live",
]

MIN_PREFIX = 4
"""Fewest first characters of a digest that may name a head."""


def heads_folder(folder: Path) -> Path:
    """Return the folder of the head files in the bundle at `folder`.

    Raises:
        BundleError: `heads` is a link, so that the files would lie outside the bundle.
    """
    heads = folder / "heads"
    if heads.is_symlink():
        raise BundleError(f"{heads} is a link out of the bundle. Replace it with a folder.")
    return heads


def head_file(folder: Path, digest: str) -> Path:
    """Return the path of a head's file, whether or not it exists; errors as `heads_folder`."""
    return heads_folder(folder) / f"{digest}.onnx"


def has_head(folder: Path, digest: str) -> bool:
    """Return True if the head's file exists; a link or a pipe of its name does not count."""
    return is_regular(head_file(folder, digest))


def head_files(folder: Path) -> list[str]:
    """Return the digests of all head files, sorted; other files are ignored."""
    files = sorted(heads_folder(folder).glob("*.onnx"))
    return [file.stem for file in files if is_digest(file.stem) and is_regular(file)]


def read_live(folder: Path) -> str:
    """Return the digest in HEAD.

    Raises:
        BundleError: HEAD is missing, cannot be read, is a link or holds no digest.
    """
    path = folder / "HEAD"
    text = read_regular(path, HEAD_POINTER_BYTES).decode(errors="replace").strip()
    if not is_digest(text):
        raise BundleError(
            f"{path} does not hold a digest. `edgesplit log` lists the heads; "
            "`edgesplit rollback DIGEST` makes one live."
        )
    return text


def find_live(folder: Path) -> str | None:
    """Return the digest in HEAD; None when HEAD is missing, is a link or holds no digest.

    Raises:
        BundleError: HEAD exists but cannot be read; it may be undamaged.
    """
    path = folder / "HEAD"
    if not is_regular(path):
        return None
    text = read_regular(path, HEAD_POINTER_BYTES).decode(errors="replace").strip()
    return text if is_digest(text) else None


def check_space(head: Head, feature_space: str, dim: int) -> None:
    """Raise FeatureSpaceError if a head has another feature space or feature size."""
    if head.feature_space != feature_space:
        own = head.feature_space
        mine = f"feature space {own[:12]}" if own else "no feature space"
        raise FeatureSpaceError(
            f"The head belongs to {mine}, the bundle has {feature_space[:12]}: it was trained on "
            "another backbone or preprocessing. Use a head that was exported with this bundle."
        )
    if head.dim != dim:
        raise FeatureSpaceError(
            f"The head takes features of {head.dim} values, but the backbone makes {dim}. Use a "
            "head that was exported with this bundle."
        )


@dataclass(frozen=True)
class HeadFiles:
    """Reader and finder of the heads of one bundle; safe from any thread.

    Methods raise BundleError if a head's file is missing or has another digest than its name,
    HeadError if it is not a head, and FeatureSpaceError if it belongs to another backbone.
    """

    folder: Path
    """Folder of the bundle."""
    feature_space: str
    dim: int
    _parsed: dict[str, Head] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Head that was read last, by its digest, because an edit and its publish both read it."""

    def read(self, digest: str) -> Head:
        """Return the head of a complete digest, verified."""
        path = head_file(self.folder, digest)
        data = read_regular(path, HEAD_BYTES)
        if head_digest(data) != digest:
            raise BundleError(
                f"{path} is damaged: its content has another digest than its name. Restore it "
                "from a copy, or roll back and make the same edit again."
            )
        head = self._parsed.get(digest)
        if head is None:
            head = Head.from_bytes(data)
            check_space(head, self.feature_space, self.dim)
            self._parsed.clear()
            self._parsed[digest] = head
        return head

    def find(self, prefix: str) -> str:
        """Return the one digest that starts with `prefix`, of `MIN_PREFIX` characters at least."""
        if len(prefix) < MIN_PREFIX:
            raise BundleError(
                f"{prefix!r} is too short: give at least {MIN_PREFIX} characters of a digest."
            )
        if is_digest(prefix) and has_head(self.folder, prefix):
            return prefix  # complete digests, as from the runtime, need no list of all heads
        found = [digest for digest in head_files(self.folder) if digest.startswith(prefix)]
        if len(found) == 1:
            return found[0]
        if not found and any(digest.startswith(prefix) for digest in self._pruned()):
            raise BundleError(
                f"The head {prefix[:12]} of {self.folder} was pruned: only its log entry remains. "
                "Publish it again from a copy, or make the edit again."
            )
        starts = f"{len(found)} heads of {self.folder} start"
        what = starts if found else f"No head of {self.folder} starts"
        raise BundleError(f"{what} with {prefix[:12]!r}. `edgesplit log` lists the heads.")

    def _pruned(self) -> list[str]:
        history = read_history(self.folder, find_live(self.folder))
        return [digest for version in history for digest in version.pruned]

    def ancestors(self, head: Head) -> Iterator[Head]:
        """Yield the heads that `head` was edited from, nearest first, as far as files exist.

        The iteration also ends if files name each other as parents.
        """
        seen = {head.digest}
        while head.parent and head.parent not in seen and has_head(self.folder, head.parent):
            seen.add(head.parent)
            head = self.read(head.parent)
            yield head
