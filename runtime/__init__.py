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
    "edgesplit.backbone.backends": ("Backend", "FunctionBackend", "OrtBackend"),
    "edgesplit.runtime.batching": ("BatchingBackend",),
    "edgesplit.runtime.capture": ("Feed", "Source", "parse_source"),
    "edgesplit.runtime.choice": ("Choice", "open_backend"),
    "edgesplit.runtime.device": ("DeviceRecord", "describe_device"),
    "edgesplit.runtime.doctor": ("Checkup", "examine"),
    "edgesplit.runtime.engines": ("ENGINES", "build_engine", "open_engine"),
    "edgesplit.runtime.events": (
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
    "edgesplit.runtime.ledger": ("Accounting",),
    "edgesplit.runtime.power": ("PowerSampler",),
    "edgesplit.runtime.recent": ("Recent",),
    "edgesplit.runtime.runtime": ("Prediction", "Runtime", "Timings"),
    "edgesplit.runtime.shadow": ("Shadow", "ShadowReport"),
    "edgesplit.runtime.stream": ("Stream",),
    "edgesplit.runtime.swap": ("ServingHead",),
    "edgesplit.runtime.variants": ("VARIANTS", "add_variant", "open_variant"),
    "edgesplit.runtime.windows": ("Frame",),
}

__getattr__, __dir__ = load_on_use(__name__, _HOMES)
