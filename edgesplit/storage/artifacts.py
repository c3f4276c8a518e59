"""Files that are made on this machine, checked, and kept in the user's cache.

    <noun>s/
      <key>.json          what the file is, and how it was checked; written last
      <key>.<extension>   the file

Writes are atomic: readers see the old entry or the new one, and ignore incomplete files.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from filelock import FileLock, Timeout

from edgesplit.errors import BackendError, CacheError
from edgesplit.storage.files import PART, Store
from edgesplit.storage.user_cache import (
    REMEDY,
    cache_folder,
    cache_path,
    find_cached,
    make_cache,
)

__all__ = ["Artifact", "ArtifactCache", "Made", "NewArtifact", "make_key"]

_KEY_DIGITS = 16


class Artifact(Protocol):
    """The description of a file: a dataclass that JSON can hold."""

    @property
    def key(self) -> str:
        """The name of its files."""

    @property
    def digest(self) -> str:
        """sha256 of the file."""

    @property
    def size_bytes(self) -> int:
        """Size of the file."""

    @property
    def made(self) -> str:
        """Time of making, ISO 8601 in UTC."""


AnyArtifact = TypeVar("AnyArtifact", bound=Artifact)


@dataclass(frozen=True, slots=True)
class NewArtifact(Generic[AnyArtifact]):
    """An artifact to keep."""

    artifact: AnyArtifact
    data: bytes
    """Content of its file."""
    other_files: Mapping[Path, bytes] = field(default_factory=dict)
    """Content of other files in the cache's folder, or in one below it."""


@dataclass(frozen=True, slots=True)
class Made(Generic[AnyArtifact]):
    """An artifact of the cache, and whether it had to be made."""

    artifact: AnyArtifact
    new: bool
    """False if it was in the cache already."""
    seconds: float


def make_key(*parts: str | int) -> str:
    """Return a key that depends on all parts and their order."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:_KEY_DIGITS]


def _to_json(artifact: Any) -> bytes:
    return json.dumps(asdict(artifact), indent=2, allow_nan=False).encode()


@dataclass(frozen=True, slots=True)
class ArtifactCache(Generic[AnyArtifact]):
    """One kind of artifacts. Immutable; safe from several threads; `lock` excludes processes."""

    noun: str
    """What an artifact is called, as in `edgesplit <noun> list`."""
    extension: str
    error: type[BackendError]
    """Class of all errors that are raised here."""
    parse: Callable[[dict[str, Any]], AnyArtifact]
    """Inverse of `asdict`; raises KeyError, TypeError or ValueError on anything else."""
    other_files: tuple[str, ...] = ()
    """Patterns of other files in the folder, which are removed with the last artifact."""

    @property
    def folder(self) -> Path:
        """The folder of the files, which may not exist yet; reads `EDGESPLIT_CACHE` every time."""
        return cache_folder() / f"{self.noun}s"

    def list(self) -> tuple[AnyArtifact, ...]:
        """Return all artifacts, the newest first; none, with a warning, without a usable cache."""
        folder = find_cached(self.folder.name)
        found = (self.find(path.stem) for path in folder.glob("*.json")) if folder else ()
        return tuple(sorted(filter(None, found), key=lambda one: one.made, reverse=True))

    def find(self, key: str) -> AnyArtifact | None:
        """Return the artifact of a key; None if this edgesplit cannot read or trust one."""
        names = (f"{key}.json", f"{key}.{self.extension}")
        description, file = (find_cached(self.folder.name, name) for name in names)
        if description is None or file is None:
            return None
        try:
            artifact = self.parse(json.loads(description.read_bytes()))
            whole = file.stat().st_size == artifact.size_bytes
        except (OSError, KeyError, TypeError, ValueError, RecursionError):
            return None
        return artifact if whole and artifact.key == key else None

    def find_or_make(
        self,
        key: str,
        make: Callable[[], NewArtifact[AnyArtifact]],
        *,
        accept: Callable[[AnyArtifact], bool],
    ) -> Made[AnyArtifact]:
        """Return the artifact of a key, from the cache or newly made, by one process at a time.

        Args:
            key: the artifact's.
            make: makes and checks it; raises if it should not be kept. An older one then stays.
            accept: True if the artifact that is in the cache will do.

        Raises:
            BackendError: an `error`, as `lock` and `save` raise it.
        """
        start = time.monotonic()
        with self.lock(key):
            artifact = self.find(key)
            new = artifact is None or not accept(artifact)
            if artifact is None or new:
                made = make()
                artifact = made.artifact
                self.save(made)
        return Made(artifact, new, seconds=time.monotonic() - start)

    def read(self, key: str, *, what: str, command: str) -> bytes:
        """Return the file of a key, checked against its digest.

        Args:
            key: the artifact's.
            what: names it for an error, as in `fp16 variant of lab.bundle`.
            command: the command that makes it.

        Raises:
            BackendError: an `error`: there is none, or it cannot be read, or is damaged.
        """
        artifact = self.find(key)
        if artifact is None:
            raise self.error(f"There is no {what}. `{command}` makes one.")
        file = self._file(key)
        with self._map_os_errors("read", file):
            data = cache_path(self.folder.name, file.name).read_bytes()
        if hashlib.sha256(data).hexdigest() != artifact.digest:
            raise self.error(f"{file} is damaged. Make it again: {command} --force.")
        return data

    def save(self, made: NewArtifact[AnyArtifact]) -> None:
        """Keep an artifact; its description is removed first and written last.

        Raises:
            BackendError: an `error`: the folder cannot be written to.
        """
        key = made.artifact.key
        store, description = Store(), self._description(key)
        with self._map_os_errors("write", description):
            if description.exists():
                store.remove_file(description)
            store.replace_file(self._file(key), made.data)
            store.replace_file(description, _to_json(made.artifact))
            for path, content in made.other_files.items():
                make_cache(*path.parent.relative_to(cache_folder()).parts)
                store.replace_file(path, content)

    def remove(self, key: str | None = None) -> tuple[str, ...]:
        """Remove one artifact, or all of them and the remains of a crash.

        A process that runs a removed file is not disturbed.

        Args:
            key: the artifact's key or the beginning of it; all artifacts by default.

        Returns:
            The keys of the removed artifacts.

        Raises:
            BackendError: an `error`: no key or several keys start so, or a file cannot be removed.
        """
        with self._map_os_errors("read", self.folder):
            cache_path(self.folder.name)
        known = sorted(artifact.key for artifact in self.list())
        if key is None:
            patterns = ("*.json", f"*.{self.extension}", f".*{PART}", *self.other_files)
            files = [file for pattern in patterns for file in self.folder.glob(pattern)]
        else:
            known = [name for name in known if key and name.startswith(key)]
            if len(known) != 1:
                what = f"{len(known)} {self.noun}s start" if known else f"No {self.noun} starts"
                raise self.error(
                    f"{what} with {key!r}. `edgesplit {self.noun} list` shows the keys."
                )
            files = [self._description(known[0]), self._file(known[0])]
        with self._map_os_errors("remove", self.folder):
            for file in files:
                file.unlink(missing_ok=True)
        return tuple(known)

    @contextlib.contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Let one process at a time make an artifact: two would falsify each other's timings.

        Raises:
            BackendError: an `error`: another process makes it, or the folder cannot be written to.
        """
        with self._map_os_errors("write to", self.folder):
            make_cache(self.folder.name)
            file_lock = FileLock(self.folder / f".{key}.lock", timeout=0)
            try:
                file_lock.acquire()
            except Timeout as error:
                raise self.error(
                    f"Another process is making this {self.noun}. Wait until it is done."
                ) from error
        try:
            yield
        finally:
            file_lock.release()

    def _description(self, key: str) -> Path:
        return self.folder / f"{key}.json"

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.{self.extension}"

    @contextlib.contextmanager
    def _map_os_errors(self, what: str, path: Path) -> Iterator[None]:
        try:
            yield
        except CacheError as error:
            raise self.error(str(error)) from error
        except OSError as error:
            raise self.error(
                f"Cannot {what} {path}: {error.strerror or error}. {REMEDY}"
            ) from error
