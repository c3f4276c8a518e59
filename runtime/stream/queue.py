"""The queue between the thread that reads a source and the thread that predicts."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Literal, TypeAlias

from edgesplit.runtime.stream.accounting import FrameAccounting
from edgesplit.runtime.stream.windows import Gap, Grid, Window

__all__ = ["Closed", "Item", "Opened", "Policy", "WindowQueue"]

Policy = Literal["latest", "block"]
"""What happens when windows come faster than they are predicted: with `latest` the newest replaces
the one that waits, with `block` reading waits."""

MAX_WAITING = 2
"""Windows that may wait under `block`: one to be taken, and one that is finished meanwhile."""

ABANDONED_POLL_S = 0.5
"""Seconds between checks, while `put` waits, that the thread that takes items still lives."""


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """The source was opened for the first time, so the grid of windows is known."""

    grid: Grid
    source_fps: float | None
    """Frame rate that the source states."""


@dataclass(frozen=True, slots=True, eq=False)
class Closed:
    """A connection ended without having been abandoned."""

    reason: str
    error: Exception | None
    final: bool
    """True if opening the source again would meet the same error."""


Item: TypeAlias = "Opened | Window | Gap | Closed"


class WindowQueue:
    """A queue in which few windows wait. Safe from several threads.

    The lock belongs to the queue alone: no other lock is taken while it is held, except that of
    `FrameAccounting`.
    """

    policy: Policy = "block"

    def __init__(self, accounting: FrameAccounting) -> None:
        self._accounting = accounting
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._taker: threading.Thread | None = None

    @property
    def abandoned(self) -> bool:
        """True if the thread that took items has ended, so that nobody will take more."""
        return self._taker is not None and not self._taker.is_alive()

    def put(self, item: Item) -> bool:
        """Append an item; for a window, first replace the one that waits, or wait for a place.

        Returns:
            True if further windows are wanted.
        """
        with self._changed:
            if isinstance(item, Window):
                self._make_room()
                if self._closed:
                    self._accounting.end_window(item.frames, "unfinished")
                    return False
            self._items.append(item)
            self._changed.notify_all()
            return not self._closed

    def get(self, timeout_s: float) -> Item | None:
        """Return the next item, or None if none came within `timeout_s` seconds."""
        self._taker = threading.current_thread()
        with self._changed:
            if not self._changed.wait_for(lambda: bool(self._items), timeout_s):
                return None
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Drop the windows that wait and all that come; wake the thread that waits in `put`."""
        with self._changed:
            self._closed = True
            self._drop_waiting("unfinished")
            self._changed.notify_all()

    def _make_room(self) -> None:
        if self.policy == "latest":
            self._drop_waiting("late")
            return
        while not self._changed.wait_for(self._has_room, ABANDONED_POLL_S):
            if self.abandoned:
                self._closed = True

    def _has_room(self) -> bool:
        return self._closed or len(self._windows()) < MAX_WAITING

    def _windows(self) -> list[Window]:
        return [item for item in self._items if isinstance(item, Window)]

    def _drop_waiting(self, outcome: Literal["late", "unfinished"]) -> None:
        for waiting in self._windows():
            self._items.remove(waiting)
            self._accounting.end_window(waiting.frames, outcome)
