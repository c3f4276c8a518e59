"""The half-precision backbone: float16 where it may be, float32 where it must; same features."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import edgesplit
from edgesplit.errors import ExportError
from edgesplit.fp16 import to_fp16
from edgesplit.sessions import open_session
from tests.backbones import DIM, Made, clips, convolutions, quantized, transformer

DEMO = Path(edgesplit.__file__).parent / "assets" / "demo" / "motion.bundle"
MADE = {
    "cnn": convolutions,
    "vit": transformer,
    "vit taken apart": lambda: transformer(taken_apart=True),
}

Floats = npt.NDArray[np.float32]


def run(backbone: bytes, given: Floats) -> Floats:
    features: Floats = open_session(backbone, optimize=False).run(["features"], {"clip": given})[0]
    return features


def distance(half: bytes, full: bytes, given: Floats) -> float:
    """How far the features are apart, relative to their length; the worst clip."""
    got, wanted = run(half, given), run(full, given)
    assert got.dtype == np.float32
    apart = np.linalg.norm(got - wanted, axis=1) / np.linalg.norm(wanted, axis=1)
    return float(apart.max())


def types(model: onnx.ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    entries = (*graph.input, *graph.value_info, *graph.output)
    found = {entry.name: entry.type.tensor_type.elem_type for entry in entries}
    return found | {tensor.name: tensor.data_type for tensor in graph.initializer}


# float16 has 11 bits: a rounding is 5e-4 at most, and roundings of one path partly cancel.
@pytest.mark.parametrize("kind", MADE)
def test_features_agree_to_half_precision(kind: str) -> None:
    full = MADE[kind]()
    half = to_fp16(full)
    assert distance(half, full, clips()) < 2e-3
    assert len(half) < 0.6 * len(full)


def test_demo_backbone_agrees_to_half_precision() -> None:
    full = (DEMO / "backbone.onnx").read_bytes()
    given = np.random.default_rng(0).random((4, 3, 8, 40, 40), np.float32)
    assert distance(to_fp16(full), full, given) < 1e-3


@pytest.mark.parametrize("kind", MADE)
def test_what_reduces_stays_in_float32_and_the_rest_does_not(kind: str) -> None:
    model = onnx.load_model_from_string(to_fp16(MADE[kind]()))
    found = types(model)
    computed: dict[str, set[int]] = {}
    for node in model.graph.node:
        if node.op_type != "Cast":
            computed.setdefault(node.op_type, set()).add(found[node.output[0]])
    kept = {"LayerNormalization", "Softmax", "ReduceMean", "ReduceMax", "ReduceSum"}
    for op_type in computed.keys() & (kept | {"Pow", "Exp", "Sqrt"}):
        assert computed[op_type] == {TensorProto.FLOAT}, op_type
    for op_type in computed.keys() & {"Conv", "MatMul", "Relu", "Erf", "Transpose", "Reshape"}:
        assert computed[op_type] == {TensorProto.FLOAT16}, op_type


def test_clips_and_features_stay_float32_and_the_graph_carries_no_weight_twice() -> None:
    model = onnx.load_model_from_string(to_fp16(transformer()))
    (given,), (made,) = model.graph.input, model.graph.output
    assert (given.name, made.name) == ("clip", "features")
    assert {e.type.tensor_type.elem_type for e in (given, made)} == {TensorProto.FLOAT}
    names = [tensor.name for tensor in model.graph.initializer]
    assert len(names) == len({name.removesuffix("_fp16") for name in names})


def test_the_same_backbone_gives_the_same_bytes() -> None:
    assert to_fp16(transformer()) == to_fp16(transformer())


def test_values_named_like_the_new_ones_are_not_mixed_up() -> None:
    model = onnx.load_model_from_string(convolutions())
    for node in model.graph.node:
        node.input[:] = [f"{n}_fp16" if n.startswith("v") else n for n in node.input]
        node.output[:] = [f"{n}_fp16" if n.startswith("v") else n for n in node.output]
    full = model.SerializeToString()
    assert distance(to_fp16(full), full, clips()) < 2e-3


def pooled(add: Callable[[Made, str], str]) -> bytes:
    """The mean colour over the clip, made `DIM` features by a matrix, with `add` before it."""
    made = Made()
    mean = made.add("ReduceMean", "clip", made.constant(np.array([2, 3, 4], np.int64)), keepdims=0)
    return made.to_bytes(made.add("Relu", made.linear(add(made, mean), 3, DIM)))


@pytest.mark.parametrize(
    "weight",
    [np.float32(1e-12), np.array([1e6, 2.0, -3.0], np.float32)],
    ids=["vanishes", "overflows"],
)
def test_weights_that_float16_cannot_hold_keep_their_operator_in_float32(weight: Floats) -> None:
    full = pooled(lambda made, value: made.add("Div", value, made.constant(weight)))
    model = onnx.load_model_from_string(to_fp16(full))
    found = types(model)
    (division,) = [node for node in model.graph.node if node.op_type == "Div"]
    assert {found[name] for name in (*division.input, *division.output)} == {TensorProto.FLOAT}


def test_an_infinite_mask_is_no_overflow() -> None:
    mask = np.array([0, -np.inf, 0], np.float32)
    full = pooled(lambda made, v: made.add("Softmax", made.add("Add", v, made.constant(mask))))
    assert distance(to_fp16(full), full, clips()) < 2e-3


def test_constant_nodes_are_weights() -> None:
    def scaled(made: Made, value: str) -> str:
        made.nodes += [
            helper.make_node(
                "Constant", [], ["a"], value=numpy_helper.from_array(np.array([2], np.float32))
            ),
            helper.make_node("Constant", [], ["b"], value_float=0.5),
            helper.make_node("Constant", [], ["c"], value_floats=[1.0, 2.0, 3.0]),
        ]
        for name in "abc":
            value = made.add("Mul", value, name)
        return value

    full = pooled(scaled)
    half = to_fp16(full)
    assert distance(half, full, clips()) < 2e-3
    assert b"Constant" not in half


def test_a_resize_keeps_the_scales_that_onnx_wants_in_float32() -> None:
    def resized(made: Made, value: str) -> str:
        scales = made.constant(np.array([1, 1, 2], np.float32))
        cube = made.reshape(value, 0, 1, 3)
        wide = made.add("Resize", cube, "", scales, mode="nearest")
        return made.add("ReduceMax", made.reshape(wide, 0, 3, 2), made.constant([2]), keepdims=0)

    full = pooled(resized)
    assert distance(to_fp16(full), full, clips()) < 2e-3


def test_quantized_backbones_can_be_halved_around_their_integers() -> None:
    full = quantized(convolutions())
    half = to_fp16(full)
    assert distance(half, full, clips()) < 2e-2  # a value on a rounding edge moves a whole step
    found = types(onnx.load_model_from_string(half))
    assert TensorProto.INT8 in found.values()


def test_control_flow_is_refused() -> None:
    branch = helper.make_graph(
        [helper.make_node("Identity", ["clip"], ["x"])],
        "branch",
        [],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)],
    )
    model = onnx.load_model_from_string(convolutions())
    model.graph.node.append(
        helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    )
    with pytest.raises(ExportError, match="control flow, so its precision cannot be changed"):
        to_fp16(model.SerializeToString())
