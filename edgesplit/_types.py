"""Type aliases for named choices and for arrays by dtype. Importing this module loads nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = [
    "BackendName",
    "BenchQuestion",
    "EnginePrecision",
    "Float32",
    "Float64",
    "Int64",
    "UInt8",
    "VariantName",
]

# Strings, so that importing this module does not load numpy.
Float32: TypeAlias = "npt.NDArray[np.float32]"
Float64: TypeAlias = "npt.NDArray[np.float64]"
Int64: TypeAlias = "npt.NDArray[np.int64]"
UInt8: TypeAlias = "npt.NDArray[np.uint8]"

BenchQuestion: TypeAlias = Literal["latency", "swap", "edit", "locality"]
"""A measurement of `edgesplit bench`."""
BackendName: TypeAlias = Literal["auto", "cpu", "cuda", "ort-tensorrt", "tensorrt"]
"""`cpu`, `cuda` and `ort-tensorrt` are ONNX Runtime's execution providers. `tensorrt` is an engine
made by `edgesplit engine build`. `auto` is the fastest backend that starts on this device."""

EnginePrecision: TypeAlias = Literal["fp32", "fp16", "int8"]
"""Precision of an engine's operators, in descending order of bits."""

VariantName: TypeAlias = Literal["fp16", "int8", "ort"]
"""A backbone in float16 or int8, or in float32 with ONNX Runtime's fused operators."""
