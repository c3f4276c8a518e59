"""log.jsonl: which head went live when, and which were pruned. Lines are only ever appended.

A line is written before HEAD changes. If HEAD did not change, the line records a failed attempt:
its `to` differs from the next line's `from` or, for the last line, from HEAD. The line of a prune
has the live head in both `from` and `to`.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from edgesplit._data import is_digest, load_json
from edgesplit.errors import BundleError
from edgesplit.limits import LOG_BYTES
from edgesplit.storage.files import Store, read_regular

__all__ = [
    "LOG",
    "Version",
    "append_version",
    "check_chain",
    "live_at",
    "new_version",
    "read_history",
]

LOG = "log.jsonl"
_NEVER = datetime.max.replace(tzinfo=timezone.utc)


@dataclass(frozen=True, slots=True)
class Version:
    """One entry of a bundle's history: a head that went live, or stayed live in a prune."""

    digest: str
    """Digest of the head that was live afterwards."""
    time: str
    """Time by the publisher's clock: UTC, ISO 8601 with milliseconds."""
    action: str
    """Description of the change."""
    before: str
    """Digest of the head that was live until then; empty for the first."""
    pruned: tuple[str, ...] = ()
    """Digests of heads that a prune removed."""
    chain: str = ""
    """sha256 of the line of the entry before; empty for the first, and in logs of 0.1."""

    def to_json(self) -> dict[str, str | list[str]]:
        """Return a JSON object, as in log.jsonl."""
        fields: dict[str, str | list[str]] = {
            "time": self.time,
            "from": self.before,
            "to": self.digest,
            "action": self.action,
        }
        if self.pruned:
            fields["pruned"] = [*self.pruned]
        if self.chain:
            fields["chain"] = self.chain
        return fields

    @property
    def moment(self) -> datetime:
        """`time` as a datetime; the earliest possible datetime if the log's time is damaged."""
        try:
            moment = datetime.fromisoformat(self.time.replace("Z", "+00:00"))
        except ValueError:
            return datetime.min.replace(tzinfo=timezone.utc)
        return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def new_version(digest: str, *, before: str, action: str, pruned: Sequence[str] = ()) -> Version:
    """Return a version with the current time."""
    now = datetime.fromtimestamp(time.time(), timezone.utc)
    moment = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    # The name of a file need not be Unicode, and the log is.
    action = action.encode(errors="backslashreplace").decode()
    return Version(digest, moment, action, before, tuple(pruned))


def append_version(store: Store, folder: Path, version: Version) -> Version:
    """Append a line durably; return the version with its chain.

    Raises:
        OSError: at most a torn line was added, which readers ignore.
    """
    path = folder / LOG
    content = read_regular(path, LOG_BYTES) if path.exists() else b""
    last = next((line for line in reversed(content.split(b"\n")) if _lines(line)), None)
    if last is not None:
        version = replace(version, chain=_chain(last))
    store.append_line(path, json.dumps(version.to_json(), ensure_ascii=False))
    return version


def check_chain(folder: Path) -> None:
    """Raise BundleError if the log was edited: a line was changed, added, removed or moved.

    Each line holds the hash of the one before it. Whoever may write to the log can compute all
    hashes anew; compare the last line with a copy to notice that.
    """
    lines = _lines(read_regular(folder / LOG, LOG_BYTES))
    for (line, before), (_, entry) in itertools.pairwise(lines):
        if entry.chain != _chain(line) and (entry.chain or before.chain):
            raise BundleError(
                f"{folder / LOG} was edited: the entry of {entry.time[:19]} ({entry.action[:60]}) "
                "does not follow the one before it, or an older edgesplit wrote it. Compare the "
                "log with a copy."
            )


def _chain(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def read_history(folder: Path, live: str | None) -> tuple[Version, ...]:
    """Return the heads that went live, oldest first, without failed attempts.

    Args:
        folder: folder of the bundle.
        live: digest in HEAD; None if HEAD holds none, to get every entry.

    Raises:
        BundleError: the log cannot be read or holds no entry.
    """
    entries = [entry for _, entry in _lines(read_regular(folder / LOG, LOG_BYTES))]
    if not entries:
        raise BundleError(f"{folder / LOG} holds no entry. Restore it from a copy.")
    if live is None:
        return tuple(entries)
    followers = [*(entry.before for entry in entries[1:]), live]
    return tuple(e for e, follower in zip(entries, followers, strict=True) if e.digest == follower)


def _lines(content: bytes) -> list[tuple[bytes, Version]]:
    """Return the valid lines with their entries."""
    entries = []
    for line in filter(None, content.split(b"\n")):
        # A line that a crash tore records a failed attempt; other invalid lines may not be ours.
        with contextlib.suppress(ValueError, KeyError, TypeError):
            entries.append((line, _read_version(load_json(line))))
    return entries


def _read_version(fields: dict[str, str | list[str]]) -> Version:
    texts = [fields[key] for key in ("to", "time", "action", "from")]
    chain = fields.get("chain", "")
    pruned = fields.get("pruned", [])
    if not all(isinstance(text, str) for text in (*texts, *pruned, chain)) or isinstance(
        pruned, str
    ):
        raise TypeError("not texts")
    digest, moment, action, before = map(str, texts)
    if not all(map(is_digest, (digest, *pruned, *([before] if before else [])))):
        raise ValueError("not digests")
    return Version(digest, moment, action, before, tuple(pruned), str(chain))


def live_at(history: Sequence[Version], moment: datetime) -> tuple[Version, ...]:
    """Return the versions that may have been live at a moment, oldest first.

    The result is one version, or none before the first. It is several only if a publisher's clock
    was set back, as on a device that starts without the correct time, because the log does not show
    when that happened.

    Args:
        history: result of `read_history`.
        moment: a datetime with a time zone.
    """
    heads = [version for version in history if version.digest != version.before]  # no prunes
    ends = [*(version.moment for version in heads[1:]), _NEVER]
    found = []
    for version, end in zip(heads, ends, strict=False):
        after, before = version.moment <= moment, moment < end
        if (after and before) if version.moment <= end else (after or before):
            found.append(version)
    return tuple(found)
