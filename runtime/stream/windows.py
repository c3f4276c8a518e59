"""Windows made of frames with timestamps.

The clip of a window is the same as `read_clip` would make of a video file with only that part of
the stream. Windows lie on a grid of `fps` frames per second. Each frame of the grid is the picture
that is shown at that time, and the preprocessing selects the frames of the clip. So sources of 60
and of 15 frames per second give the same windows. The sampled times are known in advance, so a
picture is scaled at most once, and overlapping windows share it.
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
"""Highest frame rate of a grid."""
MAX_WINDOW_S = 86400
"""Longest window, and stride, in seconds."""
TOLERANCE = 0.1
"""Share of a grid step by which a picture may come late and still be shown at that time. Matroska
rounds to milliseconds, which is 0.03 steps at 30 frames per second."""
HOLD_S = 2.0
"""Seconds between two frames above which there is a gap (four periods of the source, if longer). A
frame is shown for at most this time or the length of a window, whichever is longer, so that frames
days apart give few windows."""
BACK_S = 0.25
"""Seconds that a timestamp may go back and count as out of order; beyond it, a segment begins."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The times of windows; the first frame of a segment is at 0."""

    fps: float
    """Frames of the grid per second."""
    n_frames: int
    """Frames of a window."""
    n_stride: int
    """Frames from the start of a window to the start of the next."""
    sampled: tuple[int, ...]
    """Indices of the window's frames in its clip; repeated if there are too few."""

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
            preprocessing: selects the frames of a window that make the clip.
            fps: frames of the grid per second.
            window_s: length of a window in seconds, rounded to frames; required for uniform
                sampling; for dense sampling it follows from the preprocessing.
            stride_s: seconds between window starts, rounded to frames; by default half a window.

        Raises:
            ClipError: if the length of a window is missing or is not the model's, or a number is
                out of range.
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
                    f"This model samples {preprocessing.frames} frames uniformly over an event. "
                    "Give the length of an event in seconds, as in --window 2.5."
                )
            n_frames = max(1, round(window_s * fps))
        elif window_s is not None and round(window_s * fps) != n_frames:
            raise ClipError(
                f"This model takes one frame in {preprocessing.stride}: at {fps:g} frames a second "
                f"its window lasts {n_frames / fps:.3g} s, not {window_s:g}. Omit --window, or set "
                "--fps."
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
        """The number of frames of a clip that repeat another, because the window has too few."""
        return len(self.sampled) - len(set(self.sampled))


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A decoded picture, scaled only if a window samples it."""

    seconds: float | None
    """Presentation time by the source's clock; None: one frame after the previous frame."""
    arrived: float
    """Time of decoding by a monotonic clock, in seconds."""
    wall: float
    """Time of decoding by the wall clock, in seconds since 1970; for display only."""
    scale: Callable[[], UInt8]
    """Function that returns the picture as `scale_frame` does."""


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A clip for the backbone, and its place in the stream."""

    number: int
    """Number of the window in order of completion, from 0; the numbers of dropped ones are
    missing."""
    segment: int
    """Number of the part of the stream between gaps, from 0."""
    start: float
    """Start in seconds of the stream, gaps included; the first frame of the stream is at 0."""
    end: float
    clip: Float32
    """Clip as `read_clip` returns it."""
    arrived: float
    """Time when its last frame arrived; see `Frame`."""
    wall: float
    frames: tuple[FrameUse, ...]


@dataclass(frozen=True, slots=True)
class Gap:
    """A gap in the stream, which no window spans."""

    at_s: float
    """Begin in seconds of the stream."""
    lost_s: float
    """Length in seconds."""
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

    `add` and `cut` are generators, so that few windows are in memory at a time. Before the next
    call, iterate each to its end, or close it and call `cut`.
    """

    def __init__(
        self,
        grid: Grid,
        preprocessing: Preprocessing,
        accounting: FrameAccounting,
        *,
        live: bool,
    ) -> None:
        """Start at the beginning of a stream. Each frame is shown for one step of the grid.

        Args:
            grid: the times of windows.
            preprocessing: the layout of clips.
            accounting: counts every frame and window.
            live: measure gaps by arrival instead of timestamps, because a camera's clock may jump.
        """
        self.grid, self._preprocessing = grid, preprocessing
        self._accounting, self._live = accounting, live
        self.set_period(1 / grid.fps)
        self._sampled, self._last = frozenset(grid.sampled), grid.sampled[-1]
        self._open: deque[_OpenWindow] = deque()
        self._held: Frame | None = None  # shown until the next frame is known
        self._number = self._segment = 0
        self._at = self._start = 0.0  # times of held frame and segment, by the source's clock
        self._offset = 0.0  # begin of the segment, in seconds of the stream
        self._next = 0  # first frame of the grid without a picture
        self._ended: _SegmentEnd | None = None

    def set_period(self, period_s: float) -> None:
        """Set the seconds that a frame of the source is shown; `HOLD_S` or a window at most."""
        self._period_s = min(period_s, max(HOLD_S, self.grid.window_s))

    def add(self, frame: Frame) -> Generator[Window | Gap, None, None]:
        """Add the next frame; yield the windows that it completes, and the gap before it.

        The next frame determines how long a picture is shown, so a window is complete one frame
        after the last that it samples. An exception of `Frame.scale` is raised; the counts stay
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
            jump = f"timestamps jumped {'ahead' if step > 0 else 'back'} by {abs(step):.3g} s"
            yield from self.cut(jump)
            yield from self._begin(frame, at)
            return
        held, self._held, self._at = self._held, frame, max(at, self._at)
        yield from self._show(held, until=self._at)

    def cut(self, reason: str) -> Generator[Window | Gap, None, None]:
        """End the segment: yield the windows that are complete, and drop the others.

        The last frame counts as shown for the usual period.
        """
        if self._held is None:
            return
        held, self._held = self._held, None
        end = self._at + self._period_s
        self._ended = _SegmentEnd(end, held.arrived + self._period_s, reason)
        try:
            yield from self._show(held, until=end)
        finally:
            self._drop_open()
            self._offset += end - self._start

    def _drop_open(self) -> None:
        """Drop the windows that still lack frames."""
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
        """Show the frame from the grid's next frame to `until`; yield the completed windows."""
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
                self._drop_open()
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
