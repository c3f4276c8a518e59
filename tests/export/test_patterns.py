"""What is rewritten for runtimes to fuse computes the same to the last bit."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

pytest.importorskip("torch")

from edgesplit.export.graph.patterns import respell

pytestmark = pytest.mark.torch

HALF, ONE, ROOT = np.float32(0.5), np.float32(1), np.float32(2**0.5)


def model(
    nodes: list[onnx.NodeProto], shape: tuple[int, ...], **weights: object
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *shape])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", *([None] * len(shape))])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def kinds(made: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in made.graph.node]


def same_values(made: onnx.ModelProto, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32) * 3
    (wanted,) = ReferenceEvaluator(made).run(None, {"x": x})
    respell(made)
    onnx.checker.check_model(made, full_check=True)
    (got,) = ReferenceEvaluator(made).run(None, {"x": x})
    assert np.array_equal(got, wanted)


def gelu(*, exchanged: bool) -> onnx.ModelProto:
    def pair(first: str, second: str) -> list[str]:
        return [second, first] if exchanged else [first, second]

    nodes = [
        helper.make_node("Div", ["x", "root"], ["a"]),
        helper.make_node("Erf", ["a"], ["b"]),
        helper.make_node("Add", pair("b", "one"), ["c"]),
        helper.make_node("Mul", pair("half", "c"), ["d"]),
        helper.make_node("Mul", pair("x", "d"), ["y"]),
    ]
    return model(nodes, (8,), root=ROOT, one=ONE, half=HALF)


@pytest.mark.parametrize("exchanged", [False, True])
def test_gelu_is_halved_last(exchanged: bool) -> None:
    made = gelu(exchanged=exchanged)
    same_values(made, (8,))
    last = made.graph.node[-1]
    assert last.op_type == "Mul"
    assert "half" in last.input
    again = made.SerializeToString()
    respell(made)
    assert made.SerializeToString() == again


def test_half_of_something_else_is_left_alone() -> None:
    nodes = [
        helper.make_node("Tanh", ["x"], ["b"]),
        helper.make_node("Add", ["b", "one"], ["c"]),
        helper.make_node("Mul", ["half", "c"], ["d"]),
        helper.make_node("Mul", ["x", "d"], ["y"]),
    ]
    made = model(nodes, (8,), one=ONE, half=HALF)
    before = list(made.graph.node)
    respell(made)
    assert list(made.graph.node) == before


def keys(order: list[int], last: list[int]) -> onnx.ModelProto:
    """Keys of 3 heads, 5 tokens and size 4, turned as torch turns them."""
    nodes = [
        helper.make_node("Reshape", ["x", "flat"], ["a"]),
        helper.make_node("Transpose", ["a"], ["b"], perm=order),
        helper.make_node("Reshape", ["b", "back"], ["y0"]),
        helper.make_node("Identity", ["y0"], ["y"]),
    ]
    flat, back = np.array([-1, 5, 4], np.int64), np.array(last, np.int64)
    return model(nodes, (3, 5, 4), flat=flat, back=back)


def test_keys_are_one_transposition() -> None:
    made = keys([0, 2, 1], [-1, 3, 4, 5])
    same_values(made, (3, 5, 4))
    assert kinds(made) == ["Transpose", "Identity"]


@pytest.mark.parametrize(
    ("order", "last"), [([0, 2, 1], [-1, 3, 2, 10]), ([1, 0, 2], [-1, 3, 5, 4])]
)
def test_what_only_looks_like_it_is_left_alone(order: list[int], last: list[int]) -> None:
    made = keys(order, last)
    before = kinds(made)
    same_values(made, (3, 5, 4))
    assert kinds(made) == before
