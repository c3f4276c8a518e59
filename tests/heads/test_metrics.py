"""Generality, locality and churn, worked by hand."""

import math
from dataclasses import fields

import numpy as np
import numpy.typing as npt
import pytest

from edgesplit.errors import EditError, LabelError
from edgesplit.heads.head import Head
from edgesplit.heads.labels import Composition, Node
from edgesplit.heads.metrics import Score, score_split


def floats(values: npt.ArrayLike) -> npt.NDArray[np.float32]:
    return np.asarray(values, np.float32)


@pytest.fixture
def before() -> Head:
    """Three classes, each on its own axis of four; the fourth tells subcategories apart."""
    return Head.from_arrays(np.eye(3, 4), np.zeros(3), ["push", "pull", "hold"])


def split(head: Head, composition: Composition = "gated", *, gain: float = 0.0) -> Head:
    """`head` with push split by the sign of the fourth feature; flat children gain `gain`."""
    tree = head.tree.split(0, [Node("push left"), Node("push right")], composition=composition)
    rows = np.array([[0, 0, 0, -1], [0, 0, 0, 1]])
    bias = [*head.bias, *([gain, gain] if composition == "flat" else [0, 0])]
    return Head(tree, floats([*head.weight, *rows]), floats(bias))


CLIPS = [
    ("push left", [1, 0, 0, -1]),
    ("push left", [1, 0, 0, 1]),  # answered right
    ("push right", [1, 0, 0, 1]),
    ("push right", [0, 1, 0, 1]),  # answered pull
    ("pull", [0, 1, 0, 0]),
    ("pull", [0.9, 0.8, 0, 0]),  # answered push, and pull where push is not allowed
    ("hold", [0, 0, 1, 0]),
    ("hold", [0.5, 0, 0.6, 0.4]),  # close to push
]
LABELS = [label for label, _ in CLIPS]
FEATURES = np.array([feature for _, feature in CLIPS], np.float32)


def test_a_gated_split_changes_no_other_decision(before: Head) -> None:
    score = score_split(before, split(before), "push", FEATURES, LABELS)
    assert score.generality == 2 / 4
    assert score.in_group == 3 / 4  # the fourth clip is right once pull may not win it
    assert score.locality == 3 / 3
    assert score.locality_paper == 3 / 4
    assert (score.churn, score.n_target, score.n_other) == (0, 4, 4)


def test_a_flat_split_may_win_clips_of_others(before: Head) -> None:
    score = score_split(before, split(before, "flat"), "push", FEATURES, LABELS)
    # The last clip: 0.5 + 0.4 beats 0.6. The fourth, 0 + 1, ties with 1, and the lower column wins.
    assert score.locality == 2 / 3
    assert score.locality_paper == 2 / 4
    assert score.churn == 1


def test_no_clips_give_nan(before: Head) -> None:
    score = score_split(before, split(before), "push", FEATURES[:4], LABELS[:4])
    assert score.generality == 2 / 4
    assert math.isnan(score.locality)
    assert math.isnan(score.locality_paper)


def test_the_masked_head_walks_the_splits_that_it_has(before: Head) -> None:
    # Pull (1.0) beats hold (0.8); its halves, both at 1.0 - log 2, do not. The decision is pull up.
    tree = before.tree.split(1, [Node("pull up"), Node("pull down")], composition="gated")
    head = Head(tree, floats([*before.weight, *np.zeros((2, 4))]), floats([0] * 5))
    features = np.array([[0, 1, 0.8, 0]], np.float32)
    score = score_split(head, split(head), "push", features, ["pull up"])
    assert score.locality == 1
    assert score.locality_paper == 1


def test_a_further_split_below_is_no_churn(before: Head) -> None:
    once = split(before)
    tree = once.tree.split(3, [Node("push left slow"), Node("push left fast")], composition="gated")
    twice = Head(tree, floats([*once.weight, *np.zeros((2, 4))]), floats([0] * 7))
    assert score_split(before, twice, "push", FEATURES, LABELS).churn == 0


def test_a_class_that_is_not_split_is_refused(before: Head) -> None:
    with pytest.raises(EditError, match="'pull' is not split in the edited head"):
        score_split(before, split(before), "pull", FEATURES, LABELS)
    with pytest.raises(LabelError, match="no class 'throw'"):
        score_split(before, split(before), "throw", FEATURES, LABELS)


def test_as_many_labels_as_features_are_needed(before: Head) -> None:
    with pytest.raises(ValueError, match=r"features|shape|broadcast|boolean"):
        score_split(before, split(before), "push", FEATURES, LABELS[:-1])


def test_json_has_every_field(before: Head) -> None:
    content = score_split(before, split(before), "push", FEATURES, LABELS).to_json()
    assert content["n_target"] == 4
    assert set(content) == {field.name for field in fields(Score)}


def test_the_edited_head_may_see_other_features(before: Head) -> None:
    after = split(before)
    other = FEATURES.copy()
    other[LABELS.index("pull")] = [0, 0, 1, 0]  # answered hold now
    same = score_split(before, after, "push", FEATURES, LABELS, edited_features=FEATURES)
    assert same == score_split(before, after, "push", FEATURES, LABELS)
    changed = score_split(before, after, "push", FEATURES, LABELS, edited_features=other)
    assert changed.churn == same.churn + 1
    assert changed.locality < same.locality
    assert changed.generality == same.generality
    with pytest.raises(ValueError, match=rf"{len(LABELS) - 1} features and {len(LABELS)} labels"):
        score_split(before, after, "push", FEATURES, LABELS, edited_features=other[:-1])
