"""Names of choices, and of arrays by their dtype. Importing it loads nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = [
    "BackendName",
    "EnginePrecision",
    "Float32",
    "Float64",
    "Int64",
    "UInt8",
    "VariantName",
]

# Texts, so that numpy is loaded by those alone who make arrays.
Float32: TypeAlias = "npt.NDArray[np.float32]"
Float64: TypeAlias = "npt.NDArray[np.float64]"
Int64: TypeAlias = "npt.NDArray[np.int64]"
UInt8: TypeAlias = "npt.NDArray[np.uint8]"

BackendName: TypeAlias = Literal["auto", "cpu", "cuda", "ort-tensorrt", "tensorrt"]
"""`cpu`, `cuda` and `ort-tensorrt` are ONNX Runtime's execution providers, `tensorrt` is an engine
that `edgesplit engine build` made, `auto` the fastest that starts on this device."""

EnginePrecision: TypeAlias = Literal["fp32", "fp16", "int8"]
"""The precision of an engine's operators, the most bits first."""

VariantName: TypeAlias = Literal["fp16", "int8", "ort"]
"""A backbone with float16 or 8 bits inside, or in float32 with ONNX Runtime's fused operators."""
