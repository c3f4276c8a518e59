"""Try what runs here: providers, TensorRT, speed, codecs, cameras.

Probes that may crash, or load a library that the caller does not want, run in a subprocess.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from edgesplit._isolated import run_isolated
from edgesplit._types import Float32
from edgesplit.backbone.backends import Backend, OrtBackend
from edgesplit.backbone.session import import_onnxruntime, open_session
from edgesplit.bundle.bundle import open_bundle
from edgesplit.errors import BackendError, EdgesplitError
from edgesplit.heads.head import Head
from edgesplit.runtime.backends.engines import Platform, TensorRT
from edgesplit.runtime.backends.select import open_backend
from edgesplit.runtime.live.runtime import Runtime

__all__ = ["CODECS", "Probes", "Speed"]

CODECS = {
    "h264": ("h264",),
    "hevc": ("hevc",),
    "vp9": ("vp9", "libvpx-vp9"),
    "av1": ("libdav1d", "libaom-av1"),  # FFmpeg's own `av1` only drives hardware
    "mjpeg": ("mjpeg",),
}
"""The usual codecs of cameras and files, and FFmpeg's decoders for each."""


Measured = TypeVar("Measured")

_LIMIT_S = 120.0
"""Seconds that a tiny model may take. The first use of CUDA takes half a minute on a small device;
a driver that hangs never ends."""
_ADVICE = "Check the driver; if it hangs on a machine that is not busy, restart the machine."
_QUICK_S = 1.0
_MIN_RUNS = 20
_NOT_FOR_MODELS = ("AzureExecutionProvider",)  # listed in every wheel, and runs nothing here


@dataclass(frozen=True, slots=True)
class Speed:
    """A quick estimate of how fast a backbone runs here; not a benchmark."""

    what: str
    on: str
    """The backend, as in `ONNX Runtime, CPUExecutionProvider`."""
    backbone_ms: float
    """Median time of one clip, in milliseconds."""
    slow_ms: float
    """90th percentile in milliseconds; far above the median while other work runs."""
    head_ms: float | None
    n_runs: int


class Probes:
    """Everything that must be tried rather than read. A test passes one that needs no device."""

    def providers(self) -> dict[str, str]:
        """Return, by provider of ONNX Runtime, why it does not run here; empty if it does.

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
        """See `TensorRT.platform`."""
        return TensorRT().platform()

    def speed(self, path: Path | None) -> Speed:
        """Measure for a second how fast a bundle's backbone and head run, or a reference network.

        Raises:
            EdgesplitError: it does not run.
        """
        return run_isolated(_measure, path)

    def codecs(self) -> tuple[str, ...]:
        """Return those of `CODECS` that PyAV's FFmpeg decodes."""
        import av

        known = av.codecs_available
        return tuple(name for name, decoders in CODECS.items() if known.intersection(decoders))

    def may_use(self, node: Path) -> bool:
        """Return True if this user may read and write a device's node."""
        return os.access(node, os.R_OK | os.W_OK)


# Run in a subprocess.


def _list_providers() -> list[str]:
    onnxruntime = import_onnxruntime()
    open_session(_tiny())
    return list(onnxruntime.get_available_providers())


def _run_tiny(provider: str) -> None:
    """Run a model: a provider that starts may still lack kernels for this GPU."""
    session = open_session(_tiny(), providers=(provider,))
    try:
        session.run(None, {"features": np.ones((1, 2), np.float32)})
    except Exception as error:  # ONNX Runtime's exceptions have no common base of their own
        raise BackendError(f"it starts, and fails when it runs: {error}") from error


def _tiny() -> bytes:
    return Head.from_arrays(np.eye(2), np.zeros(2), ("one", "other")).to_bytes()


def _measure(path: Path | None) -> Speed:
    if path is None:
        backend = OrtBackend(_reference())
        clip = np.full((1, 3, 8, 64, 64), 0.5, np.float32)
        times = _times(lambda: _timed(backend, clip))
        what = "A small network of ours (3-D convolutions, 8 frames of 64x64)"
        return _speed_of(what, f"ONNX Runtime, {backend.providers[0]}", times, None)
    bundle = open_bundle(path)
    opened = open_backend(bundle)
    with Runtime(bundle, backend=opened.backend) as runtime:
        still = np.full(runtime.clip_shape, 0.5, np.float32)
        timings = _times(lambda: runtime.predict(still).timings)
    head_ms = statistics.median(one.head_ms for one in timings)
    backbone = [one.backbone_ms for one in timings]
    return _speed_of("The bundle's backbone", opened.description, backbone, head_ms)


def _speed_of(what: str, on: str, times_ms: list[float], head_ms: float | None) -> Speed:
    return Speed(
        what=what,
        on=on,
        backbone_ms=statistics.median(times_ms),
        slow_ms=statistics.quantiles(times_ms, n=10)[-1],
        head_ms=head_ms,
        n_runs=len(times_ms),
    )


def _timed(backend: Backend, clip: Float32) -> float:
    start = time.perf_counter()
    backend.run(clip)
    return 1000 * (time.perf_counter() - start)


def _times(measure: Callable[[], Measured]) -> list[Measured]:
    """Repeat a measurement for a second and at least `_MIN_RUNS` times; the first is dropped."""
    measure()
    measured: list[Measured] = []
    start = time.perf_counter()
    while len(measured) < _MIN_RUNS or time.perf_counter() - start < _QUICK_S:
        measured.append(measure())
    return measured


def _reference() -> bytes:
    """Return a backbone that is the same everywhere, so that machines can be compared."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    weights = {
        "first": rng.standard_normal((32, 3, 3, 3, 3)).astype(np.float32),
        "second": rng.standard_normal((64, 32, 3, 3, 3)).astype(np.float32),
    }
    around, half = [1] * 6, [1, 2, 2]
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["clip", "first"], ["a"], pads=around, strides=half),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("Conv", ["b", "second"], ["c"], pads=around, strides=half),
            helper.make_node("GlobalAveragePool", ["c"], ["d"]),
            helper.make_node("Flatten", ["d"], ["features"], axis=1),
        ],
        "reference",
        [helper.make_tensor_value_info("clip", TensorProto.FLOAT, ["N", 3, 8, 64, 64])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 64])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    return bytes(model.SerializeToString(deterministic=True))
