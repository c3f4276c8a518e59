"""Measure the time of a prediction and of its parts, from the video file to the decision.

It follows MLPerf's SingleStream rules: each prediction starts when the previous one has ended, for
at least a given time, and the figure is the 90th percentile. MLPerf itself requires ten minutes.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgesplit._isolated import run_isolated
from edgesplit._types import Float32, UInt8
from edgesplit.backbone.backends import Backend
from edgesplit.runtime.bench.timing import (
    Answer,
    Figure,
    Job,
    Progress,
    order_interval,
    percentile_curve,
    sample,
    time_reference,
)
from edgesplit.runtime.device.power import PowerSampler
from edgesplit.runtime.device.record import read_temperatures, read_throttling
from edgesplit.runtime.live.runtime import Runtime
from edgesplit.video.clips import read_clip, read_pictures, scale_frame, stack_clip
from edgesplit.video.preprocessing import Preprocessing

if TYPE_CHECKING:
    import av

__all__ = ["ITEMS", "START_ITEMS", "answer", "make_video"]

ITEMS = ("decode", "scale", "stack", "copy", "backbone", "head", "path")
"""Parts of a prediction: reading and decoding the file, scaling its frames, stacking them into an
array, checks and copies before the backend, the backend with copies to the device and back, the
head, and finding the labels of the decision."""

START_ITEMS = ("python", "open", "first")
"""Parts of a cold start: Python and its imports; opening bundle, backbone and head; the first
prediction."""

_CODECS = ("libx264", "mpeg4")
_SIZE = 1.25
"""Size of the synthetic video relative to the clip: cameras give more pixels than are used."""


def answer(job: Job, progress: Progress) -> Answer:
    """Time cold starts, each in a new process, then warm predictions."""
    with tempfile.TemporaryDirectory(dir=job.scratch) as folder:
        bundle, opened = job.open()
        clip, what = job.clip, str(job.clip)
        if clip is None:
            clip = Path(folder) / "made.mp4"
            what = make_video(clip, bundle.preprocessing)
        progress("cold starts")
        cold = _cold(job, clip)
        progress(f"warm predictions, {job.effort.seconds:g} s")
        timed = _TimedBackend(opened.backend)
        pre = bundle.preprocessing
        totals: list[float] = []

        def measure() -> Mapping[str, float]:
            times = _time_prediction(runtime, timed, clip, pre)
            totals.append(times["latency.prediction"])
            return times

        heat = [_read_heat()]
        with Runtime(bundle, backend=timed) as runtime, PowerSampler() as power:
            measure()
            totals.clear()
            start = time.monotonic()
            warm = sample(measure, seconds=job.effort.seconds)
            end = time.monotonic()
        heat.append(_read_heat())
        energy = power.energy_j(start, end)
    low, high = order_interval(totals, 0.9)
    facts: dict[str, Any] = {
        "backend": opened.description,
        "why": [asdict(one) for one in opened.passed_over],
        "clip": what,
        "seconds": job.effort.seconds,
        "predictions_a_second": round(1e3 / statistics.fmean(totals), 3),
        "p90_interval": [round(low, 6), round(high, 6)],
        "curve_ms": percentile_curve(totals),
        "joules_a_prediction": None if energy is None else round(energy / len(totals), 6),
        "temperatures_c": [one[0] for one in heat],
        "slowed_down": None if None in (heat[0][1], heat[1][1]) else heat[1][1] - heat[0][1],
    }
    return Answer((*warm, *cold), facts)


def _read_heat() -> tuple[dict[str, float], Any]:
    return read_temperatures(), read_throttling()


class _TimedBackend:
    """A backend that measures the time of its last run, in milliseconds."""

    def __init__(self, backend: Backend) -> None:
        self._backend, self.ms = backend, 0.0

    def run(self, clips: Float32) -> Float32:
        start = time.perf_counter()
        features = self._backend.run(clips)
        self.ms = 1e3 * (time.perf_counter() - start)
        return features

    def close(self) -> None:
        self._backend.close()


def _time_prediction(
    runtime: Runtime, timed: _TimedBackend, path: Path, preprocessing: Preprocessing
) -> dict[str, float]:
    """Time one prediction and its parts, in milliseconds; the parts add up to the prediction."""
    scale_ms: list[float] = []

    def scale(frame: av.VideoFrame, preprocessing: Preprocessing) -> UInt8:
        start = time.perf_counter()
        picture = scale_frame(frame, preprocessing)
        scale_ms.append(1e3 * (time.perf_counter() - start))
        return picture

    stamps = [time.perf_counter()]
    pictures = read_pictures(path, preprocessing, scale=scale)
    stamps.append(time.perf_counter())
    clip = stack_clip(pictures, preprocessing)
    stamps.append(time.perf_counter())
    feature = runtime.extract(clip)
    stamps.append(time.perf_counter())
    prediction = runtime.decide(feature)
    stamps.append(time.perf_counter())
    read, stack, extract, decide = (1e3 * float(one) for one in np.diff(stamps))
    scaled, backbone, head = sum(scale_ms), timed.ms, prediction.timings.head_ms
    parts = (read - scaled, scaled, stack, extract - backbone, backbone, head, decide - head)
    return {
        "latency.prediction": 1e3 * (stamps[-1] - stamps[0]),
        **{f"latency.{name}": ms for name, ms in zip(ITEMS, parts, strict=True)},
    }


def make_video(path: Path, preprocessing: Preprocessing) -> str:
    """Write a video of a moving square, larger than the clip; return its description."""
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
    return f"a synthetic video of {n_frames} frames, {width}x{height}, {codec}"


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
    """Return the milliseconds of a cold start's parts, in this new process.

    Args:
        job: the job.
        clip: the video.
        begun: time of the monotonic clock when the caller started this process.
    """
    stamps = [begun, time.monotonic()]
    bundle, opened = job.open()
    with Runtime(bundle, backend=opened.backend) as runtime:
        stamps.append(time.monotonic())
        runtime.predict(read_clip(clip, bundle.preprocessing))
        stamps.append(time.monotonic())
    return [1e3 * float(one) for one in np.diff(stamps)]
