"""Run a service of the peers' benchmark, which predicts one clip repeatedly.

    python -m benchmarks.speed.service bundle lab.bundle     # edgesplit: follows HEAD
    python -m benchmarks.speed.service file model.onnx       # one complete model: follows the file

It reports on standard output when another head serves, and the longest pause.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness.workers import tell

POLL_S = 0.02
"""Seconds between two checks of a file, as edgesplit checks HEAD."""


class Live:
    """The function that serves now; every service swaps it by one assignment."""

    def __init__(self, predict: Callable[[], Any]) -> None:
        self.predict = predict

    def swap(self, predict: Callable[[], Any]) -> None:
        """Serve another function from now on, and report it."""
        predict()  # warmed up before anybody sees it
        self.predict = predict
        tell({"live": time.monotonic()})


def serve_bundle(path: Path) -> None:
    """Serve a bundle with edgesplit's runtime."""
    from edgesplit.bundle.bundle import open_bundle
    from edgesplit.runtime import OrtBackend, Runtime

    bundle = open_bundle(path)
    backend = OrtBackend(bundle.backbone(), threads=1)
    with Runtime(
        bundle, backend=backend, on_swap=lambda head: tell({"live": time.monotonic()})
    ) as runtime:
        clip = np.random.default_rng(0).random(runtime.clip_shape, np.float32)
        loop(lambda: runtime.predict(clip))


def serve_file(path: Path) -> None:
    """Serve one ONNX file; when it changes, open it while the old one serves."""
    from edgesplit.backbone.session import open_session

    def open_file() -> Callable[[], Any]:
        session = open_session(path.read_bytes(), threads=1)
        (entry,) = session.get_inputs()
        shape = [size if isinstance(size, int) else 1 for size in entry.shape]
        clip = np.random.default_rng(0).random(shape, np.float32)
        return lambda: session.run(None, {entry.name: clip})

    live = Live(open_file())

    def follow() -> None:
        seen = os.stat(path).st_ino
        while True:
            time.sleep(POLL_S)
            if (found := os.stat(path).st_ino) != seen:
                seen = found
                live.swap(open_file())

    threading.Thread(target=follow, daemon=True).start()
    loop(lambda: live.predict())


def loop(predict: Callable[[], Any]) -> None:
    """Predict until standard input ends; each line requests the longest pause since the last."""
    asked, done = threading.Event(), threading.Event()

    def listen() -> None:
        for _ in sys.stdin:
            asked.set()
        done.set()

    threading.Thread(target=listen, daemon=True).start()
    predict()
    tell({"ready": True})
    last, longest = time.monotonic(), 0.0
    while not done.is_set():
        predict()
        now = time.monotonic()
        longest, last = max(longest, now - last), now
        if asked.is_set():
            asked.clear()
            tell({"longest_s": longest})
            longest = 0.0


if __name__ == "__main__":
    {"bundle": serve_bundle, "file": serve_file}[sys.argv[1]](Path(sys.argv[2]))
