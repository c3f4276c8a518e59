"""How a head goes live and how old ones go: the one writer of heads/, log.jsonl and HEAD.

Whoever calls holds the bundle's lock. Each step is durable before the next is begun, so that a
crash leaves the old head live or the new one, with a log that says how it went live.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Collection
from pathlib import Path

from edgesplit._data import is_digest
from edgesplit.bundle.history import Version, append_version, new_version
from edgesplit.errors import BundleError
from edgesplit.heads.head import Head, head_digest
from edgesplit.storage.files import PART, Store, is_regular, read_regular

__all__ = ["go_live", "has_head", "head_file", "head_files", "prune", "read_live"]


def head_file(folder: Path, digest: str) -> Path:
    """Where a head's file is.

    Raises:
        BundleError: `heads` is a link, so that the file would lie outside the bundle.
    """
    return _heads(folder) / f"{digest}.onnx"


def has_head(folder: Path, digest: str) -> bool:
    """True if the head's file is there; a link or a pipe of its name is none.

    Raises:
        BundleError: as `head_file`.
    """
    return is_regular(head_file(folder, digest))


def head_files(folder: Path) -> dict[str, Path]:
    """The head files there are, by digest, in order of digest; of other files nothing is said.

    Raises:
        BundleError: as `head_file`.
    """
    files = {path.stem: path for path in sorted(_heads(folder).glob("*.onnx"))}
    return {name: path for name, path in files.items() if is_digest(name) and is_regular(path)}


def _heads(folder: Path) -> Path:
    heads = folder / "heads"
    if heads.is_symlink():
        raise BundleError(f"{heads} is a link, and leads out of the bundle: put a folder there.")
    return heads


def read_live(folder: Path) -> str:
    """The digest in HEAD.

    Raises:
        BundleError: HEAD is missing, cannot be read, is a link or holds no digest.
    """
    path = folder / "HEAD"
    text = read_regular(path).decode(errors="replace").strip()
    if not is_digest(text):
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
    if is_regular(path) and head_digest(read_regular(path)) == head.digest:
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
    leftovers = (*folder.glob(f".*{PART}"), *_heads(folder).glob(f".*{PART}"))
    for path in (*(head_file(folder, digest) for digest in version.pruned), *leftovers):
        if path.is_dir() and not path.is_symlink():  # a text encoder that was being added
            shutil.rmtree(path, ignore_errors=True)
            continue
        with contextlib.suppress(FileNotFoundError):
            store.remove_file(path)
    return version


def _settle(store: Store, folder: Path) -> None:
    """Makes HEAD durable as it is: a line of the log is about to say that this head was live.

    Whoever put it there may have been killed before it was; after a power cut the line would tell
    of a head that never went live.
    """
    path = folder / "HEAD"
    if is_regular(path):
        store.sync_file(path)
