"""A transformer backbone with ONNX Runtime's fused attention, in float32.

When ONNX Runtime opens a graph, it fuses GELU and LayerNorm, but not this form of attention: three
operators that write and read a score for every pair of tokens. With the fused operator, the scores
stay in the processor's cache. Only ONNX Runtime has this operator.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgesplit._types import Float32
from edgesplit.backbone.graph import Rewritten, Wiring, attributes, open_flat, replace_nodes
from edgesplit.errors import ExportError

__all__ = ["fuse_attention"]

_DOMAIN = "com.microsoft"
_BY_TOKEN = (0, 2, 1, 3)
"""Permutation from (batch, heads, tokens, size) to (batch, tokens, heads, size), and back."""
_KEYS_BY_TOKEN = (0, 3, 1, 2)
"""Permutation of keys to the same order; they are multiplied as (batch, heads, size, tokens)."""


def fuse_attention(backbone: bytes, clips: Iterable[Float32] = ()) -> Rewritten:
    """Return the backbone with fused attention; a `Rewrite` that needs no clips.

    Raises:
        ExportError: the backbone has no attention, as in every CNN.
    """
    model = open_flat(backbone)
    graph = model.graph
    wiring = Wiring(model)
    found = {}
    for node in graph.node:
        if node.op_type == "Softmax" and (attention := _find(wiring, node)):
            found[attention.result] = attention
    if not found:
        raise ExportError(
            "This backbone has no attention that ONNX Runtime could fuse. For a CNN, use the int8 "
            "variant."
        )
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        attention = found.get(node.output[0])
        nodes += [node] if attention is None else _write(attention, wiring.weights)
    replace_nodes(graph, nodes, wiring.weights)
    model.opset_import.append(helper.make_opsetid(_DOMAIN, 1))
    return Rewritten(model.SerializeToString(deterministic=True))


@dataclass(frozen=True, slots=True)
class _Attention:
    """softmax(scale * queries @ keys) @ values; all but keys are `(batch, heads, tokens, size)`."""

    queries: str
    keys: str
    """`(batch, heads, size, tokens)`."""
    values: str
    scale: float
    n_heads: int
    result: str


def _find(wiring: Wiring, softmax: onnx.NodeProto) -> _Attention | None:
    """Return the attention around a softmax; None if it is not attention, or has a mask."""
    axis = attributes(softmax).get("axis", -1)
    mixed = wiring.only_user(softmax.output[0])
    product, scale = _unscaled(wiring, softmax.input[0])
    scores = wiring.maker(product, "MatMul")
    if axis not in (-1, 3) or scores is None or mixed is None or mixed.op_type != "MatMul":
        return None
    if mixed.input[0] != softmax.output[0]:
        return None
    queries, of_queries = _unscaled(wiring, scores.input[0])
    keys, of_keys = _unscaled(wiring, scores.input[1])
    values = mixed.input[1]
    of, with_, by = (wiring.sizes.get(name, ()) for name in (queries, keys, values))
    # Attention that broadcasts over clips or heads, or has values of another size, is skipped.
    alike = len(of) == 4 and of[1] and of[3] and (*of[:2], of[3]) == (*with_[:2], *with_[2:3])
    if not alike or len(with_) != 4 or len(by) != 4 or (*of[:2], of[3]) != (*by[:2], by[3]):
        return None
    scale *= of_queries * of_keys
    if not scale:  # for the operator, 0 means the default scale
        return None
    return _Attention(queries, keys, values, scale, n_heads=of[1], result=mixed.output[0])


def _unscaled(wiring: Wiring, name: str) -> tuple[str, float]:
    """Return the value before multiplications by constants, and their product."""
    scale = 1.0
    while (node := wiring.maker(name, "Mul", "Div")) is not None:
        if node.op_type == "Div":
            by = wiring.scalar(node.input[1])
            if by is None:
                break
            name, scale = node.input[0], scale / by
        elif (parts := wiring.with_scalar(node)) is not None:
            name, scale = parts[0], scale * (wiring.scalar(parts[1]) or 0.0)
        else:
            break
    return name, scale


def _write(attention: _Attention, weights: dict[str, onnx.TensorProto]) -> list[onnx.NodeProto]:
    """Return nodes with the fused operator, whose inputs are `(batch, tokens, heads * size)`.

    The surrounding graph has the inverse transposes; ONNX Runtime removes such pairs.
    """
    stem = f"{attention.result}_attention"
    nodes = []

    def reshape(name: str, shape: list[int], result: str) -> None:
        sizes = f"{result}_shape"
        weights[sizes] = numpy_helper.from_array(np.array(shape, np.int64), sizes)
        nodes.append(helper.make_node("Reshape", [name, sizes], [result]))

    def transpose(name: str, order: tuple[int, ...], result: str) -> None:
        nodes.append(helper.make_node("Transpose", [name], [result], perm=order))

    inputs = (
        (attention.queries, "queries", _BY_TOKEN),
        (attention.keys, "keys", _KEYS_BY_TOKEN),
        (attention.values, "values", _BY_TOKEN),
    )
    for name, kind, order in inputs:
        transpose(name, order, f"{stem}_{kind}_by_token")
        reshape(f"{stem}_{kind}_by_token", [0, 0, -1], f"{stem}_{kind}")
    nodes.append(
        helper.make_node(
            "MultiHeadAttention",
            [f"{stem}_{kind}" for _, kind, _ in inputs],
            [f"{stem}_joined"],
            domain=_DOMAIN,
            num_heads=attention.n_heads,
            scale=attention.scale,
        )
    )
    reshape(f"{stem}_joined", [0, 0, attention.n_heads, -1], f"{stem}_by_token")
    transpose(f"{stem}_by_token", _BY_TOKEN, attention.result)
    return nodes
