"""Make ONNX Runtime sessions; no other module makes them.

A session is made from bytes that were verified, never from a path that may have changed since, and
never with weights from another file.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING

from edgesplit.backbone.identity import (
    Backbone,
    LargeBackbone,
    check_bounded,
    check_self_contained,
)
from edgesplit.errors import BackendError, MissingExtraError

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["import_onnxruntime", "open_session"]

_WITH_CUDA = ("CUDAExecutionProvider", "TensorrtExecutionProvider")


def import_onnxruntime() -> ModuleType:
    """Return the module `onnxruntime`, with its telemetry off; no other module imports it.

    Raises:
        MissingExtraError: ONNX Runtime is not installed.
    """
    # From 1.32 on, ONNX Runtime's wheels look up a telemetry host and write an identity below
    # ~/.cache unless this is set before the import. A device should do neither.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError(
            f"ONNX Runtime cannot be imported ({error}). Install the build for this machine: "
            "pip install '.[cpu]' or '.[gpu]' in a checkout of edgesplit; a Jetson has its own."
        ) from error
    module: ModuleType = onnxruntime
    return module


def open_session(
    model: Backbone,
    *,
    threads: int = 1,
    providers: Sequence[str] = ("CPUExecutionProvider",),
    optimize: bool = True,
    in_order: bool = False,
) -> onnxruntime.InferenceSession:
    """Return a session that runs `model`.

    Args:
        model: the ONNX file's bytes, or those of a large backbone's two files.
        threads: threads inside an operator; 0 lets ONNX Runtime choose.
        providers: ONNX Runtime's execution providers, the preferred one first.
        optimize: let ONNX Runtime rewrite the graph. A head gains nothing: the rewrite takes a
            quarter of the time to make the session, and runs are not faster.
        in_order: run the operators in the graph's order. By default ONNX Runtime runs operators
            that only outputs need last, and keeps their inputs until then.

    Raises:
        MissingExtraError: ONNX Runtime is not installed.
        BackendError: ONNX Runtime refuses the model, a weight lies outside its bytes, or a provider
            is not available.
        BundleError: a large backbone's graph names a place that its weights do not have.
    """
    onnxruntime = import_onnxruntime()
    version = f"ONNX Runtime {onnxruntime.__version__}"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if in_order:
        options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED
    # x86 without VNNI adds 8-bit products in 16 bits, which overflow; this setting prevents it.
    options.add_session_config_entry("session.x64quantprecision", "1")
    # The checks read ONNX. A file that is also valid in ONNX Runtime's own format was not checked.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    # Fatal errors alone: ONNX Runtime prints names of the model as they are, and raises them, too.
    options.log_severity_level = 4
    available = onnxruntime.get_available_providers()
    absent = [name for name in providers if name not in available]
    if absent:
        raise BackendError(
            f"{version} is built without {', '.join(absent)}. Choose another provider.",
            reason=f"ONNX Runtime is built without {', '.join(absent)}",
        )
    check_self_contained(model)
    check_bounded(model)
    if any(name in _WITH_CUDA for name in providers):
        _load_cuda_wheels(onnxruntime)
    if isinstance(model, LargeBackbone):
        # From memory and by name: the files may have changed since they were verified.
        tensors = model.tensors()
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in tensors.values()]
        options.add_external_initializers(list(tensors), values)
        model = model.graph
    try:
        session = onnxruntime.InferenceSession(model, options, providers=list(providers))
    except Exception as error:  # ONNX Runtime's exceptions have no common base class
        reason = " ".join(str(error).split())
        raise BackendError(f"{version} refuses the model: {reason}") from error
    missing = [name for name in providers if name not in session.get_providers()]
    if missing:
        # A listed provider may still not start: ONNX Runtime then falls back without an error, and
        # a device that should use its GPU would silently be ten times slower.
        raise BackendError(
            f"{version} could not start {', '.join(missing)}; it would run on "
            f"{', '.join(session.get_providers())}. Check the driver, or choose another provider.",
            reason=f"ONNX Runtime could not start {', '.join(missing)}",
        )
    return session


def _load_cuda_wheels(onnxruntime: ModuleType) -> None:
    """Load CUDA and cuDNN from their wheels, if any; the linker only finds system libraries."""
    load = getattr(onnxruntime, "preload_dlls", None)  # from 1.21 on
    if load is not None:
        # It prints missing libraries that the system may have; the provider reports real failures.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(Exception):
            load()
