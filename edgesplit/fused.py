"""A transformer backbone with ONNX Runtime's fused operators, in float32.

LayerNorm with the addition before it, GELU with its bias, and attention where its pattern is known
become one operator each. ONNX Runtime does some of that itself when it opens a graph; what its
offline tool adds is written down once. Only ONNX Runtime knows these operators.
"""

from __future__ import annotations

import logging

import onnx

from edgesplit.errors import ExportError, MissingExtraError

__all__ = ["to_fused"]

_FUSED_DOMAIN = "com.microsoft"


def to_fused(backbone: bytes) -> bytes:
    """Returns the backbone with ONNX Runtime's transformer fusions, as ONNX bytes.

    The tool is ONNX Runtime's and is imported here, as some builds for devices come without it.

    Raises:
        MissingExtraError: this build of ONNX Runtime has no such tool.
        ExportError: there is nothing to fuse, as in every CNN.
    """
    try:
        from onnxruntime.transformers.optimizer import optimize_by_fusion
    except ImportError as error:
        raise MissingExtraError(
            f"ONNX Runtime's transformer tool cannot be imported ({error}). On a workstation "
            "`pip install 'edgesplit[cpu]' sympy` has it."
        ) from error
    logging.getLogger("onnxruntime.transformers").setLevel(logging.ERROR)
    model = onnx.load_model_from_string(backbone)
    # "bert" is the set of fusions for any encoder; sizes of 0 are found in the graph.
    fused: onnx.ModelProto = optimize_by_fusion(model, "bert", num_heads=0, hidden_size=0).model
    if not any(node.domain == _FUSED_DOMAIN for node in fused.graph.node):
        raise ExportError(
            "ONNX Runtime's tool finds nothing to fuse in this backbone: it knows transformers. "
            "For a CNN try int8."
        )
    data: bytes = fused.SerializeToString(deterministic=True)
    return data
