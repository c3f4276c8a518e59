"""A backbone in half precision, its types written into the graph.

TensorRT 11 takes the precision of every operator from the ONNX, and TensorRT 10 can: one typed file
serves both. Operators compute in float16, but for those that float16 would spoil: normalisations,
softmax, reductions and what computes with their results stay in float32, between casts. So do
operators with a value that leaves float16's range on the clips. Clips and features stay float32, so
nothing around a backbone knows which one it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, defs, helper, numpy_helper

from edgesplit._types import Float32
from edgesplit.backbone.graph import RangeReport, Rewritten, open_flat, replace_nodes
from edgesplit.backbone.ranges import Ranges, measure_ranges
from edgesplit.errors import ExportError

__all__ = ["HIGHEST", "LOWEST", "round_halves", "to_fp16"]

FLOAT16_MAX = 65504.0

HIGHEST = FLOAT16_MAX / 4
"""Operators with a value that reaches this on the clips stay in float32.

A quarter of float16's largest number. The clips are only a sample, and others may go further: on
the demo's backbone two clips stay below twice what ten others reach, and real clips below three
times what made ones reach (a test measures it). A kernel may also round its partial sums to
float16, which may be larger than the result. Float16 is as precise below this as above it, so the
margin costs nothing but the speed of the operators that it keeps in float32.
"""

LOWEST = 2.0**-14
"""Operators with a value that stays below this on all clips stay in float32, too.

It is float16's smallest normal number. Below it the steps are 2**-24 whatever the value, so the
value would lose more than the 11 bits that float16 has elsewhere, or become zero.
"""

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


def to_fp16(backbone: bytes, clips: Iterable[Float32]) -> Rewritten:
    """Return the backbone with float16 inside; a `Rewrite`.

    LayerNorm and softmax, as one operator or taken apart, and all other reductions stay in
    float32, as does arithmetic on their results. So does an operator whose weights float16 cannot
    hold (an epsilon of 1e-12, a mask of -1e9), and one that reads or gives a value whose size on
    the clips is not within `LOWEST` and `HIGHEST`. Infinite numbers stay infinite in float16, and
    do not count.

    It is meant for GPUs. ONNX Runtime's CPU optimizer ends the process on some float16 graphs (its
    MatmulTransposeFusion, in 1.23.2 and 1.32.0), so open it there without optimizing.

    Args:
        backbone: ONNX bytes without functions and control flow, float32 in and out.
        clips: `clip_shape` float32 in 0..1 each, to measure ranges on; taken one at a time.

    Raises:
        ExportError: the graph holds something else, comes out inconsistent, or has an operator
            of its own in float16 whose result overflows.
        BackendError: ONNX Runtime cannot run it.
        ValueError: there are no clips.
    """
    model = open_flat(backbone)
    try:
        halving = _Halving(model)
        ranges = measure_ranges(model, halving.watched, clips, halves=halving.halves)
        report = halving.rewrite(ranges)
        onnx.checker.check_model(model, full_check=True)  # infers every type, strictly
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"The backbone cannot be written with float16 inside: {error}") from error
    return Rewritten(model.SerializeToString(deterministic=True), report)


def round_halves(backbone: bytes) -> bytes:
    """Return a copy of a backbone that ONNX Runtime's CPU kernels compute as its types say.

    For float16 they compute in float32, and the casts between two operators fall away, so that
    values above 65,504 pass unseen. Here every float16 value goes through an Identity, whose
    kernel takes float16: the value is rounded, and infinite if it is too large. Open it without
    optimizing, which would remove the Identity again.

    Args:
        backbone: the bytes of a `to_fp16`.
    """
    model = onnx.load_model_from_string(backbone)
    types = _types(model)
    nodes = []
    for node in list(model.graph.node):
        nodes.append(node)
        for place, name in enumerate(node.output):
            if types.get(name) == TensorProto.FLOAT16:
                node.output[place] = f"{name}/unrounded"
                nodes.append(helper.make_node("Identity", [node.output[place]], [name]))
    replace_nodes(model.graph, nodes, {tensor.name: tensor for tensor in model.graph.initializer})
    data: bytes = model.SerializeToString()
    return data


class _Halving:
    """One conversion of a graph to float16.

    A value `v` can be held twice, each made on demand: in float32 it is called `v`, in float16 `v`
    with the suffix.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = model.graph
        self.graph = graph
        self.opset = {item.domain: item.version for item in model.opset_import}
        self.weights = {tensor.name: tensor for tensor in graph.initializer}
        types = _types(model)
        self.floats = {name for name, kind in types.items() if kind == TensorProto.FLOAT}
        halves = {name for name, kind in types.items() if kind == TensorProto.FLOAT16}
        self.halves = halves - self.weights.keys()
        """Values that the backbone itself holds in float16."""
        self.suffix = "_fp16"
        while any(name.endswith(self.suffix) for name in (*self.weights, *self.floats)):
            self.suffix = "_" + self.suffix
        given = [entry.name for entry in graph.input if entry.name in self.floats]
        self.held = {(name, False) for name in (*self.weights, *given)}
        """Values that exist by now, each with True if in float16."""
        self.nodes: list[onnx.NodeProto] = []
        self.kept = self._kept(graph)
        """First outputs of the nodes that compute in float32."""
        self.watched = set[str]().union(
            *(self._values_of(node) for node in graph.node if node.output[0] not in self.kept)
        )
        """Values whose range is measured: those that float16 would hold."""

    def rewrite(self, ranges: Ranges) -> RangeReport:
        """Replace the graph's nodes and weights; return what the ranges decided.

        Raises:
            ExportError: the backbone itself holds a value in float16 that overflows.
        """
        graph = self.graph
        sizes = {name: _size(ends) for name, ends in ranges.items()}
        for name in sorted(self.halves):
            if not sizes[name] <= FLOAT16_MAX:
                raise ExportError(
                    f"The backbone itself computes {name!r} in float16, and on these clips it "
                    f"reaches {sizes[name]:.3g}: float16 ends at {FLOAT16_MAX:,.0f}. "
                    "Export the model in float32."
                )
        n_kept, n_operators = 0, len(graph.node)
        for node in list(graph.node):
            halve = node.output[0] not in self.kept
            if halve and not all(_holds(sizes[name]) for name in self._values_of(node)):
                halve = False
                n_kept += 1
            self._add(node, halve=halve)
        for entry in graph.output:
            if entry.name in self.floats:
                self._ask(entry.name, half=False)
        replace_nodes(graph, self.nodes, self.weights)
        value = max(sizes, key=lambda name: np.nan_to_num(sizes[name]), default="")
        return RangeReport(n_kept, n_operators, largest=sizes.get(value, 0.0), value=value)

    def _values_of(self, node: onnx.NodeProto) -> set[str]:
        """Return the float32 values that a node reads and gives, without weights."""
        return (self.floats - self.weights.keys()).intersection((*node.input, *node.output))

    def _kept(self, graph: onnx.GraphProto) -> set[str]:
        """Return the first outputs of the nodes that compute in float32 whatever their values."""
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
        """Return True if float16 can represent the weight, or `name` is not a float weight."""
        if name not in self.weights or name not in self.floats:
            return True
        values = numpy_helper.to_array(self.weights[name])
        half = _halved(values)
        # Many small weights may become zero, as they add up to little; a single number may not.
        vanished = values.size == 1 and bool((values != 0).any() and (half == 0).any())
        return not vanished and bool((np.isfinite(half) == np.isfinite(values)).all())

    def _add(self, node: onnx.NodeProto, *, halve: bool) -> None:
        """Add a node, with its inputs in the precision that it computes in."""
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
        """Return the name of a value in one precision, which a cast or a second weight makes."""
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


def _halved(values: Float32) -> npt.NDArray[np.float16]:
    with np.errstate(over="ignore"):  # what overflows is looked for afterwards
        return values.astype(np.float16)


def _types(model: onnx.ModelProto) -> dict[str, int]:
    """Return the element type of every value and weight."""
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    entries = (*graph.input, *graph.value_info, *graph.output)
    types = {entry.name: entry.type.tensor_type.elem_type for entry in entries}
    return types | {tensor.name: tensor.data_type for tensor in graph.initializer}


def _size(ends: tuple[float, float]) -> float:
    """Return the largest absolute finite number of a range; NaN if a number was NaN."""
    return float(np.max([0.0, *(abs(end) for end in ends if not math.isinf(end))]))


def _holds(size: float) -> bool:
    """Return True if float16 can hold values of this size with the margin; False for NaN."""
    return size == 0 or LOWEST <= size < HIGHEST
