"""Files that survive a crash: written whole or not at all, in an order that holds on disk.

Every write of a bundle is a call of a `Store`, which makes it of a `Disk`'s calls: what a power cut
can leave behind is decided here. On a file system that reorders writes, data is on disk only after
its fsync, and a name only after the fsync of the folder that holds it.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from edgesplit.errors import BundleError, ConflictError

__all__ = ["PART", "Data", "Disk", "Store", "lock", "map_os_errors", "read_bytes"]

PART = ".part"
"""Ends the name of a file that is being written; a crash can leave one behind."""

LOCK_TIMEOUT_S = 10.0

Data = bytes | bytearray | memoryview


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
            errno.ENOSPC: "The disk is full: free some space and try again.",
            errno.ENOENT: "Check the path, or restore the file from a copy.",
        }
        hint = hints.get(error.errno or 0, "Check the disk and try again.")
        raise BundleError(f"Cannot {what} {path}: {error.strerror or error}. {hint}") from error


def read_bytes(path: Path) -> bytes:
    """The bytes of a file; a failure is a BundleError."""
    with map_os_errors("read", path):
        return path.read_bytes()


class Disk:
    """The system calls that change files; nothing else in a bundle changes one.

    What `write`, `append`, `rename` and `remove` did survives a killed process, but a power cut
    only after `sync`. A test passes a disk that fails, stops or forgets.
    """

    def write(self, path: Path, data: Data) -> None:
        """Makes the file, or empties it, and fills it."""
        path.write_bytes(data)

    def append(self, path: Path, data: bytes) -> None:
        """Adds to the end of the file, which is made if need be."""
        with path.open("ab") as file:
            file.write(data)

    def make_folder(self, path: Path) -> None:
        """Makes a folder that is not there yet, in one that is."""
        path.mkdir()

    def rename(self, source: Path, target: Path) -> None:
        """Gives a file or folder another name, in place of a file that has it."""
        os.replace(source, target)

    def remove(self, path: Path) -> None:
        """Removes a file's name; whoever has the file open can go on reading."""
        path.unlink()

    def sync(self, path: Path) -> None:
        """Makes a file's content durable, or the names in a folder."""
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@dataclass(frozen=True)
class Store:
    """Durable writes, made of a disk's calls in an order that survives a crash at any of them."""

    disk: Disk = field(default_factory=Disk)

    def replace_file(self, path: Path, data: Data) -> None:
        """Puts `data` at `path`, atomically and durably.

        After a crash the path holds the old content or the new, never a mixture. The file gets
        the mode that the umask gives, not a temporary file's private one.

        Raises:
            OSError: nothing was changed; or, when only the folder's sync failed, the new content
                is there but may not survive a power cut.
        """
        part = path.with_name(f".{path.name}.{os.getpid()}{PART}")
        try:
            self.disk.write(part, data)
            self.disk.sync(part)
            self.disk.rename(part, path)
        except BaseException:
            with contextlib.suppress(OSError):
                self.disk.remove(part)
            raise
        self.disk.sync(path.parent)

    def sync_file(self, path: Path) -> None:
        """Makes a file that is there already, and its name, durable."""
        self.disk.sync(path)
        self.disk.sync(path.parent)

    def append_line(self, path: Path, line: str) -> None:
        """Appends one line durably.

        A torn line that a crash left at the end stays a line of its own: it never swallows the
        new one.

        Raises:
            OSError: at most a torn line was added.
        """
        new = not path.exists()
        torn = not new and not _ends_a_line(path)
        self.disk.append(path, (b"\n" if torn else b"") + line.encode() + b"\n")
        self.disk.sync(path)
        if new:
            self.disk.sync(path.parent)

    def make_folder(self, path: Path) -> None:
        """Makes a folder durably, with the folders above it that are missing."""
        if not path.parent.exists():
            self.make_folder(path.parent)
        self.disk.make_folder(path)
        self.disk.sync(path.parent)

    def rename_folder(self, source: Path, target: Path) -> None:
        """Renames a folder durably; everything in it must be durable already.

        Raises:
            OSError: nothing was renamed; or, when only the sync failed, the folder has its new name
                but may have the old one after a power cut.
        """
        self.disk.rename(source, target)
        self.disk.sync(target.parent)

    def remove_file(self, path: Path) -> None:
        """Removes a file. Not durably: after a power cut it may be there again."""
        self.disk.remove(path)


def _ends_a_line(path: Path) -> bool:
    """Whether the file is empty or its last byte ends a line."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - 1))
        return file.read(1) in (b"", b"\n")


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
