"""Exact counts of the outcomes of all frames and windows of a stream."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

__all__ = ["Accounting", "FrameAccounting", "FrameUse", "Outcome"]

Outcome = Literal["used", "late", "unfinished"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
"""A frame of several windows has the first of these outcomes that any of its windows has."""


@dataclass(slots=True, eq=False)
class FrameUse:
    """The windows that show a frame, until the outcome of all of them is known."""

    pending: int = 1
    """Number of windows without an outcome that show the frame, plus 1 until `end_frame`. Only
    `FrameAccounting` changes it."""
    outcomes: set[Outcome] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Accounting:
    """Counts of all frames and windows of a stream so far.

    `frames = used + unsampled + late + unfinished + pending`; `windows = predicted + dropped +
    waiting`. At the end `pending` and `waiting` are 0.
    """

    frames: int
    """Decoded frames."""
    used: int
    """Frames in a window that was predicted."""
    unsampled: int
    """Frames between the times that windows sample."""
    late: int
    """Frames only in windows that were replaced by newer ones."""
    unfinished: int
    """Frames only in windows that were incomplete, or not predicted yet, when the stream ended or
    was interrupted."""
    pending: int
    """Frames without an outcome yet."""
    damaged: int
    """Packets that do not decode (not counted as frames), that are marked as corrupt, or that
    decode to a picture marked as corrupt (also counted as frames)."""
    windows: int
    """Complete windows."""
    predicted: int
    dropped: int
    waiting: int
    gaps: int
    reconnects: int
    lost_s: float
    """Total length of the gaps, in seconds."""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return {**asdict(self), "lost_s": round(self.lost_s, 3)}


class FrameAccounting:
    """Counts frames, windows and their outcomes. Safe from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._lost_s = 0.0

    def count(self, name: str, n: int = 1) -> None:
        """Add `n` to one of the fields of `Accounting`."""
        with self._lock:
            self._counts[name] += n

    def count_gap(self, lost_s: float) -> None:
        """Count a gap of `lost_s` seconds."""
        with self._lock:
            self._counts["gaps"] += 1
            self._lost_s += lost_s

    def add_window(self, frame: FrameUse) -> None:
        """Record that one more window shows the frame."""
        with self._lock:
            frame.pending += 1

    def end_frame(self, frame: FrameUse, outcome: Outcome | None = None) -> None:
        """Record that no further window will show the frame.

        Args:
            frame: the frame; it is unsampled if no window shows it and it has no outcome.
            outcome: the frame's own outcome, if it could not be put into all its windows.
        """
        with self._lock:
            frame.outcomes |= {outcome} if outcome else set()
            self._release(frame)

    def end_window(
        self, frames: Sequence[FrameUse], outcome: Outcome, *, complete: bool = True
    ) -> None:
        """Record the outcome of a window.

        Args:
            frames: the frames that the window shows.
            outcome: `used` if it was predicted.
            complete: False for a window that lacks frames, which was never counted as a window.
        """
        with self._lock:
            if complete:
                self._counts["predicted" if outcome == "used" else "dropped"] += 1
            for frame in frames:
                frame.outcomes.add(outcome)
                self._release(frame)

    def _release(self, frame: FrameUse) -> None:
        frame.pending -= 1
        if not frame.pending:
            self._counts[next((o for o in OUTCOMES if o in frame.outcomes), "unsampled")] += 1

    def totals(self) -> Accounting:
        """Return the counts so far."""
        with self._lock:
            n, lost_s = self._counts.copy(), self._lost_s
        counted: dict[str, Any] = {one.name: n[one.name] for one in fields(Accounting)}
        counted["pending"] = n["frames"] - n["unsampled"] - sum(n[one] for one in OUTCOMES)
        counted["waiting"] = n["windows"] - n["predicted"] - n["dropped"]
        return Accounting(**{**counted, "lost_s": lost_s})
