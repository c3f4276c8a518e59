"""A GPU, a driver and a TensorRT for machines without: the host's memory is the device's.

A plan is the ONNX it was built from, and ONNX Runtime runs it. Only what edgesplit calls is here.
"""

import ctypes
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from edgesplit.backbone.backends import OrtBackend
from edgesplit.errors import EngineError
from edgesplit.runtime.backends.agreement import Progress
from edgesplit.runtime.backends.engines import Platform, TensorRT
from edgesplit.runtime.backends.tensorrt import Batch, Plan

__all__ = ["HERE", "FakeCuda", "FakeTensorRT", "fake_module"]

HERE = Platform(tensorrt="tensorrt 10.3.0", cuda="12.6", gpu="Orin sm87")

Floats = npt.NDArray[np.float32]


class FakeTensorRT(TensorRT):
    """Builds and runs in this process; counts the builds."""

    def __init__(self, platform: Platform = HERE) -> None:
        self._platform = platform
        self.n_builds = self.n_starts = 0
        self.given_times: list[bytes] = []

    def platform(self) -> Platform:
        self.n_starts += 1  # the real one starts a process
        return self._platform

    def build(
        self,
        backbone: bytes,
        *,
        clip_shape: tuple[int, ...],
        batch: Batch,
        timing_cache: bytes,
        progress: Progress,
    ) -> Plan:
        self.n_builds += 1
        self.given_times.append(timing_cache)
        return Plan(engine=backbone, timing_cache=b"times of build %d" % self.n_builds)

    def run(
        self, engine: bytes, clips: Floats, sizes: tuple[int, ...], *, progress: Progress
    ) -> Floats:
        backend = OrtBackend(engine)
        return np.concatenate([backend.run(np.resize(clips, (n, *clips.shape[1:]))) for n in sizes])


class FakeCuda:
    """The functions of CUDA's runtime. `fails` names one that reports an error."""

    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)  # noqa: N815

    def __init__(self, fails: str = "", n_devices: int = 1) -> None:
        self._fails = fails
        self._n_devices = n_devices
        self.memory: dict[int, Any] = {}
        self.streams: set[int] = set()

    def __getattr__(self, name: str) -> Any:
        try:
            function = getattr(self, f"_{name}")
        except RecursionError:
            raise AttributeError(name) from None

        def answer(*arguments: Any) -> tuple[Any, ...]:
            if name == self._fails:
                return (700, None)
            values = function(*arguments)
            return (0,) if values is None else (0, values)

        answer.__name__ = name
        return answer

    def _cudaGetDeviceCount(self) -> int:  # noqa: N802
        return self._n_devices

    def _cudaDriverGetVersion(self) -> int:  # noqa: N802
        return 12060

    def _cudaGetDeviceProperties(self, device: int) -> Any:  # noqa: N802
        return SimpleNamespace(name=b"Orin\0\0", major=8, minor=7)

    def _cudaStreamCreate(self) -> int:  # noqa: N802
        self.streams.add(5)
        return 5

    def _cudaStreamDestroy(self, stream: int) -> None:  # noqa: N802
        self.streams.remove(stream)

    def _cudaStreamSynchronize(self, stream: int) -> None:  # noqa: N802
        assert stream in self.streams

    def _cudaMalloc(self, n_bytes: int) -> int:  # noqa: N802
        memory = ctypes.create_string_buffer(n_bytes)
        self.memory[ctypes.addressof(memory)] = memory
        return ctypes.addressof(memory)

    def _cudaFree(self, pointer: int) -> None:  # noqa: N802
        del self.memory[pointer]

    def _cudaMemcpyAsync(  # noqa: N802
        self, target: int, source: int, n_bytes: int, kind: int, stream: int
    ) -> None:
        assert stream in self.streams
        device = target if kind == 1 else source
        assert n_bytes <= len(self.memory[device])
        ctypes.memmove(target, source, n_bytes)


def fake_module(batch: Batch = Batch()) -> Any:  # noqa: B008
    """A TensorRT that opens plans; one that is no ONNX it complains about."""

    class Runtime:
        def __init__(self, logger: Any) -> None:
            self._logger = logger

        def deserialize_cuda_engine(self, plan: bytes) -> Any:
            if plan == b"not a plan":
                self._logger.log(SimpleNamespace(name="ERROR"), "the plan is of another version.")
                return None
            return _Engine(plan, batch)

    class ILogger:
        pass

    return SimpleNamespace(
        __name__="tensorrt", __version__="10.3.0", Runtime=Runtime, ILogger=ILogger
    )


class _Engine:
    def __init__(self, plan: bytes, batch: Batch) -> None:
        graph = onnx.load_model_from_string(plan).graph
        shapes = [
            [dim.dim_value for dim in entry.type.tensor_type.shape.dim]
            for entry in (*graph.input, *graph.output)
        ]
        self._clip_shape, self._dim = tuple(shapes[0][1:]), shapes[1][1]
        self._batch = batch
        self.backend = OrtBackend(plan)

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, ...]]:
        assert (name, profile) == ("clip", 0)
        sizes = (self._batch.least, self._batch.best, self._batch.most)
        return [(size, *self._clip_shape) for size in sizes]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        assert name == "features"
        return (-1, self._dim)

    def create_execution_context(self) -> Any:
        return _Context(self, self._dim)


class _Context:
    def __init__(self, engine: _Engine, dim: int) -> None:
        self._engine = engine
        self._dim = dim
        self._address: dict[str, int] = {}
        self._shape: tuple[int, ...] = ()

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._shape = shape
        return True

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._address[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        count = int(np.prod(self._shape))
        given = (ctypes.c_float * count).from_address(self._address["clip"])
        clips = np.ctypeslib.as_array(given).reshape(self._shape)
        try:
            features = self._engine.backend.run(clips.copy())
        except EngineError:
            return False
        ctypes.memmove(self._address["features"], features.ctypes.data, features.nbytes)
        return True
