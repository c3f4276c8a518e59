"""Two heads are compared label by label, rows to the bit."""

from dataclasses import replace

import numpy as np
import pytest

from edgesplit.edits.edit import merge_class, rename_class
from edgesplit.heads.diff import Rename, Resplit, diff_heads
from edgesplit.heads.head import Head
from edgesplit.heads.labels import LabelTree, Node


@pytest.fixture
def split_head(head: Head) -> Head:
    children = [Node("pushing something left"), Node("pushing something right")]
    return Head(
        tree=head.tree.split(4, children, composition="gated"),
        weight=np.concatenate([head.weight, np.ones((2, head.dim), np.float32)]),
        bias=np.concatenate([head.bias, np.zeros(2, np.float32)]),
    )


def test_a_split_adds_its_children_and_changes_no_row(head: Head, split_head: Head) -> None:
    difference = diff_heads(head, split_head)
    assert [node.label for node in difference.added] == [
        "pushing something left",
        "pushing something right",
    ]
    assert difference.resplit == (Resplit("pushing something", "", "gated, temperature 1.0"),)
    assert (difference.removed, difference.changed) == ((), ())
    assert difference.n_equal == len(head.tree) - 1


def test_a_merge_is_the_other_way_round(head: Head, split_head: Head) -> None:
    merged = merge_class(split_head, "pushing something").head
    difference = diff_heads(split_head, merged)
    assert difference.removed == ("pushing something left", "pushing something right")
    assert diff_heads(head, merged).n_equal == len(head.tree)


def test_the_last_bit_of_a_row_counts(head: Head) -> None:
    bias = head.bias.copy()
    bias[2] = np.nextafter(bias[2], np.float32(np.inf))
    assert diff_heads(head, replace(head, bias=bias)).changed == (head.tree[2].label,)


def test_the_last_digit_of_a_temperature_counts(split_head: Head) -> None:
    nodes = list(split_head.tree.nodes)
    nodes[4] = replace(nodes[4], temperature=1.0000001)
    warmer = replace(split_head, tree=LabelTree(tuple(nodes)))
    (resplit,) = diff_heads(split_head, warmer).resplit
    assert resplit.after == "gated, temperature 1.0000001"


def test_a_rename_is_neither_added_nor_removed(split_head: Head) -> None:
    once = rename_class(split_head, "pushing something", "shoving something").head
    twice = rename_class(once, "pushing something left", "shoving something west").head
    difference = diff_heads(split_head, twice)
    assert difference.renamed == (
        Rename("pushing something", "shoving something"),
        Rename("pushing something left", "shoving something west"),
    )
    assert (difference.added, difference.removed, difference.changed) == ((), (), ())
    assert difference.resplit == ()
    assert difference.n_equal == len(split_head.tree) - 2


def test_exchanged_labels_are_a_change(head: Head) -> None:
    nodes = list(head.tree.nodes)
    nodes[2], nodes[3] = nodes[3], nodes[2]
    difference = diff_heads(head, replace(head, tree=LabelTree(tuple(nodes))))
    assert difference.renamed == ()
    assert set(difference.changed) == {nodes[2].label, nodes[3].label}


def test_features_of_another_size_cannot_be_compared(head: Head) -> None:
    other = Head.from_arrays(np.ones((2, 3)), np.zeros(2), ["a", "b"])
    with pytest.raises(ValueError, match="8 and of 3 values"):
        diff_heads(head, other)
