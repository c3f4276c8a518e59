"""A backbone in 8 bits, with Q/DQ pairs at the places that ONNX Runtime or TensorRT expects.

Convolutions and matrix products with stored weights compute in integers; everything else
(LayerNorm, softmax, products inside attention) stays in float32. Weights get one scale for every
output channel, and values one range each, from calibration clips.

For ONNX Runtime, values are unsigned with a zero point. The range of a ReLU's output then starts at
zero, so the quantization replaces the ReLU, and the convolutions of a CNN pass integers to each
other. TensorRT expects signed values around zero, and biases in float32.
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
"""First opset whose DequantizeLinear accepts a scale for every channel."""

_TINY = float(np.finfo(np.float32).tiny)
_MOST_BIAS = 2.0**30
"""Largest bias in steps, so that the 32-bit sum that starts with it does not overflow."""


def to_int8(backbone: bytes, clips: Iterable[Float32], *, signed: bool = False) -> Rewritten:
    """Return the backbone with Q/DQ pairs; a `Rewrite`.

    Args:
        backbone: ONNX bytes without functions and control flow, float32 in and out.
        clips: `clip_shape` float32 in 0..1 each, to calibrate on; read one at a time.
        signed: write values for TensorRT, not for ONNX Runtime.

    Raises:
        ExportError: the graph has functions or control flow, nothing that could be quantized, or a
            value that is not finite.
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
            f"weights) cannot be quantized: that needs opset {_MIN_OPSET} and at least one of them."
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
    """An operator that will compute in integers."""

    node: onnx.NodeProto
    axis: int
    """Axis of the output channels in the weight."""
    outcome: str
    """Name of the output to quantize: this operator's, its ReLU's, or "" for none."""


def _find_layers(graph: onnx.GraphProto, wiring: Wiring) -> dict[str, _Layer]:
    """Return the layers by their first output."""
    layers = {}
    for node in graph.node:
        axis = _channel_axis(node, wiring.weights)
        if axis is None:
            continue
        outcome = ""
        if node.op_type == "Conv":  # outputs of the others stay float32, which loses less
            outcome = node.output[0]
            after = wiring.only_user(outcome)
            if after is not None and after.op_type == "Relu":
                outcome = after.output[0]
        layers[node.output[0]] = _Layer(node, axis, "" if outcome in wiring.results else outcome)
    return layers


def _channel_axis(node: onnx.NodeProto, weights: dict[str, TensorProto]) -> int | None:
    """Return the axis of the output channels in a node's weight; None if it is not a layer."""
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
    """Return the lowest and highest number of every value to quantize, over all clips.

    Ranges averaged over the clips, so that one clip cannot widen them for all, were tried on
    Motion-Split: the difference of the logits from fp32 was three to five times as large.

    Raises:
        ExportError: a value is infinite or NaN, so it cannot be quantized.
    """
    names = {layer.node.input[0] for layer in layers.values()}
    names |= {layer.outcome for layer in layers.values() if layer.outcome}
    ranges = measure_ranges(model, names, clips)
    for name, ends in ranges.items():
        if not all(map(math.isfinite, ends)):
            raise ExportError(
                f"The backbone cannot be quantized: its value {name!r} ranges from {ends[0]} to "
                f"{ends[1]} on these clips. Use fp32."
            )
    # Zero must be representable, because padding consists of zeros.
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
    """Step of every value that is quantized so far."""

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
        biases = None
        if bias and not self.signed:
            biases = numpy_helper.to_array(self.weights[bias[0]]).astype(np.float64)
            steps = np.maximum(steps, np.abs(biases) / (step * _MOST_BIAS))
        steps = steps.astype(np.float32)
        shape = [-1 if axis == layer.axis else 1 for axis in range(stored.ndim)]
        integers = np.rint(stored / steps.reshape(shape)).clip(-127, 127).astype(np.int8)
        label = node.output[0]
        node.input[1] = self._stored(f"{label}_weight", integers, steps, layer.axis)
        if biases is not None:
            fine = (steps * np.float32(step)).astype(np.float32)
            node.input[2] = self._stored(
                f"{label}_bias", np.rint(biases / fine).astype(np.int32), fine, 0
            )

    def _stored(
        self, name: str, integers: npt.NDArray[np.signedinteger], steps: Float32, axis: int
    ) -> str:
        """Add integers and the node that reads them as float32; return the node's output."""
        zeros = np.zeros_like(integers, shape=steps.shape)
        parts = {f"{name}_q": integers, f"{name}_step": steps, f"{name}_zero": zeros}
        self._keep(parts)
        return self._add("DequantizeLinear", [*parts], f"{name}_dq", axis=axis)

    def _round_value(self, name: str) -> float:
        """Add the Q/DQ pair of a value, once; return the step."""
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
