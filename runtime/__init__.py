"""The device: run a bundle, and swap its head while clips keep coming.

backends   clip -> feature: ONNX Runtime, or any function
swap       a head built, checked and warmed, ready to serve
runtime    the two together, following the bundle's HEAD
engines    the backbone compiled for this device: build, list, remove, open
trt, cuda  TensorRT and the GPU, each known to one module; apart: where they may crash
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgesplit.runtime.backends import Backend, FunctionBackend, OrtBackend
    from edgesplit.runtime.engines import (
        build_engine,
        list_engines,
        open_engine,
        remove_engines,
    )
    from edgesplit.runtime.runtime import Prediction, Runtime, Timings
    from edgesplit.runtime.swap import ServingHead

__all__ = [
    "Backend",
    "FunctionBackend",
    "OrtBackend",
    "Prediction",
    "Runtime",
    "ServingHead",
    "Timings",
    "build_engine",
    "list_engines",
    "open_engine",
    "remove_engines",
]

_HOMES = {
    "backends": ("Backend", "FunctionBackend", "OrtBackend"),
    "engines": ("build_engine", "list_engines", "open_engine", "remove_engines"),
    "runtime": ("Prediction", "Runtime", "Timings"),
    "swap": ("ServingHead",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"edgesplit.runtime.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
