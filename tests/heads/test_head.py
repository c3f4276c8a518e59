"""The head in numpy: rows, evaluation worked by hand, the decision, what it refuses."""

import math
from dataclasses import FrozenInstanceError

import numpy as np
import numpy.typing as npt
import pytest

from edgesplit.errors import HeadError, LabelError
from edgesplit.heads.head import Head, PathStep
from edgesplit.heads.labels import Composition, LabelTree, Node, Provenance, Source

LN2 = math.log(2)


def floats(values: npt.ArrayLike) -> npt.NDArray[np.float32]:
    return np.asarray(values, np.float32)


def split_head(composition: Composition, temperature: float = 1.0) -> Head:
    """Two classes over one feature; "b", with logit 1, is split into x (u = 0) and y (u = ln 3).

    At feature 0 the logits are a = 0 and b = 1.
    """
    tree = LabelTree.from_labels("ab").split(
        1,
        [Node("x"), Node("y", provenance=Provenance("retrieval", (Source("a", 0.5, 1.0),)))],
        composition=composition,
    )
    nodes = list(tree.nodes)
    nodes[1] = Node("b", composition=composition, temperature=temperature)
    return Head(
        tree=LabelTree(tuple(nodes)),
        weight=floats([[1], [2], [3], [4]]),
        bias=floats([0, 1, 0, math.log(3)]),
    )


# Evaluation worked by hand


def test_gated_children_share_their_parents_score() -> None:
    evaluation = split_head("gated").evaluate([0.0])
    # softmax of (0, ln 3) is (1/4, 3/4)
    np.testing.assert_allclose(
        evaluation.logits[0], [0, 1, 1 + math.log(1 / 4), 1 + math.log(3 / 4)], rtol=1e-6
    )
    p = math.e / (1 + math.e)
    np.testing.assert_allclose(evaluation.probabilities[0], [1 - p, p, p / 4, 3 * p / 4], rtol=1e-6)
    assert evaluation.class_index.tolist() == [3]


def test_flat_children_compete_with_the_root_classes() -> None:
    evaluation = split_head("flat").evaluate([0.0])
    x, y = 1.0, 1 + math.log(3)
    rolled_up = math.log(math.exp(x) + math.exp(y))
    np.testing.assert_allclose(evaluation.logits[0], [0, rolled_up, x, y], rtol=1e-6)
    total = 1 + math.exp(rolled_up)
    np.testing.assert_allclose(
        evaluation.probabilities[0], [1 / total, 1 - 1 / total, math.e / total, 3 * math.e / total],
        rtol=1e-6,
    )  # fmt: skip
    assert evaluation.class_index.tolist() == [3]


def test_temperature_divides_the_relative_scores() -> None:
    evaluation = split_head("gated", temperature=0.5).evaluate([0.0])
    # softmax of (0, 2 ln 3) is (1/10, 9/10)
    np.testing.assert_allclose(
        evaluation.logits[0, 2:], [1 + math.log(1 / 10), 1 + math.log(9 / 10)], rtol=1e-6
    )


def test_feature_moves_every_row() -> None:
    evaluation = split_head("flat").evaluate([1.0])
    np.testing.assert_allclose(
        evaluation.logits[0, [0, 2, 3]], [1, 3 + 3, 3 + 4 + math.log(3)], rtol=1e-6
    )


def test_splits_of_unequal_width_are_padded_without_a_trace() -> None:
    tree = LabelTree.from_labels("ab")
    tree = tree.split(0, [Node("c"), Node("d")], composition="gated")
    tree = tree.split(1, [Node(name) for name in "efgh"], composition="gated")
    head = Head(tree, floats(np.zeros((8, 3))), floats(np.zeros(8)))
    evaluation = head.evaluate(np.zeros(3))
    np.testing.assert_allclose(
        evaluation.probabilities[0], [1 / 2, 1 / 2, 1 / 4, 1 / 4] + [1 / 8] * 4, rtol=1e-6
    )


# The decision


def test_the_decision_walks_the_tree_and_is_not_the_best_leaf() -> None:
    tree = LabelTree.from_labels("ab").split(1, [Node("x"), Node("y")], composition="gated")
    # b (0.5) beats a (0), but neither of its halves, 0.5 - ln 2 < 0, does.
    head = Head(tree, floats(np.zeros((4, 1))), floats([0, 0.5, 0, 0]))
    evaluation = head.evaluate([0.0])
    leaves = list(tree.leaves)
    assert leaves[int(np.argmax(evaluation.logits[0, leaves]))] == 0
    assert head.classify([0.0]) == ["x"]


@pytest.mark.parametrize("composition", ["gated", "flat"])
def test_lowest_column_wins_a_tie(composition: Composition) -> None:
    tree = LabelTree.from_labels("abc").split(1, [Node("x"), Node("y")], composition=composition)
    head = Head(tree, floats(np.zeros((5, 1))), floats([0, 1, 1, 0, 0]))
    # Gated, b stands where it stood, before c; flat, its children stand behind c.
    assert head.classify([0.0]) == [{"gated": "x", "flat": "c"}[composition]]


def test_a_gated_split_below_a_flat_child_is_walked() -> None:
    tree = LabelTree.from_labels("ab").split(0, [Node("x"), Node("y")], composition="flat")
    tree = tree.split(3, [Node("u"), Node("v")], composition="gated")
    head = Head(tree, floats(np.zeros((6, 1))), floats([1, 0, 0, 1, 0, 1]))
    evaluation = head.evaluate([0.0])
    assert head.classify([0.0]) == ["v"]
    # x = 1, y = 2 compete with b = 0; a is their log-sum-exp.
    assert evaluation.logits[0, 0] == pytest.approx(math.log(math.e + math.e**2), rel=1e-6)


def test_path_names_every_level_with_its_probability() -> None:
    head = split_head("gated")
    evaluation = head.evaluate([0.0])
    path = head.path(3, evaluation.probabilities[0])
    assert path == tuple(
        PathStep(label, float(evaluation.probabilities[0, column]))
        for label, column in (("b", 1), ("y", 3))
    )


# Data


def test_arrays_are_own_read_only_float32_copies() -> None:
    weight = np.ones((2, 3))
    head = Head.from_arrays(weight, [0, 0], ["a", "b"])
    weight[:] = 7
    assert (head.weight == 1).all()
    assert head.weight.dtype == head.bias.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        head.weight[0, 0] = 2


def test_a_head_is_immutable() -> None:
    with pytest.raises(FrozenInstanceError, match="bias"):
        split_head("gated").bias = floats([0] * 4)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("weight", "bias", "message"),
    [
        (np.zeros((3, 4)), np.zeros(2), r"weight has shape \(3, 4\); 2 labels need"),
        (np.zeros((2, 4)), np.zeros(3), r"bias has shape \(3,\); 2 labels need"),
        (np.zeros(2), np.zeros(2), r"weight has shape \(2,\)"),
        (np.zeros((2, 0)), np.zeros(2), r"weight has shape \(2, 0\)"),
        (np.zeros((2, 4, 1)), np.zeros(2), r"weight has shape \(2, 4, 1\)"),
        (np.float32(0), np.zeros(2), r"weight has shape \(\)"),
        (np.full((2, 4), np.nan), np.zeros(2), "weight contains NaN or infinity"),
        (np.zeros((2, 4)), np.array([0, np.inf]), "bias contains NaN or infinity"),
        (np.full((2, 4), 1e39), np.zeros(2), "weight contains NaN or infinity"),
        (np.full((2, 4), -2e18), np.zeros(2), r"weight contains numbers above 1e\+18"),
    ],
    ids=[
        "rows",
        "biases",
        "1-d",
        "no feature",
        "3-d",
        "0-d",
        "nan",
        "inf",
        "beyond float32",
        "huge",
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    weight: npt.NDArray[np.float64], bias: npt.NDArray[np.float64], message: str
) -> None:
    with pytest.raises(HeadError, match=message):
        Head.from_arrays(weight, bias, ["a", "b"])


def test_equal_labels_are_refused() -> None:
    with pytest.raises(LabelError, match="both called 'a'"):
        Head.from_arrays(np.zeros((2, 1)), np.zeros(2), ["a", " a "])


@pytest.mark.parametrize("shape", [(3,), (5, 3), (2, 2, 4), ()])
def test_features_of_another_size_are_refused(shape: tuple[int, ...]) -> None:
    head = Head.from_arrays(np.zeros((2, 4)), np.zeros(2), ["a", "b"])
    with pytest.raises(ValueError, match=r"the head needs \(batch, 4\)"):
        head.evaluate(np.zeros(shape))


def test_no_features_give_no_answers() -> None:
    evaluation = split_head("gated").evaluate(np.zeros((0, 1)))
    assert evaluation.logits.shape == (0, 4)
    assert evaluation.class_index.shape == (0,)


def test_labels_are_the_leaves_in_column_order() -> None:
    assert split_head("gated").labels == ("a", "x", "y")
