"""A shelf of the user's cache: files that were made here once, and judged before they were kept.

    <noun>s/
      <key>.json      what the file is of, and how it was judged; written last
      <key>.<kind>    the file

A shelf holds the old file or the new one, whole, whatever happens; what is half there is not there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from filelock import FileLock

from edgesplit.errors import BackendError, CacheError
from edgesplit.storage.files import PART, Store
from edgesplit.storage.user_cache import cache_folder, cache_path, find_cached, make_cache

__all__ = ["Entry", "Shelf", "make_key"]

_KEY_DIGITS = 16


class Entry(Protocol):
    """What is known of a file: a dataclass that JSON can hold."""

    @property
    def key(self) -> str:
        """The name of its files."""

    @property
    def digest(self) -> str:
        """sha256 of the file."""

    @property
    def size_bytes(self) -> int:
        """Of the file."""

    @property
    def made(self) -> str:
        """When, ISO 8601 in UTC."""


AnyEntry = TypeVar("AnyEntry", bound=Entry)


def make_key(*parts: str | int) -> str:
    """The key of what these parts say."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:_KEY_DIGITS]


def _to_json(entry: Any) -> bytes:
    return json.dumps(asdict(entry), indent=2, allow_nan=False).encode()


@dataclass(frozen=True, slots=True)
class Shelf(Generic[AnyEntry]):
    """Immutable, and safe from several threads; processes take turns by `lock`."""

    noun: str
    """As in `edgesplit <noun> list`."""
    kind: str
    """How names of files end."""
    error: type[BackendError]
    """What goes wrong here raises this."""
    parse: Callable[[dict[str, Any]], AnyEntry]
    """What `asdict` gave -> the entry; KeyError, TypeError or ValueError on anything else."""
    besides: tuple[str, ...] = ()
    """Patterns of other files in the folder, which go when everything does."""

    @property
    def folder(self) -> Path:
        """Where the files lie; it need not exist yet. `EDGESPLIT_CACHE` is read on every call."""
        return cache_folder() / self.name

    @property
    def name(self) -> str:
        """Of the folder."""
        return f"{self.noun}s"

    def list(self) -> tuple[AnyEntry, ...]:
        """The entries, the newest first; none, with a warning, where the cache cannot be used."""
        folder = find_cached(self.name)
        found = (self.find(path.stem) for path in folder.glob("*.json")) if folder else ()
        return tuple(sorted(filter(None, found), key=lambda entry: entry.made, reverse=True))

    def find(self, key: str) -> AnyEntry | None:
        """The entry of a key; None when there is none that this edgesplit can read or trust."""
        description, file = map(self._find, (f"{key}.json", f"{key}.{self.kind}"))
        if description is None or file is None:
            return None
        try:
            entry = self.parse(json.loads(description.read_bytes()))
            whole = file.stat().st_size == entry.size_bytes
        except (OSError, KeyError, TypeError, ValueError, RecursionError):
            return None
        return entry if whole and entry.key == key else None

    def _find(self, name: str) -> Path | None:
        return find_cached(self.name, name)

    def read(self, entry: AnyEntry, *, again: str) -> bytes:
        """The file, checked against its digest.

        Args:
            entry: whose file it is.
            again: the command that makes it again.

        Raises:
            BackendError: `error`: it cannot be read, or is damaged.
        """
        file = self._file(entry.key)
        with self._map_os_errors("read", file):
            data = cache_path(self.name, file.name).read_bytes()
        if hashlib.sha256(data).hexdigest() != entry.digest:
            raise self.error(f"{file} is damaged. Make it again: {again}.")
        return data

    def save(
        self, entry: AnyEntry, data: bytes, besides: Mapping[Path, bytes] | None = None
    ) -> None:
        """Keeps a file; what describes it is removed first and written last.

        Args:
            entry: of the file.
            data: its bytes.
            besides: other files in the folder, or in one below it.

        Raises:
            BackendError: `error`: the folder cannot be written to.
        """
        store, description = Store(), self._description(entry.key)
        content: Any = entry  # a dataclass, which a protocol cannot say
        with self._map_os_errors("write", description):
            if description.exists():
                store.remove_file(description)
            store.replace_file(self._file(entry.key), data)
            store.replace_file(description, _to_json(content))
            for path, other in (besides or {}).items():
                make_cache(*path.parent.relative_to(cache_folder()).parts)
                store.replace_file(path, other)

    def remove(self, key: str | None = None) -> tuple[str, ...]:
        """Removes an entry, or everything with what a crash left behind.

        Whoever runs a file goes on with it.

        Args:
            key: an entry's, or its first characters; everything by default.

        Returns:
            The keys of the entries that went.

        Raises:
            BackendError: `error`: no key starts so, or several do, or a file cannot be removed.
        """
        with self._map_os_errors("read", self.folder):
            cache_path(self.name)
        known = sorted(entry.key for entry in self.list())
        if key is None:
            kinds = ("*.json", f"*.{self.kind}", f".*{PART}", *self.besides)
            files = [file for kind in kinds for file in self.folder.glob(kind)]
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
        """Lets one process at a time make an entry: two would slow each other's figures.

        Raises:
            BackendError: `error`: another process is at it, or the folder cannot be written to.
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

    def _description(self, key: str) -> Path:
        return self.folder / f"{key}.json"

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.{self.kind}"

    @contextlib.contextmanager
    def _map_os_errors(self, what: str, path: Path) -> Iterator[None]:
        try:
            yield
        except CacheError as error:
            raise self.error(str(error)) from error
        except OSError as error:
            raise self.error(
                f"Cannot {what} {path}: {error.strerror or error}. Set EDGESPLIT_CACHE to a "
                "folder with room that you may write to."
            ) from error
