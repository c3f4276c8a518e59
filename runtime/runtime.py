"""The runtime: clips in, predictions out, and heads that change in between.

A head is built on the thread that asks for the swap; serving threads see it through one reference
assignment. Each call takes the reference once, so a result never mixes two heads. A watcher
thread re-reads the bundle's HEAD, so what another process publishes goes live by itself.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from edgesplit.bundle import Bundle, open_bundle
from edgesplit.errors import BackendError, BundleError
from edgesplit.head import PathStep
from edgesplit.runtime.backends import Backend, OrtBackend
from edgesplit.runtime.swap import ServingHead

__all__ = ["Prediction", "Runtime", "Timings"]

POLL_S = 0.25
MAX_POLL_S = 1.0
RETRY_S = 2.0
"""How long a refused head is left alone: its file may still be on its way to a shared folder."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Timings:
    """How long the parts of a prediction took, in milliseconds."""

    backbone_ms: float
    head_ms: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """The decision about one clip, and the head that made it."""

    label: str
    path: tuple[PathStep, ...]
    """From the root class to the decided class, with each level's probability."""
    score: float
    """Probability of the decided class."""
    head_digest: str
    timings: Timings

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "label": self.label,
            "score": self.score,
            "path": [{"label": s.label, "probability": s.probability} for s in self.path],
            "head_digest": self.head_digest,
            "timings": {
                "backbone_ms": self.timings.backbone_ms,
                "head_ms": self.timings.head_ms,
            },
        }


class Runtime:
    """Serves a bundle. Use as a context manager; all methods are safe from several threads."""

    def __init__(
        self,
        bundle: str | Path | Bundle,
        *,
        backend: Backend | None = None,
        poll_s: float = POLL_S,
        on_swap: Callable[[ServingHead], None] | None = None,
    ) -> None:
        """Opens the bundle, its backbone and its live head.

        Args:
            bundle: the bundle or its folder; it may be read-only.
            backend: runs the backbone; ONNX Runtime on the CPU by default. The runtime closes it.
            poll_s: how often HEAD is re-read, in seconds; at most `MAX_POLL_S`.
            on_swap: called after each swap, on the thread that made it; its exceptions are
                logged.

        Raises:
            BundleError: the bundle is damaged.
            BackendError: the backend cannot start.
        """
        if not 0 < poll_s <= MAX_POLL_S:
            raise ValueError(f"poll_s must be above 0 and at most {MAX_POLL_S}, got {poll_s}")
        self.bundle = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
        self.clip_shape = self.bundle.preprocessing.clip_shape
        self._seen = self.bundle.live
        self._serving = ServingHead(self.bundle.head(self._seen))
        self._backend = backend or OrtBackend(self.bundle.backbone())
        self._on_swap = on_swap
        self._poll_s = poll_s
        self._closed = threading.Event()
        self._swapping = threading.Lock()
        self._refused = ""
        self.refusal = ""
        """Why the watcher does not follow HEAD; empty when it does."""
        self._watcher = threading.Thread(target=self._watch, name="edgesplit-watch", daemon=True)
        self._watcher.start()

    def __enter__(self) -> Runtime:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def head_digest(self) -> str:
        """Digest of the head that is serving now."""
        return self._serving.digest

    def predict(self, clip: npt.ArrayLike) -> Prediction:
        """The decision about one clip.

        Args:
            clip: `clip_shape` float32 in 0..1, as `edgesplit.read_clip` gives it.

        Raises:
            ValueError: the clip has another shape, or holds whole numbers.
            BackendError: the backbone failed, or the runtime is closed.
        """
        start = time.perf_counter()
        feature = self.extract(clip)
        return self.decide(feature, backbone_ms=1000 * (time.perf_counter() - start))

    def extract(self, clip: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """The feature of one clip, `(dim,)` float32; arguments and errors as in `predict`."""
        given = np.asarray(clip)
        if given.dtype.kind != "f":
            raise ValueError(f"the clip is {given.dtype}, want float32 in 0..1; divide by 255")
        batch = np.ascontiguousarray(given, np.float32)[None]
        if batch.shape[1:] != self.clip_shape:
            raise ValueError(f"the clip has shape {batch.shape[1:]}, want {self.clip_shape}")
        if self._closed.is_set():
            raise BackendError("The runtime is closed. Open a new one.")
        features = self._backend.run(batch)
        if features.shape != (1, self.bundle.dim):
            raise BackendError(
                f"The backbone gave {features.shape} values, want (1, {self.bundle.dim}). The "
                "backend runs another model than the bundle's."
            )
        feature: npt.NDArray[np.float32] = features[0]
        if not np.isfinite(feature).all():
            raise BackendError(
                "The backbone gave a feature that is not finite. Check the clip for NaN."
            )
        return feature

    def decide(self, feature: npt.NDArray[np.float32], *, backbone_ms: float = 0.0) -> Prediction:
        """The decision about one feature, `(dim,)` float32, by the head that serves now.

        For several windows of one event, decide on the mean of their features: scores are linear
        in the feature at every level of the label tree, so that averages each level before the
        walk.

        Raises:
            ValueError: the feature has another size or is not finite.
            BackendError: the head failed.
        """
        batch = np.asarray(feature, np.float32)[None]
        if batch.shape != (1, self.bundle.dim) or not np.isfinite(batch).all():
            raise ValueError(f"the feature must be {self.bundle.dim} finite numbers")
        serving = self._serving  # taken once: a swap meanwhile does not touch this call
        start = time.perf_counter()
        result = serving.evaluate(batch)
        head_ms = 1000 * (time.perf_counter() - start)
        path = serving.head.path(int(result.class_index[0]), result.probabilities[0])
        return Prediction(
            label=path[-1].label,
            path=path,
            score=path[-1].probability,
            head_digest=serving.digest,
            timings=Timings(backbone_ms=backbone_ms, head_ms=head_ms),
        )

    def swap_head(self, digest: str | None = None) -> str:
        """Serves another head of the bundle; returns its digest.

        The head is built, checked and warmed here; the threads that predict never wait. It serves
        until the next swap, or until HEAD names another head than it does now.

        Args:
            digest: the head, or the beginning of its digest; by default the one HEAD names.

        Raises:
            EdgesplitError: the head is refused; the old one goes on serving.
        """
        with self._swapping:
            try:
                live = self.bundle.live
            except BundleError:
                if digest is None:
                    raise
                live = self._seen  # a named head needs no HEAD
            serving = ServingHead(self.bundle.head(live if digest is None else digest))
            self._serving = serving
            if live != self._refused or serving.digest == live:
                self._seen = live  # what HEAD names now is settled; a refused head is not
        self._tell(serving)
        return serving.digest

    def close(self) -> None:
        """Stops watching and frees the backend. Safe at any time and to call twice."""
        self._closed.set()
        if threading.current_thread() is not self._watcher:
            self._watcher.join()
        self._backend.close()

    def _watch(self) -> None:
        tried = 0.0
        while not self._closed.wait(self._poll_s):
            swapped = None
            try:
                with self._swapping:
                    live = self.bundle.live
                    again = live != self._refused or time.monotonic() - tried >= RETRY_S
                    if live != self._seen and again:
                        self._refused, tried = live, time.monotonic()
                        swapped = ServingHead(self.bundle.head(live))
                        self._serving, self._seen = swapped, live
                    if live == self._seen:
                        self._refused = self.refusal = ""
            except Exception as error:  # a watcher that dies would leave the device deaf
                self._refuse(error)
            if swapped is not None:
                self._tell(swapped)

    def _refuse(self, error: Exception) -> None:
        reason = str(error) or repr(error)
        if reason != self.refusal:
            self.refusal = reason
            _log.warning("%s goes on serving: %s", self.head_digest[:12], error)

    def _tell(self, serving: ServingHead) -> None:
        if self._on_swap is None:
            return
        try:
            self._on_swap(serving)
        except Exception:  # the head serves already; the callback's trouble must not undo that
            _log.exception("on_swap failed for %s", serving.digest[:12])
