"""Where edgesplit keeps what it can always make again: text embeddings, engines, variants."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from edgesplit.errors import BackendError, EdgesplitError

__all__ = ["cache_folder", "lock_entry", "map_cache_errors"]


def cache_folder() -> Path:
    """Return the user's cache folder for edgesplit; it need not exist yet.

    It is EDGESPLIT_CACHE, else XDG_CACHE_HOME/edgesplit, else ~/.cache/edgesplit. The environment
    is read on every call.

    Raises:
        EdgesplitError: none of them is set and the user has no home folder, as some services do.
    """
    if chosen := os.environ.get("EDGESPLIT_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(base):  # the XDG specification says to ignore a relative one
        return Path(base) / "edgesplit"
    try:
        return Path.home() / ".cache" / "edgesplit"
    except RuntimeError as error:
        raise EdgesplitError(
            "This user has no home folder to cache in. Set EDGESPLIT_CACHE to a folder."
        ) from error


@contextlib.contextmanager
def lock_entry(folder: Path, key: str, *, busy: BackendError) -> Iterator[None]:
    """Lets one process at a time make an entry of the cache: two would slow each other's figures.

    Args:
        folder: of the entries; made when it is not there.
        key: the entry's.
        busy: raised when another process is at it.

    Raises:
        BackendError: `busy`, or one of its kind when the folder cannot be written to.
    """
    with map_cache_errors("write to", folder, kind=type(busy)):
        folder.mkdir(parents=True, exist_ok=True)
        guard = FileLock(folder / f".{key}.lock", timeout=0)
        try:
            guard.acquire()
        except Timeout as error:
            raise busy from error
    try:
        yield
    finally:
        guard.release()


@contextlib.contextmanager
def map_cache_errors(what: str, path: Path, *, kind: type[BackendError]) -> Iterator[None]:
    """Turns an OSError into a `kind` that says which variable to set."""
    try:
        yield
    except OSError as error:
        raise kind(
            f"Cannot {what} {path}: {error.strerror or error}. Set EDGESPLIT_CACHE to a folder "
            "with room that you may write to."
        ) from error
