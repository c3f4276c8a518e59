"""A backbone in half precision, its types written into the graph.

TensorRT 11 takes the precision of every operator from the ONNX, and TensorRT 10 can: one typed file
serves both. Operators compute in float16, but for those that float16 would spoil: normalisations,
softmax, reductions and what computes with their results stay in float32, between casts. Clips and
features stay float32, so nothing around a backbone knows which one it is.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, defs, helper, numpy_helper

from edgesplit.errors import ExportError
from edgesplit.graphs import open_flat, replace_nodes

__all__ = ["to_fp16"]

_REDUCTIONS = frozenset(
    {
        *("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean"),
        *("ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare"),
        *("Exp", "Log", "Pow", "Reciprocal", "Sqrt"),
    }
)
"""Sums of many numbers, and functions that leave float16's range: 6e-8 to 65504.

They are also what a LayerNorm or a softmax is made of when it is not one operator.
"""

_NORMALISATIONS = frozenset(
    {
        *("BatchNormalization", "GroupNormalization", "InstanceNormalization"),
        *("LayerNormalization", "LogSoftmax", "LpNormalization", "Softmax"),
    }
)
"""They reduce too, but what comes out of them fits float16."""

_ARITHMETIC = frozenset({"Add", "Sub", "Mul"})


def to_fp16(backbone: bytes) -> bytes:
    """Returns the backbone with float16 inside, as ONNX bytes; the same input gives the same bytes.

    LayerNorm and softmax, as one operator or taken apart, and all other reductions stay in
    float32, as does arithmetic on their results, and an operator whose weights float16 cannot
    hold: an epsilon of 1e-12, a mask of -1e9.

    It is meant for GPUs. ONNX Runtime's CPU optimizer ends the process on some float16 graphs (its
    MatmulTransposeFusion, in 1.23.2 and 1.32.0), so open it there without optimizing.

    Args:
        backbone: ONNX bytes without functions and control flow, float32 in and out.

    Raises:
        ExportError: the graph holds something else, or comes out inconsistent.
    """
    model = open_flat(backbone)
    try:
        _Halving(model).rewrite()
        onnx.checker.check_model(model, full_check=True)  # infers every type, strictly
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"The backbone cannot be written with float16 inside: {error}") from error
    data: bytes = model.SerializeToString(deterministic=True)
    return data


class _Halving:
    """One rewriting of a graph.

    A value `v` can be held twice, each made on demand: in float32 it is called `v`, in float16 `v`
    with the suffix.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = model.graph
        self.graph = graph
        self.opset = {item.domain: item.version for item in model.opset_import}
        self.weights = {tensor.name: tensor for tensor in graph.initializer}
        self.floats = _float_values(model)
        names = {*self.weights, *self.floats}
        self.suffix = "_fp16"
        while any(name.endswith(self.suffix) for name in names):
            self.suffix = "_" + self.suffix
        given = [entry.name for entry in graph.input if entry.name in self.floats]
        self.held = {(name, False) for name in (*self.weights, *given)}
        """Values that are there by now, and whether in float16."""
        self.nodes: list[onnx.NodeProto] = []

    def rewrite(self) -> None:
        """Replaces the graph's nodes and weights."""
        graph = self.graph
        kept = self._kept(graph)
        for node in list(graph.node):
            self._add(node, halve=node.output[0] not in kept)
        for entry in graph.output:
            if entry.name in self.floats:
                self._ask(entry.name, half=False)
        replace_nodes(graph, self.nodes, self.weights)

    def _kept(self, graph: onnx.GraphProto) -> set[str]:
        """First outputs of the nodes that compute in float32."""
        reduced: set[str] = set()
        kept: set[str] = set()
        for node in graph.node:
            kind, name = node.op_type, node.output[0]
            fed = not reduced.isdisjoint(node.input)
            if kind in _REDUCTIONS or (fed and kind in _ARITHMETIC):
                reduced.add(name)
            elif fed and kind == "Div":
                kept.add(name)  # a quotient ends what began with a reduction: float16 holds it
            elif kind in _NORMALISATIONS or not all(map(self._fits, node.input)):
                kept.add(name)
        return kept | reduced

    def _fits(self, name: str) -> bool:
        """Whether float16 holds a weight, or the name is none's."""
        if name not in self.weights or name not in self.floats:
            return True
        values = numpy_helper.to_array(self.weights[name])
        half = _halved(values)
        # Many small weights may become zero, as they add up to little; a single number may not.
        vanished = values.size == 1 and bool((values != 0).any() and (half == 0).any())
        return not vanished and bool((np.isfinite(half) == np.isfinite(values)).all())

    def _add(self, node: onnx.NodeProto, *, halve: bool) -> None:
        """Adds a node, its inputs in the precision that it is to compute in."""
        schema = defs.get_schema(node.op_type, self.opset.get(node.domain, 1), node.domain)
        halved_types = set()
        for place, name in enumerate(node.input):
            if name not in self.floats:
                continue
            formal = schema.inputs[min(place, len(schema.inputs) - 1)]
            half = halve and "tensor(float16)" in formal.types
            if half:
                halved_types.add(formal.type_str)
            node.input[place] = self._ask(name, half=half)
        for place, name in enumerate(node.output):
            if name not in self.floats:
                continue
            formal = schema.outputs[min(place, len(schema.outputs) - 1)]
            half = formal.type_str in halved_types
            self.held.add((name, half))
            node.output[place] = self._called(name, half)
        self.nodes.append(node)

    def _ask(self, name: str, *, half: bool) -> str:
        """The name of a value in one precision; a cast, or a second weight, makes it if need be."""
        called = self._called(name, half)
        if (name, half) in self.held:
            return called
        self.held.add((name, half))
        if name in self.weights:
            values = _halved(numpy_helper.to_array(self.weights[name]))
            self.weights[called] = numpy_helper.from_array(values, called)
        else:
            kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
            source = self._called(name, not half)
            cast = helper.make_node("Cast", [source], [called], name=f"cast_{called}", to=kind)
            self.nodes.append(cast)
        return called

    def _called(self, name: str, half: bool) -> str:
        return name + self.suffix if half else name


def _halved(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    with np.errstate(over="ignore"):  # what overflows is looked for afterwards
        return values.astype(np.float16)


def _float_values(model: onnx.ModelProto) -> set[str]:
    """Names of everything that holds float32."""
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    entries = (*graph.input, *graph.value_info, *graph.output)
    names = {e.name for e in entries if e.type.tensor_type.elem_type == TensorProto.FLOAT}
    return names | {t.name for t in graph.initializer if t.data_type == TensorProto.FLOAT}
