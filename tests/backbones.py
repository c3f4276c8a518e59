"""Small backbones made by hand, of the kinds that people have."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = [
    "CLIP_SHAPE",
    "DIM",
    "Made",
    "clips",
    "convolutions",
    "massive",
    "quantized",
    "transformer",
]

CLIP_SHAPE = (3, 4, 16, 16)
DIM = 32
_HEADS, _TOKENS = 4, 8  # patches of 2 x 8 x 8 pixels


def clips(n_clips: int = 8) -> npt.NDArray[np.float32]:
    return np.random.default_rng(3).random((n_clips, *CLIP_SHAPE), np.float32)


class Made:
    """A graph that grows; every method returns the name of its result."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def add(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, inputs, [name], **attributes))
        return name

    def weight(self, *shape: int, scale: float = 1.0) -> str:
        values = self.rng.standard_normal(shape) * scale
        return self.constant(values.astype(np.float32))

    def constant(self, values: npt.ArrayLike) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def linear(self, value: str, n_in: int, n_out: int) -> str:
        product = self.add("MatMul", value, self.weight(n_in, n_out, scale=n_in**-0.5))
        return self.add("Add", product, self.weight(n_out, scale=0.1))

    def reshape(self, value: str, *shape: int) -> str:
        return self.add("Reshape", value, self.constant(np.asarray(shape, np.int64)))

    def to_bytes(
        self, features: str, *, clip_shape: Sequence[int] = CLIP_SHAPE, batch: str | int = "batch"
    ) -> bytes:
        self.nodes.append(helper.make_node("Identity", [features], ["features"]))
        info = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes,
            "backbone",
            [info("clip", TensorProto.FLOAT, [batch, *clip_shape])],
            [info("features", TensorProto.FLOAT, [batch, DIM])],
            self.weights,
        )
        opset = [helper.make_opsetid("", 18)]
        model = helper.make_model(graph, ir_version=8, opset_imports=opset)
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString(deterministic=True))


def convolutions(batch: str | int = "batch") -> bytes:
    """Two 3-D convolutions and a mean."""
    made = Made()
    value = "clip"
    for n_in, n_out in ((3, 16), (16, DIM)):
        kernel = made.weight(n_out, n_in, 3, 3, 3, scale=(27 * n_in) ** -0.5)
        bias = made.weight(n_out, scale=0.1)
        value = made.add("Conv", value, kernel, bias, pads=[1] * 6, strides=[1, 2, 2])
        value = made.add("Relu", value)
    pooled = made.add("ReduceMean", value, made.constant(np.array([2, 3, 4], np.int64)), keepdims=0)
    return made.to_bytes(pooled, batch=batch)


def transformer(*, taken_apart: bool = False) -> bytes:
    """A video transformer of two layers; LayerNorm and softmax as operators, or taken apart."""
    made = Made()
    norm, softmax = (_norm_apart, _softmax_apart) if taken_apart else (_norm, _softmax)
    kernel = made.weight(DIM, 3, 2, 8, 8, scale=0.05)
    patches = made.add("Conv", "clip", kernel, strides=[2, 8, 8])
    tokens = made.add("Transpose", made.reshape(patches, 0, DIM, _TOKENS), perm=[0, 2, 1])
    value = made.add("Add", tokens, made.weight(1, _TOKENS, DIM, scale=0.1))
    for _ in range(2):
        value = made.add("Add", value, _attention(made, norm(made, value), softmax))
        value = made.add("Add", value, _perceptron(made, norm(made, value)))
    mean = made.add(
        "ReduceMean", norm(made, value), made.constant(np.array([1], np.int64)), keepdims=0
    )
    return made.to_bytes(mean)


def massive(largest: float) -> bytes:
    """A residual stream with a LayerNorm behind it; one channel is `largest` for a grey clip.

    The channel follows the brightness of the clip, and is 0 for a black one.
    """
    made = Made()
    n_pixels = int(np.prod(CLIP_SHAPE)) // _TOKENS
    embedding = made.rng.standard_normal((n_pixels, DIM)).astype(np.float32) / n_pixels
    embedding[:, 5] = 2 / n_pixels
    kernel = made.rng.standard_normal((DIM, DIM)).astype(np.float32) / 8
    kernel[:, 5] = 0
    kernel[5, 5] = largest / 200
    pixels = made.reshape("clip", 0, _TOKENS, n_pixels)
    tokens = made.add("MatMul", pixels, made.constant(embedding))
    branch = made.add("Relu", made.add("MatMul", tokens, made.constant(kernel)))
    wide = made.add("Mul", branch, made.constant(np.float32(200)))
    value = _norm(made, made.add("Add", tokens, wide))
    mean = made.add("ReduceMean", value, made.constant(np.array([1], np.int64)), keepdims=0)
    return made.to_bytes(made.linear(mean, DIM, DIM))


def _attention(made: Made, value: str, softmax: Callable[[Made, str], str]) -> str:
    size = DIM // _HEADS
    queries, keys, values = (
        made.add(
            "Transpose",
            made.reshape(made.linear(value, DIM, DIM), 0, _TOKENS, _HEADS, size),
            perm=perm,
        )
        for perm in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])
    )
    scores = made.add("Mul", made.add("MatMul", queries, keys), made.constant(np.float32(0.35)))
    mixed = made.add("MatMul", softmax(made, scores), values)
    joined = made.reshape(made.add("Transpose", mixed, perm=[0, 2, 1, 3]), 0, _TOKENS, DIM)
    return made.linear(joined, DIM, DIM)


def _perceptron(made: Made, value: str) -> str:
    wide = made.linear(value, DIM, 2 * DIM)
    erf = made.add("Erf", made.add("Div", wide, made.constant(np.float32(2**0.5))))
    gelu = made.add("Mul", wide, made.add("Add", erf, made.constant(np.float32(1))))
    return made.linear(gelu, 2 * DIM, DIM)


def _norm(made: Made, value: str) -> str:
    scale, bias = made.weight(DIM), made.weight(DIM, scale=0.1)
    return made.add("LayerNormalization", value, scale, bias, axis=-1, epsilon=1e-12)


def _norm_apart(made: Made, value: str) -> str:
    last = made.constant(np.array([-1], np.int64))
    centred = made.add("Sub", value, made.add("ReduceMean", value, last))
    squares = made.add("Pow", centred, made.constant(np.float32(2)))
    variance = made.add("ReduceMean", squares, last)
    spread = made.add("Sqrt", made.add("Add", variance, made.constant(np.float32(1e-12))))
    scaled = made.add("Mul", made.add("Div", centred, spread), made.weight(DIM))
    return made.add("Add", scaled, made.weight(DIM, scale=0.1))


def _softmax(made: Made, value: str) -> str:
    return made.add("Softmax", value, axis=-1)


def _softmax_apart(made: Made, value: str) -> str:
    last = made.constant(np.array([-1], np.int64))
    powers = made.add("Exp", made.add("Sub", value, made.add("ReduceMax", value, last)))
    return made.add("Div", powers, made.add("ReduceSum", powers, last))


def quantized(backbone: bytes) -> bytes:
    """A backbone with Q/DQ pairs around inputs and weights of convolutions and matrices."""
    model = onnx.load_model_from_string(backbone)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    done: set[str] = set()

    def scaled(name: str, largest: float, *, stored: bool) -> str:
        if name in done:
            return f"{name}_dq"
        done.add(name)
        scale = numpy_helper.from_array(np.float32(largest / 127), f"{name}_scale")
        zero = numpy_helper.from_array(np.int8(0), f"{name}_zero")
        model.graph.initializer.extend([scale, zero])
        extra = [scale.name, zero.name]
        if stored:
            values = np.rint(numpy_helper.to_array(weights[name]) / (largest / 127))
            whole = numpy_helper.from_array(values.astype(np.int8), f"{name}_int8")
            model.graph.initializer.append(whole)
        else:
            nodes.append(helper.make_node("QuantizeLinear", [name, *extra], [f"{name}_int8"]))
        dequantize = helper.make_node("DequantizeLinear", [f"{name}_int8", *extra], [f"{name}_dq"])
        nodes.append(dequantize)
        return f"{name}_dq"

    for node in model.graph.node:
        if node.op_type in ("Conv", "MatMul") and node.input[1] in weights:
            kernel = numpy_helper.to_array(weights[node.input[1]])
            node.input[1] = scaled(node.input[1], float(np.abs(kernel).max()), stored=True)
            node.input[0] = scaled(node.input[0], 4.0, stored=False)
        nodes.append(node)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    model.graph.ClearField("initializer")
    model.graph.initializer.extend(kept)
    model.graph.ClearField("node")
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))
