"""A stream: one thread reads frames and makes windows; the caller's thread predicts them.

    reader thread                                          the caller's thread
    source -> frames -> windows -> [ at most a few wait ] -> backbone -> smoothing -> head -> events

The caller's thread also runs the watchdog, which reopens a source, abandons a stuck reader and ends
the stream. So all events come from one thread, in one order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from functools import partial

from edgesplit.runtime.live.runtime import Runtime
from edgesplit.runtime.stream.accounting import Accounting
from edgesplit.runtime.stream.connection import Capture, Connection
from edgesplit.runtime.stream.decisions import Decider
from edgesplit.runtime.stream.events import Ended, Event, Interrupted, Started
from edgesplit.runtime.stream.queue import Closed, Opened
from edgesplit.runtime.stream.smoothing import RecentFeatures
from edgesplit.runtime.stream.sources import Feed, Source, open_feed, parse_source
from edgesplit.runtime.stream.watchdog import RETRY_S, Watchdog
from edgesplit.runtime.stream.windows import Gap, Grid, Window

__all__ = ["Stream"]

STALL_S = 10.0
POLL_S = 0.02
"""Longest time until a stop, a stall or a swap is noticed, in seconds."""
RECENT = 10


class Stream:
    """Predicts a source window by window. Iterate it once."""

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
        """Prepare a stream; the iteration opens the source.

        Args:
            runtime: the runtime that predicts; the caller closes it.
            source: a source, or its text as `parse_source` takes it.
            window_s: length of a window in seconds; required for models that sample frames
                uniformly over an event; for other models it follows from the preprocessing.
            stride_s: seconds between window starts; by default half a window.
            fps: frame rate of the windows; by default the source's.
            smooth: number of windows to average for a decision.
            recent: number of recent windows to decide again after a head swap.
            stall_s: seconds without a frame after which a live source is reopened.
            give_up_s: seconds without a frame after which the stream ends; None: never.
            retry_s: shortest and longest pause before a source is reopened, in seconds.
            open_source: opens another feed instead of the source, for tests and custom sources;
                called on the reader thread.
            clock: returns seconds and never jumps; the clock that `Frame.arrived` is read from.

        Raises:
            ClipError: if this kind of source is not supported, or the model cannot have windows of
                this length.
        """
        numbers = {"window_s": window_s, "stride_s": stride_s, "fps": fps, "give_up_s": give_up_s}
        for name, value in {**numbers, "stall_s": stall_s, "retry_s": retry_s[0]}.items():
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"{name} must be above 0, got {value}")
        self.source = parse_source(source) if isinstance(source, str) else source
        preprocessing = runtime.bundle.preprocessing
        plan_grid = partial(Grid.plan, preprocessing, window_s=window_s, stride_s=stride_s)
        if window_s is None or fps is not None:  # this can be checked before the source is open
            plan_grid(fps or 1.0)
        if open_source is None:
            # The watchdog must notice a silent network first, so the reader's timeout is longer.
            open_source = partial(open_feed, self.source, preprocessing, timeout_s=stall_s + 1)
        self._capture = Capture(self.source, preprocessing, plan_grid, fps)
        recent_features = RecentFeatures(smooth=smooth, n_windows=recent)
        self._decider = Decider(runtime, recent_features, self._capture.accounting, clock)
        connect = partial(Connection, self._capture, open_source, clock)
        self._watchdog = Watchdog(
            self._capture, connect, clock, stall_s=stall_s, give_up_s=give_up_s, retry_s=retry_s
        )
        self._smooth, self._clock = smooth, clock
        self._stopping = False

    @property
    def accounting(self) -> Accounting:
        """The counts of all frames and windows so far."""
        return self._capture.accounting.totals()

    @property
    def hangs(self) -> bool:
        """True while a reader thread is alive; after the stream, it still waits for its source.

        Python exits only after the readers of URLs have ended, at most `stall_s` plus a second.
        """
        return self._watchdog.has_reader

    def stop(self) -> None:
        """End the stream after the current window. A signal handler may call it."""
        self._stopping = True

    def __iter__(self) -> Generator[Event, None, None]:
        """Yield the events; `Started` comes before any window, `Ended` last.

        Raises:
            ClipError: after `Ended`, if the source cannot be read or gave no frame for `give_up_s`.
            BackendError: after `Ended`, if the backbone or the head failed.
        """
        begun = self._clock()
        trouble: Exception | None = None
        try:
            yield from self._events()
        except Exception as error:  # reported as an event before it is raised
            trouble = error
        finally:
            self._watchdog.shut()
        yield from self._decider.report_shadow()
        yield Ended(
            reason="error" if trouble else "stopped" if self._stopping else "source ended",
            error=None if trouble is None else str(trouble) or repr(trouble),
            lasted_s=self._clock() - begun,
            accounting=self.accounting,
        )
        if trouble is not None:
            raise trouble

    def _events(self) -> Iterator[Event]:
        self._watchdog.start()
        while not self._stopping:
            match self._capture.queue.get(POLL_S):
                case Window() as window:
                    yield from self._decider.decide(window)
                case Gap() as gap:
                    yield Interrupted(at_s=gap.at_s, lost_s=gap.lost_s, reason=gap.reason)
                case Opened() as opened:
                    yield self._started(opened)
                case Closed() as closed:
                    retry = self._watchdog.retry_after(closed)
                    if retry is None:
                        return
                    yield retry
            yield from self._decider.report_heads()
            yield from self._watchdog.check()

    def _started(self, opened: Opened) -> Started:
        grid = opened.grid
        return Started(
            source=self.source.name,
            live=bool(self._capture.live),
            policy=self._capture.queue.policy,
            source_fps=opened.source_fps,
            fps=grid.fps,
            window_s=grid.window_s,
            stride_s=grid.stride_s,
            n_repeated=grid.n_repeated,
            smooth=self._smooth,
            head_digest=self._decider.head_digest,
        )
