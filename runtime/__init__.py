"""The device: run a bundle, and swap its head while clips keep coming.

backends  engines, variants and ONNX Runtime, and the selection of one of them
live      the serving head, the shadow head, and the rollback of bad edits
stream    predict a source of video window by window; import its events from this package
device    describe this device and check it
bench     measure latency, swaps and edits
"""

from typing import TYPE_CHECKING

from edgesplit._lazy import load_on_use

if TYPE_CHECKING:
    from edgesplit.backbone.backends import Backend, FunctionBackend, OrtBackend
    from edgesplit.runtime.backends.engines import build_engine, open_engine
    from edgesplit.runtime.backends.select import open_backend
    from edgesplit.runtime.backends.variants import add_variant, open_variant
    from edgesplit.runtime.device.doctor import examine
    from edgesplit.runtime.live.runtime import Prediction, Runtime
    from edgesplit.runtime.stream.stream import Stream

__all__ = [
    "Backend",
    "FunctionBackend",
    "OrtBackend",
    "Prediction",
    "Runtime",
    "Stream",
    "add_variant",
    "build_engine",
    "examine",
    "open_backend",
    "open_engine",
    "open_variant",
]

_HOMES = {
    "edgesplit.backbone.backends": ("Backend", "FunctionBackend", "OrtBackend"),
    "edgesplit.runtime.backends.engines": ("build_engine", "open_engine"),
    "edgesplit.runtime.backends.select": ("open_backend",),
    "edgesplit.runtime.backends.variants": ("add_variant", "open_variant"),
    "edgesplit.runtime.device.doctor": ("examine",),
    "edgesplit.runtime.live.runtime": ("Prediction", "Runtime"),
    "edgesplit.runtime.stream.stream": ("Stream",),
}

__getattr__, __dir__ = load_on_use(__name__, _HOMES)
