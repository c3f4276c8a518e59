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
    """Makes windows of frames and queues them. The connections of a stream use it in turn.

    A connection uses it only while it holds its own lock and is not over. The next connection
    starts only when the previous one is over. So `begin`, `add` and `cut` never run concurrently.
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
            fps: frame rate of the windows; by default the source's.
        """
        self.accounting = FrameAccounting()
        self.queue = WindowQueue(self.accounting)
        self.source = source
        self.live = source.live
        """True if the source continues while nobody reads it; None until that is known."""
        self._preprocessing, self._plan_grid, self._fps = preprocessing, plan_grid, fps
        self._windower: Windower | None = None

    def begin(self, feed: Feed) -> None:
        """Begin with the frames of a feed; the first feed determines the grid of windows.

        Raises:
            ClipError: if neither the caller nor the source gives a frame rate.
        """
        if self._windower is None:
            fps = self._fps or feed.rate
            if fps is None:
                raise ClipError(f"{self.source.name} states no frame rate. Give --fps.")
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
        with contextlib.closing(made):  # one at a time, so that few windows are in memory
            return all(self.queue.put(item) for item in made)


class Connection:
    """One attempt to read a source, on a separate thread, which starts at once.

    `_lock` guards `_over`, and the shared `Capture` while the connection is not over. The reader
    holds it while it makes windows of a frame and queues them. Under the policy `block` it may
    therefore wait for a place in the queue with the lock held. This cannot deadlock: only `abandon`
    also takes the lock, and the thread that predicts calls it in two cases. For a live source the
    policy is `latest`, where `put` never waits. Otherwise the queue is closed, which ends the wait.
    """

    def __init__(
        self, capture: Capture, open_source: Callable[[], Feed], clock: Callable[[], float]
    ) -> None:
        """Start to read.

        Args:
            capture: takes the frames.
            open_source: opens the source; called on the connection's thread.
            clock: returns seconds and never jumps.
        """
        self._capture, self._open_source, self._clock = capture, open_source, clock
        self._lock = threading.Lock()
        self._over = False
        self._n_damaged = 0  # packets that are counted already
        self.has_frames = False
        """True after the first frame."""
        self.waiting_since: float | None = clock()
        """Time since the reader waits for the source, by `clock`; None while windows are made and
        queued, and when the connection is over."""
        # A pipe may hang forever, so its thread is a daemon. For URLs, FFmpeg's network code calls
        # back into PyAV, which may crash while Python exits (one exit in three with PyAV 18.1 on
        # Python 3.11). It has a timeout, so Python can wait for its thread.
        daemon = capture.source.kind != "url"
        self.thread = threading.Thread(target=self._read, name="edgesplit-capture", daemon=daemon)
        self.thread.start()

    def abandon(self, reason: str) -> bool:
        """End the connection without waiting for its thread; return False if it was over."""
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
                final = True  # a new connection would have the same error
                with self._lock:
                    if not self._over:
                        self._capture.begin(feed)
                final = False
                for frame in feed:
                    final = True  # the same holds for a picture that cannot be scaled
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
