"""Run the clips of several threads through the backbone as one batch."""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future

import numpy as np

from edgesplit._types import Float32
from edgesplit.backbone.backends import CLOSED, Backend
from edgesplit.errors import BackendError

__all__ = ["BatchingBackend"]


class BatchingBackend:
    """Joins the runs of several threads into one. `run` is safe from several threads.

    On a GPU a batch of four clips costs little more than one; on a CPU it saves almost nothing.
    A backbone may round a clip's feature differently in a batch of another size.
    """

    def __init__(self, backend: Backend, *, most: int = 8, wait_ms: float = 2.0) -> None:
        """Start the thread that runs the batches.

        Args:
            backend: runs the batches; `close` closes it.
            most: largest batch; an engine must have been built for at least this size.
            wait_ms: milliseconds that the first clip of a batch waits for others.
        """
        if most < 1 or wait_ms < 0:
            raise ValueError(f"most must be 1 or more and wait_ms 0 or more: {most}, {wait_ms}")
        self._backend = backend
        self._most = most
        self._wait_s = wait_ms / 1000
        self._waiting: deque[tuple[Float32, Future[Float32]]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._worker = threading.Thread(target=self._work, name="edgesplit-batch", daemon=True)
        self._worker.start()

    def run(self, clips: Float32) -> Float32:
        """Run clips as `Backend.run` does; wait until their batch has run."""
        future: Future[Float32] = Future()
        with self._changed:
            if self._closed:
                raise BackendError(CLOSED)
            self._waiting.append((clips, future))
            self._changed.notify_all()
        return future.result()

    def close(self) -> None:
        """Close the backend as `Backend.close` does, after running the clips that wait."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if threading.current_thread() is not self._worker:
            self._worker.join()
        self._backend.close()

    def _work(self) -> None:
        while batch := self._next():
            clips, futures = zip(*batch, strict=True)
            try:
                features = self._backend.run(np.concatenate(clips))
                ends = np.cumsum([len(one) for one in clips])
                parts = np.split(features, ends[:-1])
            except Exception as error:
                if len(batch) == 1:
                    futures[0].set_exception(error)
                else:
                    self._run_separately(batch)
                continue
            for future, part in zip(futures, parts, strict=True):
                future.set_result(part.copy())  # a view would keep the complete batch in memory

    def _run_separately(self, batch: list[tuple[Float32, Future[Float32]]]) -> None:
        """Run each thread's clips separately, so that a bad clip fails only in its own thread."""
        for clips, future in batch:
            try:
                future.set_result(self._backend.run(clips))
            except BaseException as error:  # raised in the thread that waits
                future.set_exception(error)

    def _next(self) -> list[tuple[Float32, Future[Float32]]]:
        """Return the next batch, empty when closed; a single run may exceed the largest batch."""
        with self._changed:
            while not self._waiting:
                if self._closed:
                    return []
                self._changed.wait()
            due = time.monotonic() + self._wait_s
            while self._count() < self._most and not self._closed:
                left = due - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            batch = [self._waiting.popleft()]
            n_clips = len(batch[0][0])
            while self._waiting and n_clips + len(self._waiting[0][0]) <= self._most:
                batch.append(self._waiting.popleft())
                n_clips += len(batch[-1][0])
        return batch

    def _count(self) -> int:
        return sum(len(clips) for clips, _ in self._waiting)
