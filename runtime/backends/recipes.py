"""The recipe of each variant; a new variant is a row in `RECIPES` and a name in `VariantName`."""

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
    """The rewrite that makes a variant, its tolerance, and how ONNX Runtime runs it."""

    rewrite: Rewrite
    tolerance: Tolerance
    version: int
    """Part of the key. Increase it when the variant's file or JSON file changes for the same
    backbone, so that older variants in the cache are ignored."""
    optimize: bool = True
    """False if ONNX Runtime must run the graph without optimizing it."""


RECIPES: dict[VariantName, Recipe] = {
    "fp16": Recipe(
        rewrite=to_fp16,
        tolerance=Tolerance(cosine=0.999, logits=0.02, decisions=0.99, advice="Use fp32."),
        version=4,
        optimize=False,  # the CPU optimizer crashes on some float16 graphs; see `to_fp16`
    ),
    "int8": Recipe(
        rewrite=to_int8,
        tolerance=Tolerance(
            cosine=0.99,
            logits=0.1,
            decisions=0.99,
            advice="Give more clips from this device's cameras, or try fp16.",
        ),
        version=3,
    ),
    "ort": Recipe(
        rewrite=fuse_attention,
        tolerance=Tolerance(
            cosine=0.99999,
            logits=0.001,
            decisions=0.99,
            advice="Use fp32, or update ONNX Runtime.",
        ),
        version=3,
    ),
}
"""Each layer rounds by 5e-4 in float16 and by 4e-3 of a range in 8 bits; a fused GELU is exact.

A lost layer or a wrong range exceeds these limits by far. The share of equal decisions shows
whether rounding changes answers.
"""
