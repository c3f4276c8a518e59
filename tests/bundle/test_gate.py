"""The gate lets an edit pass, and nothing that changes what the edit must leave alone."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edgesplit.bundle.gate import N_MADE, check_locality
from edgesplit.edits.edit import drop_class, merge_class, rename_class
from edgesplit.errors import GateError
from edgesplit.heads.head import Head
from edgesplit.heads.labels import Composition, LabelTree, Node, Provenance

Floats = npt.NDArray[np.float32]


def split(
    head: Head,
    column: int,
    composition: Composition,
    children: Sequence[str] = ("left", "right"),
) -> Head:
    nodes = [Node(f"{column} {side}") for side in children]
    rng = np.random.default_rng(column)
    return Head(
        tree=head.tree.split(column, nodes, composition=composition),
        weight=np.concatenate([head.weight, rng.standard_normal((len(nodes), head.dim))]),
        bias=np.concatenate([head.bias, rng.standard_normal(len(nodes))]),
        feature_space=head.feature_space,
        parent=head.digest,
    )


@pytest.mark.parametrize(
    ("composition", "n_untouched"), [("gated", 6), ("flat", 5)], ids=["gated", "flat"]
)
def test_splits_and_their_merges_pass(
    head: Head, features: Floats, composition: Composition, n_untouched: int
) -> None:
    after = split(head, 4, composition)
    gate = check_locality(head, after, features)
    assert (gate.n_features, gate.n_untouched) == (len(features), n_untouched)
    merged = merge_class(after, "pushing something").head
    assert check_locality(after, merged, features).n_untouched == n_untouched


def test_a_split_beside_and_below_other_splits_passes(head: Head, features: Floats) -> None:
    flat = split(head, 4, "flat")
    assert check_locality(flat, split(flat, 0, "gated"), features).n_untouched == 5
    assert check_locality(flat, split(flat, 6, "flat"), features).n_untouched == 5
    assert check_locality(flat, split(flat, 7, "gated"), features).n_untouched == 5


def test_features_are_made_up_where_there_are_none(head: Head) -> None:
    assert check_locality(head, split(head, 4, "gated"), None).n_features == N_MADE


@pytest.mark.parametrize("column", [0, 4], ids=["another class", "the class itself"])
@pytest.mark.parametrize("part", ["weight", "bias"])
@pytest.mark.parametrize("composition", ["gated", "flat"])
def test_a_moved_root_row_does_not_pass(
    head: Head, features: Floats, composition: Composition, part: str, column: int
) -> None:
    after = split(head, 4, composition)
    rows = getattr(after, part).copy()
    rows[column] = np.nextafter(rows[column], np.float32(np.inf))
    with pytest.raises(GateError, match=rf"change 1 labels .*{head.tree[column].label!r}"):
        check_locality(head, replace(after, **{part: rows}), features)


def test_a_moved_row_that_no_golden_feature_shows_does_not_pass(head: Head) -> None:
    weight = head.weight.copy()
    weight[2, 3] += 1
    with pytest.raises(GateError, match="'moving something up'"):
        check_locality(head, replace(head, weight=weight), np.zeros((4, head.dim), np.float32))


@pytest.mark.parametrize("part", ["weight", "bias", "temperature"])
def test_a_subcategory_that_another_edit_made_does_not_move(
    head: Head, features: Floats, part: str
) -> None:
    before = split(head, 4, "gated")
    after = split(before, 0, "gated")
    if part == "temperature":
        nodes = list(after.tree.nodes)
        nodes[4] = replace(nodes[4], temperature=1.000002)
        after = replace(after, tree=LabelTree(tuple(nodes)))
        changed = "pushing something"
    else:
        rows = getattr(after, part).copy()
        rows[6] += 1
        after = replace(after, **{part: rows})
        changed = "4 left"
    with pytest.raises(GateError, match=f"change 1 labels .*'{changed}'"):
        check_locality(before, after, features)


@pytest.mark.parametrize(
    "change",
    [{"provenance": Provenance("made by hand")}, {"modifier": "elsewhere"}],
    ids=["provenance", "modifier"],
)
def test_what_is_said_of_a_row_does_not_change(
    head: Head, features: Floats, change: dict[str, Any]
) -> None:
    before = split(head, 4, "gated")
    nodes = list(before.tree.nodes)
    nodes[6] = replace(nodes[6], **change)
    with pytest.raises(GateError, match=r"change 1 labels .*'4 left'"):
        check_locality(before, replace(before, tree=LabelTree(tuple(nodes))), features)


def test_probabilities_are_compared_as_well(
    head: Head, features: Floats, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Session:
        """The logits agree, the second head's probabilities are one bit off."""

        def __init__(self) -> None:
            self.shift = len(sessions)
            sessions.append(self)

        def run(self, outputs: list[str], feeds: dict[str, Floats]) -> list[Floats]:
            result = head.evaluate(feeds["features"])
            probabilities = result.probabilities.copy()
            probabilities.view(np.int32)[0, 3] += self.shift
            return [result.logits, probabilities]

    sessions: list[Session] = []
    monkeypatch.setattr("edgesplit.bundle.gate.open_session", lambda *_, **__: Session())
    with pytest.raises(GateError, match="'moving something down'"):
        check_locality(head, split(head, 4, "gated"), features)


@pytest.mark.parametrize("change", ["replaced", "dropped", "added"])
def test_other_root_classes_do_not_pass(head: Head, features: Floats, change: str) -> None:
    labels, weight, bias = list(head.labels), head.weight, head.bias
    if change == "replaced":
        labels[0], weight = "something else", np.concatenate([weight[1:2], weight[1:]])
    elif change == "dropped":
        labels, weight, bias = labels[1:], weight[1:], bias[1:]
    else:
        labels, weight = [*labels, "new"], np.concatenate([weight, weight[:1]])
        bias = np.concatenate([bias, bias[:1]])
    other = Head(LabelTree.from_labels(labels), weight, bias)
    with pytest.raises(GateError, match="not made from the live head: its original classes differ"):
        check_locality(head, other, features)


@pytest.mark.parametrize("with_rows", [False, True])
def test_exchanged_root_labels_do_not_pass(head: Head, features: Floats, with_rows: bool) -> None:
    labels, order = list(head.labels), np.arange(6)
    labels[0], labels[1] = labels[1], labels[0]
    order = np.array([1, 0, 2, 3, 4, 5]) if with_rows else order
    other = Head(LabelTree.from_labels(labels), head.weight[order], head.bias[order])
    with pytest.raises(GateError, match=r"'pulling something left' in column 1.*exchanged"):
        check_locality(head, other, features)


@pytest.mark.parametrize("name", ["moving something up", "4 left"])
def test_a_rename_by_itself_passes(head: Head, features: Floats, name: str) -> None:
    before = split(head, 4, "gated")
    after = rename_class(before, name, "something else").head
    assert check_locality(before, after, features).n_untouched == 6
    assert check_locality(after, before, features).n_untouched == 6


def test_a_rename_beside_other_changes_does_not_pass(head: Head, features: Floats) -> None:
    after = split(rename_class(head, "moving something up", "lifting").head, 4, "gated")
    twice = rename_class(rename_class(head, "holding", "keeping").head, "moving something up", "up")
    for other in (after, twice.head):
        with pytest.raises(GateError, match="Publish the rename as a separate edit"):
            check_locality(head, other, features)


def test_a_dropped_subcategory_passes(head: Head, features: Floats) -> None:
    before = split(head, 4, "gated", children=("left", "right", "up"))
    assert check_locality(before, drop_class(before, "4 up").head, features).n_untouched == 6


def test_a_subcategory_added_to_an_existing_split_does_not_pass(
    head: Head, features: Floats
) -> None:
    after = split(head, 4, "gated", children=("left", "right", "up"))
    with pytest.raises(GateError, match=r"change 1 labels .*'pushing something'"):
        check_locality(drop_class(after, "4 up").head, after, features)


def test_many_changed_classes_are_cut_short(head: Head, features: Floats) -> None:
    with pytest.raises(GateError, match=r"6 labels .*, …. Nothing was published"):
        check_locality(head, replace(head, bias=head.bias + 1), features)
