"""Find the GPU and call CUDA, without TensorRT.

Call `find_device` before TensorRT: without a driver TensorRT ends the process instead of raising.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from edgesplit.errors import BackendError, MissingExtraError

__all__ = ["Device", "call", "find_device", "load_cuda"]

_NODES = ("/dev/nvidia0", "/dev/nvhost-gpu", "/dev/nvgpu", "/dev/dxg")
"""Device nodes of the driver: on a PC, on two generations of Jetson, under WSL."""


@dataclass(frozen=True, slots=True)
class Device:
    """The GPU that engines are built for; no other GPU can run them."""

    gpu: str
    """Name and compute capability, as in `Orin sm87`."""
    cuda: str
    """CUDA version that the driver supports, as in `12.6`."""


def find_device() -> Device:
    """Return the first CUDA device.

    Raises:
        BackendError: there is no CUDA device, or the driver does not respond.
        MissingExtraError: cuda-bindings is not installed.
    """
    if not any(Path(node).exists() for node in _NODES):
        raise BackendError(
            f"This machine has no CUDA device (none of {', '.join(_NODES)}). Build engines on the "
            "device that runs them, or use ONNX Runtime, which needs no CUDA device.",
            reason="no CUDA device",
        )
    cuda = load_cuda()
    if not call(cuda.cudaGetDeviceCount):
        raise BackendError(
            "The CUDA driver lists no device. Check CUDA_VISIBLE_DEVICES.",
            reason="the driver lists no device",
        )
    version = call(cuda.cudaDriverGetVersion)
    found = call(cuda.cudaGetDeviceProperties, 0)
    name = found.name.split(b"\0")[0].decode(errors="replace")
    return Device(
        gpu=f"{name} sm{found.major}{found.minor}",
        cuda=f"{version // 1000}.{version % 1000 // 10}",
    )


def load_cuda() -> Any:
    """Return the module of CUDA's runtime functions.

    Raises:
        MissingExtraError: cuda-bindings is not installed.
    """
    errors = []
    for name in ("cuda.bindings.runtime", "cuda.cudart"):  # since 12.8; before 12.8
        try:
            return import_module(name)
        except ImportError as error:
            errors.append(error)
    raise MissingExtraError(
        f"CUDA's Python bindings cannot be imported ({errors[0]}). Install those of the driver's "
        "CUDA: pip install 'cuda-bindings<13' for CUDA 12 (JetPack 6), 'cuda-bindings' for 13.",
        reason="CUDA's Python bindings cannot be imported",
    ) from errors[0]


def call(function: Any, *arguments: Any) -> Any:
    """Call a function of CUDA's runtime; return its result without the error code.

    Raises:
        BackendError: the error code is not 0.
    """
    code, *values = function(*arguments)
    if int(code) != 0:
        raise BackendError(
            f"CUDA's {function.__name__} failed: {getattr(code, 'name', code)}. Check the driver, "
            "and that cuda-bindings is not newer than the driver's CUDA.",
            reason=f"{function.__name__} failed",
        )
    return values[0] if values else None
