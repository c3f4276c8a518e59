"""How long a prediction takes, from the video file to the decision, and what of it takes how long.

By MLPerf's SingleStream rules: the next clip is begun when the last answer is there, for at least a
stated time, and the figure is the 90th percentile. MLPerf's own runs last ten minutes.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from edgesplit._isolated import run_isolated
from edgesplit._types import Float32
from edgesplit.backbone.backends import Backend
from edgesplit.runtime.bench.timing import (
    BLOCKS,
    Answer,
    Figure,
    Job,
    Say,
    order_interval,
    sample,
    time_reference,
)
from edgesplit.runtime.device.power import PowerSampler
from edgesplit.runtime.device.record import read_temperatures, read_throttling
from edgesplit.runtime.live.runtime import Runtime
from edgesplit.video.clips import count_packets, decode_video, scale_frame, stack_clip
from edgesplit.video.preprocessing import Preprocessing, sample_frames

__all__ = ["ITEMS", "START_ITEMS", "answer", "make_video"]

ITEMS = ("decode", "scale", "stack", "copy", "backbone", "head", "path")
"""A prediction's parts, in order: frames out of the file, to their size, into one array; checks and
copies on the way to the backend; the backend, with copies to the device and back; the head; the
decision in words."""

START_ITEMS = ("python", "open", "first")
"""A cold start's: Python and its imports; bundle, backbone and head; the first prediction."""

_CODECS = ("libx264", "mpeg4")
_SIZE = 1.25
"""Of a made video's short side, to what the clip is made from: cameras give more than is used."""
_CURVE = 101


def answer(job: Job, say: Say) -> Answer:
    """Cold starts, each in a process of its own, then warm predictions, one after another."""
    with tempfile.TemporaryDirectory(dir=job.scratch) as folder:
        bundle, choice = job.open()
        clip, what = job.clip, str(job.clip)
        if clip is None:
            clip = Path(folder) / "made.mp4"
            what = make_video(clip, bundle.preprocessing)
        say("cold starts")
        cold = _cold(job, clip)
        say(f"warm predictions, {job.effort.seconds:g} s")
        watched = _Watched(choice.backend)
        pre = bundle.preprocessing
        totals: list[float] = []

        def measure() -> Mapping[str, float]:
            times = _query(runtime, watched, clip, pre)
            totals.append(times["latency.prediction"])
            return times

        heat = [_heat()]
        with Runtime(bundle, backend=watched) as runtime, PowerSampler() as power:
            measure()
            totals.clear()
            start = time.monotonic()
            warm = sample(measure, seconds=job.effort.seconds, blocks=BLOCKS, warm_up=0)
            end = time.monotonic()
        heat.append(_heat())
        energy = power.energy_j(start, end)
    low, high = order_interval(totals, 0.9)
    facts: dict[str, Any] = {
        "backend": choice.description,
        "why": [asdict(one) for one in choice.passed_over],
        "clip": what,
        "seconds": job.effort.seconds,
        "predictions_a_second": round(1e3 / statistics.fmean(totals), 3),
        "p90_interval": [round(low, 6), round(high, 6)],
        "curve_ms": [
            round(float(q), 6) for q in np.percentile(totals, np.linspace(0, 100, _CURVE))
        ],
        "joules_a_prediction": None if energy is None else round(energy / len(totals), 6),
        "temperatures_c": [one[0] for one in heat],
        "slowed_down": None if None in (heat[0][1], heat[1][1]) else heat[1][1] - heat[0][1],
    }
    return Answer((*warm, *cold), facts)


def _heat() -> tuple[dict[str, float], Any]:
    return read_temperatures(), read_throttling()


class _Watched:
    """A backend that knows how long its last run took."""

    def __init__(self, backend: Backend) -> None:
        self._backend, self.ms = backend, 0.0

    def run(self, clips: Float32) -> Float32:
        start = time.perf_counter()
        features = self._backend.run(clips)
        self.ms = 1e3 * (time.perf_counter() - start)
        return features

    def close(self) -> None:
        self._backend.close()


def _query(
    runtime: Runtime, watched: _Watched, path: Path, preprocessing: Preprocessing
) -> dict[str, float]:
    """One prediction and its parts, in milliseconds; the parts add up to the whole."""
    stamps = [time.perf_counter()]
    frames = _read_frames(path, preprocessing)
    stamps.append(time.perf_counter())
    pictures = [scale_frame(frame, preprocessing) for frame in frames]
    stamps.append(time.perf_counter())
    clip = stack_clip(pictures, preprocessing)
    stamps.append(time.perf_counter())
    feature = runtime.extract(clip)
    stamps.append(time.perf_counter())
    prediction = runtime.decide(feature)
    stamps.append(time.perf_counter())
    decode, scale, stack, extract, decide = (1e3 * float(one) for one in np.diff(stamps))
    head = prediction.timings.head_ms
    parts = (decode, scale, stack, extract - watched.ms, watched.ms, head, decide - head)
    return {
        "latency.prediction": 1e3 * (stamps[-1] - stamps[0]),
        **{f"latency.{name}": ms for name, ms in zip(ITEMS, parts, strict=True)},
    }


def _read_frames(path: Path, preprocessing: Preprocessing) -> list[Any]:
    """The frames that the clip is made of, as `read_clip` finds them: counted, then decoded.

    Raises:
        ClipError: nothing in the video can be decoded.
    """
    n_packets = count_packets(path)
    wanted = sample_frames(max(1, n_packets), preprocessing)
    n_frames, frames = _pick(path, wanted)
    if n_frames != n_packets:  # cut between key frames, or damaged: once more
        wanted = sample_frames(n_frames, preprocessing)
        n_frames, frames = _pick(path, wanted)
    return [frames[index] for index in wanted]


def _pick(path: Path, wanted: Sequence[int]) -> tuple[int, dict[int, Any]]:
    """How many frames there are, and the wanted ones."""
    chosen, n_frames, frames = set(wanted), 0, {}
    for n_frames, frame in enumerate(decode_video(path), start=1):
        if n_frames - 1 in chosen:
            frames[n_frames - 1] = frame
    return n_frames, frames


def make_video(path: Path, preprocessing: Preprocessing) -> str:
    """Writes a video as a camera would give it, something that moves; says what it is."""
    import av

    codec = next(name for name in _CODECS if name in av.codecs_available)
    short = max(preprocessing.resize or 0, preprocessing.height, preprocessing.width)
    height = 2 * round(_SIZE * short / 2)
    width = 2 * round(height * 2 / 3)
    n_frames = max(2 * preprocessing.frames, preprocessing.frames * preprocessing.stride)
    rng = np.random.default_rng(0)
    ground = rng.integers(60, 120, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    ground = ground.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]
    side = max(2, height // 4)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=Fraction(30))
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for index in range(n_frames):
            picture = ground.copy()
            left = (width - side) * index // n_frames
            picture[side : 2 * side, left : left + side] = 220
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return f"a made video of {n_frames} frames, {width}x{height}, {codec}"


def _cold(job: Job, clip: Path) -> list[Figure]:
    references, rows = [], []
    for _ in range(job.effort.repeats):
        references.append(time_reference())
        rows.append(run_isolated(_first, job, clip, time.monotonic()))
    names = ("cold", *(f"start_{name}" for name in START_ITEMS))
    values = np.array([[sum(row), *row] for row in rows])
    return [
        Figure.of(f"latency.{name}", [[one] for one in column], references)
        for name, column in zip(names, values.T.tolist(), strict=True)
    ]


def _first(job: Job, clip: Path, begun: float) -> list[float]:
    """A process's first prediction: milliseconds of its parts since the process was begun."""
    from edgesplit.video.clips import read_clip

    stamps = [begun, time.monotonic()]
    bundle, choice = job.open()
    with Runtime(bundle, backend=choice.backend) as runtime:
        stamps.append(time.monotonic())
        runtime.predict(read_clip(clip, bundle.preprocessing))
        stamps.append(time.monotonic())
    return [1e3 * float(one) for one in np.diff(stamps)]
