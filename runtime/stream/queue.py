"""Where windows and events wait for the thread that predicts."""

from __future__ import annotations

import threading
from collections import deque

from edgesplit.runtime.stream.accounting import Ledger
from edgesplit.runtime.stream.events import Event, Policy
from edgesplit.runtime.stream.windows import Window

__all__ = ["Closed", "Inbox"]

WAITING = 2
"""Windows that may wait when none is to be lost: one to be taken, one to be finished meanwhile."""


LOOK_S = 0.5
"""How often who waits for room looks whether there is still somebody to make it."""


class Closed:
    """A connection ended by itself; `final`: opening it again would change nothing."""

    def __init__(self, reason: str, error: Exception | None, final: bool) -> None:
        self.reason, self.error, self.final = reason, error, final


class Inbox:
    """What the capture thread has for the one that predicts, in order; few windows wait."""

    policy: Policy = "block"

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._items: deque[Window | Event | Closed] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._taker: threading.Thread | None = None

    @property
    def abandoned(self) -> bool:
        """Whether the thread that took items has ended, and nobody will take more."""
        return self._taker is not None and not self._taker.is_alive()

    def put(self, item: Window | Event | Closed) -> bool:
        """Hands over; a window too many takes the place of the one that waits, or waits itself.

        Returns:
            whether windows are still taken.
        """
        with self._changed:
            if isinstance(item, Window):
                self._make_room()
                if self._closed:
                    self._ledger.settle(item.tickets, "unfinished")
                    return False
            self._items.append(item)
            self._changed.notify_all()
            return not self._closed

    def _make_room(self) -> None:
        if self.policy == "latest":
            for waiting in self._windows():
                self._items.remove(waiting)
                self._ledger.settle(waiting.tickets, "late")
            return
        while not self._changed.wait_for(self._has_room, LOOK_S):
            if self.abandoned:
                self._closed = True

    def _has_room(self) -> bool:
        return self._closed or len(self._windows()) < WAITING

    def _windows(self) -> list[Window]:
        return [item for item in self._items if isinstance(item, Window)]

    def get(self, timeout_s: float) -> Window | Event | Closed | None:
        """The next item; None when none came in time."""
        self._taker = threading.current_thread()
        with self._changed:
            if not self._changed.wait_for(lambda: bool(self._items), timeout_s):
                return None
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Windows that wait, and all that come, are not predicted any more."""
        with self._changed:
            self._closed = True
            for waiting in self._windows():
                self._items.remove(waiting)
                self._ledger.settle(waiting.tickets, "unfinished")
            self._changed.notify_all()
