"""How soon a head that another process publishes decides, and what swaps do to predictions."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from edgesplit._types import Float32
from edgesplit.bundle.bundle import Bundle
from edgesplit.errors import EdgesplitError
from edgesplit.runtime.bench.sandbox import copied_bundle, find_splits
from edgesplit.runtime.bench.timing import (
    Answer,
    Figure,
    Job,
    Say,
    order_interval,
    time_reference,
)
from edgesplit.runtime.live.runtime import Runtime

__all__ = ["answer"]

_PREDICTIONS = 3
"""From a publish to the next, at least: a head that nobody saw decide tells nothing."""
PUBLISH_S = 0.2
"""From one publish to the next."""
CURVE = 101
_SETTLE_S = 0.3

_PUBLISH = """
import sys, time
sys.path[:] = sys.argv[5:]
from edgesplit.bundle.bundle import open_bundle
bundle, heads, pause = open_bundle(sys.argv[1]), sys.argv[2].split(","), float(sys.argv[3])
bundle.history()
print("ready", flush=True)
sys.stdin.readline()
for turn in range(int(sys.argv[4])):
    time.sleep(pause)
    start = time.monotonic()
    bundle.rollback(heads[turn % 2])
    print(heads[turn % 2], start, time.monotonic(), flush=True)
"""


@dataclass
class _Run:
    """What happened while predictions went on."""

    times: list[tuple[float, float, str]] = field(default_factory=list)
    """Of each prediction the end, by the monotonic clock, its milliseconds, and its head."""
    published: list[tuple[str, float, float]] = field(default_factory=list)
    """Digest, begin and end of each publish."""
    build_ms: list[float] = field(default_factory=list)
    reference: float = 0.0


def answer(job: Job, say: Say) -> Answer:
    """Predictions one after another, in turns with nobody publishing and with a publisher."""
    _, choice = job.open()
    with copied_bundle(job.bundle, job.scratch) as bundle:
        ((label, into),) = find_splits(bundle, 1)
        first = bundle.live
        second = bundle.publish(bundle.split_class(label, into=into, accept_doubt=True)).digest
        kinds: dict[str, list[_Run]] = {"null": [], "swaps": []}
        swapped: list[float] = []
        with Runtime(
            bundle, backend=choice.backend, on_swap=lambda head: swapped.append(head.build_ms)
        ) as runtime:
            every_s = max(PUBLISH_S, _PREDICTIONS * _time_prediction(runtime))
            for _ in range(job.effort.repeats):
                for kind, runs in kinds.items():
                    say("predictions while heads are swapped" if kind == "swaps" else "predictions")
                    seconds = job.effort.seconds / job.effort.repeats
                    pairs = max(1, round(seconds / every_s / 2)) if kind == "swaps" else 0
                    swapped.clear()
                    run = _watch(runtime, bundle, (first, second), seconds, 2 * pairs, every_s)
                    run.build_ms.extend(swapped)
                    runs.append(run)
    null, swaps = kinds["null"], kinds["swaps"]
    until = [_until_live(run) for run in swaps]
    if not all(until):
        raise EdgesplitError("No published head decided a prediction. Measure for longer.")
    blocks = {
        "swap.publish_to_result": (until, swaps),
        "swap.build": ([run.build_ms for run in swaps], swaps),
        "swap.prediction_null": (_times(null), null),
        "swap.prediction_swaps": (_times(swaps), swaps),
    }
    times = {kind: np.concatenate(_times(runs)) for kind, runs in kinds.items()}
    facts = {
        "split": {"class": label, "into": into},
        "every_s": round(every_s, 3),
        "published": sum(len(run.published) for run in swaps),
        "seen": sum(map(len, until)),
        **{
            f"p99_{kind}_interval": [round(one, 6) for one in order_interval(found, 0.99)]
            for kind, found in times.items()
        },
        "curve_ms": [
            round(float(q), 6)
            for q in np.percentile(np.concatenate(until), np.linspace(0, 100, CURVE))
        ],
    }
    return Answer(
        tuple(
            Figure.of(name, found, [run.reference for run in runs])
            for name, (found, runs) in blocks.items()
        ),
        facts,
    )


def _still(runtime: Runtime) -> Float32:
    return np.full(runtime.clip_shape, 0.5, np.float32)


def _time_prediction(runtime: Runtime) -> float:
    """Seconds of a warm one."""
    runtime.predict(_still(runtime))
    start = time.monotonic()
    runtime.predict(_still(runtime))
    return time.monotonic() - start


def _times(runs: list[_Run]) -> list[list[float]]:
    return [[ms for _, ms, _ in run.times] for run in runs]


def _watch(
    runtime: Runtime,
    bundle: Bundle,
    heads: tuple[str, str],
    seconds: float,
    n_swaps: int,
    every_s: float,
) -> _Run:
    still = _still(runtime)
    run = _Run(reference=time_reference())
    with _publisher(bundle, heads, n_swaps, every_s) as child:
        runtime.predict(still)
        end = time.monotonic() + seconds
        while time.monotonic() < end or child.poll() is None:
            start = time.monotonic()
            prediction = runtime.predict(still)
            now = time.monotonic()
            run.times.append((now, 1e3 * (now - start), prediction.head_digest))
            if child.poll() is None:  # the last head still has to be seen
                end = max(end, now + _SETTLE_S)
        lines = child.communicate()[0].splitlines()
    for line in lines:
        digest, begun, ended = line.split()
        run.published.append((digest, float(begun), float(ended)))
    return run


@contextmanager
def _publisher(
    bundle: Bundle, heads: tuple[str, str], n_swaps: int, every_s: float
) -> Iterator[subprocess.Popen[str]]:
    """A process that makes the heads live in turns, so many times; it has just begun to."""
    path = [entry or os.getcwd() for entry in sys.path]
    asked = [str(bundle.path), ",".join(heads), str(every_s), str(n_swaps)]
    command = [sys.executable, "-c", _PUBLISH, *asked, *path]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as child:
        try:
            assert child.stdin is not None
            assert child.stdout is not None
            if child.stdout.readline().strip() != "ready":
                raise EdgesplitError("The process that publishes did not start.")
            child.stdin.write("go\n")
            child.stdin.flush()
            yield child
        finally:
            child.kill()  # does nothing when it has ended


def _until_live(run: _Run) -> list[float]:
    """Milliseconds from the begin of each publish to the first result by its head.

    A head that gave no result before the next was published is left out, as is one that decided
    already: two heads take turns, and a later result would be another publish's.
    """
    until = []
    ends = [*(begun for _, begun, _ in run.published[1:]), float("inf")]
    for (digest, begun, _), end in zip(run.published, ends, strict=True):
        before = [head for at, _, head in run.times if at <= begun]
        if before[-1:] == [digest]:
            continue
        lasted = (at - begun for at, _, head in run.times if begun < at < end and head == digest)
        first = next(lasted, None)
        if first is not None:
            until.append(1e3 * first)
    return until
