"""Swap heads while several threads predict: does any prediction fail, or mix heads?"""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np

from edgesplit._types import Float32
from edgesplit.backbone.backends import Backend
from edgesplit.bundle.bundle import Bundle
from edgesplit.runtime.bench.sandbox import copied_bundle, find_splits
from edgesplit.runtime.live.runtime import Runtime

__all__ = ["swap_under_load"]

THREADS = 4
SECONDS = 8.0
EVERY_S = 0.02


class _Load:
    """Threads that predict clips until they are stopped."""

    def __init__(self, runtime: Runtime, clips: Float32) -> None:
        self._runtime, self._clips = runtime, clips
        self._stopped = threading.Event()
        self.answers: list[tuple[int, str, str]] = []
        """Index of the clip, head and label of each prediction."""
        self.times_ms: list[float] = []
        self.errors: list[str] = []
        self._threads = [threading.Thread(target=self._predict, args=(n,)) for n in range(THREADS)]

    def __enter__(self) -> _Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _predict(self, place: int) -> None:
        while not self._stopped.is_set():
            place = (place + 1) % len(self._clips)
            start = time.perf_counter()
            try:
                prediction = self._runtime.predict(self._clips[place])
            except Exception as error:  # every one of them is a prediction that was dropped
                self.errors.append(f"{type(error).__name__}: {error}")
                return
            self.times_ms.append(1e3 * (time.perf_counter() - start))
            self.answers.append((place, prediction.head_digest, prediction.label))


def swap_under_load(
    bundle: Bundle, backend: Backend, clips: Float32, seconds: float = SECONDS
) -> dict[str, Any]:
    """Swap two heads in turns while threads predict; return the figures with checks."""
    with copied_bundle(bundle.path) as copy:
        ((label, into),) = find_splits(copy, 1)
        first = copy.live
        second = copy.publish(copy.split_class(label, into=into, accept_doubt=True)).digest
        heads = {digest: copy.head(digest) for digest in (first, second)}
        with Runtime(copy, backend=backend, poll_s=1.0) as runtime:
            features = np.stack([runtime.extract(clip) for clip in clips])
            expected = {digest: list(one.classify(features)) for digest, one in heads.items()}
            swaps_ms: list[float] = []
            with _Load(runtime, clips) as load:
                end = time.monotonic() + seconds
                while time.monotonic() < end:
                    start = time.perf_counter()
                    runtime.swap_head((first, second)[len(swaps_ms) % 2])
                    swaps_ms.append(1e3 * (time.perf_counter() - start))
                    time.sleep(EVERY_S)
    served = [digest for _, digest, _ in load.answers]
    right = sum(label == expected[digest][place] for place, digest, label in load.answers)
    return {
        "threads": THREADS,
        "predictions": len(load.answers),
        "dropped": len(load.errors),
        "swaps": len(swaps_ms),
        "swap_ms": round(float(np.median(swaps_ms)), 3),
        "prediction_ms": [round(float(np.percentile(load.times_ms, q)), 3) for q in (50, 99, 100)],
        "equal_to_the_head": {"equal": right, "of": len(load.answers)},
        "errors": load.errors[:3],
        "checks": {
            "no prediction is dropped": not load.errors,
            "both heads decide": set(served) == set(heads),
            "every answer is that of the head it names": right >= 0.999 * len(load.answers),
        },
    }
