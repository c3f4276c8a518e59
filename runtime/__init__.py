"""The device: run a bundle, and swap its head while clips keep coming.

backends   clip -> feature: ONNX Runtime, or any function; batching joins several threads' clips
swap       the head that serves, following the bundle's HEAD
shadow     a candidate beside it; probation: the rollback of an edit that changes too much
runtime    all of it together
engines    the backbone compiled for this device: build, list, remove, open
variants   the backbone in fp16, int8 or fused, for ONNX Runtime: add, list, remove, open
choice     which of these runs here, and why
doctor     what this device can do, by probes; device, jetson, power: the machine, in a record
trt, cuda  TensorRT and the GPU, each known to one module; apart: where they may crash
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgesplit.runtime.backends import Backend, FunctionBackend, OrtBackend
    from edgesplit.runtime.batching import BatchingBackend
    from edgesplit.runtime.choice import Choice, open_backend
    from edgesplit.runtime.device import DeviceRecord, describe_device
    from edgesplit.runtime.doctor import Checkup, examine
    from edgesplit.runtime.engines import (
        build_engine,
        list_engines,
        open_engine,
        remove_engines,
    )
    from edgesplit.runtime.power import PowerSampler
    from edgesplit.runtime.runtime import Prediction, Runtime, Timings
    from edgesplit.runtime.shadow import Shadow, ShadowReport
    from edgesplit.runtime.swap import ServingHead
    from edgesplit.runtime.variants import (
        add_variant,
        list_variants,
        open_variant,
        remove_variants,
    )

__all__ = [
    "Backend",
    "BatchingBackend",
    "Checkup",
    "Choice",
    "DeviceRecord",
    "FunctionBackend",
    "OrtBackend",
    "PowerSampler",
    "Prediction",
    "Runtime",
    "ServingHead",
    "Shadow",
    "ShadowReport",
    "Timings",
    "add_variant",
    "build_engine",
    "describe_device",
    "examine",
    "list_engines",
    "list_variants",
    "open_backend",
    "open_engine",
    "open_variant",
    "remove_engines",
    "remove_variants",
]

_HOMES = {
    "backends": ("Backend", "FunctionBackend", "OrtBackend"),
    "batching": ("BatchingBackend",),
    "choice": ("Choice", "open_backend"),
    "device": ("DeviceRecord", "describe_device"),
    "doctor": ("Checkup", "examine"),
    "engines": ("build_engine", "list_engines", "open_engine", "remove_engines"),
    "power": ("PowerSampler",),
    "runtime": ("Prediction", "Runtime", "Timings"),
    "shadow": ("Shadow", "ShadowReport"),
    "swap": ("ServingHead",),
    "variants": ("add_variant", "list_variants", "open_variant", "remove_variants"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"edgesplit.runtime.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
