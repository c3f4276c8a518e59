"""Streams: nothing is lost uncounted, whatever the source, the backbone and the clocks do."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edgesplit.bundle.bundle import Bundle
from edgesplit.demo import unpack_demo
from edgesplit.errors import BackendError, ClipError
from edgesplit.heads.head import Head
from edgesplit.runtime import FunctionBackend, Runtime, Stream
from edgesplit.runtime.stream import (
    Accounting,
    Decision,
    Ended,
    Event,
    Frame,
    Interrupted,
    Reconnecting,
    Refused,
    Rescored,
    RolledBack,
    Shadowed,
    Source,
    Stalled,
    Started,
    Swapped,
)
from edgesplit.runtime.stream.accounting import FrameAccounting
from edgesplit.runtime.stream.queue import WindowQueue
from edgesplit.runtime.stream.smoothing import RecentFeatures
from edgesplit.runtime.stream.watchdog import MAX_STUCK, retry_pauses
from edgesplit.runtime.stream.windows import Window
from tests.feeds import CAMERA, FILE, LIVE_PIPE, FakeFeed, frames, in_turn
from tests.waiting import wait_until

Floats = npt.NDArray[np.float32]
FAST = (0.001, 0.002)
"""Pauses before a source is opened again, that no test waits for."""


@pytest.fixture
def runtime(bundle: Bundle) -> Iterator[Runtime]:
    with Runtime(bundle, poll_s=0.02) as runtime:
        yield runtime


def stream_of(runtime: Runtime, source: Source, *feeds: Any, **options: Any) -> Stream:
    """A stream of these feeds in turn, in windows of a second."""
    options = {"window_s": 1.0, "retry_s": FAST, "open_source": in_turn(*feeds), **options}
    return Stream(runtime, source, **options)


def run_until(stream: Stream, enough: Callable[[list[Event]], bool]) -> list[Event]:
    """All events; the stream is stopped when there are enough."""
    events: list[Event] = []
    for event in stream:
        events.append(event)
        if enough(events):
            stream.stop()
    return events


def until_trouble(stream: Stream, match: str, kind: type[Exception] = ClipError) -> list[Event]:
    events: list[Event] = []
    with pytest.raises(kind, match=match):
        events.extend(stream)  # what came before the trouble stays
    return events


def of(events: list[Event], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def settled(events: list[Event]) -> Accounting:
    """The last event's account, in which every frame and window has its outcome."""
    assert isinstance(events[-1], Ended)
    n = events[-1].accounting
    assert n.frames == n.used + n.unsampled + n.late + n.unfinished
    assert n.windows == n.predicted + n.dropped
    assert n.pending == n.waiting == 0
    assert n.predicted == len(of(events, Decision))
    return n


def slow(bundle: Bundle, wait: Callable[[], object]) -> FunctionBackend:
    """A backend that waits before it answers."""

    def run(clips: Floats) -> Floats:
        wait()
        return np.zeros((len(clips), bundle.dim), np.float32)

    return FunctionBackend(run)


def fail(error: Exception) -> None:
    raise error


def told(content: Iterator[Frame], at: int, event: threading.Event) -> Iterator[Frame]:
    """Sets the event when so many frames are out and the next is asked for."""
    for number, frame in enumerate(content):
        if number == at:
            event.set()
        yield frame
    event.set()


# Order and policy


def test_file_is_read_to_its_end_and_nothing_is_dropped(bundle: Bundle) -> None:
    with Runtime(bundle, backend=slow(bundle, lambda: time.sleep(0.002))) as runtime:
        events = list(stream_of(runtime, FILE, FakeFeed(frames(203), live=False)))
    assert [event.kind for event in events[:2]] == ["start", "window"]
    assert events[0].to_json()["policy"] == "block"
    n = settled(events)
    assert (n.frames, n.late, n.dropped) == (203, 0, 0)
    assert [event.number for event in of(events, Decision)] == list(range(n.windows))
    assert [event.start for event in of(events, Decision)][:3] == [0, 0.5, 1]
    assert events[-1].to_json()["reason"] == "source ended"


def test_newest_window_takes_the_place_of_one_that_waits(bundle: Bundle) -> None:
    busy, read = threading.Event(), threading.Event()
    in_time: list[bool] = []

    def content() -> Iterator[Frame]:
        for number, frame in enumerate(frames(100)):
            if number == 12:
                busy.wait(10)  # with the first window, complete since frame 8
            yield frame
        read.set()

    def work() -> None:
        busy.set()
        in_time.append(read.wait(10))

    with Runtime(bundle, backend=slow(bundle, work)) as runtime:
        events = list(stream_of(runtime, LIVE_PIPE, FakeFeed(content(), live=True)))
    assert all(in_time)  # all was read while the backbone was busy with the first window
    n = settled(events)
    assert n.dropped > 0
    assert n.late > 0
    assert events[0].to_json()["policy"] == "latest"
    assert [event.number for event in of(events, Decision)] == [0, n.windows - 1]


def test_next_window_is_made_while_the_backbone_works(bundle: Bundle) -> None:
    # The first prediction ends only when the frames of the third window have been read.
    read = threading.Event()
    in_time: list[bool] = []
    feed = FakeFeed(told(frames(40), 19, read), live=False)
    with Runtime(bundle, backend=slow(bundle, lambda: in_time.append(read.wait(10)))) as runtime:
        n = settled(list(stream_of(runtime, FILE, feed)))
    assert all(in_time)
    assert n.dropped == 0


def test_source_shorter_than_a_window_predicts_nothing(runtime: Runtime) -> None:
    n = settled(list(stream_of(runtime, FILE, FakeFeed(frames(6), live=False))))
    assert (n.windows, n.frames, n.unfinished) == (0, 6, 1)


def test_windows_of_the_demo_are_what_predict_says(tmp_path: Path) -> None:
    from edgesplit.video.clips import read_clip

    bundle = unpack_demo(tmp_path)
    video = sorted((tmp_path / "clips").glob("*.mp4"))[0]
    with Runtime(bundle) as runtime:
        (decision,) = of(list(Stream(runtime, str(video), window_s=2)), Decision)
        alone = runtime.predict(read_clip(video, bundle.preprocessing))
    assert decision.prediction.path == alone.path


# Heads and smoothing


def test_swap_is_told_before_the_first_window_of_the_new_head(runtime: Runtime) -> None:
    first = runtime.head_digest
    bundle = runtime.bundle
    second = bundle.publish(bundle.split_class("pushing", into=["left", "right"])).digest
    wait_until(lambda: runtime.head_digest == second)  # the runtime follows by itself
    events: list[Event] = []
    for event in stream_of(runtime, FILE, FakeFeed(frames(200), live=False)):
        events.append(event)
        if isinstance(event, Decision) and event.number == 5:
            runtime.swap_head(first)
    digest = of(events, Started)[0].head_digest
    for event in events:
        if isinstance(event, Swapped):
            assert event.before == digest
            digest = event.after
        elif isinstance(event, Decision):
            assert event.prediction.head_digest == digest
    assert of(events, Swapped)
    assert settled(events).dropped == 0


def test_smoothing_decides_on_the_mean_of_features_and_begins_anew_after_a_gap(
    bundle: Bundle,
) -> None:
    rng = np.random.default_rng(0)
    made: list[Floats] = []

    def features(clips: Floats) -> Floats:
        made.append(rng.standard_normal((1, bundle.dim)).astype(np.float32))
        return made[-1]

    with Runtime(bundle, backend=FunctionBackend(features)) as runtime:
        content = [*frames(41), *frames(41, start=100)]
        events = list(stream_of(runtime, FILE, FakeFeed(content, live=False), smooth=3))
        decisions = of(events, Decision)
        gap = next(index for index, one in enumerate(decisions) if one.segment == 1)
        for index, decision in enumerate(decisions):
            first = max(index - 2, gap if index >= gap else 0)
            wanted = runtime.decide(np.mean(made[first : index + 1], axis=0)[0])
            assert decision.prediction.label == wanted.label
            assert decision.prediction.score == pytest.approx(wanted.score, rel=1e-5)
    assert len(of(events, Interrupted)) == 1
    assert 3 < gap < len(decisions) - 3


def test_recent_windows_are_decided_once_more_without_the_backbone(runtime: Runtime) -> None:
    first = runtime.head_digest
    second = runtime.bundle.publish(
        runtime.bundle.split_class("pushing", into=["left", "right"])
    ).digest
    runtime.swap_head(first)
    told: list[Event] = []
    stream = stream_of(runtime, FILE, FakeFeed(frames(100), live=False), recent=3, smooth=2)
    for event in stream:
        told.append(event)
        if isinstance(event, Decision) and event.number == 5:
            runtime.swap_head(second)
    again = of(told, Rescored)
    before = [event for event in of(told, Decision) if event.number <= 5][-3:]
    assert [event.number for event in again] == [event.number for event in before]
    assert [event.start for event in again] == [event.start for event in before]
    head = runtime.bundle.head(second)
    for event, decision in zip(again, before, strict=True):
        assert event.prediction.head_digest == second
        # The first levels of a gated split are the unsplit head's, on the very same mean.
        assert event.prediction.path[0] == decision.prediction.path[0]
        assert event.changed == (event.prediction.label != decision.prediction.label)
        assert event.prediction.label in head.labels
    kinds = [event.kind for event in told]
    assert kinds.index("swap") + 1 == kinds.index("rescored")


def test_no_recent_window_is_kept_when_none_is_wanted(runtime: Runtime) -> None:
    first = runtime.head_digest
    second = runtime.bundle.publish(
        runtime.bundle.split_class("pushing", into=["left", "right"])
    ).digest
    runtime.swap_head(first)
    told: list[Event] = []
    for event in stream_of(runtime, FILE, FakeFeed(frames(60), live=False), recent=0):
        told.append(event)
        if isinstance(event, Decision) and event.number == 3:
            runtime.swap_head(second)
    assert len(of(told, Swapped)) == 1
    assert not of(told, Rescored)


def test_shadow_is_reported_now_and_then_and_at_the_end(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgesplit.runtime.stream.decisions.SHADOW_EVERY", 4)
    candidate = runtime.bundle.split_class("pushing", into=["left", "right"]).head
    runtime.start_shadow(candidate)
    told = list(stream_of(runtime, FILE, FakeFeed(frames(60), live=False)))
    reports = [event.report for event in of(told, Shadowed)]
    n_windows = len(of(told, Decision))
    assert n_windows % 4
    assert [report.n_windows for report in reports] == [*range(4, n_windows, 4), n_windows]
    assert {report.n_outside for report in reports} == {0}
    assert told[-2].to_json()["candidate"] == candidate.digest


def test_head_that_is_refused_is_told_and_the_old_one_goes_on(runtime: Runtime) -> None:
    old = runtime.head_digest
    head_file = runtime.bundle.path / "HEAD"
    live = stream_of(runtime, CAMERA, FakeFeed(in_time(frames(1000)), live=True))
    told: list[Event] = []
    for event in live:
        told.append(event)
        if isinstance(event, Decision) and event.number == 1:
            head_file.write_text("no digest")
        if isinstance(event, Refused):
            live.stop()
    assert "does not hold a digest" in of(told, Refused)[0].reason
    assert {event.prediction.head_digest for event in of(told, Decision)} == {old}


def test_rollback_is_told_with_its_reason(bundle: Bundle) -> None:
    first = bundle.live
    edit = bundle.split_class("pushing", into=["left", "right"], composition="flat")
    bias = edit.head.bias.copy()
    bias[-2:] += 50  # the children win everything
    head = edit.head
    loud = Head(head.tree, head.weight, bias, head.feature_space, head.parent)
    rng = np.random.default_rng(0)

    def run(clips: Floats) -> Floats:
        return rng.standard_normal((len(clips), bundle.dim)).astype(np.float32)

    with Runtime(bundle, backend=FunctionBackend(run), rollback_above=0.1) as runtime:
        bundle.publish(loud, accept_changes=True)
        runtime.swap_head()
        stream = stream_of(runtime, CAMERA, FakeFeed(in_time(frames(5000)), live=True))
        told = run_until(stream, lambda events: bool(of(events, RolledBack)))
    assert "significantly more than 10.00%" in of(told, RolledBack)[0].reason
    kinds = [event.kind for event in told]
    assert kinds[kinds.index("rollback") + 1] == "swap"
    assert bundle.live == first


def in_time(content: Iterator[Frame]) -> Iterator[Frame]:
    """Frames at a pace, so that a stream lasts until something happened."""
    for frame in content:
        time.sleep(0.005)
        yield frame


def test_smoothing_over_no_window_is_refused() -> None:
    with pytest.raises(ValueError, match="smooth must be from 1"):
        RecentFeatures(smooth=0)


# Faults


def vanishing(n: int) -> Iterator[Frame]:
    yield from frames(n)
    raise ClipError("the camera broke off")


def test_camera_that_vanishes_is_opened_again_until_it_is_back(runtime: Runtime) -> None:
    gone = ClipError("no route to host")
    feeds = (
        FakeFeed(vanishing(34), live=True),
        gone,
        gone,
        FakeFeed(frames(34, start=7000), live=True),
    )
    stream = stream_of(runtime, CAMERA, *feeds)
    events = run_until(stream, lambda e: bool(of(e, Interrupted)) and isinstance(e[-1], Decision))
    again = of(events, Reconnecting)[:3]
    assert [event.attempt for event in again] == [1, 2, 3]
    assert "broke off" in again[0].reason
    assert "no route to host" in again[1].reason
    (gap,) = of(events, Interrupted)
    assert gap.at_s == pytest.approx(3.4)
    assert of(events, Decision)[-1].segment == 1
    n = settled(events)
    assert n.reconnects == 3
    assert n.lost_s == gap.lost_s
    assert feeds[0].closed


def test_attempts_are_counted_from_the_last_frame(runtime: Runtime) -> None:
    feeds = [FakeFeed(frames(3), live=True) for _ in range(4)]
    events = run_until(stream_of(runtime, CAMERA, *feeds), lambda e: len(of(e, Reconnecting)) == 3)
    assert [event.attempt for event in of(events, Reconnecting)] == [1, 1, 1]
    assert settled(events).unfinished > 0


def hanging(n: int, release: threading.Event) -> Iterator[Frame]:
    yield from frames(n)
    release.wait(30)
    yield from frames(5, start=n / 10)


def test_frames_that_stop_are_noticed_and_the_stuck_reader_is_left_alone(runtime: Runtime) -> None:
    release = threading.Event()
    stuck = FakeFeed(hanging(24, release), live=True)
    stream = stream_of(
        runtime, CAMERA, stuck, FakeFeed(hanging(24, release), live=True), stall_s=0.05
    )
    events = run_until(stream, lambda e: bool(of(e, Interrupted)) and isinstance(e[-1], Decision))
    kinds = [event.kind for event in events]
    assert kinds.index("stalled") < kinds.index("reconnect") < kinds.index("gap")
    assert of(events, Stalled)[0].silent_s >= 0.05
    n = settled(events)
    assert n.frames <= 48
    release.set()
    wait_until(lambda: stuck.closed)
    assert stream.accounting == n  # what it found afterwards is nobody's


def test_no_more_readers_are_started_than_may_hang(runtime: Runtime) -> None:
    release, opened = threading.Event(), []

    def hang() -> FakeFeed:
        opened.append(1)
        release.wait(30)
        return FakeFeed(frames(0), live=True)

    stream = stream_of(runtime, CAMERA, open_source=hang, stall_s=0.02)
    events = run_until(
        stream, lambda e: sum("still hang" in one.reason for one in of(e, Reconnecting)) == 3
    )
    release.set()
    assert len(opened) == MAX_STUCK
    assert settled(events).frames == 0


def test_stalled_pipe_is_told_once_and_goes_on(runtime: Runtime) -> None:
    release = threading.Event()
    stream = stream_of(
        runtime, LIVE_PIPE, FakeFeed(hanging(24, release), live=True), stall_s=0.02, give_up_s=30
    )
    events: list[Event] = []
    for event in stream:
        events.append(event)
        if isinstance(event, Stalled):
            time.sleep(0.1)  # the watch would have told it again
            release.set()
    assert len(of(events, Stalled)) == 1
    assert settled(events).frames == 29


def test_source_that_gives_nothing_is_given_up_when_that_is_asked(runtime: Runtime) -> None:
    def refuse() -> FakeFeed:
        raise ClipError("no route to host")

    stream = stream_of(runtime, CAMERA, open_source=refuse, give_up_s=0.1)
    events = until_trouble(stream, r"rtsp://fake gave no frame for .* s, longer than --give-up")
    assert of(events, Ended)[0].reason == "error"
    assert of(events, Reconnecting)


def test_source_that_opens_and_stays_silent_is_given_up_too(runtime: Runtime) -> None:
    opened: list[int] = []

    def open_silent() -> FakeFeed:
        opened.append(1)
        assert len(opened) < 100, "never given up"
        time.sleep(0.05)  # ends, as a network does, a little after the stall was noticed
        return FakeFeed(frames(0), live=True)

    stream = stream_of(runtime, CAMERA, open_source=open_silent, stall_s=0.02, give_up_s=0.3)
    events = until_trouble(stream, "gave no frame for .* s, longer than --give-up")
    assert len(of(events, Stalled)) > 1
    assert of(events, Ended)[0].lasted_s < 5


def test_file_that_breaks_off_is_an_error_after_what_was_read(runtime: Runtime) -> None:
    events = until_trouble(
        stream_of(runtime, FILE, FakeFeed(vanishing(50), live=False)), "broke off"
    )
    n = settled(events)
    assert n.frames == 50
    assert n.predicted == n.windows > 0
    assert "broke off" in (of(events, Ended)[0].error or "")


@pytest.mark.parametrize("source", [FILE, CAMERA], ids=["file", "camera"])
def test_backbone_that_fails_ends_the_stream_with_its_error(bundle: Bundle, source: Source) -> None:
    left = iter(range(3))

    def fail() -> None:
        if next(left, None) is None:
            raise BackendError("the GPU fell off the bus")

    with Runtime(bundle, backend=slow(bundle, fail)) as runtime:
        feed = FakeFeed(frames(100), live=bool(source.live))
        if source.live:
            feed = FakeFeed(paced(frames(100)), live=True)
        events = until_trouble(stream_of(runtime, source, feed), "fell off the bus", BackendError)
    n = settled(events)
    assert n.predicted == 3
    assert n.unfinished > 0


def paced(content: Iterator[Frame]) -> Iterator[Frame]:
    for frame in content:
        time.sleep(0.001)
        yield frame


@pytest.mark.parametrize(
    ("rate", "scale", "kind", "match"),
    [
        (None, lambda: np.zeros((4, 4, 3), np.uint8), ClipError, "Give --fps"),
        (10.0, lambda: 1 / 0, ZeroDivisionError, "division"),
        (10.0, partial(fail, ClipError("A picture cannot be scaled")), ClipError, "cannot be"),
    ],
    ids=["no frame rate", "mistake of ours", "picture that cannot be scaled"],
)
def test_what_opening_again_would_not_mend_ends_a_camera_too(
    runtime: Runtime, rate: float | None, scale: Any, kind: type[Exception], match: str
) -> None:
    content = [Frame(seconds=n / 10, arrived=0, wall=0, scale=scale) for n in range(20)]
    feed = FakeFeed(content, live=True)
    feed.rate = rate
    events = until_trouble(stream_of(runtime, CAMERA, feed), match, kind)
    assert [event.kind for event in events if event.kind != "start"] == ["end"]
    settled(events)


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("step_s", [5.0, 86_400.0])
def test_few_windows_are_alive_however_rare_frames_are(
    runtime: Runtime, live: bool, step_s: float
) -> None:
    feed = FakeFeed(frames(4, rate=1 / step_s), live=live)
    feed.rate = 1 / step_s
    source = LIVE_PIPE if live else FILE
    stream = stream_of(runtime, source, feed, fps=30, stride_s=1 / 30)
    made_at_once, predicted = [], []
    events = []
    for event in stream:
        events.append(event)
        if isinstance(event, Decision):
            made_at_once.append(stream.accounting.waiting)
            predicted.append(event.number)
    n = settled(events)
    # Frames five seconds apart are shown for two, if no other comes; those of a day, too.
    assert 30 < n.windows < 4 * 8 * 30
    assert max(made_at_once) <= 3  # two that wait, one that is made
    if not live:
        assert predicted == list(range(n.windows))


def test_stop_makes_no_more_windows_of_a_frame_that_is_shown_for_long(runtime: Runtime) -> None:
    feed = FakeFeed(frames(40, rate=1 / 8), live=False)
    feed.rate = 1 / 8
    stream = stream_of(runtime, FILE, feed, fps=1000, stride_s=1 / 1000)
    events = run_until(stream, lambda e: len(of(e, Decision)) == 4)
    n = settled(events)
    assert n.predicted == 4
    assert n.windows < 12  # of 7001
    wait_until(lambda: feed.closed)


def test_stop_ends_after_the_window_at_hand_and_settles_the_rest(runtime: Runtime) -> None:
    endless = FakeFeed(frames(10**9), live=False)
    events = run_until(stream_of(runtime, FILE, endless), lambda e: len(of(e, Decision)) == 4)
    n = settled(events)
    assert n.predicted == 4
    assert events[-1].to_json()["reason"] == "stopped"
    wait_until(lambda: endless.closed)


def test_reader_of_events_that_leaves_ends_the_capture(runtime: Runtime) -> None:
    endless = FakeFeed(frames(10**9), live=False)
    events = iter(stream_of(runtime, FILE, endless))
    assert [event.kind for event in islice(events, 3)] == ["start", "window", "window"]
    events.close()
    wait_until(lambda: endless.closed)


def test_wall_clock_that_jumps_does_no_harm(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.videos import encode, waves

    path = encode(tmp_path / "a.mp4", waves(60, 48, 64))
    calm = of(list(Stream(runtime, str(path), window_s=1)), Decision)
    rng = random.Random(0)
    monkeypatch.setattr(time, "time", lambda: rng.uniform(0, 4e9))
    events = list(Stream(runtime, str(path), window_s=1, stall_s=5, give_up_s=5))
    jumped = of(events, Decision)
    walls = [event.wall for event in jumped]
    assert walls != sorted(walls)
    assert [(e.start, e.end, e.prediction.path) for e in jumped] == [
        (e.start, e.end, e.prediction.path) for e in calm
    ]
    assert all(0 <= event.lag_ms < 60_000 for event in jumped)
    assert 0 <= of(events, Ended)[0].lasted_s < 60
    assert settled(events).gaps == 0


# What is asked for


def test_model_of_whole_events_wants_to_know_how_long_they_last(runtime: Runtime) -> None:
    with pytest.raises(ClipError, match="--window"):
        Stream(runtime, "clip.mp4")


@pytest.mark.parametrize("name", ["window_s", "stride_s", "fps", "stall_s", "give_up_s"])
@pytest.mark.parametrize("value", [0, -1, float("inf")])
def test_seconds_are_above_nothing(runtime: Runtime, name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be above 0"):
        Stream(runtime, "clip.mp4", **{"window_s": 1.0, name: value})  # type: ignore[arg-type]


def test_source_that_does_not_say_its_rate_wants_fps(runtime: Runtime) -> None:
    feed = FakeFeed(frames(20), live=False)
    feed.rate = None
    until_trouble(stream_of(runtime, FILE, feed), r"states no frame rate\. Give --fps")
    again = FakeFeed(frames(40), live=False)
    again.rate = None
    assert settled(list(stream_of(runtime, FILE, again, fps=10))).windows > 0


def test_pauses_grow_by_chance_and_have_an_end() -> None:
    many = [list(islice(retry_pauses(0.5, 30.0), 12)) for _ in range(200)]
    assert {pauses[0] for pauses in many} == {0.5}
    assert all(0.5 <= pause <= 30 for pauses in many for pause in pauses)
    middle = np.median(many, axis=0)
    assert (np.diff(middle[:7]) > 0).all()
    assert len({pauses[8] for pauses in many}) == len(many)


def test_a_reader_whose_taker_has_ended_ends_too() -> None:
    queue = WindowQueue(FrameAccounting())

    def take() -> None:
        queue.get(0.01)

    taker = threading.Thread(target=take)
    taker.start()
    taker.join()
    assert queue.abandoned
    made = [
        Window(
            number=number,
            segment=0,
            start=0,
            end=1,
            clip=np.zeros((1,), np.float32),
            arrived=0,
            wall=0,
            frames=(),
        )
        for number in range(4)
    ]
    assert [queue.put(window) for window in made[:2]] == [True, True]
    reader = threading.Thread(target=queue.put, args=(made[2],), daemon=True)
    reader.start()
    wait_until(lambda: not reader.is_alive())
