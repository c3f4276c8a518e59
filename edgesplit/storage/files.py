"""Files that survive a crash: written whole or not at all, in an order that holds on disk.

Every write of a bundle is a call of a `Store`, which calls a `Disk` in an order that limits what a
power cut can leave behind. On a file system that reorders writes, data is on disk only after its
fsync, and a name only after the fsync of the folder that holds it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from edgesplit.errors import BundleError, ConflictError, EdgesplitError

__all__ = [
    "PART",
    "Data",
    "Disk",
    "Store",
    "find_parts",
    "is_regular",
    "lock",
    "map_os_errors",
    "part_path",
    "read_bytes",
    "read_regular",
]

PART = ".part"
"""Suffix of a file that is being written; a crash can leave one behind."""

LOCK_TIMEOUT_S = 10.0
_READ_BYTES = 2**20

Data = bytes | bytearray | memoryview


@contextlib.contextmanager
def map_os_errors(
    what: str, path: Path, error_class: type[EdgesplitError] = BundleError
) -> Iterator[None]:
    """Turn an OSError into an error that says what to do.

    Args:
        what: what was being done, as in "publish to".
        path: the file or folder.
        error_class: the class to raise; another one where the path is no bundle's.

    Raises:
        EdgesplitError: there was an OSError; of class `error_class`.
    """
    try:
        yield
    except OSError as error:
        hints = {
            errno.EROFS: "The file system is read-only: write elsewhere; copy a bundle there.",
            errno.EACCES: "Change its permissions, or work as its owner.",
            errno.EPERM: "Change its permissions, or work as its owner.",
            errno.ENOSPC: "The disk is full: free some space and try again.",
            errno.ENAMETOOLONG: "Choose a shorter name.",
            errno.ENOENT: "Check the path, or restore the file from a copy.",
            errno.ELOOP: "A link is not followed here: put the file itself in its place.",
            errno.ENXIO: "Remove it, or restore the file from a copy.",
        }
        hint = hints.get(error.errno or 0, "Check the disk and try again.")
        raise error_class(f"Cannot {what} {path}: {error.strerror or error}. {hint}") from error


def read_bytes(path: Path, limit: int, error_class: type[EdgesplitError] = BundleError) -> bytes:
    """Return the bytes of a file that the user named; a pipe will do. Errors as `read_regular`."""
    with map_os_errors("read", path, error_class), open(path, "rb") as file:
        return _read_at_most(file, limit, path, error_class)


def read_regular(
    path: Path,
    limit: int,
    *,
    follow_link: bool = False,
    error_class: type[EdgesplitError] = BundleError,
) -> bytes:
    """Return the bytes of a regular file.

    Others may be able to write to the folder: a link could show them another file, and reading a
    pipe or a device may never end.

    Args:
        path: The file.
        limit: Most bytes that it may have; see `edgesplit.limits`.
        follow_link: Accept a link to a regular file, for what never changes and is verified.
        error_class: The class to raise.

    Raises:
        EdgesplitError: The file cannot be read, is a link or a pipe, or is too large; of class
            `error_class`.
    """
    opener = _open_linked if follow_link else _open_regular
    with map_os_errors("read", path, error_class), open(path, "rb", opener=opener) as file:
        return _read_at_most(file, limit, path, error_class)


def _read_at_most(
    file: BinaryIO, limit: int, path: Path, error_class: type[EdgesplitError]
) -> bytes:
    size = os.fstat(file.fileno()).st_size  # 0 for a pipe
    parts, left = [], limit + 1 if size <= limit else 0
    while left and (part := file.read(min(left, max(size + 1, _READ_BYTES)))):
        parts.append(part)
        left -= len(part)
    if not left:  # it was too large, or grew meanwhile
        raise error_class(
            f"{path} has more than {limit:,} bytes, the most that is read: it is damaged, or "
            "something else. Restore it from a copy, or check the path."
        )
    return b"".join(parts)


def is_regular(path: Path) -> bool:
    """Return True for a regular file, False for a link and where nothing is.

    Raises:
        BundleError: a folder above cannot be searched.
    """
    with map_os_errors("look at", path):
        try:
            return stat.S_ISREG(path.lstat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False


def _open_regular(path: str, flags: int) -> int:
    """Open as `os.open` does, but regular files only: follow no link, wait for no pipe."""
    return _open_linked(path, flags | os.O_NOFOLLOW)


def _open_linked(path: str, flags: int) -> int:
    """Open as `os.open` does, but regular files and links to them only."""
    descriptor = os.open(path, flags | os.O_NONBLOCK, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.ENXIO, "It is not a regular file")
    return descriptor


def part_path(path: Path) -> Path:
    """Return a hidden name beside `path`, for what is written before it is renamed to `path`.

    Random: nobody can guess it and put a link there, and no two processes have the same, as those
    of two containers would if it were made of their numbers.
    """
    return path.with_name(f".{path.name}.{os.urandom(8).hex()}{PART}")


_PART_NAME = re.compile(
    r"\.(?:HEAD|bundle\.json|log\.jsonl|stats\.npz|text|[0-9a-f]{64}\.onnx)"
    r"\.[0-9a-f]{16}\.part"
)


def find_parts(folder: Path) -> list[Path]:
    """Return what a crash left half written in a folder of a bundle; other files are ignored."""
    return [path for path in folder.glob(f".*{PART}") if _PART_NAME.fullmatch(path.name)]


class Disk:
    """The system calls that change files; nothing else in a bundle changes one.

    What `append`, `rename` and `remove` did survives a killed process, but a power cut only after
    `sync`; of `write` that holds for the file's name. A test passes a disk that fails, stops or
    forgets.
    """

    def write(self, path: Path, data: Data) -> None:
        """Make a new file and fill it, durably.

        Raises:
            FileExistsError: there is something of this name, be it a link.
        """
        with path.open("xb") as file:  # "x" follows no link
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # by name it could be another file by now

    def append(self, path: Path, data: bytes) -> None:
        """Add to the end of a regular file, which is made if need be; no link is followed."""
        with open(path, "ab", opener=_open_regular) as file:
            file.write(data)

    def make_folder(self, path: Path) -> None:
        """Make a folder that is not there yet, in one that is."""
        path.mkdir()

    def rename(self, source: Path, target: Path) -> None:
        """Give a file or folder another name, in place of a file that has it."""
        os.replace(source, target)

    def remove(self, path: Path) -> None:
        """Remove a file's name; whoever has the file open can go on reading."""
        path.unlink()

    def remove_folder(self, path: Path) -> None:
        """Remove a folder with all that is in it, as far as that can be done."""
        shutil.rmtree(path, ignore_errors=True)

    def sync(self, path: Path) -> None:
        """Make a file's content durable, or the names in a folder."""
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe is not waited for
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@dataclass(frozen=True)
class Store:
    """Durable writes, made of a disk's calls in an order that survives a crash at any of them."""

    disk: Disk = field(default_factory=Disk)

    def replace_file(self, path: Path, data: Data) -> None:
        """Put `data` at `path`, atomically and durably.

        After a crash the path holds the old content or the new, never a mixture. The file gets
        the mode that the umask gives, not a temporary file's private one.

        Raises:
            OSError: nothing was changed; or, when only the folder's sync failed, the new content
                is there but may not survive a power cut.
        """
        part = part_path(path)
        try:
            self.disk.write(part, data)
            self.disk.rename(part, path)
        except BaseException:
            with contextlib.suppress(OSError):
                self.disk.remove(part)
            raise
        self.disk.sync(path.parent)

    def sync_file(self, path: Path) -> None:
        """Make a file that is there already, and its name, durable."""
        self.disk.sync(path)
        self.disk.sync(path.parent)

    def append_line(self, path: Path, line: str) -> None:
        """Append one line durably.

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
        """Make a folder durably, with the folders above it that are missing."""
        if not path.parent.exists():
            self.make_folder(path.parent)
        self.disk.make_folder(path)
        self.disk.sync(path.parent)

    @contextlib.contextmanager
    def write_folder(self, target: Path) -> Iterator[Path]:
        """Give a hidden folder to fill, which becomes `target`, durably, when it is complete.

        What is put into it must be durable, as this store's own writes are. Nothing is left of it
        after an error.

        Raises:
            OSError: there is no `target`; or, when only the last sync failed, it is there but may
                not survive a power cut.
        """
        part = part_path(target)
        try:
            self.make_folder(part)
            yield part
            self.disk.rename(part, target)
            self.disk.sync(target.parent)
        except BaseException:
            self.disk.remove_folder(part)
            raise

    def remove_file(self, path: Path) -> None:
        """Remove a file. Not durably: after a power cut it may be there again."""
        self.disk.remove(path)

    def remove_parts(self, folder: Path) -> None:
        """Remove what crashes left half written in a folder; the caller holds the lock."""
        for path in find_parts(folder):
            if path.is_dir() and not path.is_symlink():  # a text encoder that was being added
                self.disk.remove_folder(path)
                continue
            with contextlib.suppress(FileNotFoundError):
                self.disk.remove(path)


def _ends_a_line(path: Path) -> bool:
    """Return True if the file is empty or its last byte ends a line."""
    with open(path, "rb", opener=_open_regular) as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - 1))
        return file.read(1) in (b"", b"\n")


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold the folder's writer lock; readers need none.

    Whoever can open the lock file can hold it, so only those may who can write to the folder.

    Raises:
        ConflictError: another process holds it for longer than `LOCK_TIMEOUT_S`.
        BundleError: the lock file cannot be made.
    """
    from filelock import FileLock  # imports asyncio, and readers need no lock

    path = folder / ".lock"
    with map_os_errors("write to", folder):
        if not folder.is_dir():  # FileLock would make it
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        writers = folder.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        mode = 0o600 | writers | writers << 1  # who may write reads, too
        _restrict(path, mode)
        try:
            held = FileLock(path, timeout=LOCK_TIMEOUT_S, mode=mode).acquire()
        except TimeoutError as error:
            raise ConflictError(
                f"Another process{_holder(path)} has been publishing to {folder} for "
                f"{LOCK_TIMEOUT_S:.0f} s. Try again when it is done."
            ) from error
        except PermissionError as error:
            if not (path.exists() and os.access(folder, os.W_OK)):
                raise
            raise BundleError(
                f"Cannot write to {folder}: this user may not open its lock, {path}. Work as the "
                "user who made it, or remove it while nobody publishes."
            ) from error
        if os.geteuid() == 0:  # else the folder's owner could not lock it after root
            with contextlib.suppress(OSError):
                about = folder.stat()
                os.chown(path, about.st_uid, about.st_gid)
    with held:
        yield


def _restrict(path: Path, mode: int) -> None:
    """Set the mode of a lock file that is there already; leave another user's file."""
    with (
        contextlib.suppress(FileNotFoundError, PermissionError),
        open(path, "rb", opener=_open_regular) as file,
        contextlib.suppress(OSError),  # a file system without modes
    ):
        os.fchmod(file.fileno(), mode)


def _holder(path: Path) -> str:
    """Return who holds a lock, as " (pid 17, user 1000)"; "" where Linux does not say."""
    try:
        file = path.stat()
        device = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}"
        locks = map(str.split, Path("/proc/locks").read_text().splitlines())
        pid = next(lock[4] for lock in locks if f"{device}:{file.st_ino}" in lock)
        return f" (pid {pid}, user {Path('/proc', pid).stat().st_uid})"
    except (OSError, StopIteration):
        return ""
