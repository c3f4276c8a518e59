"""Files that survive a crash: written whole or not at all, in an order that holds on disk.

Every write of a bundle goes through these functions, so what a power cut can leave behind is
decided here. On a file system that reorders writes, data is on disk only after its fsync, and a
name only after the fsync of the folder that holds it.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from edgesplit.errors import BundleError, ConflictError

__all__ = [
    "append_line",
    "lock",
    "map_os_errors",
    "read_bytes",
    "rename_folder",
    "replace_file",
    "sync_file",
]

LOCK_TIMEOUT_S = 10.0


@contextlib.contextmanager
def map_os_errors(what: str, path: Path) -> Iterator[None]:
    """Turns an OSError into a BundleError that says what to do.

    Args:
        what: what was being done, as in "publish to".
        path: the file or folder.
    """
    try:
        yield
    except OSError as error:
        hints = {
            errno.EROFS: "The file system is read-only: copy the bundle to a writable place.",
            errno.EACCES: "Change its permissions, or work as its owner.",
            errno.EPERM: "Change its permissions, or work as its owner.",
            errno.ENOSPC: "The disk is full: free some space and try again. Nothing was changed.",
            errno.ENOENT: "Check the path, or restore the file from a copy.",
        }
        hint = hints.get(error.errno or 0, "Check the disk and try again.")
        raise BundleError(f"Cannot {what} {path}: {error.strerror or error}. {hint}") from error


def read_bytes(path: Path) -> bytes:
    """The bytes of a file; a failure is a BundleError."""
    with map_os_errors("read", path):
        return path.read_bytes()


def replace_file(path: Path, data: bytes) -> None:
    """Puts `data` at `path`, atomically and durably.

    After a crash the path holds the old content or the new, never a mixture. The file gets the
    mode that the umask gives, not a temporary file's private one.

    Raises:
        OSError: nothing was changed; or, when only the folder's fsync failed, the new content is
            there but may not survive a power cut.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    _fsync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Makes a file that is there already, and its name, durable."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
    _fsync_folder(path.parent)


def rename_folder(source: Path, target: Path) -> None:
    """Renames a folder durably; everything in it must be on disk already.

    Raises:
        OSError: nothing was renamed.
    """
    os.rename(source, target)
    _fsync_folder(target.parent)


def append_line(path: Path, line: str) -> None:
    """Appends one line durably.

    A torn line that a crash left at the end stays a line of its own: it never swallows the new
    one.

    Raises:
        OSError: at most a torn line was added.
    """
    new = not path.exists()
    with path.open("ab+") as file:
        end = file.seek(0, os.SEEK_END)
        if end:
            file.seek(end - 1)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(line.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    if new:
        _fsync_folder(path.parent)


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Holds the folder's writer lock; readers need none.

    Raises:
        ConflictError: another process holds it for longer than `LOCK_TIMEOUT_S`.
        BundleError: the lock file cannot be made.
    """
    guard = FileLock(folder / ".lock", timeout=LOCK_TIMEOUT_S)  # a mode would override the umask
    with map_os_errors("write to", folder):
        if not folder.is_dir():  # FileLock would make it
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        try:
            guard.acquire()
        except Timeout as error:
            raise ConflictError(
                f"Another process has been publishing to {folder} for {LOCK_TIMEOUT_S:.0f} s. "
                "Try again when it is done."
            ) from error
    try:
        yield
    finally:
        guard.release()
