"""Measure the time from a publish to the first decision, and the cost of swaps to predictions."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from edgesplit._types import Float32
from edgesplit.bundle.bundle import Bundle
from edgesplit.errors import EdgesplitError
from edgesplit.runtime.bench.process import LineProcess, start_process
from edgesplit.runtime.bench.sandbox import copied_bundle, find_splits
from edgesplit.runtime.bench.timing import (
    Answer,
    Figure,
    Job,
    Progress,
    order_interval,
    percentile_curve,
    time_ms,
    time_reference,
)
from edgesplit.runtime.live.runtime import Runtime

__all__ = ["Publish", "answer", "find_first_results", "read_publishes", "start_publisher"]

_PREDICTIONS = 3
"""Fewest predictions from a publish to the next, so that each head decides at least one."""
_PUBLISH_S = 0.2
"""Fewest seconds from a publish to the next."""
_SETTLE_S = 0.3
"""Seconds that predictions continue after the last publish, so that its head decides."""

_PUBLISH = """
import sys, time
from edgesplit.bundle.bundle import open_bundle
bundle, heads, pause = open_bundle(sys.argv[1]), sys.argv[2].split(","), float(sys.argv[3])
bundle.history()
print("ready", flush=True)
sys.stdin.readline()
start = time.monotonic()
for turn in range(int(sys.argv[4])):
    time.sleep(max(start + pause - time.monotonic(), pause / 2))
    start = time.monotonic()
    bundle.rollback(heads[turn % 2])
    print(heads[turn % 2], start, time.monotonic(), flush=True)
"""


class Publish(NamedTuple):
    """A head that went live, and the begin and end of its publish by the monotonic clock."""

    digest: str
    begun: float
    ended: float


@contextmanager
def start_publisher(
    bundle: Bundle, heads: tuple[str, str], *, n_swaps: int, every_s: float
) -> Iterator[LineProcess]:
    """Start a process that publishes two heads in turns, `n_swaps` times, once a line is written.

    It runs until the last head is published; `read_publishes` returns all publishes. They begin at
    least `every_s` seconds apart, with a pause of at least half of that between them, in which
    predictions use the head.

    Raises:
        EdgesplitError: the process does not start.
    """
    asked = [str(bundle.path), ",".join(heads), str(every_s), str(n_swaps)]
    with start_process("the publisher", [sys.executable, "-c", _PUBLISH, *asked]) as process:
        process.wait_for("ready")
        yield process


def read_publishes(publisher: LineProcess) -> list[Publish]:
    """Wait for the last publish; return all publishes."""
    lines = map(str.split, publisher.read_rest())
    return [Publish(digest, float(begun), float(ended)) for digest, begun, ended in lines]


def find_first_results(
    published: Sequence[Publish], results: Sequence[tuple[float, str]]
) -> list[tuple[Publish, float]]:
    """Return each publish whose head decided a prediction, with the time of its first result.

    Two heads take turns, so a result belongs to a publish only until the next one begins. A publish
    is omitted if its head gave no result by then, or already decided before the publish.

    Args:
        published: publishes in order.
        results: the end of each prediction, by the monotonic clock, and its head's digest.
    """
    found = []
    ends = [*(one.begun for one in published[1:]), float("inf")]
    for one, end in zip(published, ends, strict=True):
        before = [digest for at, digest in results if at <= one.begun]
        if before[-1:] == [one.digest]:
            continue
        seen = (at for at, digest in results if one.begun < at < end and digest == one.digest)
        first = next(seen, None)
        if first is not None:
            found.append((one, first))
    return found


@dataclass
class _Run:
    """The measurements of one period of predictions."""

    times_ms: list[float] = field(default_factory=list)
    results: list[tuple[float, str]] = field(default_factory=list)
    """Results as `find_first_results` takes them, one for each time."""
    published: list[Publish] = field(default_factory=list)
    build_ms: list[float] = field(default_factory=list)
    reference: float = 0.0

    def until_live_ms(self) -> list[float]:
        """Return the milliseconds from the start of each publish to its head's first result."""
        found = find_first_results(self.published, self.results)
        return [1e3 * (first - one.begun) for one, first in found]


def answer(job: Job, progress: Progress) -> Answer:
    """Time predictions without and with a publisher, in turns."""
    _, opened = job.open()
    with copied_bundle(job.bundle, job.scratch) as bundle:
        ((label, into),) = find_splits(bundle, 1)
        first = bundle.live
        second = bundle.publish(bundle.split_class(label, into=into, accept_doubt=True)).digest
        kinds: dict[str, list[_Run]] = {"null": [], "swaps": []}
        built: list[float] = []
        with Runtime(
            bundle, backend=opened.backend, on_swap=lambda head: built.append(head.build_ms)
        ) as runtime:
            every_s = max(_PUBLISH_S, _PREDICTIONS * _time_prediction(runtime))
            for _ in range(job.effort.repeats):
                for kind, runs in kinds.items():
                    progress("predictions, " + ("heads swapped" if kind == "swaps" else "no swaps"))
                    seconds = job.effort.seconds / job.effort.repeats
                    pairs = max(1, round(seconds / every_s / 2)) if kind == "swaps" else 0
                    built.clear()
                    with start_publisher(
                        bundle, (first, second), n_swaps=2 * pairs, every_s=every_s
                    ) as publisher:
                        run = _predict(runtime, publisher, seconds)
                    run.build_ms.extend(built)
                    runs.append(run)
    null, swaps = kinds["null"], kinds["swaps"]
    until = [run.until_live_ms() for run in swaps]
    if not all(until):
        raise EdgesplitError("No published head decided a prediction. Increase --seconds.")
    facts = {
        "split": {"class": label, "into": into},
        "every_s": round(every_s, 3),
        "published": sum(len(run.published) for run in swaps),
        "seen": sum(map(len, until)),
        "p99_null_interval": _p99_interval(null),
        "p99_swaps_interval": _p99_interval(swaps),
        "curve_ms": percentile_curve([ms for found in until for ms in found]),
    }
    figures = (
        _figure("swap.publish_to_result", until, swaps),
        _figure("swap.build", [run.build_ms for run in swaps], swaps),
        _figure("swap.prediction_null", [run.times_ms for run in null], null),
        _figure("swap.prediction_swaps", [run.times_ms for run in swaps], swaps),
    )
    return Answer(figures, facts)


def _figure(name: str, blocks: list[list[float]], runs: list[_Run]) -> Figure:
    return Figure.of(name, blocks, [run.reference for run in runs])


def _p99_interval(runs: list[_Run]) -> list[float]:
    times = np.concatenate([run.times_ms for run in runs])
    return [round(one, 6) for one in order_interval(times, 0.99)]


def _gray_clip(runtime: Runtime) -> Float32:
    return np.full(runtime.clip_shape, 0.5, np.float32)


def _time_prediction(runtime: Runtime) -> float:
    """Return the seconds of a warm prediction."""
    clip = _gray_clip(runtime)
    runtime.predict(clip)
    return time_ms(lambda: runtime.predict(clip)) / 1e3


def _predict(runtime: Runtime, publisher: LineProcess, seconds: float) -> _Run:
    """Predict for `seconds`, and until the last published head has decided a prediction."""
    clip = _gray_clip(runtime)
    run = _Run(reference=time_reference())
    publisher.write("go")
    runtime.predict(clip)
    end = time.monotonic() + seconds
    while time.monotonic() < end or publisher.running:
        start = time.monotonic()
        prediction = runtime.predict(clip)
        now = time.monotonic()
        run.times_ms.append(1e3 * (now - start))
        run.results.append((now, prediction.head_digest))
        if publisher.running:
            end = max(end, now + _SETTLE_S)
    run.published = read_publishes(publisher)
    return run
