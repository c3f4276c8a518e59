"""The head that serves, and its replacement by another head.

A head is built, checked and warmed on the thread that requests the swap. Then one reference is
assigned. Each decision reads the reference once, so no result mixes two heads.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from edgesplit._threads import single_threaded_blas
from edgesplit._types import Float32
from edgesplit.backbone.session import open_session
from edgesplit.bundle.bundle import Bundle
from edgesplit.errors import BackendError, BundleError
from edgesplit.heads.head import Evaluation, Head

__all__ = ["MAX_POLL_S", "POLL_S", "LiveHead", "ServingHead"]

POLL_S = 0.02
"""Seconds between two checks of the modification time of HEAD; a check takes microseconds."""
MAX_POLL_S = 1.0
"""Longest time between two reads of HEAD, because a network disk may report old times."""
RETRY_S = 2.0
"""Seconds until a refused head is tried again: its file may arrive later in a shared folder."""
CLOSE_S = 1.0
"""Seconds that `close` waits for a watcher that hangs in a read from a dead network disk."""

TOLERANCE = 1e-5
"""Largest difference of ONNX Runtime's logits from numpy's, relative to the largest logit."""
N_WARM_UP = 4

_log = logging.getLogger(__name__)


class ServingHead:
    """A head and its ONNX Runtime session. Immutable; safe from several threads."""

    def __init__(self, head: Head) -> None:
        """Build and warm the session, and check it against numpy.

        Raises:
            BackendError: ONNX Runtime refuses the head, or its results differ from numpy's.
        """
        start = time.perf_counter()
        self.head = head
        self.digest = head.digest
        # One thread: a head takes microseconds, and it shares the cores with the backbone.
        self._session: Any = open_session(head.to_bytes(), threads=1, optimize=False)
        self._check()
        self.build_ms = 1000 * (time.perf_counter() - start)
        """Milliseconds of building, checking and warming."""

    def evaluate(self, features: Float32) -> Evaluation:
        """Evaluate features `(batch, dim)` float32.

        Raises:
            BackendError: ONNX Runtime failed, or a logit is not finite.
        """
        outputs = ["logits", "probabilities", "class_index"]
        try:
            result = Evaluation(*self._session.run(outputs, {"features": features}))
        except Exception as error:  # ONNX Runtime's exceptions have no common base class
            raise BackendError(f"Head {self.digest[:12]} failed: {error}") from error
        if not np.isfinite(result.logits).all():
            raise BackendError(
                f"Head {self.digest[:12]} gives logits that are not finite: the largest value of "
                f"the feature is {np.abs(features).max():.2g}. Check the backbone: run it without "
                "--variant and with --backend cpu; if the feature is still as large, export the "
                "model again."
            )
        return result

    @single_threaded_blas
    def _check(self) -> None:
        features = np.random.default_rng(0).standard_normal((N_WARM_UP, self.head.dim), np.float32)
        got, wanted = self.evaluate(features), self.head.evaluate(features)
        difference = float(np.abs(got.logits - wanted.logits).max())
        largest = float(np.abs(wanted.logits).max())
        if not difference <= TOLERANCE * max(1.0, largest):
            raise BackendError(
                f"ONNX Runtime's logits of head {self.digest[:12]} differ from numpy's by "
                f"{difference:.2g} (largest logit {largest:.2g}). Update ONNX Runtime."
            )


class LiveHead:
    """The head that serves, following the bundle's HEAD. Safe from several threads."""

    def __init__(
        self,
        bundle: Bundle,
        *,
        poll_s: float = POLL_S,
        on_swap: Callable[[ServingHead, ServingHead], None] = lambda before, after: None,
    ) -> None:
        """Serve the head that HEAD names, and follow HEAD.

        Args:
            bundle: the bundle, which may be read-only.
            poll_s: seconds between two checks of HEAD; at most `MAX_POLL_S`.
            on_swap: called after each swap with the head before and the head after, on the
                thread that made it; its exceptions are logged.

        Raises:
            BundleError: HEAD or the head is damaged.
            BackendError: ONNX Runtime refuses the head.
        """
        if not 0 < poll_s <= MAX_POLL_S:
            raise ValueError(f"poll_s must be above 0 and at most {MAX_POLL_S}, got {poll_s}")
        self._bundle = bundle
        self._poll_s = poll_s
        self._on_swap = on_swap
        self._seen = bundle.live
        self.serving = ServingHead(bundle.head(self._seen))
        """The head that serves; read it once per decision."""
        self.refusal = ""
        """Reason why HEAD is not followed; empty if it is."""
        self._refused = ""
        self._calling = threading.Lock()
        """Lock that a call of `swap` holds from reading HEAD to the swap. The watcher never waits
        for it, and no call waits for the watcher, which may hang on a dead disk."""
        self._assigning = threading.Lock()
        self._n_calls = 0
        self._closed = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="edgesplit-watch", daemon=True)
        self._watcher.start()

    def swap(self, digest: str | None = None) -> str:
        """Serve another head, as `Runtime.swap_head` does."""
        with self._calling:
            try:
                live = self._bundle.live
            except BundleError:
                if digest is None:
                    raise
                live = self._seen  # a named head can be served without HEAD
            serving = ServingHead(self._bundle.head(live if digest is None else digest))
            with self._assigning:
                before, self.serving = self.serving, serving
                self._n_calls += 1
                if live != self._refused or serving.digest == live:
                    self._seen = live  # a refused head in HEAD is still tried again
        self._notify(before, serving)
        return serving.digest

    def close(self) -> None:
        """Stop following HEAD; the serving head stays. Safe to call twice."""
        self._closed.set()
        if threading.current_thread() is not self._watcher:
            self._watcher.join(CLOSE_S)

    def _watch(self) -> None:
        stamp: object = None
        read_at = tried_at = 0.0
        while not self._closed.wait(self._poll_s):
            now = time.monotonic()
            try:
                found = self._stamp()
                if found == stamp and not self._refused and now - read_at < MAX_POLL_S:
                    continue
                stamp, read_at = found, now
                n_calls = self._n_calls
                live = self._bundle.live
                if live != self._seen and (live != self._refused or now - tried_at >= RETRY_S):
                    tried_at = now
                    self._follow(live, n_calls)
                if live == self._seen:
                    self._refused = self.refusal = ""
                else:  # refused, or a call of `swap` was faster: read HEAD again
                    stamp = None
            except Exception as error:  # the watcher must survive, or the device follows no edit
                stamp = None
                self._refuse(error)

    def _stamp(self) -> object:
        """Return a value that changes when HEAD is replaced; it is cheaper to read than HEAD."""
        try:
            found = os.stat(self._bundle.path / "HEAD")
        except OSError:
            return object()  # differs from every stamp, so HEAD is read, which raises
        return found.st_mtime_ns, found.st_ino, found.st_size

    def _follow(self, live: str, n_calls: int) -> None:
        try:
            serving = ServingHead(self._bundle.head(live))
        except Exception:
            self._refused = live
            raise
        with self._assigning:
            if self._n_calls != n_calls or self._closed.is_set():
                return  # a call of `swap` was faster and read a newer HEAD
            before, self.serving, self._seen = self.serving, serving, live
        self._notify(before, serving)

    def _refuse(self, error: Exception) -> None:
        reason = str(error) or repr(error)
        if reason != self.refusal:
            self.refusal = reason
            _log.warning("%s keeps serving: %s", self.serving.digest[:12], error)

    def _notify(self, before: ServingHead, after: ServingHead) -> None:
        try:
            self._on_swap(before, after)
        except Exception:  # the head already serves, so the callback must not fail the swap
            _log.exception("on_swap failed for %s", after.digest[:12])
