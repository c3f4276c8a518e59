"""Names of choices, and of arrays by their dtype. Importing it loads nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["BenchQuestion", "Float32", "Float64", "Int64", "UInt8"]

# Texts, so that numpy is loaded by those alone who make arrays.
Float32: TypeAlias = "npt.NDArray[np.float32]"
Float64: TypeAlias = "npt.NDArray[np.float64]"
Int64: TypeAlias = "npt.NDArray[np.int64]"
UInt8: TypeAlias = "npt.NDArray[np.uint8]"

BenchQuestion: TypeAlias = Literal["latency", "swap", "edit", "locality"]
"""A question that `edgesplit bench` answers."""
