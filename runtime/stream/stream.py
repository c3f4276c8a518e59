"""A stream: frames are read and made windows on one thread while another predicts.

    capture thread                                         the caller's thread
    source -> frames -> windows -> [ at most a few wait ] -> backbone -> smoothing -> head -> events

The caller's thread also keeps watch: it opens a source that broke off again, leaves a reader that
is stuck to itself, and ends the stream. So all that is told comes in one order, from one place.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Generator, Iterator

from edgesplit.errors import ClipError
from edgesplit.runtime.live.runtime import Runtime
from edgesplit.runtime.stream.accounting import Accounting, Ledger
from edgesplit.runtime.stream.events import (
    Decision,
    Ended,
    Event,
    Gap,
    Policy,
    Reconnecting,
    Refused,
    RolledBack,
    Shadowed,
    Stalled,
    Started,
    Swapped,
)
from edgesplit.runtime.stream.queue import Closed, Inbox
from edgesplit.runtime.stream.smoothing import Recent
from edgesplit.runtime.stream.sources import Feed, Source, open_feed, parse_source
from edgesplit.runtime.stream.windows import Frame, Grid, Window, Windower

__all__ = ["Stream"]

STALL_S = 10.0
RETRY_S = (0.5, 30.0)
STUCK = 3
"""Readers that may hang at once; each holds a thread, so no more are started beside them."""
POLL_S = 0.02
"""How soon a stop, a stall or a swap is noticed."""
RECENT = 10
SHADOW_EVERY = 100
"""Windows from one report on a shadow head to the next."""


class Stream:
    """Predicts what comes from a source, window after window. Iterate it once."""

    def __init__(
        self,
        runtime: Runtime,
        source: str | Source,
        *,
        window_s: float | None = None,
        stride_s: float | None = None,
        fps: float | None = None,
        smooth: int = 1,
        recent: int = RECENT,
        stall_s: float = STALL_S,
        give_up_s: float | None = None,
        retry_s: tuple[float, float] = RETRY_S,
        open_source: Callable[[], Feed] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Opens nothing yet.

        Args:
            runtime: predicts; it stays the caller's.
            source: as `parse_source` takes or gives it.
            window_s: length of a window in seconds; a model whose frames are spread over a whole
                event needs it, for others it follows.
            stride_s: from window to window; half a window by default.
            fps: frames a second that windows are made of; by default the source's.
            smooth: how many windows a decision is made over.
            recent: how many windows are decided once more after a swap, from their features.
            stall_s: a live source that gives no frame for so long is opened anew.
            give_up_s: a source that gives no frame for so long ends the stream; None: never.
            retry_s: the shortest and longest pause before a source is opened again.
            open_source: opens what is read in place of the source, for tests and sources of your
                own; it is called on the thread that reads.
            clock: gives seconds and never jumps; the same that `Frame.arrived` is read from.

        Raises:
            ClipError: a source that is not read, or a length of windows that the model cannot have.
        """
        numbers = {"window_s": window_s, "stride_s": stride_s, "fps": fps, "give_up_s": give_up_s}
        for name, value in {**numbers, "stall_s": stall_s, "retry_s": retry_s[0]}.items():
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"{name} must be above 0, got {value}")
        self.source = parse_source(source) if isinstance(source, str) else source
        self._runtime, self._preprocessing = runtime, runtime.bundle.preprocessing
        self._window_s, self._stride_s, self._fps = window_s, stride_s, fps
        if window_s is None or fps is not None:  # what can be known before the source is open
            Grid.plan(self._preprocessing, fps or 1.0, window_s=window_s, stride_s=stride_s)
        self._smooth = smooth
        self._recent = Recent(smooth=smooth, n_windows=recent)
        self._refusal, self._rolled_back = runtime.refusal, runtime.rolled_back
        self._n_shadowed = 0
        self._stall_s, self._give_up_s, self._retry_s = stall_s, give_up_s, retry_s
        self._clock = clock
        self._open_source = open_source or self._open
        self._ledger = Ledger()
        self._inbox = Inbox(self._ledger)
        self._capturing = threading.Lock()  # held while frames become windows
        self._windower: Windower | None = None
        self._live = self.source.live
        self._connection: _Connection | None = None
        self._stuck: list[threading.Thread] = []
        self._pauses, self._attempt, self._retry_at = _pauses(*retry_s), 0, 0.0
        self._last_frame_at = 0.0
        self._digest = runtime.head_digest
        self._stopping = False

    @property
    def accounting(self) -> Accounting:
        """What became of everything so far."""
        return self._ledger.accounting()

    @property
    def hangs(self) -> bool:
        """Whether a reader that was left to itself still waits for its source.

        Python ends only when readers of the network have: `stall_s` and a second later at most.
        """
        threads = [*self._stuck, *([self._connection.thread] if self._connection else [])]
        return any(thread.is_alive() for thread in threads)

    def stop(self) -> None:
        """Ends the stream after the window that is predicted now. A signal handler may call it."""
        self._stopping = True

    def __iter__(self) -> Generator[Event, None, None]:
        """Tells what happens; `Started` comes before any window, `Ended` last.

        Raises:
            ClipError: after `Ended`: the source cannot be read, or gave nothing for `give_up_s`.
            BackendError: after `Ended`: the backbone or the head failed.
        """
        begun = self._last_frame_at = self._clock()
        trouble: Exception | None = None
        try:
            yield from self._events()
        except Exception as error:  # told as an event before it is raised
            trouble = error
        finally:
            self._shut()
        yield from self._shadowed(1)
        yield Ended(
            reason="error" if trouble else "stopped" if self._stopping else "source ended",
            error=None if trouble is None else str(trouble) or repr(trouble),
            lasted_s=self._clock() - begun,
            accounting=self.accounting,
        )
        if trouble is not None:
            raise trouble

    def _events(self) -> Iterator[Event]:
        self._connect()
        while not self._stopping:
            item = self._inbox.get(POLL_S)
            if isinstance(item, Window):
                yield from self._decide(item)
            elif isinstance(item, Event):
                yield item
            elif isinstance(item, Closed):
                self._connection = None
                if item.error is not None and (item.final or not self._comes_back):
                    raise item.error
                if not self._comes_back:
                    return
                yield self._retry(item.reason)
            yield from self._watch()

    # Predicting

    def _decide(self, window: Window) -> Iterator[Event]:
        start = time.perf_counter()
        try:
            feature = self._runtime.extract(window.clip)
            backbone_ms = 1000 * (time.perf_counter() - start)
            mean = self._recent.add(feature, window.segment)
            prediction = self._runtime.decide(mean, backbone_ms=backbone_ms)
        except BaseException:
            self._ledger.settle(window.tickets, "unfinished")
            raise
        self._ledger.settle(window.tickets, "used")
        yield from self._swapped(prediction.head_digest)
        decision = Decision(
            number=window.number,
            segment=window.segment,
            start=window.start,
            end=window.end,
            wall=window.wall,
            lag_ms=1000 * (self._clock() - window.arrived),
            prediction=prediction,
        )
        self._recent.remember(decision, mean)
        yield decision
        yield from self._shadowed(SHADOW_EVERY)

    def _swapped(self, digest: str) -> Iterator[Event]:
        if digest == self._digest:
            return
        before, self._digest = self._digest, digest
        if (reason := self._runtime.rolled_back) != self._rolled_back:
            self._rolled_back = reason
            yield RolledBack(reason=reason)
        yield Swapped(before=before, after=digest)
        yield from self._recent.rescore(self._runtime)

    def _shadowed(self, every: int) -> Iterator[Event]:
        """A report on the shadow head, when so many windows passed since the last one."""
        self._n_shadowed += every > 1
        report = self._runtime.shadow_report()
        if report is not None and self._n_shadowed >= every:
            self._n_shadowed = 0
            yield Shadowed(report=report)

    def _refused(self) -> Iterator[Event]:
        if (reason := self._runtime.refusal) != self._refusal:
            self._refusal = reason
            if reason:
                yield Refused(reason=reason)

    # Keeping watch

    @property
    def _comes_back(self) -> bool:
        return bool(self._live) and self.source.returns

    def _watch(self) -> Iterator[Event]:
        """What does not come by itself: swaps, stalls, the next attempt, giving up."""
        yield from self._swapped(self._runtime.head_digest)
        yield from self._refused()
        now, connection = self._clock(), self._connection
        if connection is None:
            if now >= self._retry_at:
                yield from self._connect_again()
        else:
            self._last_frame_at = max(self._last_frame_at, connection.last_frame_at)
            silent_s = now - max(connection.since, connection.last_frame_at)
            waits = not (connection.over or connection.delivering or connection.told)
            if self._live and waits and silent_s > self._stall_s:
                connection.told = True
                yield Stalled(silent_s=silent_s)
                if self._comes_back and self._abandon(connection, "no frame came"):
                    yield self._retry(f"no frame for {silent_s:.1f} s")
            if connection.delivering or connection.over:  # it is we who keep it waiting
                self._last_frame_at = now
        if self._give_up_s is not None and now - self._last_frame_at > self._give_up_s:
            raise ClipError(
                f"{self.source.name} gave no frame for {now - self._last_frame_at:.1f} s; "
                "given up as --give-up asks."
            )

    def _retry(self, reason: str) -> Event:
        if self._attempt == 0:
            self._pauses = _pauses(*self._retry_s)
        self._attempt += 1
        pause = next(self._pauses)
        self._retry_at = self._clock() + pause
        return Reconnecting(attempt=self._attempt, delay_s=pause, reason=reason)

    def _connect_again(self) -> Iterator[Event]:
        self._stuck = [thread for thread in self._stuck if thread.is_alive()]
        if len(self._stuck) >= STUCK:
            yield self._retry(f"{len(self._stuck)} readers of it still hang")
            return
        self._ledger.count("reconnects")
        self._connect()

    def _connect(self) -> None:
        self._connection = connection = _Connection(self._clock())
        connection.thread = threading.Thread(
            target=self._read,
            args=(connection,),
            name="edgesplit-capture",
            # A pipe may hang for good. FFmpeg's network asks PyAV again and again whether to go on,
            # and that crashes while Python ends; it has a timeout, so its end can be waited for.
            daemon=self.source.kind != "url",
        )
        connection.thread.start()

    def _abandon(self, connection: _Connection, reason: str) -> bool:
        """Nothing more is taken from a connection; False when it has just ended by itself."""
        with self._capturing:
            if connection.over:
                return False
            connection.over = True
            self._cut(reason)
        self._stuck.append(connection.thread)
        self._connection = None
        return True

    def _cut(self, reason: str) -> None:
        """Hands over what is complete when a connection is over; under `_capturing`."""
        # A last picture that cannot be scaled must not hide that it is over.
        with contextlib.suppress(Exception):
            if self._windower is not None:
                self._hand_over(self._windower.cut(reason))

    def _hand_over(self, made: Generator[Window | Gap, None, None]) -> bool:
        """One at a time, so that few windows are alive; False when they are not taken any more.

        Under `_capturing`. It waits for room only where nothing is dropped; then nobody else wants
        that lock before the inbox is closed, which makes room.
        """
        with contextlib.closing(made):
            for item in made:
                if not self._inbox.put(item):
                    return False
        return True

    def _shut(self) -> None:
        self._inbox.close()
        if (connection := self._connection) is not None:
            self._abandon(connection, "stopped")
            connection.thread.join(timeout=1.0)  # a reader that hangs ends with the process

    # Capturing, on a thread of its own

    def _open(self) -> Feed:
        # The watch sees a silent network first; the reader it leaves behind ends a little later.
        return open_feed(self.source, self._preprocessing, timeout_s=self._stall_s + 1)

    def _read(self, connection: _Connection) -> None:
        error, final = None, False
        try:
            feed = self._open_source()
            try:
                final = True  # what is wrong here will be wrong next time
                self._begin(connection, feed)
                final = False
                for frame in feed:
                    final = True  # and so will a picture that cannot be scaled
                    if not self._take(connection, feed, frame):
                        return
                    final = False
            finally:
                if not connection.over:
                    self._count_damaged(connection, feed)
                feed.close()
        except Exception as problem:  # told on the thread that keeps watch
            error, final = problem, final or not isinstance(problem, ClipError)
        reason = f"the source ended ({error})" if error else "the source ended"
        with self._capturing:
            if connection.over:
                return
            connection.over = True
            self._cut(reason)
        self._inbox.put(Closed(reason, error, final))

    def _take(self, connection: _Connection, feed: Feed, frame: Frame) -> bool:
        """Makes windows of a frame and hands them over; False when it is not wanted any more."""
        with self._capturing:
            if connection.over or self._windower is None or self._inbox.abandoned:
                return False
            self._count_damaged(connection, feed)
            connection.last_frame_at, connection.told, self._attempt = self._clock(), False, 0
            connection.delivering = True
            taken = self._hand_over(self._windower.add(frame))
            connection.last_frame_at = self._clock()
            connection.delivering = False
            return taken

    def _count_damaged(self, connection: _Connection, feed: Feed) -> None:
        self._ledger.count("damaged", feed.damaged - connection.n_damaged)
        connection.n_damaged = feed.damaged

    def _begin(self, connection: _Connection, feed: Feed) -> None:
        """Settles at the first connection how windows are made."""
        with self._capturing:
            if connection.over:
                return
            if self._windower is not None:
                self._windower.set_period(1 / (feed.rate or self._windower.grid.fps))
                return
            fps = self._fps or feed.rate
            if fps is None:
                raise ClipError(f"{self.source.name} does not say its frame rate. Give --fps.")
            grid = Grid.plan(
                self._preprocessing, fps, window_s=self._window_s, stride_s=self._stride_s
            )
            self._live = feed.live
            policy: Policy = "latest" if feed.live else "block"
            self._inbox.policy = policy
            self._windower = Windower(
                grid,
                self._preprocessing,
                self._ledger,
                live=feed.live,
                period_s=1 / (feed.rate or fps),
            )
        started = Started(
            source=self.source.name,
            live=feed.live,
            policy=policy,
            source_fps=feed.rate,
            fps=fps,
            window_s=grid.window_s,
            stride_s=grid.stride_s,
            n_repeated=grid.n_repeated,
            smooth=self._smooth,
            head_digest=self._digest,
        )
        self._inbox.put(started)


def _pauses(shortest: float, longest: float) -> Iterator[float]:
    """Pauses that grow, by chance, so that many devices do not come all at once."""
    bound = shortest
    while True:
        yield random.uniform(shortest, bound)
        bound = min(longest, 2 * bound)


class _Connection:
    """One attempt to read the source."""

    thread: threading.Thread

    def __init__(self, now: float) -> None:
        self.since, self.last_frame_at = now, float("-inf")
        self.over = False  # nothing more is taken from it; under Stream._capturing
        self.delivering = False  # hands over windows, and perhaps waits until there is room
        self.told = False  # that it stalls
        self.n_damaged = 0  # packets that are counted already
