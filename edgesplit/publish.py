"""How a head goes live and how old ones go: the one writer of heads/, log.jsonl and HEAD.

Whoever calls holds the bundle's lock. Each step is durable before the next is begun, so that a
crash leaves the old head live or the new one, with a log that says how it went live.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from pathlib import Path

from edgesplit.errors import BundleError
from edgesplit.head import Head, head_digest
from edgesplit.history import Version, append_version, new_version
from edgesplit.store import PART, Store, read_bytes

__all__ = ["go_live", "head_file", "head_files", "prune", "read_live"]


def head_file(folder: Path, digest: str) -> Path:
    """Where a head's file is."""
    return folder / "heads" / f"{digest}.onnx"


def head_files(folder: Path) -> dict[str, Path]:
    """The head files there are, by digest, in order of digest."""
    return {path.stem: path for path in sorted((folder / "heads").glob("*.onnx"))}


def read_live(folder: Path) -> str:
    """The digest in HEAD.

    Raises:
        BundleError: HEAD is missing, cannot be read or holds no digest.
    """
    path = folder / "HEAD"
    text = read_bytes(path).decode(errors="replace").strip()
    if len(text) != 64 or set(text) - set("0123456789abcdef"):
        raise BundleError(
            f"{path} does not hold a digest. `edgesplit log` lists the heads; "
            "`edgesplit rollback DIGEST` makes one live."
        )
    return text


def go_live(store: Store, folder: Path, head: Head, *, before: str, action: str) -> Version:
    """Head, log line, HEAD.

    Raises:
        OSError: the head did not go live; what was written is passed over, and used again. Or,
            when only the last sync failed, it is live but may not be after a power cut.
    """
    _settle(store, folder)
    path = head_file(folder, head.digest)
    # A file of that name is hashed: a power cut can leave it empty.
    if path.exists() and head_digest(path.read_bytes()) == head.digest:
        store.sync_file(path)  # whoever put it there may not have made it durable
    else:
        store.replace_file(path, head.to_bytes())
    version = new_version(head.digest, before=before, action=action)
    append_version(store, folder, version)
    store.replace_file(folder / "HEAD", f"{head.digest}\n".encode())
    return version


def prune(store: Store, folder: Path, digests: Collection[str], *, live: str) -> Version:
    """Log line, then the heads' files, and what crashes left half written.

    Raises:
        OSError: some files are still there; prune again.
    """
    _settle(store, folder)
    action = f"prune {len(digests)} head{'s' * (len(digests) != 1)}"
    version = new_version(live, before=live, action=action, pruned=sorted(digests))
    append_version(store, folder, version)
    leftovers = (path for path in (*folder.glob(f".*{PART}"), *folder.glob(f"heads/.*{PART}")))
    for path in (*(head_file(folder, digest) for digest in version.pruned), *leftovers):
        with contextlib.suppress(FileNotFoundError):
            store.remove_file(path)
    return version


def _settle(store: Store, folder: Path) -> None:
    """Makes HEAD durable as it is: a line of the log is about to say that this head was live.

    Whoever put it there may have been killed before it was; after a power cut the line would tell
    of a head that never went live.
    """
    path = folder / "HEAD"
    if path.exists():
        store.sync_file(path)
