"""Types of a backbone's rewrites, and tools to write one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from edgesplit._types import Float32
from edgesplit.backbone.identity import check_self_contained
from edgesplit.errors import ExportError

__all__ = [
    "RangeReport",
    "Rewrite",
    "Rewritten",
    "Wiring",
    "attributes",
    "open_flat",
    "replace_nodes",
    "skeleton",
]


@dataclass(frozen=True, slots=True)
class RangeReport:
    """Operators that stay in float32 because of the ranges of a backbone's values."""

    n_kept: int
    """Number of operators that stay in float32 because of the range of their values."""
    n_operators: int
    """Number of all operators of the backbone."""
    largest: float
    """Largest absolute number among the values that were candidates for float16."""
    value: str
    """Name of the value with that number."""


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A backbone in another form."""

    data: bytes
    """Bytes of the ONNX file."""
    ranges: RangeReport | None = None
    """Effect of the ranges of the values; only for fp16."""


Rewrite = Callable[[bytes, Iterable[Float32]], Rewritten]
"""A function that rewrites a backbone's ONNX bytes, with clips to measure ranges on: `clip_shape`
float32 in 0..1 each, read one at a time. Equal inputs give equal bytes."""


def open_flat(backbone: bytes) -> onnx.ModelProto:
    """Return a backbone as one plain graph, with its constants as weights.

    Raises:
        ExportError: the backbone has functions or control flow.
        BackendError: a weight lies outside its bytes.
    """
    check_self_contained(backbone)
    model = onnx.load_model_from_string(backbone)
    graphs = {onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS}
    inner = any(attr.type in graphs for node in model.graph.node for attr in node.attribute)
    if model.functions or inner:
        raise ExportError(
            "The backbone has functions or control flow, so it cannot be rewritten. "
            "Give a bundle's backbone.onnx."
        )
    _name_constants(model.graph)
    return model


_MAX_SHAPE = 64
"""Most numbers of a weight that may be a shape."""


class Wiring:
    """Makers, users and sizes of a graph's values at the time of creation."""

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = model.graph
        self.weights = {tensor.name: tensor for tensor in graph.initializer}
        self._makers = {name: node for node in graph.node for name in node.output}
        self._users: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self._users.setdefault(name, []).append(node)
        self.results = {entry.name for entry in graph.output}
        self.sizes = _infer_sizes(model)
        """Sizes of the axes of every value with a known rank; 0 for a free axis."""

    def maker(self, name: str, *kinds: str) -> onnx.NodeProto | None:
        """Return the node that makes a value, if it is an operator of one of these kinds."""
        node = self._makers.get(name)
        return node if node is not None and node.op_type in kinds else None

    def only_user(self, name: str) -> onnx.NodeProto | None:
        """Return the only node that uses a value; None for several, or if it is an output."""
        users = self._users.get(name, [])
        return users[0] if len(users) == 1 and name not in self.results else None

    def scalar(self, name: str) -> float | None:
        """Return the number of a weight with one element; None for any other value."""
        tensor = self.weights.get(name)
        if tensor is None or int(np.prod(tensor.dims)) != 1:
            return None
        return float(numpy_helper.to_array(tensor).item())

    def with_scalar(self, node: onnx.NodeProto) -> tuple[str, str] | None:
        """Return a commutative operator's inputs as (value, scalar); None if no input is one."""
        first, second = node.input
        for value, scalar in ((first, second), (second, first)):
            if self.scalar(scalar) is not None:
                return value, scalar
        return None


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Return the values of a node's attributes by name."""
    return {item.name: helper.get_attribute_value(item) for item in node.attribute}


def _infer_sizes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    # Inference copies the model and has a limit of 2 GB, so it gets the model without weights.
    inferred = onnx.shape_inference.infer_shapes(skeleton(model), data_prop=True).graph
    return {
        entry.name: tuple(dim.dim_value for dim in entry.type.tensor_type.shape.dim)
        for entry in (*inferred.input, *inferred.value_info, *inferred.output)
    }


def skeleton(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with inputs in place of its weights, except those that may be shapes."""
    graph = model.graph
    small = [tensor for tensor in graph.initializer if np.prod(tensor.dims) <= _MAX_SHAPE]
    large = [
        helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        for tensor in graph.initializer
        if np.prod(tensor.dims) > _MAX_SHAPE
    ]
    return helper.make_model(
        helper.make_graph(graph.node, "skeleton", [*graph.input, *large], graph.output, small),
        opset_imports=model.opset_import,
        ir_version=model.ir_version,
    )


def replace_nodes(
    graph: onnx.GraphProto, nodes: list[onnx.NodeProto], weights: Mapping[str, onnx.TensorProto]
) -> None:
    """Replace a graph's content by those nodes, in order, and weights that its outputs need."""
    used = {entry.name for entry in graph.output}
    living = []
    for node in reversed(nodes):
        if used.intersection(node.output):
            living.append(node)
            used.update(node.input)
    kept = [tensor for name, tensor in weights.items() if name in used]
    for field, content in (("node", living[::-1]), ("initializer", kept), ("value_info", [])):
        graph.ClearField(field)
        getattr(graph, field).extend(content)


def _name_constants(graph: onnx.GraphProto) -> None:
    """Turn Constant nodes into weights, which can have any precision."""
    rest = []
    for node in graph.node:
        value = _constant(node) if node.op_type == "Constant" else None
        if value is None:
            rest.append(node)
        else:
            graph.initializer.append(numpy_helper.from_array(value, node.output[0]))
    graph.ClearField("node")
    graph.node.extend(rest)


def _constant(node: onnx.NodeProto) -> npt.NDArray[np.generic] | None:
    """Return the numbers of a Constant; None for texts and integers."""
    values = attributes(node)
    if "value" in values:
        return numpy_helper.to_array(values["value"])
    numbers = values.get("value_float", values.get("value_floats"))
    return None if numbers is None else np.asarray(numbers, np.float32)
