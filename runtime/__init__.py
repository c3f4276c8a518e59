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

from typing import TYPE_CHECKING

from edgesplit._lazy import load_on_use

if TYPE_CHECKING:
    from edgesplit.backbone.backends import Backend, FunctionBackend, OrtBackend
    from edgesplit.runtime.backends.batching import BatchingBackend
    from edgesplit.runtime.backends.engines import ENGINES, build_engine, open_engine
    from edgesplit.runtime.backends.select import OpenedBackend, open_backend
    from edgesplit.runtime.backends.variants import VARIANTS, add_variant, open_variant
    from edgesplit.runtime.device.doctor import Checkup, examine
    from edgesplit.runtime.device.power import PowerSampler
    from edgesplit.runtime.device.record import DeviceRecord, describe_device
    from edgesplit.runtime.live.live_head import ServingHead
    from edgesplit.runtime.live.runtime import Prediction, Runtime, Timings
    from edgesplit.runtime.live.shadow import Shadow, ShadowReport
    from edgesplit.runtime.stream.accounting import Accounting
    from edgesplit.runtime.stream.events import (
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
    from edgesplit.runtime.stream.smoothing import Recent
    from edgesplit.runtime.stream.sources import Feed, Source, parse_source
    from edgesplit.runtime.stream.stream import Stream
    from edgesplit.runtime.stream.windows import Frame

__all__ = [
    "ENGINES",
    "VARIANTS",
    "Accounting",
    "Backend",
    "BatchingBackend",
    "Checkup",
    "Decision",
    "DeviceRecord",
    "Ended",
    "Event",
    "Feed",
    "Frame",
    "FunctionBackend",
    "Gap",
    "OpenedBackend",
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
    "edgesplit.backbone.backends": ("Backend", "FunctionBackend", "OrtBackend"),
    "edgesplit.runtime.backends.batching": ("BatchingBackend",),
    "edgesplit.runtime.stream.sources": ("Feed", "Source", "parse_source"),
    "edgesplit.runtime.backends.select": ("OpenedBackend", "open_backend"),
    "edgesplit.runtime.device.record": ("DeviceRecord", "describe_device"),
    "edgesplit.runtime.device.doctor": ("Checkup", "examine"),
    "edgesplit.runtime.backends.engines": ("ENGINES", "build_engine", "open_engine"),
    "edgesplit.runtime.stream.events": (
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
    "edgesplit.runtime.stream.accounting": ("Accounting",),
    "edgesplit.runtime.device.power": ("PowerSampler",),
    "edgesplit.runtime.stream.smoothing": ("Recent",),
    "edgesplit.runtime.live.runtime": ("Prediction", "Runtime", "Timings"),
    "edgesplit.runtime.live.shadow": ("Shadow", "ShadowReport"),
    "edgesplit.runtime.stream.stream": ("Stream",),
    "edgesplit.runtime.live.live_head": ("ServingHead",),
    "edgesplit.runtime.backends.variants": ("VARIANTS", "add_variant", "open_variant"),
    "edgesplit.runtime.stream.windows": ("Frame",),
}

__getattr__, __dir__ = load_on_use(__name__, _HOMES)
