"""Engines and variants of a backbone: made on this machine, checked, kept in the user's cache.

    <noun>s/
      <key>.json                       description of the file, and result of its check
      <key>.<its digest>.<extension>   the file

A new file is written first, then its description, then the old file is removed: a full disk or a
crash loses no artifact.

Writes are atomic: readers see the old entry or the new one, and ignore incomplete files.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Generic, TypeVar, get_args, get_type_hints

from filelock import FileLock

from edgesplit._data import check_digest, load_json
from edgesplit.backbone.graph import RangeReport
from edgesplit.errors import BackendError, BundleError, CacheError
from edgesplit.limits import GRAPH_BYTES, TEXT_FILE_BYTES
from edgesplit.runtime.backends.agreement import Agreement
from edgesplit.storage.files import PART, Store, read_regular
from edgesplit.storage.user_cache import REMEDY, cache_folder, cache_path, find_cached, make_cache

__all__ = ["Artifact", "ArtifactCache", "Made", "describe_file", "make_key"]

_KEY_DIGITS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact(ABC):
    """Description of a file in the cache, with the fields of its JSON file."""

    feature_space: str
    digest: str
    """sha256 of the file."""
    size_bytes: int
    agreement: Agreement
    """Result of the comparison with the fp32 backbone."""
    ranges: RangeReport | None
    """For fp16: the measured ranges and the operators that they keep in float32."""
    n_calibrated: int
    """Number of the user's clips that ranges were measured on; 0 without ranges or clips."""
    made: str
    """Creation time, ISO 8601 in UTC."""

    def __post_init__(self) -> None:
        check_digest(self.feature_space)
        check_digest(self.digest)
        _ = self.age_s  # raises ValueError if `made` is not a time

    @property
    @abstractmethod
    def key(self) -> str:
        """The stem of its file names."""

    @property
    def age_s(self) -> float:
        """Seconds since it was made."""
        return (datetime.now(timezone.utc) - datetime.fromisoformat(self.made)).total_seconds()


AnyArtifact = TypeVar("AnyArtifact", bound=Artifact)


@dataclass(frozen=True, slots=True)
class Made(Generic[AnyArtifact]):
    """An artifact in the cache, and the cost of getting it."""

    artifact: AnyArtifact
    new: bool
    """True if it was made now, False if it was in the cache already."""
    seconds: float


def make_key(*parts: str | int) -> str:
    """Return a key that depends on all parts and their order."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:_KEY_DIGITS]


def describe_file(data: bytes) -> dict[str, Any]:
    """Return the fields of an `Artifact` that follow from its file, made now."""
    return {
        "digest": hashlib.sha256(data).hexdigest(),
        "size_bytes": len(data),
        "made": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


@dataclass(frozen=True, slots=True)
class ArtifactCache(Generic[AnyArtifact]):
    """All artifacts of one kind. Immutable, thread-safe; `lock` excludes other processes."""

    noun: str
    """Name of one artifact, as in `edgesplit <noun> list`."""
    extension: str
    error: type[BackendError]
    """Class of all errors that the methods raise."""
    kind: type[AnyArtifact]
    other_files: tuple[str, ...] = ()
    """Glob patterns of other files in the folder; `remove` without a key removes them, too."""

    @property
    def folder(self) -> Path:
        """The folder of the files, which may not exist yet; reads `EDGESPLIT_CACHE` every time."""
        return cache_folder() / self.name

    @property
    def name(self) -> str:
        """The name of the folder."""
        return f"{self.noun}s"

    def list(self) -> tuple[AnyArtifact, ...]:
        """Return all artifacts, newest first; none, with a warning, if the cache is unusable."""
        folder = find_cached(self.name)
        found = (self.find(path.stem) for path in folder.glob("*.json")) if folder else ()
        return tuple(sorted(filter(None, found), key=lambda one: one.made, reverse=True))

    def find(self, key: str) -> AnyArtifact | None:
        """Return the artifact of a key; None if it is missing, incomplete or not readable."""
        description = find_cached(self.name, f"{key}.json")
        if description is None:
            return None
        try:
            artifact = self._parse(load_json(read_regular(description, TEXT_FILE_BYTES)))
            file = find_cached(self.name, self._file(artifact).name)
            complete = file is not None and file.stat().st_size == artifact.size_bytes
        except (OSError, BundleError, AttributeError, KeyError, TypeError, ValueError):
            return None
        return artifact if complete and artifact.key == key else None

    def find_or_make(
        self,
        key: str,
        make: Callable[[], tuple[AnyArtifact, bytes, Mapping[Path, bytes]]],
        *,
        accept: Callable[[AnyArtifact], bool],
    ) -> Made[AnyArtifact]:
        """Return the artifact of a key, from the cache or newly made, by one process at a time.

        Args:
            key: the artifact's key.
            make: makes and checks the artifact, and returns the arguments of `save`. If it raises,
                an older artifact stays in the cache.
            accept: returns True if the artifact in the cache can be used.

        Raises:
            BackendError: an `error`, as `lock` and `save` raise it.
        """
        start = time.monotonic()
        with self.lock(key):
            artifact = self.find(key)
            new = artifact is None or not accept(artifact)
            if artifact is None or new:
                artifact, data, other_files = make()
                self.save(artifact, data, other_files)
        return Made(artifact, new, seconds=time.monotonic() - start)

    def read(self, key: str, *, what: str, command: str) -> bytes:
        """Return the file of a key, checked against its digest.

        Args:
            key: the artifact's key.
            what: name of the artifact in error messages, as in `fp16 variant of lab.bundle`.
            command: the command that makes it.

        Raises:
            BackendError: an `error`: the file is missing, damaged or cannot be read.
        """
        artifact = self.find(key)
        if artifact is None:
            raise self.error(f"There is no {what}. `{command}` makes one.")
        file = self._file(artifact)
        newer = None if file.exists() else self.find(key)  # another process made it again
        if newer is not None:
            artifact, file = newer, self._file(newer)
        with self._map_os_errors("read", file):
            data = read_regular(
                cache_path(self.name, file.name), GRAPH_BYTES, error_class=self.error
            )
        if hashlib.sha256(data).hexdigest() != artifact.digest:
            raise self.error(f"{file} is damaged. Make it again: {command} --rebuild.")
        return data

    def save(self, artifact: AnyArtifact, data: bytes, other_files: Mapping[Path, bytes]) -> None:
        """Write an artifact to the cache in place of an older one, which stays if this fails.

        Args:
            artifact: the description.
            data: content of its file.
            other_files: content of other files, by path in the folder or below it.

        Raises:
            BackendError: an `error`: the folder cannot be written to.
        """
        store = Store()
        description, file = self._description(artifact.key), self._file(artifact)
        with self._map_os_errors("write", description):
            older = {*self._all_files(artifact.key)} - {file}
            store.replace_file(file, data)
            content = json.dumps(asdict(artifact), indent=2, allow_nan=False)
            store.replace_file(description, content.encode())
            for path in older:
                path.unlink(missing_ok=True)
            for path, other in other_files.items():
                make_cache(*path.parent.relative_to(cache_folder()).parts)
                store.replace_file(path, other)

    def remove(self, key: str | None = None) -> tuple[str, ...]:
        """Remove one artifact, or all artifacts with the files that a crash left.

        A process that already runs a removed file keeps running it.

        Args:
            key: the artifact's key or the beginning of it; by default all artifacts.

        Returns:
            The keys of the removed artifacts.

        Raises:
            BackendError: an `error`: no key or several keys match, or a file cannot be removed.
        """
        with self._map_os_errors("read", self.folder):
            cache_path(self.name)
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
            files = [self._description(known[0]), *self._all_files(known[0])]
        with self._map_os_errors("remove", self.folder):
            for file in files:
                file.unlink(missing_ok=True)
        return tuple(known)

    @contextlib.contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Let only one process make an artifact: two would distort each other's timings.

        Raises:
            BackendError: an `error`: another process is making it, or the folder is not writable.
        """
        with self._map_os_errors("write to", self.folder):
            make_cache(self.name)
            try:
                held = FileLock(self.folder / f".{key}.lock", timeout=0).acquire()
            except TimeoutError as error:
                raise self.error(
                    f"Another process is making this {self.noun}. Wait until it is done."
                ) from error
        with held:
            yield

    def _parse(self, content: dict[str, Any]) -> AnyArtifact:
        """Return the inverse of `asdict`; KeyError, TypeError or ValueError on anything else."""
        for name, hint in get_type_hints(self.kind).items():
            for kind in (hint, *get_args(hint)):
                if isinstance(kind, type) and is_dataclass(kind) and content[name] is not None:
                    content[name] = kind(**content[name])
        return self.kind(**content)

    def _description(self, key: str) -> Path:
        return self.folder / f"{key}.json"

    def _file(self, artifact: AnyArtifact) -> Path:
        return self.folder / f"{artifact.key}.{artifact.digest}.{self.extension}"

    def _all_files(self, key: str) -> Iterator[Path]:
        """Yield the files of a key, also those of 0.1, whose names have no digest."""
        yield from self.folder.glob(f"{key}.*{self.extension}")

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
