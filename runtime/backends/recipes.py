"""How each variant of a backbone is made: a new one is a row here, and a name in `VariantName`."""

from __future__ import annotations

from dataclasses import dataclass

from edgesplit._types import VariantName
from edgesplit.backbone.attention import fuse_attention
from edgesplit.backbone.fp16 import to_fp16
from edgesplit.backbone.graph import Rewrite
from edgesplit.backbone.int8 import to_int8
from edgesplit.runtime.backends.agreement import Tolerance

__all__ = ["RECIPES", "Recipe"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a variant is made and run, and how far it may differ from fp32."""

    rewrite: Rewrite
    tolerance: Tolerance
    version: int
    """Raised when the variant of the same backbone becomes another file, or has another JSON file.
    Those in the cache are then not found any more."""
    optimize: bool = True
    """False where ONNX Runtime must run the graph as it is."""


RECIPES: dict[VariantName, Recipe] = {
    "fp16": Recipe(
        rewrite=to_fp16,
        tolerance=Tolerance(cosine=0.999, logits=0.02, decisions=0.99, advice="Stay with fp32."),
        version=4,
        optimize=False,  # its CPU optimizer ends the process on some float16 graphs; see `to_fp16`
    ),
    "int8": Recipe(
        rewrite=to_int8,
        tolerance=Tolerance(
            cosine=0.99,
            logits=0.1,
            decisions=0.99,
            advice="Give more clips, from the very cameras, or try fp16.",
        ),
        version=3,
    ),
    "ort": Recipe(
        rewrite=fuse_attention,
        tolerance=Tolerance(
            cosine=0.99999,
            logits=0.001,
            decisions=0.99,
            advice="Stay with fp32, or update ONNX Runtime.",
        ),
        version=3,
    ),
}
"""float16 rounds by 5e-4, 8 bits by 4e-3 of a range, once a layer; a fused GELU is exact.

A lost layer or a wrong range exceeds these limits by far; the share of equal decisions shows
whether rounding matters to the answers.
"""
