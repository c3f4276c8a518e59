"""Rewrite a few patterns into the forms that the optimizers of runtimes recognise.

torch writes GELU and the transposed keys of attention in other forms. ONNX Runtime and TensorRT do
not fuse `x * (0.5 * (erf(x / sqrt 2) + 1))`, but both fuse `(x * (erf(x / sqrt 2) + 1)) * 0.5`. The
values stay the same to the last bit.
"""

from __future__ import annotations

import onnx
from onnx import helper

from edgesplit.backbone.graph import Wiring, attributes, replace_nodes

__all__ = ["respell"]


def respell(model: onnx.ModelProto) -> None:
    """Rewrite the patterns in place, and remove nodes and weights that become unused."""
    graph = model.graph
    wiring = Wiring(model)
    for node in graph.node:
        if node.op_type == "Mul":
            _respell_gelu(wiring, node)
        elif node.op_type == "Reshape":
            _respell_keys(wiring, node)
    replace_nodes(graph, list(graph.node), wiring.weights)


def _respell_gelu(wiring: Wiring, last: onnx.NodeProto) -> None:
    """Rewrite x * (0.5 * t) as (x * t) * 0.5; halving a float is exact, so values do not change."""
    for x, name in (tuple(last.input), tuple(reversed(last.input))):
        half = wiring.maker(name, "Mul")
        parts = wiring.with_scalar(half) if half is not None else None
        if half is None or parts is None or wiring.scalar(parts[1]) != 0.5:
            continue
        shifted = wiring.maker(parts[0], "Add")
        if shifted is None or wiring.only_user(name) is not last:
            continue
        if any(wiring.maker(given, "Erf") is not None for given in shifted.input):
            half.input[:] = [x, parts[0]]
            last.input[:] = [name, parts[1]]
            return


def _respell_keys(wiring: Wiring, last: onnx.NodeProto) -> None:
    """Replace reshape to 3 axes, transpose, reshape back by one transpose of 4 axes.

    torch computes the sizes for it from the value itself, with a dozen operators each time.
    """
    transposed = wiring.maker(last.input[0], "Transpose")
    flat = wiring.maker(transposed.input[0], "Reshape") if transposed is not None else None
    if transposed is None or flat is None or attributes(transposed).get("perm") != [0, 2, 1]:
        return
    source = flat.input[0]
    shapes = [wiring.sizes.get(name, ()) for name in (source, flat.output[0], last.output[0])]
    if [len(shape) for shape in shapes] != [4, 3, 4] or not all(shapes[0][1:]):
        return
    _, heads, tokens, size = shapes[0]
    if shapes[1][1:] == (tokens, size) and shapes[2][1:] == (heads, size, tokens):
        output = list(last.output)
        last.CopyFrom(helper.make_node("Transpose", [source], output, perm=[0, 1, 3, 2]))
