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
"""Policy for windows that come faster than they are predicted: with `latest` the newest replaces
the waiting window, with `block` the reader waits."""

MAX_WAITING = 2
"""Windows that may wait under `block`: one to be taken next, and one that is made meanwhile."""

ABANDONED_POLL_S = 0.5
"""Seconds between checks, while `put` waits, that the thread that takes items is alive."""


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """The source was opened for the first time, so the grid of windows is known."""

    grid: Grid
    source_fps: float | None
    """Frame rate that the source states."""


@dataclass(frozen=True, slots=True, eq=False)
class Closed:
    """A connection ended and was not abandoned."""

    reason: str
    error: Exception | None
    final: bool
    """True if opening the source again would fail in the same way."""


Item: TypeAlias = "Opened | Window | Gap | Closed"


class WindowQueue:
    """A queue of few windows. Safe from several threads.

    While the lock of the queue is held, no other lock is taken, except that of `FrameAccounting`.
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
        """True if the thread that took items has ended."""
        return self._taker is not None and not self._taker.is_alive()

    def put(self, item: Item) -> bool:
        """Append an item; for a window, first drop the waiting one (`latest`) or wait (`block`).

        Returns:
            True if further windows are wanted.
        """
        with self._changed:
            if isinstance(item, Window):
                self._free_place()
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
        """Drop all waiting and future windows; wake the thread that waits in `put`."""
        with self._changed:
            self._closed = True
            self._drop_waiting("unfinished")
            self._changed.notify_all()

    def _free_place(self) -> None:
        if self.policy == "latest":
            self._drop_waiting("late")
            return
        while not self._changed.wait_for(self._has_place, ABANDONED_POLL_S):
            if self.abandoned:
                self._closed = True

    def _has_place(self) -> bool:
        return self._closed or len(self._windows()) < MAX_WAITING

    def _windows(self) -> list[Window]:
        return [item for item in self._items if isinstance(item, Window)]

    def _drop_waiting(self, outcome: Literal["late", "unfinished"]) -> None:
        for waiting in self._windows():
            self._items.remove(waiting)
            self._accounting.end_window(waiting.frames, outcome)
