"""The device: run a bundle, and swap its head while clips keep coming.

backends   clip -> feature: ONNX Runtime, or any function; batching joins several threads' clips
swap       the head that serves, following the bundle's HEAD
shadow     a candidate beside it; probation: the rollback of an edit that changes too much
runtime    all of it together
stream     what a camera sees, window after window: capture reads it, windows cuts it, inbox holds
           what waits, recent decides over several and once more after a swap, ledger counts,
           events tell
engines    the backbone compiled for this device: build, open
variants   the backbone in fp16, int8 or fused, for ONNX Runtime: add, open
shelf      where both are kept: list, find, remove
choice     which of these runs here, and why
doctor     what this device can do, by probes; device, jetson, power: the machine, in a record
trt, cuda  TensorRT and the GPU, each known to one module; apart: where they may crash
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgesplit.runtime.backends import Backend, FunctionBackend, OrtBackend
    from edgesplit.runtime.batching import BatchingBackend
    from edgesplit.runtime.capture import Feed, Source, parse_source
    from edgesplit.runtime.choice import Choice, open_backend
    from edgesplit.runtime.device import DeviceRecord, describe_device
    from edgesplit.runtime.doctor import Checkup, examine
    from edgesplit.runtime.engines import ENGINES, build_engine, open_engine
    from edgesplit.runtime.events import (
        Decision,
        Ended,
        Event,
        Gap,
        Reconnecting,
        Refused,
        Rescored,
        RolledBack,
        Shadowed,
        Stalled,
        Started,
        Swapped,
    )
    from edgesplit.runtime.ledger import Accounting
    from edgesplit.runtime.power import PowerSampler
    from edgesplit.runtime.recent import Recent
    from edgesplit.runtime.runtime import Prediction, Runtime, Timings
    from edgesplit.runtime.shadow import Shadow, ShadowReport
    from edgesplit.runtime.stream import Stream
    from edgesplit.runtime.swap import ServingHead
    from edgesplit.runtime.variants import VARIANTS, add_variant, open_variant
    from edgesplit.runtime.windows import Frame

__all__ = [
    "ENGINES",
    "VARIANTS",
    "Accounting",
    "Backend",
    "BatchingBackend",
    "Checkup",
    "Choice",
    "Decision",
    "DeviceRecord",
    "Ended",
    "Event",
    "Feed",
    "Frame",
    "FunctionBackend",
    "Gap",
    "OrtBackend",
    "PowerSampler",
    "Prediction",
    "Recent",
    "Reconnecting",
    "Refused",
    "Rescored",
    "RolledBack",
    "Runtime",
    "ServingHead",
    "Shadow",
    "ShadowReport",
    "Shadowed",
    "Source",
    "Stalled",
    "Started",
    "Stream",
    "Swapped",
    "Timings",
    "add_variant",
    "build_engine",
    "describe_device",
    "examine",
    "open_backend",
    "open_engine",
    "open_variant",
    "parse_source",
]

_HOMES = {
    "backends": ("Backend", "FunctionBackend", "OrtBackend"),
    "batching": ("BatchingBackend",),
    "choice": ("Choice", "open_backend"),
    "capture": ("Feed", "Source", "parse_source"),
    "engines": ("ENGINES", "build_engine", "open_engine"),
    "events": (
        "Decision",
        "Ended",
        "Event",
        "Gap",
        "Reconnecting",
        "Refused",
        "Rescored",
        "RolledBack",
        "Shadowed",
        "Stalled",
        "Started",
        "Swapped",
    ),
    "ledger": ("Accounting",),
    "device": ("DeviceRecord", "describe_device"),
    "doctor": ("Checkup", "examine"),
    "power": ("PowerSampler",),
    "runtime": ("Prediction", "Runtime", "Timings"),
    "shadow": ("Shadow", "ShadowReport"),
    "recent": ("Recent",),
    "stream": ("Stream",),
    "swap": ("ServingHead",),
    "variants": ("VARIANTS", "add_variant", "open_variant"),
    "windows": ("Frame",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"edgesplit.runtime.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
