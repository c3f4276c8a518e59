"""The runtime: predicts clips, while the head may be swapped between two predictions.

A head is built on the thread that requests the swap; serving threads get it through one reference
assignment. Each call reads the reference once, so a result never mixes two heads. A watcher thread
polls the bundle's HEAD, so heads that another process publishes go live.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgesplit._types import Float32
from edgesplit.backbone.backends import Backend, OrtBackend
from edgesplit.bundle.bundle import Bundle, open_bundle
from edgesplit.bundle.head_files import check_space
from edgesplit.errors import BackendError
from edgesplit.heads.head import Head, PathStep
from edgesplit.runtime.live.auto_rollback import AutoRollback
from edgesplit.runtime.live.live_head import POLL_S, LiveHead, ServingHead
from edgesplit.runtime.live.shadow import Shadow, ShadowReport

__all__ = ["Prediction", "Runtime", "Timings"]


@dataclass(frozen=True, slots=True)
class Timings:
    """Times of the parts of a prediction, in milliseconds."""

    backbone_ms: float
    head_ms: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """The decision about one clip, and the head that made it."""

    label: str
    score: float
    """Probability of the decided class."""
    path: tuple[PathStep, ...]
    """Steps from the root class to the decided class, with each level's probability."""
    head_digest: str
    timings: Timings

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return asdict(self)


class Runtime:
    """Serves a bundle. Use as a context manager; all methods are safe from several threads."""

    def __init__(
        self,
        bundle: str | Path | Bundle,
        *,
        backend: Backend | None = None,
        poll_s: float = POLL_S,
        on_swap: Callable[[ServingHead], None] | None = None,
        rollback_above: float | None = None,
    ) -> None:
        """Open the bundle, its backbone and its live head.

        Args:
            bundle: the bundle or its folder; it may be read-only.
            backend: runs the backbone; by default ONNX Runtime on the CPU. The runtime closes it.
            poll_s: seconds between two checks of HEAD; at most 1.
            on_swap: called after each swap, on the thread that made it; its exceptions are
                logged.
            rollback_above: share of windows, 0..1, that an edit may change outside its splits.
                After each edit the previous head is kept as a shadow. From 30 windows on, the
                bundle is rolled back to it if significantly more than this share has changed
                (`lowest_share`). If the bundle is not writable, only this runtime is rolled back.
                An edit that is made live again after that stays. None: never roll back.

        Raises:
            BundleError: the bundle is damaged.
            BackendError: the backend cannot start.
            TypeError: the backend is a name.
        """
        if isinstance(backend, str):
            opened = f"open_backend(bundle, {backend!r}).backend"
            raise TypeError(f"backend must be an open backend, such as {opened}, got {backend!r}")
        if rollback_above is not None and not 0 <= rollback_above < 1:
            raise ValueError(f"rollback_above must be from 0 to below 1, got {rollback_above}")
        self.bundle = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
        self.clip_shape = self.bundle.preprocessing.clip_shape
        self._auto_rollback = None
        if rollback_above is not None:
            self._auto_rollback = AutoRollback(self.bundle, rollback_above)
        self._on_swap = on_swap
        self._shadow: Shadow | None = None
        self._closed = threading.Event()
        self._backend = backend or OrtBackend(self.bundle.backbone())
        try:
            self._live = LiveHead(self.bundle, poll_s=poll_s, on_swap=self._after_swap)
        except BaseException:
            self._backend.close()
            raise

    def __enter__(self) -> Runtime:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    @property
    def head_digest(self) -> str:
        """Digest of the head that is serving now."""
        return self._live.serving.digest

    @property
    def refusal(self) -> str:
        """The reason why HEAD is not followed; empty if it is."""
        return self._live.refusal

    def predict(self, clip: npt.ArrayLike) -> Prediction:
        """Return the decision about one clip.

        Args:
            clip: `clip_shape` float32 in 0..1, as `edgesplit.read_clip` returns it.

        Raises:
            ValueError: the clip has another shape, or holds integers.
            BackendError: the backbone failed, or the runtime is closed.
        """
        start = time.perf_counter()
        feature = self.extract(clip)
        return self.decide(feature, backbone_ms=1000 * (time.perf_counter() - start))

    def extract(self, clip: npt.ArrayLike) -> Float32:
        """Return the feature of one clip, `(dim,)` float32; takes and raises as `predict`."""
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
                "backend does not run the bundle's backbone."
            )
        feature: Float32 = features[0]
        if not np.isfinite(feature).all():
            raise BackendError(
                "The backbone gave a feature that is not finite. Check the clip for NaN, and run "
                "the backbone without --variant and with --backend cpu; if that does not help, "
                "export the model again."
            )
        return feature

    def decide(self, feature: Float32, *, backbone_ms: float = 0.0) -> Prediction:
        """Return the decision about one feature, `(dim,)` float32, by the head that serves now.

        For several windows of one event, decide on the mean of their features. Logits are linear in
        the feature, so the mean feature gives the mean logits at every level of the label tree.

        Raises:
            ValueError: the feature has another size or is not finite.
            BackendError: the head failed.
        """
        batch = np.asarray(feature, np.float32)[None]
        (prediction,) = self._decide(batch, backbone_ms, observed=True)
        return prediction

    def decide_all(self, features: npt.ArrayLike) -> list[Prediction]:
        """Return the decisions about features `(n, dim)`, all by the same head.

        Shadow heads do not count these decisions, because they may repeat earlier windows.
        """
        return self._decide(np.asarray(features, np.float32), 0.0, observed=False)

    def _decide(self, batch: Float32, backbone_ms: float, *, observed: bool) -> list[Prediction]:
        if batch.ndim != 2 or batch.shape[1] != self.bundle.dim or not np.isfinite(batch).all():
            raise ValueError(f"a feature must be {self.bundle.dim} finite numbers")
        serving = self._live.serving  # read once, so that a swap does not affect this call
        start = time.perf_counter()
        result = serving.evaluate(batch)
        timings = Timings(backbone_ms, head_ms=1000 * (time.perf_counter() - start))
        if observed and (shadow := self._shadow) is not None:
            shadow.observe(serving, batch, result)
        if observed and self._auto_rollback is not None:
            self._auto_rollback.observe(self._live, serving, batch, result)
        paths = map(serving.head.path, map(int, result.class_index), result.probabilities)
        return [
            Prediction(
                label=path[-1].label,
                score=path[-1].probability,
                path=path,
                head_digest=serving.digest,
                timings=timings,
            )
            for path in paths
        ]

    def swap_head(self, digest: str | None = None) -> str:
        """Serve another head of the bundle; return its digest.

        The head is built, checked and warmed here; the threads that predict never wait. It serves
        until the next swap, or until HEAD names another head than it does now.

        Args:
            digest: digest of the head, or its beginning; by default the head that HEAD names.

        Raises:
            EdgesplitError: the head is refused; the old head keeps serving.
        """
        return self._live.swap(digest)

    def start_shadow(self, candidate: str | Head) -> str:
        """Score a candidate beside the live head on every `predict` and `decide` from now on.

        Args:
            candidate: a head, or the beginning of the digest of a head in the bundle.

        Returns:
            Digest of the candidate.

        Raises:
            EdgesplitError: the candidate is refused, or belongs to another feature space; an
                earlier candidate stays.
        """
        head = self.bundle.head(candidate) if isinstance(candidate, str) else candidate
        check_space(head, self.bundle.feature_space, self.bundle.dim)
        self._shadow = Shadow(ServingHead(head))
        return head.digest

    def stop_shadow(self) -> ShadowReport | None:
        """Stop scoring a candidate; return the last report, or None without a candidate."""
        report, self._shadow = self.shadow_report(), None
        return report

    def shadow_report(self) -> ShadowReport | None:
        """Return the report since the live head or candidate changed; None without a candidate."""
        shadow = self._shadow
        return None if shadow is None else shadow.report()

    @property
    def rolled_back(self) -> str:
        """Heads and reason of the last automatic rollback; empty without one."""
        return "" if self._auto_rollback is None else self._auto_rollback.last_rollback

    def _after_swap(self, before: ServingHead, after: ServingHead) -> None:
        if self._auto_rollback is not None:
            self._auto_rollback.watch(before, after)
        if self._on_swap is not None:
            self._on_swap(after)

    def close(self) -> None:
        """Stop following HEAD and close the backend. Safe at any time and to call twice."""
        self._closed.set()
        self._live.close()
        self._backend.close()
