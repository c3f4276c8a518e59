"""A backbone in 8 bits, with Q/DQ pairs where ONNX Runtime or TensorRT looks for them.

Convolutions and matrix products with stored weights compute in whole numbers; everything else
(LayerNorm, softmax, attention's own products) stays in float32. Weights get a scale for every
output channel, values one range each, from calibration clips.

For ONNX Runtime values are unsigned with a zero point: what comes out of a ReLU then starts at
zero, so that the ReLU vanishes into the rounding and the convolutions of a CNN hand on whole
numbers. TensorRT wants signed values around zero, and biases in float32.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgesplit._types import Float32
from edgesplit.backbone.graph import Rewritten, Wiring, attributes, open_flat, replace_nodes
from edgesplit.backbone.ranges import Ranges, measure_ranges
from edgesplit.errors import ExportError

__all__ = ["to_int8"]

_MIN_OPSET = 13
"""The first opset whose DequantizeLinear takes a scale for every channel."""

_TINY = float(np.finfo(np.float32).tiny)
_MOST_BIAS = 2.0**30
"""A bias stays below this many steps, so that the 32-bit sum that starts with it fits."""


def to_int8(backbone: bytes, clips: Iterable[Float32], *, signed: bool = False) -> Rewritten:
    """Return the backbone with Q/DQ pairs; a `Rewrite`.

    Args:
        backbone: ONNX bytes without functions and control flow, float32 in and out.
        clips: `clip_shape` float32 in 0..1 each, to calibrate on; taken one at a time.
        signed: write values as TensorRT wants them, not ONNX Runtime.

    Raises:
        ExportError: the graph holds something else, nothing that could be quantized, or a value
            that is not finite.
        BackendError: ONNX Runtime cannot run it.
        ValueError: there are no clips.
    """
    model = open_flat(backbone)
    opset = max((item.version for item in model.opset_import if not item.domain), default=1)
    wiring = Wiring(model)
    layers = _find_layers(model.graph, wiring)
    if opset < _MIN_OPSET or not layers:
        raise ExportError(
            f"The backbone (opset {opset}, {len(layers)} convolutions and matrix products with "
            f"weights) cannot be quantized: it takes opset {_MIN_OPSET} and one of them."
        )
    ranges = _find_ranges(model, layers, clips)
    _Rounding(wiring.weights, layers, ranges, signed).rewrite(model.graph)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"The backbone cannot be written with 8 bits inside: {error}") from error
    return Rewritten(model.SerializeToString(deterministic=True))


@dataclass(frozen=True, slots=True)
class _Layer:
    """An operator that will compute in whole numbers."""

    node: onnx.NodeProto
    axis: int
    """The weight's axis of output channels."""
    outcome: str
    """Name of the output to quantise: this operator's, its ReLU's, or "" for none."""


def _find_layers(graph: onnx.GraphProto, wiring: Wiring) -> dict[str, _Layer]:
    """Return the layers by their first output."""
    layers = {}
    for node in graph.node:
        axis = _channel_axis(node, wiring.weights)
        if axis is None:
            continue
        outcome = ""
        if node.op_type == "Conv":  # the others may give float32, which loses less
            outcome = node.output[0]
            after = wiring.only_user(outcome)
            if after is not None and after.op_type == "Relu":
                outcome = after.output[0]
        layers[node.output[0]] = _Layer(node, axis, "" if outcome in wiring.results else outcome)
    return layers


def _channel_axis(node: onnx.NodeProto, weights: dict[str, TensorProto]) -> int | None:
    """Return the axis of a layer's weight with the output channels; None if it is not a layer."""
    stored = [weights[name] for name in node.input if name in weights]
    read = [name for name in node.input if name not in weights]
    if not stored or read != node.input[:1] or {t.data_type for t in stored} != {TensorProto.FLOAT}:
        return None
    if node.op_type == "Conv":
        return 0
    if node.op_type == "MatMul" and len(stored[0].dims) == 2:
        return 1
    if node.op_type == "Gemm":
        options = attributes(node)
        plain = all(options.get(name, 1) == 1 for name in ("alpha", "beta"))
        flat = all(len(tensor.dims) == 1 for tensor in stored[1:])
        if plain and flat and not options.get("transA", 0):
            return 0 if options.get("transB", 0) else 1
    return None


def _find_ranges(
    model: onnx.ModelProto, layers: dict[str, _Layer], clips: Iterable[Float32]
) -> Ranges:
    """Return the lowest and highest number of every value to be rounded, over all clips.

    Ranges averaged over the clips, so that none widens them for all, were tried on Motion-Split:
    logits came out three to five times as far from fp32's.

    Raises:
        ExportError: a value is infinite or NaN, so no step fits it.
    """
    names = {layer.node.input[0] for layer in layers.values()}
    names |= {layer.outcome for layer in layers.values() if layer.outcome}
    ranges = measure_ranges(model, names, clips)
    for name, ends in ranges.items():
        if not all(map(math.isfinite, ends)):
            raise ExportError(
                f"The backbone cannot be quantized: its value {name!r} goes from {ends[0]} to "
                f"{ends[1]} on these clips. Stay with fp32."
            )
    # Zero must be a step: padding is made of it.
    return {name: (min(low, 0.0), max(high, 0.0)) for name, (low, high) in ranges.items()}


@dataclass(slots=True)
class _Rounding:
    """One conversion of a graph to 8 bits."""

    weights: dict[str, TensorProto]
    layers: dict[str, _Layer]
    ranges: Ranges
    signed: bool
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    steps: dict[str, float] = field(default_factory=dict)
    """Step of every value that is rounded by now."""

    def rewrite(self, graph: onnx.GraphProto) -> None:
        """Replace the graph's nodes and weights."""
        outcomes = {layer.outcome for layer in self.layers.values()}
        for node in list(graph.node):
            layer = self.layers.get(node.output[0])
            if layer is not None:
                self._round_inputs(layer)
            for place, name in enumerate(node.input):
                if name in outcomes and name in self.steps:
                    node.input[place] = f"{name}_dq"
            self.nodes.append(node)
            if node.output[0] in outcomes:
                self._round_value(node.output[0])
        replace_nodes(graph, self.nodes, self.weights)

    def _round_inputs(self, layer: _Layer) -> None:
        node = layer.node
        value, weight, *bias = node.input
        step = self._round_value(value)
        node.input[0] = f"{value}_dq"
        stored = numpy_helper.to_array(self.weights[weight]).astype(np.float64)
        others = tuple(axis for axis in range(stored.ndim) if axis != layer.axis)
        steps = np.maximum(np.abs(stored).max(axis=others) / 127, _TINY)
        start = None
        if bias and not self.signed:
            start = numpy_helper.to_array(self.weights[bias[0]]).astype(np.float64)
            steps = np.maximum(steps, np.abs(start) / (step * _MOST_BIAS))
        steps = steps.astype(np.float32)
        shape = [-1 if axis == layer.axis else 1 for axis in range(stored.ndim)]
        whole = np.rint(stored / steps.reshape(shape)).clip(-127, 127).astype(np.int8)
        label = node.output[0]
        node.input[1] = self._stored(f"{label}_weight", whole, steps, layer.axis)
        if start is not None:
            fine = (steps * np.float32(step)).astype(np.float32)
            node.input[2] = self._stored(
                f"{label}_bias", np.rint(start / fine).astype(np.int32), fine, 0
            )

    def _stored(
        self, name: str, whole: npt.NDArray[np.signedinteger], steps: Float32, axis: int
    ) -> str:
        """Add whole numbers and the node that reads them as float32; return its output's name."""
        zeros = np.zeros_like(whole, shape=steps.shape)
        parts = {f"{name}_q": whole, f"{name}_step": steps, f"{name}_zero": zeros}
        self._keep(parts)
        return self._add("DequantizeLinear", [*parts], f"{name}_dq", axis=axis)

    def _round_value(self, name: str) -> float:
        """Add the pair that rounds a value, once; return the step."""
        if name in self.steps:
            return self.steps[name]
        step, zero = self._scale(*self.ranges[name])
        self.steps[name] = float(step)
        self._keep({f"{name}_step": step, f"{name}_zero": zero})
        about = [f"{name}_step", f"{name}_zero"]
        self._add("QuantizeLinear", [name, *about], f"{name}_q")
        self._add("DequantizeLinear", [f"{name}_q", *about], f"{name}_dq")
        return float(step)

    def _scale(self, low: float, high: float) -> tuple[np.float32, np.int8 | np.uint8]:
        """Return the step and the zero point for a range of values."""
        if self.signed:
            return np.float32(max(-low, high, 127 * _TINY) / 127), np.int8(0)
        step = np.float32(max((high - low) / 255, _TINY))
        return step, np.uint8(np.clip(np.rint(-low / step), 0, 255))

    def _keep(self, parts: Mapping[str, npt.ArrayLike]) -> None:
        for name, values in parts.items():
            self.weights[name] = numpy_helper.from_array(np.asarray(values), name)

    def _add(self, kind: str, inputs: list[str], output: str, **options: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **options))
        return output
