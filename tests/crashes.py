"""What a crash can leave of a folder: this is the specification of what a bundle survives.

A killed process leaves all that its calls did so far, the last write perhaps half done. A power
cut leaves less, and `Media` is the strictest file system that POSIX allows:

- a file's content is on the medium only after `sync(file)`, or once `write` has returned;
- a name (given by a new file, a new folder or a rename, or taken by a removal) is on the medium
  only after `sync(folder)` of the folder that holds it;
- the two have nothing to do with each other: a name that survives without its content is an empty
  file, a content without its name is lost;
- of all that is not on the medium yet, *any* part may be lost and any part may survive, in
  whatever order it was done. A rename is one step: never is only one of its two names changed;
- what is on the medium stays there.

Nothing has to be killed to try this. A process does the same up to the moment it dies, so every
crash is read off one undisturbed run: `CrashDisk` notes the calls, `crashes` stops the medium
before, in the middle of and after each of them.

    disk = CrashDisk(folder)
    open_bundle(folder / "lab.bundle", store=Store(disk)).publish(edit)
    for where, media in crashes(disk.start, disk.calls):
        lay_out(media.kill(), elsewhere)
        for image in media.power_cuts(): ...

`FailingDisk` is for what a process does see: a call that fails, and, so that the above can be
checked, its own end (`StoppedError`).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from pathlib import Path
from typing import Any

from edgesplit.storage.files import Data, Disk

__all__ = [
    "CALLS",
    "Call",
    "CrashDisk",
    "FailingDisk",
    "Image",
    "Media",
    "QuickDisk",
    "StoppedError",
    "crashes",
    "full",
    "lay_out",
    "stopped",
]

CALLS = ("write", "append", "make_folder", "rename", "remove", "sync")

MAX_SUBSETS = 2**6
"""Every subset of what is not durable is tried while there are no more of them than this."""

Image = tuple[tuple[str, bytes | None], ...]
"""A folder: paths and contents, None for a folder, sorted. As a tuple, so that equal ones are
checked once."""


def lay_out(image: Image, folder: Path) -> Path:
    """Makes `folder` with what is in the image."""
    folder.mkdir()
    for path, content in image:  # a folder sorts before what is in it
        if content is None:
            (folder / path).mkdir()
        else:
            (folder / path).write_bytes(content)
    return folder


# The medium

Nodes = dict[int, Any]
"""By inode: the bytes of a file, or the names in a folder with their inodes."""


@dataclass(frozen=True)
class Fill:
    """A file's content from `start` on; before it are zeros where nothing was written."""

    inode: int
    start: int
    data: bytes

    def apply(self, nodes: Nodes) -> None:
        nodes[self.inode] = nodes[self.inode][: self.start].ljust(self.start, b"\0") + self.data


@dataclass(frozen=True)
class Naming:
    """Names given in a folder, or taken (None)."""

    inode: int
    names: Mapping[str, int | None]

    def apply(self, nodes: Nodes) -> None:
        names = {**nodes[self.inode], **self.names}
        nodes[self.inode] = {name: node for name, node in names.items() if node is not None}


class Media(Disk):
    """A model of a folder on a medium: what is on it, and what is still only in memory.

    The calls change the model alone. What is in the folder at the start is durable.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._durable: Nodes = {}
        self._pending: list[Fill | Naming] = []
        self._top = self._read(root)

    def copy(self, root: Path | None = None) -> Media:
        """The same state; `root` is where the folder is now, if it was moved."""
        other = Media.__new__(Media)
        other.root, other._top = root or self.root, self._top
        other._durable, other._pending = {**self._durable}, [*self._pending]
        return other

    def kill(self) -> Image:
        """What a killed process leaves: all that was done."""
        return self._image(self._pending)

    def power_cuts(self) -> set[Image]:
        """What a power cut can leave: any part of what is not durable.

        Where that is too many, all of it and none of it, with up to two exceptions.
        """
        n = len(self._pending)
        if 2**n <= MAX_SUBSETS:
            sizes: Collection[int] = range(n + 1)
        else:
            sizes = {0, 1, 2, n - 2, n - 1, n}
        subsets = chain.from_iterable(combinations(self._pending, size) for size in sizes)
        return {self._image(subset) for subset in subsets}

    # The calls

    def write(self, path: Path, data: Data) -> None:
        self._name(path, self._new(bytes(data)))

    def append(self, path: Path, data: Data) -> None:
        inode = self._open(path)
        self._pending.append(Fill(inode, len(self._nodes(self._pending)[inode]), bytes(data)))

    def make_folder(self, path: Path) -> None:
        self._name(path, self._new({}))

    def rename(self, source: Path, target: Path) -> None:
        assert source.parent == target.parent, "a name moved to another folder is two namings"
        names = {source.name: None, target.name: self._find(source)}
        self._pending.append(Naming(self._find(source.parent), names))

    def remove(self, path: Path) -> None:
        self._name(path, None)

    def sync(self, path: Path) -> None:
        inode = self._find(path)
        for change in self._pending:
            if change.inode == inode:
                change.apply(self._durable)
        self._pending = [change for change in self._pending if change.inode != inode]

    # Inodes

    def _new(self, node: bytes | dict[str, int]) -> int:
        """An inode; without a name it is in no image."""
        inode = len(self._durable)
        self._durable[inode] = node
        return inode

    def _read(self, path: Path) -> int:
        if path.is_dir():
            return self._new({child.name: self._read(child) for child in sorted(path.iterdir())})
        return self._new(path.read_bytes())

    def _nodes(self, changes: Sequence[Fill | Naming]) -> Nodes:
        """What is durable, and these changes."""
        nodes = {**self._durable}
        for change in changes:
            change.apply(nodes)
        return nodes

    def _find(self, path: Path) -> int:
        nodes, inode = self._nodes(self._pending), self._top
        for name in path.relative_to(self.root).parts:
            inode = nodes[inode][name]
        return inode

    def _open(self, path: Path) -> int:
        """The file's inode; the file is made if need be."""
        try:
            return self._find(path)
        except KeyError:
            inode = self._new(b"")
            self._name(path, inode)
            return inode

    def _name(self, path: Path, inode: int | None) -> None:
        self._pending.append(Naming(self._find(path.parent), {path.name: inode}))

    def _image(self, changes: Sequence[Fill | Naming]) -> Image:
        nodes = self._nodes(changes)

        def walk(inode: int, path: str) -> Iterator[tuple[str, bytes | None]]:
            for name, child in nodes[inode].items():
                folder = isinstance(nodes[child], dict)
                yield f"{path}{name}", None if folder else nodes[child]
                if folder:
                    yield from walk(child, f"{path}{name}/")

        return tuple(sorted(walk(self._top, "")))


# Calls


@dataclass(frozen=True)
class Call:
    """One call of a disk."""

    name: str
    path: Path
    more: tuple[Any, ...] = ()
    """The data that is written, or the new name."""

    def on(self, disk: Disk) -> None:
        """Makes the call."""
        getattr(disk, self.name)(self.path, *self.more)

    @property
    def half(self) -> Call | None:
        """The call as far as it came when it was interrupted; None when it is all or nothing.

        Half a write is not durable, as half an append is not.
        """
        if self.name not in ("write", "append"):
            return None
        (data,) = self.more
        return Call("append", self.path, (data[: len(data) // 2],))


class QuickDisk(Disk):
    """The file system, whose medium is not waited for: what is durable is for `Media` to say."""

    def sync(self, path: Path) -> None:
        path.stat()  # raises as opening does


class CrashDisk(Disk):
    """Does every call in the real folder and notes it.

    Attributes:
        start: the medium before the first call.
        calls: what was done since.
    """

    def __init__(self, root: Path, start: Media | None = None) -> None:
        """Notes from now on.

        Args:
            root: the folder in which everything happens.
            start: the medium, when not all that is in the folder is durable.
        """
        self.start = (start or Media(root)).copy(root)
        self.calls: list[Call] = []

    def media(self) -> Media:
        """The medium after the calls so far."""
        media = self.start.copy()
        for call in self.calls:
            call.on(media)
        return media

    def do(self, call: Call) -> None:
        """Makes a call in the real folder."""
        call.on(QuickDisk())
        self.calls.append(call)

    def write(self, path: Path, data: Data) -> None:
        self.do(Call("write", path, (data,)))

    def append(self, path: Path, data: Data) -> None:
        self.do(Call("append", path, (data,)))

    def make_folder(self, path: Path) -> None:
        self.do(Call("make_folder", path))

    def rename(self, source: Path, target: Path) -> None:
        self.do(Call("rename", source, (target,)))

    def remove(self, path: Path) -> None:
        self.do(Call("remove", path))

    def sync(self, path: Path) -> None:
        self.do(Call("sync", path))


def crashes(start: Media, calls: Sequence[Call]) -> Iterator[tuple[str, Media]]:
    """The medium before each call, in the middle of it, and after the last.

    Args:
        start: the medium before the first call; it stays as it is.
        calls: all calls of a run that came to its end.
    """
    media = start.copy()
    for step, call in enumerate(calls):
        what = f"call {step}, {call.name} {call.path.name}"
        yield f"before {what}", media.copy()
        if call.half is not None:
            torn = media.copy()
            call.half.on(torn)
            yield f"in the middle of {what}", torn
        call.on(media)
    yield "after the last call", media


# Errors


class StoppedError(BaseException):
    """The process is dead. No `except Exception` sees it."""

    def __init__(self) -> None:
        super().__init__("stopped")


class FailingDisk(CrashDisk):
    """Fails at one call, and from then on at every call of some kinds.

    A write or append that fails has written half of its data.
    """

    def __init__(
        self,
        root: Path,
        step: int,
        error: BaseException | int,
        *,
        lasting: Collection[str] = (),
        start: Media | None = None,
    ) -> None:
        """Fails at the call number `step`, counted from 0.

        Args:
            root: as for `CrashDisk`.
            step: the call.
            error: what is raised; a number is an OSError's.
            lasting: calls that fail afterwards, too: `CALLS` for a dead process.
            start: as for `CrashDisk`.
        """
        super().__init__(root, start)
        self._step = step
        self._error = error
        self._lasting = lasting

    def do(self, call: Call) -> None:
        self._step -= 1
        if self._step == -1 and call.half is not None:
            super().do(call.half)
        if self._step == -1 or (self._step < -1 and call.name in self._lasting):
            if isinstance(self._error, int):
                raise OSError(self._error, os.strerror(self._error))
            raise self._error
        super().do(call)


def full(root: Path, step: int) -> FailingDisk:
    """A disk that is full from call `step` on: nothing can be added, but names can be taken."""
    return FailingDisk(root, step, errno.ENOSPC, lasting=("write", "append", "make_folder"))


def stopped(root: Path, step: int) -> FailingDisk:
    """A process that dies in call `step`, and does nothing any more."""
    return FailingDisk(root, step, StoppedError(), lasting=CALLS)
