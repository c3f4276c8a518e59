"""Events of a stream; each event is one line of `edgesplit run --json` (docs/stream.md)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from edgesplit.runtime.stream.accounting import Accounting

if TYPE_CHECKING:
    from edgesplit.runtime.live.runtime import Prediction
    from edgesplit.runtime.live.shadow import ShadowReport
    from edgesplit.runtime.stream.queue import Policy

__all__ = [
    "Decision",
    "Ended",
    "Event",
    "Interrupted",
    "Reconnecting",
    "Refused",
    "Rescored",
    "RolledBack",
    "Shadowed",
    "Stalled",
    "Started",
    "Swapped",
]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a stream."""

    kind: ClassVar[str]
    """Value of `event` in its line."""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object; times are rounded to milliseconds.

        The fields of a prediction or a report are merged into the event's own.
        """
        content: dict[str, Any] = {"event": self.kind}
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            if name in ("prediction", "report"):
                content |= value.to_json()
            elif name in ("start", "end", "lag_ms") or name.endswith("_s"):
                content[name] = round(value, 3)
            else:
                content[name] = value
        return content


@dataclass(frozen=True, slots=True)
class Started(Event):
    """The source is open and the grid of windows is known; comes once."""

    kind: ClassVar[str] = "start"

    source: str
    """Name of the source, without its password."""
    live: bool
    policy: Policy
    source_fps: float | None
    """Frame rate that the source states; None if it states none."""
    fps: float
    """Frame rate of the windows."""
    window_s: float
    stride_s: float
    n_repeated: int
    """Frames of each clip that repeat the previous frame, because a window has too few."""
    smooth: int
    head_digest: str


@dataclass(frozen=True, slots=True)
class Decision(Event):
    """The prediction for a window."""

    kind: ClassVar[str] = "window"

    number: int
    """Number of the window, from 0; the numbers of dropped windows are missing."""
    segment: int
    """Number of the segment, from 0; windows and smoothing stay within one segment."""
    start: float
    """Start of the window in seconds of the stream; `end` likewise."""
    end: float
    wall: float
    """Time when the window's last frame arrived, in seconds since 1970."""
    lag_ms: float
    """Milliseconds from that arrival to the decision."""
    prediction: Prediction

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object; `wall` is ISO 8601 in UTC."""
        wall = datetime.fromtimestamp(self.wall, timezone.utc).isoformat(timespec="milliseconds")
        return Event.to_json(self) | {"wall": wall}


@dataclass(frozen=True, slots=True)
class Swapped(Event):
    """Another head decides the following windows."""

    kind: ClassVar[str] = "swap"

    before: str
    """Digest of the previous head, as is `after` of the new one."""
    after: str


@dataclass(frozen=True, slots=True)
class Rescored(Event):
    """Prediction of the new head for a window before the swap, without the backbone."""

    kind: ClassVar[str] = "rescored"

    number: int
    start: float
    end: float
    changed: bool
    """True if the label differs from the last reported label."""
    prediction: Prediction


@dataclass(frozen=True, slots=True)
class Refused(Event):
    """HEAD names a head that cannot be served; the previous head stays live."""

    kind: ClassVar[str] = "refused"

    reason: str


@dataclass(frozen=True, slots=True)
class RolledBack(Event):
    """An edit was rolled back: it changed more outside its splits than `rollback_above` allows."""

    kind: ClassVar[str] = "rollback"

    reason: str


@dataclass(frozen=True, slots=True)
class Shadowed(Event):
    """Differences between the decisions of a shadow head and the live head so far."""

    kind: ClassVar[str] = "shadow"

    report: ShadowReport


@dataclass(frozen=True, slots=True)
class Interrupted(Event):
    """The stream continues after a gap, which no window spans."""

    kind: ClassVar[str] = "gap"

    at_s: float
    """Begin of the gap, in seconds of the stream."""
    lost_s: float
    """Length of the gap, in seconds; the stream's time includes it."""
    reason: str


@dataclass(frozen=True, slots=True)
class Stalled(Event):
    """A live source gives no frame."""

    kind: ClassVar[str] = "stalled"

    silent_s: float


@dataclass(frozen=True, slots=True)
class Reconnecting(Event):
    """The source ended or could not be opened, and will be reopened."""

    kind: ClassVar[str] = "reconnect"

    attempt: int
    """Number of attempts since the last frame, from 1."""
    delay_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class Ended(Event):
    """The last event."""

    kind: ClassVar[str] = "end"

    reason: Literal["source ended", "stopped", "error"]
    error: str | None
    lasted_s: float
    accounting: Accounting

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return Event.to_json(self) | {"accounting": self.accounting.to_json()}
