"""Test what runs on this device: providers, TensorRT, speed, codecs, cameras.

Probes that may crash, or that load a library that the caller does not want, run in a subprocess.
"""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import edgesplit
from edgesplit._isolated import run_isolated
from edgesplit.backbone.session import import_onnxruntime, open_session
from edgesplit.bundle.bundle import open_bundle
from edgesplit.errors import BackendError, EdgesplitError
from edgesplit.heads.head import Head
from edgesplit.runtime.backends.engines import Platform, TensorRT
from edgesplit.runtime.backends.select import open_backend
from edgesplit.runtime.device.packages import PackageOrigin, find_tensorrt
from edgesplit.runtime.live.runtime import Runtime, Timings

__all__ = ["CODECS", "Probes", "Speed"]

CODECS = {
    "h264": ("h264",),
    "hevc": ("hevc",),
    "vp9": ("vp9", "libvpx-vp9"),
    "av1": ("libdav1d", "libaom-av1"),  # FFmpeg's own `av1` only drives hardware
    "mjpeg": ("mjpeg",),
}
"""The usual codecs of cameras and files, and FFmpeg's decoders for each."""

_DEMO = Path(edgesplit.__file__).parent / "assets" / "demo" / "motion.bundle"
"""The bundle that is timed if the user gives none; the same everywhere, to compare machines."""

_LIMIT_S = 120.0
"""Seconds that a tiny model may take. The first use of CUDA takes half a minute on a small device;
a hanging driver never returns."""
_ADVICE = "Check the driver; if it hangs on a machine that is not busy, restart the machine."
_QUICK_S = 1.0
_MIN_RUNS = 20
_NOT_FOR_MODELS = ("AzureExecutionProvider",)  # listed in every wheel, runs no local models


@dataclass(frozen=True, slots=True)
class Speed:
    """A quick estimate of the speed of a backbone on this device; not a benchmark."""

    what: str
    on: str
    """Backend, as in `ONNX Runtime, CPUExecutionProvider`."""
    backbone_ms: float
    """Median time of one clip, in milliseconds."""
    slow_ms: float
    """90th percentile of the backbone's times, in milliseconds."""
    head_ms: float
    n_runs: int


class Probes:
    """The checks that must be tried. Tests replace it by one that needs no device."""

    def providers(self) -> dict[str, str]:
        """Return by provider the reason why it does not run on this device, empty if it runs.

        Raises:
            EdgesplitError: ONNX Runtime does not run at all.
        """
        found = {}
        for name in run_isolated(_list_providers, limit_s=_LIMIT_S, advice=_ADVICE):
            if name in _NOT_FOR_MODELS:
                continue
            try:
                run_isolated(_run_tiny, name, limit_s=_LIMIT_S, advice=_ADVICE)
                found[name] = ""
            except EdgesplitError as error:
                found[name] = str(error)
        return found

    def tensorrt(self) -> Platform:
        """Return the platform as `TensorRT.platform` does."""
        return TensorRT().platform()

    def tensorrt_origin(self) -> PackageOrigin | None:
        """Return the package as `find_tensorrt` does."""
        return find_tensorrt()

    def speed(self, path: Path | None) -> Speed:
        """Measure for a second the speed of a bundle's backbone and head; by default the demo's.

        Raises:
            EdgesplitError: the bundle does not run.
        """
        return run_isolated(_measure, path)

    def codecs(self) -> tuple[str, ...]:
        """Return the names in `CODECS` that PyAV's FFmpeg decodes."""
        import av

        known = av.codecs_available
        return tuple(name for name, decoders in CODECS.items() if known.intersection(decoders))

    def may_use(self, node: Path) -> bool:
        """Return True if this user may read and write a device node."""
        return os.access(node, os.R_OK | os.W_OK)


# Run in a subprocess.


def _list_providers() -> list[str]:
    onnxruntime = import_onnxruntime()
    open_session(_tiny())
    return list(onnxruntime.get_available_providers())


def _run_tiny(provider: str) -> None:
    """Run a tiny model: a provider that starts may still lack kernels for this GPU."""
    session = open_session(_tiny(), providers=(provider,))
    try:
        session.run(None, {"features": np.ones((1, 2), np.float32)})
    except Exception as error:  # ONNX Runtime's exceptions have no common base class
        raise BackendError(f"it starts, but fails when it runs: {error}") from error


def _tiny() -> bytes:
    return Head.from_arrays(np.eye(2), np.zeros(2), ("one", "other")).to_bytes()


def _measure(path: Path | None) -> Speed:
    """Time predictions of a grey clip for `_QUICK_S` and at least `_MIN_RUNS` times."""
    bundle = open_bundle(path or _DEMO)
    opened = open_backend(bundle)
    with Runtime(bundle, backend=opened.backend) as runtime:
        still = np.full(runtime.clip_shape, 0.5, np.float32)
        runtime.predict(still)  # the first takes longer
        timings: list[Timings] = []
        start = time.perf_counter()
        while len(timings) < _MIN_RUNS or time.perf_counter() - start < _QUICK_S:
            timings.append(runtime.predict(still).timings)
    backbone_ms = [one.backbone_ms for one in timings]
    return Speed(
        what="The bundle's backbone" if path else "The demo's small backbone (3-D convolutions)",
        on=opened.description,
        backbone_ms=statistics.median(backbone_ms),
        slow_ms=statistics.quantiles(backbone_ms, n=10)[-1],
        head_ms=statistics.median(one.head_ms for one in timings),
        n_runs=len(timings),
    )
