"""One connection to a source: a thread that reads frames and queues the windows made of them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator

from edgesplit.errors import ClipError
from edgesplit.runtime.stream.accounting import FrameAccounting
from edgesplit.runtime.stream.queue import Closed, Opened, WindowQueue
from edgesplit.runtime.stream.sources import Feed, Source
from edgesplit.runtime.stream.windows import Frame, Gap, Grid, Window, Windower
from edgesplit.video.preprocessing import Preprocessing

__all__ = ["Capture", "Connection"]


class Capture:
    """Makes windows of frames and queues them; the connections of a stream share it, in turn.

    A connection uses it only while it holds its own lock and is not over, and the next connection
    starts only when the one before is over. So `begin`, `add` and `cut` never run at once.
    """

    def __init__(
        self,
        source: Source,
        preprocessing: Preprocessing,
        plan_grid: Callable[[float], Grid],
        fps: float | None,
    ) -> None:
        """Start without a feed.

        Args:
            source: the source of all feeds.
            preprocessing: the layout of clips.
            plan_grid: returns the grid of windows for a frame rate.
            fps: frame rate that windows are made at; by default the source's.
        """
        self.accounting = FrameAccounting()
        self.queue = WindowQueue(self.accounting)
        self.source = source
        self.live = source.live
        """True if the source goes on while nobody reads it; None until that is known."""
        self._preprocessing, self._plan_grid, self._fps = preprocessing, plan_grid, fps
        self._windower: Windower | None = None

    def begin(self, feed: Feed) -> None:
        """Begin with the frames of a feed; the first feed settles how windows are made.

        Raises:
            ClipError: if neither the caller nor the source states a frame rate.
        """
        if self._windower is None:
            fps = self._fps or feed.rate
            if fps is None:
                raise ClipError(f"{self.source.name} does not say its frame rate. Give --fps.")
            grid = self._plan_grid(fps)
            self.live, self.queue.policy = feed.live, "latest" if feed.live else "block"
            self._windower = Windower(grid, self._preprocessing, self.accounting, live=feed.live)
            self.queue.put(Opened(grid, feed.rate))
        self._windower.set_period(1 / (feed.rate or self._windower.grid.fps))

    def add(self, frame: Frame) -> bool:
        """Queue the windows that a frame completes; return True if further frames are wanted."""
        return self._windower is not None and self._put_all(self._windower.add(frame))

    def cut(self, reason: str) -> None:
        """Queue the windows that are complete when a connection is over."""
        # A last picture that cannot be scaled must not hide that the connection is over.
        with contextlib.suppress(Exception):
            if self._windower is not None:
                self._put_all(self._windower.cut(reason))

    def _put_all(self, made: Generator[Window | Gap, None, None]) -> bool:
        with contextlib.closing(made):  # one at a time, so that few windows are alive
            return all(self.queue.put(item) for item in made)


class Connection:
    """One attempt to read a source, on a thread of its own, which starts at once.

    `_lock` guards `_over`, and the shared `Capture` for as long as the connection is not over. The
    reader holds it while it makes windows of a frame and queues them, so under the policy `block`
    it may wait for a place in the queue with the lock held. That is no deadlock. Only `abandon`
    wants the lock, too, and the thread that predicts calls it either for a live source, whose
    policy is `latest`, where `put` never waits, or once the queue is closed, which ends the wait.
    """

    def __init__(
        self, capture: Capture, open_source: Callable[[], Feed], clock: Callable[[], float]
    ) -> None:
        """Start to read.

        Args:
            capture: takes the frames.
            open_source: opens the source; called on the connection's thread.
            clock: returns seconds, and never jumps.
        """
        self._capture, self._open_source, self._clock = capture, open_source, clock
        self._lock = threading.Lock()
        self._over = False
        self._n_damaged = 0  # packets that are counted already
        self.has_frames = False
        """True once a frame came."""
        self.waiting_since: float | None = clock()
        """Since when the reader has waited for the source; None while windows are made and queued,
        and when the connection is over."""
        # A pipe may hang for good. FFmpeg's network code asks PyAV again and again whether to go
        # on, which may crash while Python ends (one end in three with PyAV 18.1 on Python 3.11);
        # it has a timeout, so Python can wait for its thread.
        daemon = capture.source.kind != "url"
        self.thread = threading.Thread(target=self._read, name="edgesplit-capture", daemon=daemon)
        self.thread.start()

    def abandon(self, reason: str) -> bool:
        """Take nothing more from the connection; return False if it was over already."""
        with self._lock:
            if self._over:
                return False
            self._over, self.waiting_since = True, None
            self._capture.cut(reason)
            return True

    def _read(self) -> None:
        error, final = None, False
        try:
            feed = self._open_source()
            try:
                final = True  # an error here would be met again
                with self._lock:
                    if not self._over:
                        self._capture.begin(feed)
                final = False
                for frame in feed:
                    final = True  # and so would one of a picture that cannot be scaled
                    if not self._take(feed, frame):
                        return
                    final = False
            finally:
                if not self._over:
                    self._count_damaged(feed)
                feed.close()
        except Exception as problem:  # raised on the thread that predicts
            error, final = problem, final or not isinstance(problem, ClipError)
        reason = f"the source ended ({error})" if error else "the source ended"
        if self.abandon(reason):
            self._capture.queue.put(Closed(reason, error, final))

    def _take(self, feed: Feed, frame: Frame) -> bool:
        """Make windows of a frame; return True if further frames are wanted."""
        with self._lock:
            if self._over or self._capture.queue.abandoned:
                return False
            self._count_damaged(feed)
            self.has_frames, self.waiting_since = True, None
            wanted = self._capture.add(frame)
            self.waiting_since = self._clock()
            return wanted

    def _count_damaged(self, feed: Feed) -> None:
        self._capture.accounting.count("damaged", feed.damaged - self._n_damaged)
        self._n_damaged = feed.damaged
