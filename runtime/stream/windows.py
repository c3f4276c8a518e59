"""From frames with timestamps to windows.

A stretch of a stream becomes what `read_clip` would make of a video file that holds just that
stretch: on a grid of `fps` frames a second, each frame is the picture that is shown then, and the
preprocessing says which of them make the clip. So a stream of 60 frames a second and one of 15
give the same windows. Which times are sampled is known beforehand, so a picture is scaled once,
when some window wants it, and shared by windows that overlap.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from edgesplit._types import Float32, UInt8
from edgesplit.errors import ClipError
from edgesplit.runtime.stream.accounting import Fate, Ledger, Ticket
from edgesplit.runtime.stream.events import Gap
from edgesplit.video.clips import stack_clip
from edgesplit.video.preprocessing import Preprocessing, sample_frames

__all__ = ["Frame", "Grid", "Window", "Windower"]


TOLERANCE = 0.1
"""Of a grid step: how much later than its time a picture may come and still be shown then. Matroska
rounds to milliseconds, three hundredths of a step at 30 frames a second."""
HOLD_S = 2.0
"""A picture is held no longer than this (or four frames, where frames are rarer): what comes later
than that comes after a gap. A frame counts as no longer than this or a window, whatever the source
claims: of frames that are days apart, few windows are made."""
BACK_S = 0.25
"""Timestamps that go back by less than this are a disorder, by more a new beginning."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Where windows lie on the grid of frames; a segment's first frame is at 0."""

    fps: float
    """Frames of the grid in a second."""
    n_frames: int
    """In a window."""
    n_stride: int
    """From the start of a window to the start of the next."""
    sampled: tuple[int, ...]
    """The frames of a window that make its clip; repeated when there are too few."""

    @classmethod
    def plan(
        cls,
        preprocessing: Preprocessing,
        fps: float,
        *,
        window_s: float | None = None,
        stride_s: float | None = None,
    ) -> Grid:
        """The grid for a bundle's preprocessing.

        Args:
            preprocessing: says which frames of a window make the clip.
            fps: frames of the grid in a second.
            window_s: length of a window; needed where frames are spread evenly over the video,
                follows from the preprocessing where they are dense.
            stride_s: from window to window; half a window by default. Both are rounded to frames.

        Raises:
            ClipError: the length of a window is missing or is another than the model's.
        """
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
                f"This model takes every {preprocessing.stride}. frame: at {fps:g} frames a second "
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
        """Length of a window in seconds."""
        return self.n_frames / self.fps

    @property
    def stride_s(self) -> float:
        """From the start of a window to the start of the next, in seconds."""
        return self.n_stride / self.fps

    @property
    def n_repeated(self) -> int:
        """Frames of a clip that repeat the one before, as the window has too few."""
        return len(self.sampled) - len(set(self.sampled))


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A decoded picture, scaled when a window wants it."""

    seconds: float | None
    """When it is shown, by the source's clock; None: a frame after the one before."""
    arrived: float
    """When it was decoded, by a clock that never jumps."""
    wall: float
    """The same by the wall clock, in seconds since 1970; for people, never reckoned with."""
    scale: Callable[[], UInt8]
    """Gives the picture as `scale_frame` does."""


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A clip for the backbone, and the stretch of the stream that it comes from."""

    number: int
    """Windows are numbered as they are made, from 0; one that is missing was dropped."""
    segment: int
    """Counts stretches without a gap, from 0."""
    start: float
    """In seconds of the stream, that go on over gaps; its first frame is at 0."""
    end: float
    clip: Float32
    """As `read_clip` gives it."""
    arrived: float
    """When the last frame that it shows arrived; see `Frame`."""
    wall: float
    tickets: tuple[Ticket, ...]


class _Open:
    """A window that still wants frames."""

    __slots__ = ("first", "pictures", "tickets")

    def __init__(self, first: int) -> None:
        self.first = first
        self.pictures: dict[int, UInt8] = {}
        self.tickets: list[Ticket] = []


class _Break(NamedTuple):
    """Where a segment ended."""

    seconds: float
    """By the source's clock."""
    arrived: float
    reason: str


class Windower:
    """Makes windows of frames. For one thread at a time."""

    def __init__(
        self,
        grid: Grid,
        preprocessing: Preprocessing,
        ledger: Ledger,
        *,
        live: bool,
        period_s: float | None = None,
    ) -> None:
        """Starts at the beginning of a stream.

        Args:
            grid: where the windows lie.
            preprocessing: the layout of clips.
            ledger: is told of every frame and window.
            live: gaps are measured by arrival, not by timestamps: a camera's clock may jump.
            period_s: how long one frame of the source is shown; by default a step of the grid.
        """
        self.grid, self._preprocessing = grid, preprocessing
        self._ledger, self._live = ledger, live
        self.set_period(period_s or 1 / grid.fps)
        self._sampled, self._last = frozenset(grid.sampled), grid.sampled[-1]
        self._open: deque[_Open] = deque()
        self._held: Frame | None = None  # shown until the next frame is
        self._number = self._segment = 0
        self._at = self._start = 0.0  # of the held frame and the segment, by the source's clock
        self._offset = 0.0  # of the segment, in seconds of the stream
        self._next = 0  # frame of the grid that is not known yet
        self._broke: _Break | None = None

    def set_period(self, period_s: float) -> None:
        """How long one frame of the source is shown, within what windows can use (`HOLD_S`)."""
        self._period_s = min(period_s, max(HOLD_S, self.grid.window_s))

    def add(self, frame: Frame) -> Generator[Window | Gap, None, None]:
        """The next frame; makes the windows that it completes, and the gap it comes after.

        Each is made when it is asked for, so few are alive at a time. Iterate it to the end, or
        close it and `cut`, before anything else. What is shown at a time is known when the next
        frame comes, so a window is complete one frame after the last that it samples. When a
        picture cannot be scaled, what that raises comes through, and the account stays exact.
        """
        self._ledger.count("frames")
        try:
            yield from self._add(frame)
        except BaseException:  # of a generator that is closed, too
            if self._held is not frame:
                self._ledger.count("unfinished")
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
        """The stream broke off: makes the windows that are complete, the others are given up.

        As with `add`, iterate it or close it. The last frame is shown for as long as frames usually
        are.
        """
        if self._held is None:
            return
        held, self._held = self._held, None
        end = self._at + self._period_s
        self._broke = _Break(end, held.arrived + self._period_s, reason)
        try:
            yield from self._show(held, until=end)
        finally:
            self._give_up()
            self._offset += end - self._start

    def _give_up(self) -> None:
        """Windows that still want frames will not get them."""
        for window in self._open:
            self._ledger.settle(window.tickets, "unfinished", made=False)
        self._open.clear()

    def _begin(self, frame: Frame, at: float) -> Iterator[Gap]:
        """The first frame of a segment."""
        broke = self._broke
        self._held, self._at, self._start, self._next = frame, at, at, 0
        if broke is not None:
            lost_s = frame.arrived - broke.arrived if self._live else at - broke.seconds
            gap = Gap(at_s=self._offset, lost_s=max(0.0, lost_s), reason=broke.reason)
            self._ledger.count_gap(gap.lost_s)
            self._offset += gap.lost_s
            self._segment += 1
            yield gap

    def _show(self, frame: Frame, *, until: float) -> Iterator[Window]:
        """The frame is what is shown from the next of the grid's frames on, until then."""
        grid, ticket = self.grid, Ticket()
        picture: UInt8 | None = None
        fate: Fate | None = "unfinished"  # unless it gets to its end
        end = math.ceil((until - self._start) * grid.fps - TOLERANCE)
        try:
            for index in range(self._next, end):
                self._next = index + 1
                if index % grid.n_stride == 0:
                    self._open.append(_Open(index))
                for window in tuple(self._open):
                    if (place := index - window.first) not in self._sampled:
                        continue
                    picture = frame.scale() if picture is None else picture
                    if window.tickets[-1:] != [ticket]:
                        window.tickets.append(ticket)
                        self._ledger.hold(ticket)
                    window.pictures[place] = picture
                    if place == self._last:
                        self._open.remove(window)
                        yield self._make(window, frame)
            fate = None
        finally:
            if fate is not None:  # some windows may lack this picture
                self._give_up()
            self._ledger.release(ticket, fate)

    def _make(self, window: _Open, last: Frame) -> Window:
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
            tickets=tuple(window.tickets),
        )
        self._number += 1
        self._ledger.count("windows")
        return made
