"""log.jsonl: which head went live when. Lines are only ever appended.

A line is written before HEAD follows it, so a line that nothing followed is an attempt that did
not happen: the next line's `from`, or for the last line HEAD, is another head than its `to`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgesplit import store
from edgesplit.errors import BundleError

__all__ = ["LOG", "Version", "append_version", "new_version", "read_history"]

LOG = "log.jsonl"


@dataclass(frozen=True, slots=True)
class Version:
    """One entry of a bundle's history: a head that went live."""

    digest: str
    """The head that went live."""
    time: str
    """UTC, ISO 8601 with milliseconds."""
    action: str
    """What was done, in words."""
    before: str
    """Digest of the head that was live until then; empty for the first."""

    def to_json(self) -> dict[str, str]:
        """A JSON object, as in log.jsonl."""
        return {"time": self.time, "from": self.before, "to": self.digest, "action": self.action}


def new_version(digest: str, *, before: str, action: str) -> Version:
    """A version that goes live now."""
    now = time.time()
    second = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
    return Version(digest, f"{second}.{int(now * 1000) % 1000:03d}Z", action, before)


def append_version(folder: Path, version: Version) -> None:
    """Adds a line durably.

    Raises:
        OSError: at most a torn line was added, which readers pass over.
    """
    store.append_line(folder / LOG, json.dumps(version.to_json(), ensure_ascii=False))


def read_history(folder: Path, live: str | None) -> tuple[Version, ...]:
    """The heads that went live, oldest first, without attempts that did not happen.

    Args:
        folder: the bundle.
        live: what HEAD says; None when it says nothing, which gives every entry.

    Raises:
        BundleError: the log cannot be read or holds no entry.
    """
    entries = _entries(store.read_bytes(folder / LOG))
    if not entries:
        raise BundleError(f"{folder / LOG} holds no entry. Restore it from a copy.")
    if live is None:
        return tuple(entries)
    followers = [*(entry.before for entry in entries[1:]), live]
    return tuple(e for e, follower in zip(entries, followers, strict=True) if e.digest == follower)


def _entries(content: bytes) -> Sequence[Version]:
    entries = []
    for line in content.splitlines():
        try:
            fields = json.loads(line)
            entries.append(Version(fields["to"], fields["time"], fields["action"], fields["from"]))
        except (ValueError, KeyError, TypeError):
            continue  # torn by a crash: what it was to record never happened
    return entries
