"""Files that survive a crash: written completely or not at all, in a durable order.

Every write of a bundle is a call of a `Store`, which calls a `Disk` in an order that limits the
possible states after a power cut. On a file system that reorders writes, data is on disk only after
its fsync, and a name only after the fsync of its folder.
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
"""Suffix of a file that is being written; after a crash such a file can remain."""

LOCK_TIMEOUT_S = 10.0
_READ_BYTES = 2**20

Data = bytes | bytearray | memoryview


@contextlib.contextmanager
def map_os_errors(
    what: str, path: Path, error_class: type[EdgesplitError] = BundleError
) -> Iterator[None]:
    """Turn an OSError into an EdgesplitError with advice.

    Args:
        what: the action, such as "publish to".
        path: the file or folder.
        error_class: the class to raise; another one if the path does not belong to a bundle.

    Raises:
        EdgesplitError: an OSError occurred; of class `error_class`.
    """
    try:
        yield
    except OSError as error:
        hints = {
            errno.EROFS: "The file system is read-only: write to another one, or copy the bundle.",
            errno.EACCES: "Change its permissions, or work as its owner.",
            errno.EPERM: "Change its permissions, or work as its owner.",
            errno.ENOSPC: "The disk is full: free some space and try again.",
            errno.ENAMETOOLONG: "Choose a shorter name.",
            errno.ENOENT: "Check the path, or restore the file from a copy.",
            errno.ELOOP: "Links are not followed: replace the link with the file.",
            errno.ENXIO: "Remove it, or restore the file from a copy.",
        }
        hint = hints.get(error.errno or 0, "Check the disk and try again.")
        raise error_class(f"Cannot {what} {path}: {error.strerror or error}. {hint}") from error


def read_bytes(path: Path, limit: int, error_class: type[EdgesplitError] = BundleError) -> bytes:
    """Return the bytes of a file or pipe that the user named; errors as in `read_regular`."""
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

    Other users may be able to write to the folder: a link could expose another file, and reading a
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
    """Return True for a regular file; False for a link, another kind or a missing file.

    Raises:
        BundleError: a folder on the path cannot be searched.
    """
    with map_os_errors("look at", path):
        try:
            return stat.S_ISREG(path.lstat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False


def _open_regular(path: str, flags: int) -> int:
    """Open as `os.open` does, but only regular files: follow no link, wait for no pipe."""
    return _open_linked(path, flags | os.O_NOFOLLOW)


def _open_linked(path: str, flags: int) -> int:
    """Open as `os.open` does, but only regular files and links to them."""
    descriptor = os.open(path, flags | os.O_NONBLOCK, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.ENXIO, "It is not a regular file")
    return descriptor


def part_path(path: Path) -> Path:
    """Return a hidden name next to `path`, for content that is later renamed to `path`.

    The name is random. Nobody can guess it and put a link there, and no two processes use the same
    name; process ids could be equal in two containers.
    """
    return path.with_name(f".{path.name}.{os.urandom(8).hex()}{PART}")


_PART_NAME = re.compile(
    r"\.(?:HEAD|bundle\.json|log\.jsonl|stats\.npz|text|[0-9a-f]{64}\.onnx)"
    r"\.[0-9a-f]{16}\.part"
)


def find_parts(folder: Path) -> list[Path]:
    """Return the partial files that a crash left in a folder of a bundle; ignore other files."""
    return [path for path in folder.glob(f".*{PART}") if _PART_NAME.fullmatch(path.name)]


class Disk:
    """System calls that change files; nothing else changes the files of a bundle.

    Results of `append`, `rename` and `remove` survive a killed process, but survive a power cut
    only after `sync`. The same is true of the file's name after `write`. Tests pass a disk that
    fails, stops or loses writes.
    """

    def write(self, path: Path, data: Data) -> None:
        """Make a new file and fill it, durably.

        Raises:
            FileExistsError: the name exists, even if it is a link.
        """
        with path.open("xb") as file:  # "x" follows no link
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # by descriptor: the name could be another file by now

    def append(self, path: Path, data: bytes) -> None:
        """Append to a regular file, which is made if it is missing; no link is followed."""
        with open(path, "ab", opener=_open_regular) as file:
            file.write(data)

    def make_folder(self, path: Path) -> None:
        """Make a new folder in an existing folder."""
        path.mkdir()

    def rename(self, source: Path, target: Path) -> None:
        """Rename a file or folder; an existing file with the new name is replaced."""
        os.replace(source, target)

    def remove(self, path: Path) -> None:
        """Remove a file's name; processes that have the file open can continue to read it."""
        path.unlink()

    def remove_folder(self, path: Path) -> None:
        """Remove a folder and its content as far as possible; errors are ignored."""
        shutil.rmtree(path, ignore_errors=True)

    def sync(self, path: Path) -> None:
        """Make a file's content durable, or the names in a folder."""
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # does not wait for a pipe
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@dataclass(frozen=True)
class Store:
    """Durable writes: calls of a disk in an order that survives a crash at any call."""

    disk: Disk = field(default_factory=Disk)

    def replace_file(self, path: Path, data: Data) -> None:
        """Put `data` at `path`, atomically and durably.

        After a crash the path holds the old content or the new, never a mixture. The file gets
        the mode that the umask gives, not a temporary file's private one.

        Raises:
            OSError: nothing was changed. If only the folder's sync failed, the new content is in
                place, but may not survive a power cut.
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
        """Make an existing file, and its name, durable."""
        self.disk.sync(path)
        self.disk.sync(path.parent)

    def append_line(self, path: Path, line: str) -> None:
        """Append one line durably.

        If a crash left a torn line at the end, the new line starts on the next line.

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
        """Make a folder, and its missing parents, durably."""
        if not path.parent.exists():
            self.make_folder(path.parent)
        self.disk.make_folder(path)
        self.disk.sync(path.parent)

    @contextlib.contextmanager
    def write_folder(self, target: Path) -> Iterator[Path]:
        """Yield a hidden folder to fill, then rename it to `target` durably.

        Its content must be durable, as this store's writes are. After an error, the hidden folder
        is removed.

        Raises:
            OSError: `target` was not made. If only the last sync failed, it exists, but may not
                survive a power cut.
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
        """Remove a file, but not durably: it may exist again after a power cut."""
        self.disk.remove(path)

    def remove_parts(self, folder: Path) -> None:
        """Remove the partial files of crashes from a folder; the caller holds the lock."""
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
    """Hold the folder's writer lock; readers need no lock.

    Any user who can open the lock file can hold the lock, so only users who can write to the folder
    may open it.

    Raises:
        ConflictError: another process holds the lock for longer than `LOCK_TIMEOUT_S`.
        BundleError: the lock file cannot be made.
    """
    from filelock import FileLock  # imports asyncio, and readers need no lock

    path = folder / ".lock"
    with map_os_errors("write to", folder):
        if not folder.is_dir():  # FileLock would make it
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        writers = folder.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        mode = 0o600 | writers | writers << 1  # writers may read, too
        _restrict(path, mode)
        try:
            held = FileLock(path, timeout=LOCK_TIMEOUT_S, mode=mode).acquire()
        except TimeoutError as error:
            raise ConflictError(
                f"Another process{_holder(path)} has been publishing to {folder} for "
                f"{LOCK_TIMEOUT_S:.0f} s. Try again when it has finished."
            ) from error
        except PermissionError as error:
            if not (path.exists() and os.access(folder, os.W_OK)):
                raise
            raise BundleError(
                f"Cannot write to {folder}: this user may not open the lock file {path}. Work as "
                "the user who made it, or remove it while nobody publishes."
            ) from error
        if os.geteuid() == 0:  # otherwise the folder's owner could not lock it after root
            with contextlib.suppress(OSError):
                about = folder.stat()
                os.chown(path, about.st_uid, about.st_gid)
    with held:
        yield


def _restrict(path: Path, mode: int) -> None:
    """Set the mode of an existing lock file; do not change another user's file."""
    with (
        contextlib.suppress(FileNotFoundError, PermissionError),
        open(path, "rb", opener=_open_regular) as file,
        contextlib.suppress(OSError),  # a file system without modes
    ):
        os.fchmod(file.fileno(), mode)


def _holder(path: Path) -> str:
    """Return the holder of a lock, as " (pid 17, user 1000)"; "" if it is unknown."""
    try:
        file = path.stat()
        device = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}"
        locks = map(str.split, Path("/proc/locks").read_text().splitlines())
        pid = next(lock[4] for lock in locks if f"{device}:{file.st_ino}" in lock)
        return f" (pid {pid}, user {Path('/proc', pid).stat().st_uid})"
    except (OSError, StopIteration):
        return ""
