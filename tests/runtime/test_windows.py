"""Windows are what a file of that stretch would give, and every frame has one outcome."""

import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesplit.errors import ClipError
from edgesplit.runtime.stream.accounting import FrameAccounting, Outcome
from edgesplit.runtime.stream.sources import open_feed, parse_source
from edgesplit.runtime.stream.windows import TOLERANCE, Frame, Gap, Grid, Window, Windower
from edgesplit.video.clips import read_clip
from edgesplit.video.preprocessing import Preprocessing, sample_frames
from tests.videos import encode, waves

SMALL = Preprocessing(4, 1, 1)


def frame(number: int, seconds: float | None, arrived: float = 0.0) -> Frame:
    """A picture of one pixel that holds its number."""
    picture = np.array([[[number % 256, number // 256, 0]]], np.uint8)
    return Frame(seconds=seconds, arrived=arrived, wall=arrived, scale=lambda: picture)


def numbers(window: Window) -> list[int]:
    """Which frames a window shows."""
    red, green = (np.rint(255 * window.clip[channel, :, 0, 0]).astype(int) for channel in (0, 1))
    return [int(number) for number in red + 256 * green]


def windower(
    fps: float,
    *,
    window_s: float,
    stride_s: float | None = None,
    accounting: FrameAccounting | None = None,
    live: bool = False,
    period_s: float | None = None,
) -> Windower:
    grid = Grid.plan(SMALL, fps, window_s=window_s, stride_s=stride_s)
    made = Windower(grid, SMALL, accounting or FrameAccounting(), live=live)
    if period_s is not None:
        made.set_period(period_s)
    return made


def feed(made: Windower, times: Sequence[float]) -> list[Window | Gap]:
    """All that comes of frames at these times, which also is when they arrive."""
    found = [item for n, time in enumerate(times) for item in made.add(frame(n, time, time))]
    return [*found, *made.cut("the end")]


def only_windows(found: Iterable[Window | Gap]) -> list[Window]:
    return [item for item in found if isinstance(item, Window)]


# What a window is


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("rate", [Fraction(12), Fraction(30000, 1001), Fraction(60)], ids=str)
@pytest.mark.parametrize("sampling", ["uniform", "dense"])
def test_window_of_a_whole_file_is_its_clip_bit_for_bit(
    tmp_path: Path, suffix: str, rate: Fraction, sampling: Any
) -> None:
    preprocessing = Preprocessing(8, 24, 32, sampling=sampling, stride=3)
    n = 24 if sampling == "dense" else 30  # dense: frames * stride
    path = encode(tmp_path / f"a.{suffix}", waves(n, 48, 64), rate=rate)
    opened = open_feed(parse_source(str(path)), preprocessing, timeout_s=5)
    assert opened.rate is not None
    window_s = None if sampling == "dense" else n / float(rate)
    grid = Grid.plan(preprocessing, opened.rate, window_s=window_s)
    made = Windower(grid, preprocessing, FrameAccounting(), live=False)
    made.set_period(1 / opened.rate)
    found = [*(item for one in opened for item in made.add(one)), *made.cut("the end")]
    opened.close()
    (window,) = only_windows(found)
    np.testing.assert_array_equal(window.clip, read_clip(path, preprocessing))


@pytest.mark.parametrize("source_fps", [15, 30, 60])
def test_windows_do_not_depend_on_the_rate_of_the_source(source_fps: int) -> None:
    # Frame n of 15 a second is frame n * source_fps / 15 of the others.
    made = windower(15, window_s=2, period_s=1 / source_fps)
    times = [n / source_fps for n in range(10 * source_fps)]
    shown = [
        [number * 15 // source_fps for number in numbers(w)]
        for w in only_windows(feed(made, times))
    ]
    expected = [[start + n for n in sample_frames(30, SMALL)] for start in range(0, 121, 15)]
    assert shown[: len(expected)] == expected


def test_frames_without_timestamps_follow_one_another() -> None:
    timed, untimed = windower(10, window_s=1), windower(10, window_s=1)
    wanted = [numbers(w) for w in only_windows(feed(timed, [n / 10 for n in range(40)]))]
    found = [item for n in range(40) for item in untimed.add(frame(n, None))]
    assert [numbers(w) for w in only_windows([*found, *untimed.cut("the end")])] == wanted


def test_a_frame_is_scaled_once_and_only_if_it_is_sampled() -> None:
    scaled: list[int] = []

    def counted(number: int) -> Frame:
        def scale() -> npt.NDArray[np.uint8]:
            scaled.append(number)
            return np.zeros((1, 1, 3), np.uint8)

        return Frame(seconds=number / 10, arrived=0, wall=0, scale=scale)

    accounting = FrameAccounting()
    made = windower(10, window_s=2, stride_s=0.5, accounting=accounting)
    found = [*(item for n in range(100) for item in made.add(counted(n))), *made.cut("the end")]
    assert len(scaled) == len(set(scaled)) == 100 - accounting.totals().unsampled
    assert accounting.totals().unsampled > 0
    assert len(only_windows(found)) * SMALL.frames > len(scaled)  # so some were shared


def test_window_is_ready_one_frame_after_the_last_that_it_samples() -> None:
    made = windower(10, window_s=2)
    last = sample_frames(20, SMALL)[-1]
    ready = [n for n in range(20) if only_windows(made.add(frame(n, n / 10)))]
    assert ready == [last + 1]


def test_stride_may_be_longer_than_a_window() -> None:
    found = only_windows(feed(windower(10, window_s=1, stride_s=3), [n / 10 for n in range(70)]))
    assert [(w.start, w.end) for w in found] == [(0, 1), (3, 4), (6, 7)]


def test_a_picture_is_held_until_the_next_but_not_for_long() -> None:
    times = [0, 0.1, 0.2, 1.9, 2.0, 2.1]
    (window,) = only_windows(feed(windower(10, window_s=2), times))
    assert numbers(window) == [2, 2, 2, 2]  # at 0.2, 0.7, 1.2 and 1.7
    gaps = [item for item in feed(windower(10, window_s=2), [0, 5, 5.1]) if isinstance(item, Gap)]
    assert [(gap.at_s, round(gap.lost_s, 6)) for gap in gaps] == [(0.1, 4.9)]


def test_a_window_is_made_when_it_is_asked_for() -> None:
    accounting = FrameAccounting()
    made = windower(30, window_s=2, stride_s=1 / 30, accounting=accounting, period_s=8)
    assert not list(made.add(frame(0, 0)))
    found = made.add(frame(1, 8))
    for n in range(1, 4):
        assert isinstance(next(found), Window)
        assert accounting.totals().windows == n


def test_what_is_not_asked_for_is_unfinished_and_accounted_for() -> None:
    accounting = FrameAccounting()
    made = windower(30, window_s=2, stride_s=1 / 30, accounting=accounting, period_s=8)
    assert not list(made.add(frame(0, 0)))
    found = made.add(frame(1, 8))
    windows = only_windows(islice(found, 3))
    found.close()
    rest = made.cut("stopped")
    windows += only_windows(islice(rest, 1))
    rest.close()
    assert accounting.totals().pending == 2  # the first frame in three windows, the second in one
    for window in windows:
        accounting.end_window(window.frames, "used")
    n = accounting.totals()
    assert (n.frames, n.used, n.pending) == (2, 2, 0)
    assert (n.windows, n.predicted) == (4, 4)
    assert not list(made.cut("again"))


def test_after_a_picture_that_cannot_be_scaled_the_account_is_exact() -> None:
    def fail() -> npt.NDArray[np.uint8]:
        raise ClipError("cannot be scaled")

    accounting = FrameAccounting()
    made = windower(10, window_s=2, stride_s=0.1, accounting=accounting)
    found: list[Window | Gap] = []
    for n in range(40):
        one = Frame(n / 10, 0, 0, fail) if n in (12, 30) else frame(n, n / 10)
        with suppress(ClipError):
            found += made.add(one)
    found += made.cut("the end")
    for window in only_windows(found):
        accounting.end_window(window.frames, "used")
        assert not {12, 30} & set(numbers(window))
    account = accounting.totals()
    assert account.frames == 40 == account.used + account.unsampled + account.unfinished
    assert account.pending == account.waiting == 0


def test_a_frame_counts_once_when_its_windows_are_settled_while_others_are_made() -> None:
    accounting = FrameAccounting()
    made = windower(10, window_s=2, stride_s=0.1, accounting=accounting, period_s=4)
    for n, time in enumerate([0, 4, 8, 12]):
        for item in made.add(frame(n, time)):
            assert isinstance(item, Window)
            accounting.end_window(item.frames, "used")
    for item in made.cut("the end"):
        assert isinstance(item, Window)
        accounting.end_window(item.frames, "used")
    account = accounting.totals()
    assert (account.frames, account.used) == (4, 4)
    assert account.pending == account.waiting == 0


@pytest.mark.parametrize("day_s", [86_400.0, 1e9])
def test_a_source_that_claims_a_frame_a_day_makes_few_windows(day_s: float) -> None:
    found = feed(windower(30, window_s=2.5, period_s=day_s), [0, day_s, 2 * day_s])
    assert [type(item) for item in found].count(Gap) == 2
    # Each is shown for as long as a window, and a window samples its last frame before its end.
    assert [w.segment for w in only_windows(found)] == [0, 1, 2]


def test_a_time_lapse_has_whole_windows_when_they_are_as_long_as_it_wants() -> None:
    found = feed(windower(1 / 60, window_s=600, period_s=60), [60 * n for n in range(40)])
    assert not [item for item in found if isinstance(item, Gap)]
    assert [w.start for w in only_windows(found)] == [300 * n for n in range(7)]


# The length of windows


def test_length_of_an_event_is_asked_for() -> None:
    with pytest.raises(ClipError, match=r"4 frames uniformly over an event.*--window"):
        Grid.plan(SMALL, 30)


def test_length_of_a_dense_window_follows_and_another_is_refused() -> None:
    dense = Preprocessing(16, 1, 1, sampling="dense", stride=4)
    assert Grid.plan(dense, 25).window_s == 64 / 25
    assert Grid.plan(dense, 25).stride_s == 32 / 25
    with pytest.raises(ClipError, match=r"lasts 2\.56 s, not 2"):
        Grid.plan(dense, 25, window_s=2)


def test_window_of_too_few_frames_says_how_many_are_repeated() -> None:
    assert Grid.plan(SMALL, 10, window_s=0.2).n_repeated == 2


# Timestamps that jump


@pytest.mark.parametrize(
    ("jump", "live", "lost_s"),
    # A file lost what its timestamps leave out; a live source what it did not send meanwhile.
    [(60, False, 60), (60, True, 0), (-100, False, 0), (-100, True, 0)],
)
def test_jump_begins_a_new_segment_and_no_window_reaches_over_it(
    jump: float, live: bool, lost_s: float
) -> None:
    accounting = FrameAccounting()
    made = windower(10, window_s=1, live=live, accounting=accounting)
    found: list[Window | Gap] = []
    for n in range(60):
        found += made.add(frame(n, n / 10 + (jump if n >= 33 else 0), arrived=n / 10))
    found += made.cut("the end")
    (gap,) = [item for item in found if isinstance(item, Gap)]
    assert gap.at_s == pytest.approx(3.3)
    assert gap.lost_s == pytest.approx(lost_s, abs=1e-6)
    assert ("ahead" if jump > 0 else "back") in gap.reason
    sides = [{number >= 33 for number in numbers(w)} for w in only_windows(found)]
    assert {frozenset(side) for side in sides} == {frozenset({False}), frozenset({True})}
    starts = [w.start for w in only_windows(found)]
    assert starts == sorted(starts)
    after = next(w for w in only_windows(found) if w.segment == 1)
    assert after.start == pytest.approx(3.3 + lost_s)
    assert numbers(after)[0] == 33 + sample_frames(10, SMALL)[0]
    assert accounting.totals().lost_s == gap.lost_s


def test_frames_out_of_order_by_a_little_are_no_gap() -> None:
    found = feed(windower(10, window_s=1), [0, 0.2, 0.1, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    assert not [item for item in found if isinstance(item, Gap)]


# Laws

STEPS = st.lists(
    st.one_of(
        st.floats(0, 0.4), st.just(1 / 15), st.just(1 / 30), st.floats(-9, -1), st.floats(3, 9)
    ),
    max_size=60,
)


@given(
    steps=STEPS,
    fps=st.sampled_from([5.0, 15.0, 29.97]),
    window_s=st.floats(0.2, 2),
    stride_s=st.floats(0.1, 3),
    seed=st.integers(0, 2**32 - 1),
    cuts=st.sets(st.integers(0, 60), max_size=3),
)
def test_every_frame_has_exactly_one_outcome(
    steps: list[float], fps: float, window_s: float, stride_s: float, seed: int, cuts: set[int]
) -> None:
    accounting, rng = FrameAccounting(), np.random.default_rng(seed)
    made = windower(fps, window_s=window_s, stride_s=stride_s, accounting=accounting)
    outcomes: dict[int, set[Outcome]] = {}
    n_windows = 0
    sampled: set[int] = set()

    def settle(found: Iterable[Window | Gap]) -> None:
        nonlocal n_windows
        for window in only_windows(found):
            assert window.number == n_windows
            n_windows += 1
            outcome: Outcome = rng.choice(["used", "late", "unfinished"])
            accounting.end_window(window.frames, outcome)
            for number in numbers(window):
                outcomes.setdefault(number, set()).add(outcome)

    times = np.cumsum([0.0, *steps])
    for number, time in enumerate(times):
        one = frame(number, float(time))
        picture = one.scale()

        def scale(number: int = number, picture: Any = picture) -> Any:
            sampled.add(number)
            return picture

        settle(made.add(Frame(one.seconds, 0, 0, scale)))
        if number in cuts:
            settle(made.cut("cut"))
    settle(made.cut("the end"))

    n = accounting.totals()
    assert n.frames == len(times)
    assert n.pending == n.waiting == 0
    assert n.used == sum("used" in each for each in outcomes.values())
    assert n.late == sum("late" in each and "used" not in each for each in outcomes.values())
    assert n.unfinished == len(sampled) - n.used - n.late
    assert n.unsampled == len(times) - len(sampled)
    assert n.windows == n_windows == n.predicted + n.dropped


@given(steps=st.lists(st.floats(0, 0.4), min_size=5, max_size=60), fps=st.sampled_from([5.0, 15.0]))
def test_each_sampled_frame_is_the_one_that_is_shown_then(steps: list[float], fps: float) -> None:
    times = [float(time) for time in np.cumsum([0.0, *steps])]
    grid = Grid.plan(SMALL, fps, window_s=1, stride_s=0.4)
    for window in only_windows(feed(Windower(grid, SMALL, FrameAccounting(), live=False), times)):
        first = round(window.start * fps)
        for place, number in zip(grid.sampled, numbers(window), strict=True):
            shown_at = (first + place) / fps
            # Times that are equal but for rounding may fall on either side.
            earliest, latest = (
                max(n for n, time in enumerate(times) if time <= shown_at + TOLERANCE / fps + error)
                for error in (-1e-9, 1e-9)
            )
            assert earliest <= number <= latest
        assert math.isclose(window.end - window.start, grid.window_s)


@pytest.mark.parametrize(
    ("fps", "numbers", "message"),
    [
        (1e9, {"window_s": 1.0}, "above 0 and at most 1000, got"),
        (30.0, {"window_s": 1e308}, r"above 0 and at most 86400 s \(a day\), got"),
        (30.0, {"window_s": 1.0, "stride_s": 1e308}, r"above 0 and at most 86400 s \(a day\), got"),
    ],
    ids=["fps", "window", "stride"],
)
def test_numbers_that_no_stream_has_are_refused(
    fps: float, numbers: dict[str, float], message: str
) -> None:
    with pytest.raises(ClipError, match=message):
        Grid.plan(Preprocessing(2, 4, 4), fps, **numbers)
