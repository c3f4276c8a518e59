"""What rewriting a backbone's graph takes, whatever for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from edgesplit.errors import ExportError

__all__ = ["open_flat", "replace_nodes"]


def open_flat(backbone: bytes) -> onnx.ModelProto:
    """A backbone as one plain graph, as every exported one is, its constants among the weights.

    Raises:
        ExportError: it has functions or control flow.
    """
    model = onnx.load_model_from_string(backbone)
    graphs = {onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS}
    inner = any(attr.type in graphs for node in model.graph.node for attr in node.attribute)
    if model.functions or inner:
        raise ExportError(
            "The backbone has functions or control flow, so its precision cannot be changed. Give "
            "a bundle's backbone.onnx."
        )
    _name_constants(model.graph)
    return model


def replace_nodes(
    graph: onnx.GraphProto, nodes: list[onnx.NodeProto], weights: dict[str, onnx.TensorProto]
) -> None:
    """Gives a graph other nodes, and of the weights those that they use."""
    used = {name for node in nodes for name in node.input}
    used.update(entry.name for entry in graph.output)
    kept = [tensor for name, tensor in weights.items() if name in used]
    for field, content in (("node", nodes), ("initializer", kept), ("value_info", [])):
        graph.ClearField(field)
        getattr(graph, field).extend(content)


def _name_constants(graph: onnx.GraphProto) -> None:
    """Turns Constant nodes into weights, which can be held in any precision."""
    rest = []
    for node in graph.node:
        values = dict(_constants(node)) if node.op_type == "Constant" else {}
        graph.initializer.extend(numpy_helper.from_array(v, name) for name, v in values.items())
        if not values:
            rest.append(node)
    graph.ClearField("node")
    graph.node.extend(rest)


def _constants(node: onnx.NodeProto) -> Iterator[tuple[str, npt.NDArray[np.generic]]]:
    for attribute in node.attribute:
        value = helper.get_attribute_value(attribute)
        if attribute.name == "value":
            yield node.output[0], numpy_helper.to_array(value)
        elif attribute.name in ("value_float", "value_floats"):
            yield node.output[0], np.asarray(value, np.float32)
