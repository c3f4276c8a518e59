"""What a stream tells; each event is one line of `edgesplit run --json` (docs/stream.md)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from edgesplit.runtime.stream.accounting import Accounting

if TYPE_CHECKING:
    from edgesplit.runtime.live.runtime import Prediction
    from edgesplit.runtime.live.shadow import ShadowReport

__all__ = [
    "Decision",
    "Ended",
    "Event",
    "Gap",
    "Policy",
    "Reconnecting",
    "Refused",
    "Rescored",
    "RolledBack",
    "Shadowed",
    "Stalled",
    "Started",
    "Swapped",
]

Policy = Literal["latest", "block"]
"""What happens to windows that come faster than they are predicted: the newest takes the place of
the one that waits, or reading waits."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something to tell. `kind` is the line's `event`."""

    kind: ClassVar[str]

    def to_json(self) -> dict[str, Any]:
        """A JSON object; seconds are rounded to milliseconds."""
        content = {
            key: round(value, 3) if isinstance(value, float) and key.endswith("_s") else value
            for key, value in asdict(self).items()
        }
        return {"event": self.kind, **content}


@dataclass(frozen=True, slots=True)
class Started(Event):
    """The source is open, and it is settled how windows are made of it; comes once."""

    kind: ClassVar[str] = "start"

    source: str
    """Without the password."""
    live: bool
    policy: Policy
    source_fps: float | None
    """Frames a second, as far as the source says."""
    fps: float
    """Frames a second that windows are made of."""
    window_s: float
    stride_s: float
    n_repeated: int
    """Frames of each clip that repeat the one before, as a window has too few."""
    smooth: int
    head_digest: str


@dataclass(frozen=True, slots=True)
class Decision(Event):
    """What happens in a window."""

    kind: ClassVar[str] = "window"

    number: int
    """One that is missing was dropped."""
    segment: int
    """Windows and smoothing do not reach from one segment into the next."""
    start: float
    """In seconds of the stream, as `end`."""
    end: float
    wall: float
    """When the last frame that it shows arrived, in seconds since 1970."""
    lag_ms: float
    """From then to the decision."""
    prediction: Prediction

    def to_json(self) -> dict[str, Any]:
        """A JSON object; the wall clock as ISO 8601 in UTC."""
        wall = datetime.fromtimestamp(self.wall, timezone.utc).isoformat(timespec="milliseconds")
        return {
            "event": self.kind,
            "number": self.number,
            "segment": self.segment,
            "start": round(self.start, 3),
            "end": round(self.end, 3),
            "wall": wall,
            "lag_ms": round(self.lag_ms, 3),
            **self.prediction.to_json(),
        }


@dataclass(frozen=True, slots=True)
class Swapped(Event):
    """Another head decides from here on."""

    kind: ClassVar[str] = "swap"

    before: str
    """Digest of the head that decided so far."""
    after: str


@dataclass(frozen=True, slots=True)
class Rescored(Event):
    """What the head that has just gone live makes of a window of before; the backbone rests."""

    kind: ClassVar[str] = "rescored"

    number: int
    start: float
    end: float
    changed: bool
    """Whether the label is another than the one that was told."""
    prediction: Prediction

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "event": self.kind,
            "number": self.number,
            "start": round(self.start, 3),
            "end": round(self.end, 3),
            "changed": self.changed,
            **self.prediction.to_json(),
        }


@dataclass(frozen=True, slots=True)
class Refused(Event):
    """HEAD names a head that is not served; the one before goes on."""

    kind: ClassVar[str] = "refused"

    reason: str


@dataclass(frozen=True, slots=True)
class RolledBack(Event):
    """An edit was taken back: it changed more outside its splits than `rollback_above` allows."""

    kind: ClassVar[str] = "rollback"

    reason: str


@dataclass(frozen=True, slots=True)
class Shadowed(Event):
    """What a shadow head makes of the windows so far."""

    kind: ClassVar[str] = "shadow"

    report: ShadowReport

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {"event": self.kind, **self.report.to_json()}


@dataclass(frozen=True, slots=True)
class Gap(Event):
    """The stream goes on, but not where it was: no window reaches over this place."""

    kind: ClassVar[str] = "gap"

    at_s: float
    """Where it broke off, in seconds of the stream."""
    lost_s: float
    """What is missing; seconds of the stream go on behind it."""
    reason: str


@dataclass(frozen=True, slots=True)
class Stalled(Event):
    """A live source gives no frame."""

    kind: ClassVar[str] = "stalled"

    silent_s: float


@dataclass(frozen=True, slots=True)
class Reconnecting(Event):
    """The source broke off, or could not be opened, and will be opened again."""

    kind: ClassVar[str] = "reconnect"

    attempt: int
    """Since the last frame, from 1."""
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
        """A JSON object."""
        return {
            "event": self.kind,
            "reason": self.reason,
            "error": self.error,
            "lasted_s": round(self.lasted_s, 3),
            "accounting": self.accounting.to_json(),
        }
