"""An exact account of what becomes of every frame and window of a stream."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

__all__ = ["Accounting", "Fate", "Ledger", "Ticket"]

Fate = Literal["used", "late", "unfinished"]
FATES: tuple[Fate, ...] = get_args(Fate)
"""A frame of several windows has the first of these that any of them has."""


class Ticket:
    """A frame, until it is known what became of it and of all windows that show it."""

    __slots__ = ("fates", "pending")

    def __init__(self) -> None:
        self.pending = 1
        """Who may still decide its fate: windows that show it, and the windower until it is past
        the frame. Changed by `Ledger` alone."""
        self.fates: set[Fate] = set()


@dataclass(frozen=True, slots=True)
class Accounting:
    """What became of everything that came in, exactly.

    `frames = used + unsampled + late + unfinished + pending`; `windows = predicted + dropped +
    waiting`. At the end nothing is pending or waiting.
    """

    frames: int
    """Decoded."""
    used: int
    """In some window that was predicted."""
    unsampled: int
    """Between the times that windows sample."""
    late: int
    """Only in windows that gave way to newer ones."""
    unfinished: int
    """Only in windows that were not complete, or not predicted yet, when the stream broke off."""
    pending: int
    damaged: int
    """Packets that do not decode, or that are marked as corrupt or make such a picture. The first
    are no frames, the others are counted as frames, too."""
    windows: int
    """Made."""
    predicted: int
    dropped: int
    waiting: int
    gaps: int
    reconnects: int
    lost_s: float
    """Seconds of the stream that the gaps took."""

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {**asdict(self), "lost_s": round(self.lost_s, 3)}


class Ledger:
    """Counts what becomes of frames and windows. Safe from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._lost_s = 0.0

    def count(self, what: str, n: int = 1) -> None:
        """Adds to one of `Accounting`'s counts."""
        with self._lock:
            self._counts[what] += n

    def count_gap(self, lost_s: float) -> None:
        """A gap, and how long it was."""
        with self._lock:
            self._counts["gaps"] += 1
            self._lost_s += lost_s

    def hold(self, ticket: Ticket) -> None:
        """One more window shows the frame."""
        with self._lock:
            ticket.pending += 1

    def release(self, ticket: Ticket, fate: Fate | None = None) -> None:
        """No more windows will show the frame; one that none shows is unsampled, or has this fate.

        Args:
            ticket: the frame's.
            fate: of the frame by itself, when something went wrong.
        """
        with self._lock:
            ticket.fates |= {fate} if fate else set()
            self._let_go(ticket)

    def _let_go(self, ticket: Ticket) -> None:
        ticket.pending -= 1
        if not ticket.pending:
            self._counts[next((one for one in FATES if one in ticket.fates), "unsampled")] += 1

    def settle(self, tickets: Sequence[Ticket], fate: Fate, *, made: bool = True) -> None:
        """What became of a window: it was used, was too late, or was not waited for.

        Args:
            tickets: the window's.
            fate: see above.
            made: whether it was complete, and so counted as a window.
        """
        with self._lock:
            if made:
                self._counts["predicted" if fate == "used" else "dropped"] += 1
            for ticket in tickets:
                ticket.fates.add(fate)
                self._let_go(ticket)

    def accounting(self) -> Accounting:
        """The counts now."""
        with self._lock:
            n, lost_s = self._counts.copy(), self._lost_s
        counted: dict[str, Any] = {field.name: n[field.name] for field in fields(Accounting)}
        counted["pending"] = n["frames"] - n["unsampled"] - sum(n[fate] for fate in FATES)
        counted["waiting"] = n["windows"] - n["predicted"] - n["dropped"]
        return Accounting(**{**counted, "lost_s": lost_s})
