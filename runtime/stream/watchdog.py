"""Keep a stream connected: reopen its source, abandon stuck readers, give up."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator

from edgesplit.errors import ClipError
from edgesplit.runtime.stream.connection import Capture, Connection
from edgesplit.runtime.stream.events import Event, Reconnecting, Stalled
from edgesplit.runtime.stream.queue import Closed

__all__ = ["MAX_STUCK", "RETRY_S", "Watchdog", "retry_pauses"]

RETRY_S = (0.5, 30.0)
"""Shortest and longest pause before a source is reopened, in seconds."""
MAX_STUCK = 3
"""Number of stuck readers at which no further reader is started, because each holds a thread."""


class Watchdog:
    """Owns the connection to a source, and replaces it when it stalls or ends.

    The thread that predicts calls all methods.
    """

    def __init__(
        self,
        capture: Capture,
        connect: Callable[[], Connection],
        clock: Callable[[], float],
        *,
        stall_s: float,
        give_up_s: float | None,
        retry_s: tuple[float, float],
    ) -> None:
        """Connect a capture by `connect`; see `Stream` for the other arguments."""
        self._capture, self._connect, self._clock = capture, connect, clock
        self._stall_s, self._give_up_s, self._retry_s = stall_s, give_up_s, retry_s
        self._connection: Connection | None = None
        self._stuck: list[threading.Thread] = []
        self._retries = enumerate(retry_pauses(*retry_s), 1)
        self._retry_at = self._heard_at = 0.0
        self._stalled_since: float | None = None  # begin of the last reported stall

    @property
    def has_reader(self) -> bool:
        """True while the thread of any connection is alive."""
        current = [self._connection.thread] if self._connection else []
        return any(thread.is_alive() for thread in [*self._stuck, *current])

    def start(self) -> None:
        """Connect for the first time."""
        self._heard_at = self._clock()
        self._connection = self._connect()

    def shut(self) -> None:
        """Abandon the connection. A stuck reader ends with the process."""
        self._capture.queue.close()
        if self._connection is not None:
            self._connection.abandon("stopped")
            self._connection.thread.join(timeout=1.0)

    def retry_after(self, closed: Closed) -> Reconnecting | None:
        """Return the next attempt to reopen a source that ended, or None without an attempt.

        Raises:
            Exception: the error of the connection, if there is no further attempt.
        """
        self._forget()
        if closed.error is not None and (closed.final or not self._may_reopen):
            raise closed.error
        return self._retry(closed.reason) if self._may_reopen else None

    def check(self) -> Iterator[Event]:
        """Report stalls, start the next attempt when it is due, and give up.

        Raises:
            ClipError: if the source gave no frame for `give_up_s`.
        """
        now, connection = self._clock(), self._connection
        if connection is None:
            if now >= self._retry_at:
                yield from self._connect_again()
        elif (since := connection.waiting_since) is None:
            self._heard_at = now  # the reader is busy, so the source is not silent
        else:
            if connection.has_frames:
                self._heard_at = max(self._heard_at, since)
            if self._capture.live and since != self._stalled_since and now - since > self._stall_s:
                self._stalled_since = since
                yield Stalled(silent_s=now - since)
                if self._may_reopen and connection.abandon("no frame came"):
                    self._stuck.append(connection.thread)
                    self._forget()
                    yield self._retry(f"no frame for {now - since:.1f} s")
        if self._give_up_s is not None and now - self._heard_at > self._give_up_s:
            raise ClipError(
                f"{self._capture.source.name} gave no frame for {now - self._heard_at:.1f} s, "
                "longer than --give-up."
            )

    @property
    def _may_reopen(self) -> bool:
        return bool(self._capture.live) and self._capture.source.returns

    def _retry(self, reason: str) -> Reconnecting:
        attempt, pause = next(self._retries)
        self._retry_at = self._clock() + pause
        return Reconnecting(attempt=attempt, delay_s=pause, reason=reason)

    def _forget(self) -> None:
        if self._connection is not None and self._connection.has_frames:
            self._retries = enumerate(retry_pauses(*self._retry_s), 1)
        self._connection = None

    def _connect_again(self) -> Iterator[Event]:
        self._stuck = [thread for thread in self._stuck if thread.is_alive()]
        if len(self._stuck) >= MAX_STUCK:
            yield self._retry(f"{len(self._stuck)} earlier readers of the source still hang")
            return
        self._capture.accounting.count("reconnects")
        self._connection = self._connect()


def retry_pauses(shortest: float, longest: float) -> Iterator[float]:
    """Yield growing random pauses in seconds, so that many devices do not reconnect at once."""
    bound = shortest
    while True:
        yield random.uniform(shortest, bound)
        bound = min(longest, 2 * bound)
