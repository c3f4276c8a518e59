"""Windows made of frames with timestamps.

The clip of a window is the one that `read_clip` would make of a video file with only that part of
the stream. Windows lie on a grid of `fps` frames per second. Each frame of the grid is the picture
that is shown at that time, and the preprocessing chooses which of them make the clip, so sources of
60 and of 15 frames per second give the same windows. The sampled times are known beforehand, so a
picture is scaled at most once, and windows that overlap share it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from edgesplit._types import Float32, UInt8
from edgesplit.errors import ClipError
from edgesplit.runtime.stream.accounting import FrameAccounting, FrameUse, Outcome
from edgesplit.video.clips import stack_clip
from edgesplit.video.preprocessing import Preprocessing, sample_frames

__all__ = ["Frame", "Gap", "Grid", "Window", "Windower"]

MAX_FPS = 1000
"""Frames per second that a stream is sampled at, at most."""
MAX_WINDOW_S = 86400
"""The longest window, and stride, in seconds."""
TOLERANCE = 0.1
"""Share of a grid step by which a picture may come late and still be shown at that time. Matroska
rounds to milliseconds, which is 0.03 steps at 30 frames per second."""
HOLD_S = 2.0
"""Seconds to the next frame from which on there is a gap (or four frames, if frames are rarer). A
frame is shown for at most this or the length of a window, whichever is longer, so that few windows
are made of frames that are days apart."""
BACK_S = 0.25
"""Timestamps that go back by less than this are out of order; by more, they start anew."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The times that windows lie at; the first frame of a segment is at 0."""

    fps: float
    """Frames of the grid per second."""
    n_frames: int
    """Frames of a window."""
    n_stride: int
    """Frames from the start of a window to the start of the next."""
    sampled: tuple[int, ...]
    """Indices of the frames of a window that make its clip; repeated if there are too few."""

    @classmethod
    def plan(
        cls,
        preprocessing: Preprocessing,
        fps: float,
        *,
        window_s: float | None = None,
        stride_s: float | None = None,
    ) -> Grid:
        """Return the grid for a bundle's preprocessing.

        Args:
            preprocessing: chooses which frames of a window make the clip.
            fps: frames of the grid per second.
            window_s: length of a window in seconds; required for uniform sampling, follows from
                the preprocessing for dense sampling.
            stride_s: seconds between window starts; half a window by default. Both are rounded to
                frames.

        Raises:
            ClipError: if the length of a window is missing, is not the model's, or a number is
                beyond its bound.
        """
        if not 0 < fps <= MAX_FPS:
            raise ClipError(f"The frame rate must be above 0 and at most {MAX_FPS}, got {fps:g}.")
        for seconds in (window_s, stride_s):
            if seconds is not None and not 0 < seconds <= MAX_WINDOW_S:
                raise ClipError(
                    f"A window or stride must be above 0 and at most {MAX_WINDOW_S} s (a day), "
                    f"got {seconds:g}."
                )
        n_frames = preprocessing.frames * preprocessing.stride
        if preprocessing.sampling == "uniform":
            if window_s is None:
                raise ClipError(
                    f"This model takes {preprocessing.frames} frames spread over a whole event. "
                    "Say how long one lasts, in seconds: --window 2.5."
                )
            n_frames = max(1, round(window_s * fps))
        elif window_s is not None and round(window_s * fps) != n_frames:
            raise ClipError(
                f"This model takes one frame in {preprocessing.stride}: at {fps:g} frames a second "
                f"its window lasts {n_frames / fps:.3g} s, not {window_s:g}. Leave --window out, "
                "or choose --fps."
            )
        stride_s = n_frames / fps / 2 if stride_s is None else stride_s
        return cls(
            fps=fps,
            n_frames=n_frames,
            n_stride=max(1, round(stride_s * fps)),
            sampled=tuple(sample_frames(n_frames, preprocessing)),
        )

    @property
    def window_s(self) -> float:
        """The length of a window in seconds."""
        return self.n_frames / self.fps

    @property
    def stride_s(self) -> float:
        """The seconds between window starts."""
        return self.n_stride / self.fps

    @property
    def n_repeated(self) -> int:
        """The number of frames of a clip that repeat another, since the window has too few."""
        return len(self.sampled) - len(set(self.sampled))


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A decoded picture, scaled only if a window samples it."""

    seconds: float | None
    """When it is shown, by the source's clock; None: one frame after the frame before."""
    arrived: float
    """When it was decoded, by a monotonic clock, in seconds."""
    wall: float
    """The same by the wall clock, in seconds since 1970; only ever shown to people."""
    scale: Callable[[], UInt8]
    """Returns the picture as `scale_frame` does."""


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A clip for the backbone, and where in the stream it lies."""

    number: int
    """Counts windows as they are made, from 0; a missing number was dropped."""
    segment: int
    """Counts the parts of the stream between gaps, from 0."""
    start: float
    """Seconds of the stream, gaps included; the first frame of the stream is at 0."""
    end: float
    clip: Float32
    """A clip as `read_clip` returns it."""
    arrived: float
    """When the last frame that it shows arrived; see `Frame`."""
    wall: float
    frames: tuple[FrameUse, ...]


@dataclass(frozen=True, slots=True)
class Gap:
    """A place in the stream that no window reaches over."""

    at_s: float
    """Where it begins, in seconds of the stream."""
    lost_s: float
    """Its length in seconds."""
    reason: str


@dataclass(slots=True, eq=False)
class _OpenWindow:
    """A window that still lacks frames."""

    first: int
    pictures: dict[int, UInt8] = field(default_factory=dict)
    frames: list[FrameUse] = field(default_factory=list)


class _SegmentEnd(NamedTuple):
    seconds: float
    """Time by the source's clock."""
    arrived: float
    reason: str


class Windower:
    """Makes windows of frames. For one thread at a time.

    `add` and `cut` are generators, so that few windows are alive at a time. Iterate each to its
    end, or close it and call `cut`, before the next call.
    """

    def __init__(
        self,
        grid: Grid,
        preprocessing: Preprocessing,
        accounting: FrameAccounting,
        *,
        live: bool,
    ) -> None:
        """Start at the beginning of a stream, whose frames are shown for a step of the grid.

        Args:
            grid: the times of windows.
            preprocessing: the layout of clips.
            accounting: counts every frame and window.
            live: measure gaps by arrival instead of timestamps, since a camera's clock may jump.
        """
        self.grid, self._preprocessing = grid, preprocessing
        self._accounting, self._live = accounting, live
        self.set_period(1 / grid.fps)
        self._sampled, self._last = frozenset(grid.sampled), grid.sampled[-1]
        self._open: deque[_OpenWindow] = deque()
        self._held: Frame | None = None  # shown until the next frame is known
        self._number = self._segment = 0
        self._at = self._start = 0.0  # of the held frame and the segment, by the source's clock
        self._offset = 0.0  # of the segment, in seconds of the stream
        self._next = 0  # first frame of the grid without a picture
        self._ended: _SegmentEnd | None = None

    def set_period(self, period_s: float) -> None:
        """Set how long one frame of the source is shown, up to what windows can use (`HOLD_S`)."""
        self._period_s = min(period_s, max(HOLD_S, self.grid.window_s))

    def add(self, frame: Frame) -> Generator[Window | Gap, None, None]:
        """Add the next frame; yield the windows that it completes, and the gap before it.

        Only the next frame tells how long a picture is shown, so a window is complete one frame
        after the last that it samples. An exception of `Frame.scale` is passed on; the counts stay
        exact.
        """
        self._accounting.count("frames")
        try:
            yield from self._add(frame)
        except BaseException:  # GeneratorExit, too
            if self._held is not frame:
                self._accounting.count("unfinished")
            raise

    def _add(self, frame: Frame) -> Iterator[Window | Gap]:
        after = self._at + self._period_s if self._held else 0.0
        at = after if frame.seconds is None else frame.seconds
        if self._held is None:
            yield from self._begin(frame, at)
            return
        step = at - self._at
        if not -BACK_S <= step <= max(HOLD_S, 4 * self._period_s):
            jump = f"timestamps went {'on' if step > 0 else 'back'} by {abs(step):.3g} s"
            yield from self.cut(jump)
            yield from self._begin(frame, at)
            return
        held, self._held, self._at = self._held, frame, max(at, self._at)
        yield from self._show(held, until=self._at)

    def cut(self, reason: str) -> Generator[Window | Gap, None, None]:
        """End the segment: yield the windows that are complete, and give up the others.

        The last frame counts as shown for as long as frames usually are.
        """
        if self._held is None:
            return
        held, self._held = self._held, None
        end = self._at + self._period_s
        self._ended = _SegmentEnd(end, held.arrived + self._period_s, reason)
        try:
            yield from self._show(held, until=end)
        finally:
            self._give_up()
            self._offset += end - self._start

    def _give_up(self) -> None:
        """Give up the windows that still lack frames."""
        for window in self._open:
            self._accounting.end_window(window.frames, "unfinished", complete=False)
        self._open.clear()

    def _begin(self, frame: Frame, at: float) -> Iterator[Gap]:
        """Begin a segment with its first frame; yield the gap before it."""
        ended = self._ended
        self._held, self._at, self._start, self._next = frame, at, at, 0
        if ended is not None:
            lost_s = frame.arrived - ended.arrived if self._live else at - ended.seconds
            gap = Gap(at_s=self._offset, lost_s=max(0.0, lost_s), reason=ended.reason)
            self._accounting.count_gap(gap.lost_s)
            self._offset += gap.lost_s
            self._segment += 1
            yield gap

    def _show(self, frame: Frame, *, until: float) -> Iterator[Window]:
        """Show the frame from the grid's next frame until then; yield the completed windows."""
        grid, use = self.grid, FrameUse()
        picture: UInt8 | None = None
        outcome: Outcome | None = "unfinished"  # unless the loop is completed
        end = math.ceil((until - self._start) * grid.fps - TOLERANCE)
        try:
            for index in range(self._next, end):
                self._next = index + 1
                if index % grid.n_stride == 0:
                    self._open.append(_OpenWindow(index))
                for window in tuple(self._open):
                    if (place := index - window.first) not in self._sampled:
                        continue
                    picture = frame.scale() if picture is None else picture
                    if window.frames[-1:] != [use]:
                        window.frames.append(use)
                        self._accounting.add_window(use)
                    window.pictures[place] = picture
                    if place == self._last:
                        self._open.remove(window)
                        yield self._make(window, frame)
            outcome = None
        finally:
            if outcome is not None:  # some windows may lack this picture
                self._give_up()
            self._accounting.end_frame(use, outcome)

    def _make(self, window: _OpenWindow, last: Frame) -> Window:
        grid = self.grid
        start = self._offset + window.first / grid.fps
        pictures = [window.pictures[index] for index in grid.sampled]
        made = Window(
            number=self._number,
            segment=self._segment,
            start=start,
            end=start + grid.window_s,
            clip=stack_clip(pictures, self._preprocessing),
            arrived=last.arrived,
            wall=last.wall,
            frames=tuple(window.frames),
        )
        self._number += 1
        self._accounting.count("windows")
        return made
