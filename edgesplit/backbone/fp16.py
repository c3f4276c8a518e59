"""A backbone in half precision, with its types written into the graph.

TensorRT 11 takes the precision of every operator from the ONNX file, and TensorRT 10 can do so: one
typed file works for both. Operators compute in float16, except those that would lose accuracy:
normalisations, softmax, reductions and operators on their results stay in float32, between casts.
Operators with a value outside float16's range on the clips stay in float32, too. Clips and features
stay float32, so the interface of the backbone does not change.
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

A quarter of float16's largest number. The clips are only a sample, and other clips may reach larger
values: on the demo's backbone, values on two clips stay below twice those on ten others, and values
on real clips below three times those on generated clips (a test measures it). A kernel may also
round its partial sums to float16, and they may be larger than the result. Float16 is as precise
below this limit as above it, so the margin only costs the speed of the operators that stay in
float32.
"""

LOWEST = 2.0**-14
"""Operators with a value that stays below this on all clips stay in float32, too.

It is float16's smallest normal number. Below it the steps are always 2**-24, so a value would keep
fewer than the 11 bits that float16 has elsewhere, or become zero.
"""

_REDUCTIONS = frozenset(
    {
        *("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean"),
        *("ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare"),
        *("Exp", "Log", "Pow", "Reciprocal", "Sqrt"),
    }
)
"""Sums of many numbers, and functions whose results leave float16's range: 6e-8 to 65504.

A LayerNorm or a softmax that is not one operator consists of them.
"""

_NORMALISATIONS = frozenset(
    {
        *("BatchNormalization", "GroupNormalization", "InstanceNormalization"),
        *("LayerNormalization", "LogSoftmax", "LpNormalization", "Softmax"),
    }
)
"""Operators that also reduce, but whose results fit float16."""

_ARITHMETIC = frozenset({"Add", "Sub", "Mul"})


def to_fp16(backbone: bytes, clips: Iterable[Float32]) -> Rewritten:
    """Return the backbone with float16 inside; a `Rewrite`.

    LayerNorm and softmax, as one or several operators, all other reductions, and arithmetic on
    their results stay in float32. An operator also stays in float32 if float16 cannot represent its
    weights (an epsilon of 1e-12, a mask of -1e9), or if it reads or makes a value whose size on the
    clips is not within `LOWEST` and `HIGHEST`. Infinite numbers are ignored, because they stay
    infinite in float16.

    The result is for GPUs. ONNX Runtime's CPU optimizer crashes on some float16 graphs (its
    MatmulTransposeFusion, in 1.23.2 and 1.32.0), so open it without optimizing on a CPU.

    Args:
        backbone: ONNX bytes without functions and control flow, float32 in and out.
        clips: `clip_shape` float32 in 0..1 each, to measure ranges on; taken one at a time.

    Raises:
        ExportError: the graph has functions or control flow, the result is inconsistent, or the
            backbone already has a float16 operator whose result overflows.
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
    """Return a copy of a backbone that rounds every float16 value in ONNX Runtime's CPU kernels.

    These kernels compute float16 in float32, and the casts between two operators are removed, so
    values above 65,504 are not noticed. In the copy every float16 value goes through an Identity,
    whose kernel uses float16: the value is rounded, and infinite if it is too large. Open the copy
    without optimizing, which would remove the Identity.

    Args:
        backbone: the bytes of a `to_fp16` result.
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

    A value `v` can exist twice, each form made on demand: in float32 it is named `v`, in float16
    `v` with the suffix.
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
        """Values that are float16 in the given backbone."""
        self.suffix = "_fp16"
        while any(name.endswith(self.suffix) for name in (*self.weights, *self.floats)):
            self.suffix = "_" + self.suffix
        given = [entry.name for entry in graph.input if entry.name in self.floats]
        self.held = {(name, False) for name in (*self.weights, *given)}
        """Values that exist so far, each with True if it is in float16."""
        self.nodes: list[onnx.NodeProto] = []
        self.kept = self._kept(graph)
        """First outputs of the nodes that compute in float32."""
        self.watched = set[str]().union(
            *(self._values_of(node) for node in graph.node if node.output[0] not in self.kept)
        )
        """Values whose range is measured: those that would be in float16."""

    def rewrite(self, ranges: Ranges) -> RangeReport:
        """Replace the graph's nodes and weights; return a report of the ranges.

        Raises:
            ExportError: a value that is float16 in the given backbone overflows.
        """
        graph = self.graph
        sizes = {name: _size(ends) for name, ends in ranges.items()}
        for name in sorted(self.halves):
            if not sizes[name] <= FLOAT16_MAX:
                raise ExportError(
                    f"The exported backbone computes {name!r} in float16, and on these clips it "
                    f"reaches {sizes[name]:.3g}; the float16 maximum is {FLOAT16_MAX:,.0f}. "
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
        """Return the float32 values that a node reads and makes, without weights."""
        return (self.floats - self.weights.keys()).intersection((*node.input, *node.output))

    def _kept(self, graph: onnx.GraphProto) -> set[str]:
        """Return the first outputs of the nodes that compute in float32 for any values."""
        reduced: set[str] = set()
        kept: set[str] = set()
        for node in graph.node:
            kind, name = node.op_type, node.output[0]
            fed = not reduced.isdisjoint(node.input)
            if kind in _REDUCTIONS or (fed and kind in _ARITHMETIC):
                reduced.add(name)
            elif fed and kind == "Div":
                kept.add(name)  # the division ends a normalisation: its quotient fits float16
            elif kind in _NORMALISATIONS or not all(map(self._fits, node.input)):
                kept.add(name)
        return kept | reduced

    def _fits(self, name: str) -> bool:
        """Return True if float16 can represent the weight, or `name` is not a float weight."""
        if name not in self.weights or name not in self.floats:
            return True
        values = numpy_helper.to_array(self.weights[name])
        half = _halved(values)
        # Many small weights may become zero, because their sum is small; a single one may not.
        vanished = values.size == 1 and bool((values != 0).any() and (half == 0).any())
        return not vanished and bool((np.isfinite(half) == np.isfinite(values)).all())

    def _add(self, node: onnx.NodeProto, *, halve: bool) -> None:
        """Add a node, with its inputs in the precision of its computation."""
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
        """Return the name of a value in one precision; add a cast or a second weight for it."""
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
    with np.errstate(over="ignore"):  # the caller looks for overflows
        return values.astype(np.float16)


def _types(model: onnx.ModelProto) -> dict[str, int]:
    """Return the element type of every value and weight."""
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    entries = (*graph.input, *graph.value_info, *graph.output)
    types = {entry.name: entry.type.tensor_type.elem_type for entry in entries}
    return types | {tensor.name: tensor.data_type for tensor in graph.initializer}


def _size(ends: tuple[float, float]) -> float:
    """Return the largest finite absolute value of a range; NaN if a number was NaN."""
    return float(np.max([0.0, *(abs(end) for end in ends if not math.isinf(end))]))


def _holds(size: float) -> bool:
    """Return True if float16 can represent this size with the margin; False for NaN."""
    return size == 0 or LOWEST <= size < HIGHEST
