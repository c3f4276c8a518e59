"""Build and run engines with TensorRT, using only names that 10.3, 10.16 and 11.4 all have.

Networks are strongly typed: the ONNX file alone sets which operators are float16. TensorRT 10 also
has flags that let it choose, but TensorRT 11 does not. With strong types, the same file and code
work for both, and the engine has the accuracy that was measured.

Without CUDA, TensorRT ends the process instead of raising. Call `cuda.find_device` first, and call
these functions through `run_isolated`. Open an engine in this process only after it ran once in a
subprocess.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from edgesplit._types import Float32
from edgesplit.backbone.backends import CLOSED
from edgesplit.backbone.identity import check_self_contained
from edgesplit.errors import BackendError, EngineError, MissingExtraError
from edgesplit.runtime.backends.cuda import call, find_device, load_cuda

__all__ = ["Batch", "EngineBackend", "Plan", "build_plan", "run_plan", "version"]

ENVIRONMENT = "EDGESPLIT_TENSORRT"
MODULES = ("tensorrt", "tensorrt_rtx")
"""Modules that EDGESPLIT_TENSORRT may name. TensorRT-RTX is for PCs. It has the API of TensorRT 11
and builds without a GPU, so the tests build with it."""

N_MESSAGES = 5
"""Largest number of TensorRT's last error messages that an exception repeats."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Batch:
    """Batch sizes that an engine accepts; it is fastest at `best`."""

    least: int = 1
    best: int = 1
    most: int = 8

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.best <= self.most:
            raise ValueError(f"batch sizes must be 1 <= least <= best <= most, got {self}")

    def __str__(self) -> str:
        return f"{self.least},{self.best},{self.most}"


@dataclass(frozen=True, slots=True)
class Plan:
    """A built engine, and the timings that TensorRT measured on this device while building."""

    engine: bytes
    timing_cache: bytes


def version() -> str:
    """Start TensorRT and return its module and version, as in `tensorrt 10.3.0`.

    Raises:
        MissingExtraError: TensorRT or a library that it needs is not installed.
    """
    trt = _load()
    logger = _logger(trt)
    trt.Builder(logger)
    return f"{trt.__name__} {trt.__version__}"


def build_plan(
    onnx: bytes, clip_shape: tuple[int, ...], batch: Batch, timing_cache: bytes = b""
) -> Plan:
    """Build an engine, which takes minutes on a small device. TensorRT's messages are logged.

    Args:
        onnx: a backbone, input `clip` with a free batch axis; its types set the precision.
        clip_shape: shape of one clip.
        batch: the batch sizes that the engine accepts.
        timing_cache: timings of an earlier build on this device; ignored if they do not fit.

    Raises:
        BackendError: a weight lies outside the backbone's bytes: TensorRT would read the file.
        EngineError: TensorRT cannot read or build the backbone; with its last messages.
        MissingExtraError: TensorRT is not installed.
    """
    check_self_contained(onnx)
    trt = _load()
    logger = _logger(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(onnx):
        raise EngineError(
            f"{trt.__name__} {trt.__version__} cannot read the backbone: {logger.last_errors()} "
            "Export it with operators that TensorRT has, or run it with ONNX Runtime."
        )
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    sizes = (batch.least, batch.best, batch.most)
    profile.set_shape("clip", *((size, *clip_shape) for size in sizes))
    config.add_optimization_profile(profile)
    for times in (timing_cache, b""):
        cache = config.create_timing_cache(times)
        if cache and config.set_timing_cache(cache, False):  # False: refuse one of another device
            break
    built = builder.build_serialized_network(network, config)
    if built is None:  # TensorRT raises nothing
        raise EngineError(
            f"{trt.__name__} {trt.__version__} could not build the engine: {logger.last_errors()} "
            "Free memory or set a smaller --batch, and try again."
        )
    learned = config.get_timing_cache()
    return Plan(engine=bytes(built), timing_cache=bytes(learned.serialize()) if learned else b"")


def run_plan(engine: bytes, clips: Float32, sizes: tuple[int, ...]) -> Float32:
    """Return the features of batches of several sizes, one after another.

    Args:
        engine: a plan of `build_plan`.
        clips: `(n, *clip_shape)` float32; each batch starts at the first clip and repeats them.
        sizes: the batch sizes.

    Returns:
        `(sum of sizes, dim)` float32.

    Raises:
        BackendError: there is no CUDA device, the engine is not for it, or the run failed.
    """
    backend = EngineBackend(engine)
    try:
        batches = [np.resize(clips, (size, *clips.shape[1:])) for size in sizes]
        return np.concatenate([backend.run(batch) for batch in batches])
    finally:
        backend.close()


class EngineBackend:
    """Runs an engine. `run` is safe from several threads, which take turns.

    An engine is code: open only engines that were built on this machine.
    """

    def __init__(self, engine: bytes) -> None:
        """Open an engine on the first CUDA device.

        Raises:
            BackendError: there is no device, or TensorRT refuses the engine.
            MissingExtraError: TensorRT or cuda-bindings is not installed.
        """
        find_device()
        trt, self._cuda = _load(), load_cuda()
        self._logger = _logger(trt)
        self._runtime = trt.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(engine)
        self._context = self._engine and self._engine.create_execution_context()
        if not self._context:
            raise EngineError(
                f"{trt.__name__} {trt.__version__} refuses this engine: "
                f"{self._logger.last_errors()} Build it again: edgesplit engine build --rebuild.",
                reason="TensorRT refuses the engine",
            )
        shapes = [tuple(shape) for shape in self._engine.get_tensor_profile_shape("clip", 0)]
        self.batch = Batch(*(shape[0] for shape in shapes))
        self.clip_shape = shapes[0][1:]
        self._dim = int(tuple(self._engine.get_tensor_shape("features"))[1])
        self._lock = threading.Lock()
        self._resources: contextlib.ExitStack | None = None
        with contextlib.ExitStack() as resources:
            self._stream = call(self._cuda.cudaStreamCreate)
            resources.callback(call, self._cuda.cudaStreamDestroy, self._stream)
            self._clips = self._allocate(resources, self.batch.most, *self.clip_shape)
            self._features = self._allocate(resources, self.batch.most, self._dim)
            self._resources = resources.pop_all()

    def _allocate(self, resources: contextlib.ExitStack, *shape: int) -> int:
        """Allocate device memory for a float32 array, until the backend closes."""
        pointer = int(call(self._cuda.cudaMalloc, 4 * int(np.prod(shape))))
        resources.callback(call, self._cuda.cudaFree, pointer)
        return pointer

    def run(self, clips: Float32) -> Float32:
        """Run clips as `Backend.run` does, in the batch sizes that the engine was built for."""
        given = np.ascontiguousarray(clips, np.float32)
        n_clips = len(given)
        if not self.batch.least <= n_clips <= self.batch.most or given.shape[1:] != self.clip_shape:
            raise BackendError(
                f"The engine takes {self.batch.least} to {self.batch.most} clips of "
                f"{self.clip_shape}, got {given.shape}. `edgesplit engine build --batch` sets the "
                "batch sizes."
            )
        features = np.empty((n_clips, self._dim), np.float32)
        cuda = self._cuda
        kind = cuda.cudaMemcpyKind
        with self._lock:
            if self._resources is None:
                raise BackendError(CLOSED)
            self._context.set_input_shape("clip", given.shape)
            self._context.set_tensor_address("clip", self._clips)
            self._context.set_tensor_address("features", self._features)
            to_device = (self._clips, given.ctypes.data, given.nbytes, kind.cudaMemcpyHostToDevice)
            call(cuda.cudaMemcpyAsync, *to_device, self._stream)
            if not self._context.execute_async_v3(int(self._stream)):
                raise BackendError(f"The engine failed: {self._logger.last_errors()}")
            back = (features.ctypes.data, self._features, features.nbytes)
            call(cuda.cudaMemcpyAsync, *back, kind.cudaMemcpyDeviceToHost, self._stream)
            call(cuda.cudaStreamSynchronize, self._stream)
        return features

    def close(self) -> None:
        """Close the engine as `Backend.close` does, after a run that has started."""
        with self._lock:
            resources, self._resources = self._resources, None
            if resources is not None:
                self._context = self._engine = self._runtime = None
                resources.close()


def _load() -> Any:
    """Return the TensorRT module: `tensorrt`, or the one that EDGESPLIT_TENSORRT names."""
    name = os.environ.get(ENVIRONMENT) or MODULES[0]
    if name not in MODULES:
        raise EngineError(f"{ENVIRONMENT} is {name!r}. Set it to one of {', '.join(MODULES)}.")
    try:
        return import_module(name)
    except (ImportError, OSError) as error:  # OSError: a library of TensorRT is missing
        raise MissingExtraError(
            f"{name} cannot be imported ({error}). On a Jetson it comes with JetPack, for the "
            "system's Python: make the environment with python3 -m venv --system-site-packages. "
            "Elsewhere: pip install '.[tensorrt]' in a checkout of edgesplit.",
            reason=f"{name} cannot be imported",
        ) from error


def _logger(trt: Any) -> Any:
    """Return a logger that forwards TensorRT's messages and keeps the errors.

    When TensorRT fails, it returns None and passes the reason only to its logger.
    """

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self._errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity.name in ("INTERNAL_ERROR", "ERROR"):
                self._errors.append(message)
            if severity.name != "VERBOSE":  # thousands of lines
                _log.log(logging.INFO if severity.name == "INFO" else logging.WARNING, message)

        def last_errors(self) -> str:
            last = [message.strip().rstrip(".") for message in self._errors[-N_MESSAGES:]]
            return " | ".join(last or ["it gave no reason"]) + "."

    return Logger()
