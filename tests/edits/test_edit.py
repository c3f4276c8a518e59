"""Edits that learn nothing: what merge, rename and drop leave as it was, and what they refuse."""

from dataclasses import replace

import numpy as np
import pytest

from edgesplit.edits.edit import Edit, drop_class, merge_class, rename_class, restore_parent
from edgesplit.errors import EdgesplitError, EditError, LabelError
from edgesplit.heads.head import Head
from edgesplit.heads.labels import Composition, Node, Provenance, Source


def split(
    head: Head, name: str, modifiers: list[str], *, composition: Composition = "gated"
) -> Head:
    """Splits by hand; rows are random, each with a source."""
    column = head.tree.find(name)
    label = head.tree[column].label
    rng = np.random.default_rng(column)
    provenance = Provenance("retrieval", (Source("moving something up", 0.5, 1.0),))
    children = [Node(f"{label} {m}", modifier=m, provenance=provenance) for m in modifiers]
    return Head(
        tree=head.tree.split(column, children, composition=composition),
        weight=np.concatenate([head.weight, rng.standard_normal((len(children), head.dim))]),
        bias=np.concatenate([head.bias, rng.standard_normal(len(children))]),
        feature_space=head.feature_space,
        parent=head.digest,
    )


@pytest.fixture
def once(head: Head) -> Head:
    return split(head, "pushing something", ["left", "right", "up"])


@pytest.fixture
def nested(once: Head) -> Head:
    """Three subcategories, the second of which has three again; and another class is split."""
    twice = split(once, "pushing something right", ["slowly", "fast", "jerkily"])
    return split(twice, "holding something", ["high", "low"])


def rows(head: Head, *, without: tuple[str, ...] = ()) -> dict[str, tuple[object, ...]]:
    """All that a head says of each label, as bytes where it is numbers."""
    return {
        node.label: (
            head.weight[column].tobytes(),
            head.bias[column].tobytes(),
            None if node.parent is None else head.tree[node.parent].label,
            node.modifier,
            node.provenance,
        )
        for column, node in enumerate(head.tree)
        if node.label not in without
    }


def check(edit: Edit, before: Head) -> None:
    """What holds for every edit."""
    assert edit.before is before
    assert edit.head.parent == before.digest
    assert edit.head.feature_space == before.feature_space
    assert Head.from_bytes(edit.head.to_bytes()).digest == edit.head.digest


# Merge


@pytest.mark.parametrize("name", ["pushing something", "pushing"])
@pytest.mark.parametrize("composition", ["gated", "flat"])
def test_merge_undoes_the_split(head: Head, name: str, composition: Composition) -> None:
    after = split(head, "pushing something", ["left", "right"], composition=composition)
    edit = merge_class(after, name)
    check(edit, after)
    assert rows(edit.head) == rows(head)
    assert edit.head.labels == head.labels
    assert edit.action == "merge 'pushing something'"
    assert edit.report.n_untouched == (6 if composition == "gated" else 5)


def test_undoing_the_last_edit_brings_the_parent_itself(head: Head, once: Head) -> None:
    edit = restore_parent(merge_class(once, "pushing"), head)
    assert edit.head is head
    assert edit.before is once
    renamed = rename_class(once, "holding", "keeping something")
    back = rename_class(renamed.head, "keeping", "holding something")
    assert restore_parent(back, once).head is once


def test_another_parent_is_not_taken(head: Head, once: Head) -> None:
    other = replace(head, bias=head.bias + 1)
    edit = restore_parent(merge_class(once, "pushing something"), other)
    assert edit.head.parent == once.digest


def test_merge_takes_the_splits_below_with_it(head: Head, once: Head, nested: Head) -> None:
    inner = merge_class(nested, "pushing something right")
    assert rows(inner.head) == rows(split(once, "holding something", ["high", "low"]))
    outer = merge_class(nested, "pushing something")
    assert rows(outer.head) == rows(split(head, "holding something", ["high", "low"]))


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("holding something", EditError, "is not split, so there is nothing to merge"),
        ("holding", EditError, "is not split, so there is nothing to merge"),
        ("throwing", LabelError, "no class 'throwing'"),
    ],
)
def test_merges_that_cannot_be_are_refused(
    once: Head, name: str, error: type[EdgesplitError], message: str
) -> None:
    with pytest.raises(error, match=message):
        merge_class(once, name)


# Drop


def test_drop_leaves_out_one_subcategory(once: Head) -> None:
    edit = drop_class(once, "pushing something up")
    check(edit, once)
    assert rows(edit.head) == rows(once, without=("pushing something up",))
    assert edit.head.labels[-2:] == ("pushing something left", "pushing something right")
    assert edit.action == "drop 'pushing something up'"
    assert edit.report.n_untouched == 6


def test_drop_takes_what_is_below_with_it(nested: Head) -> None:
    edit = drop_class(nested, "pushing something right")
    below = tuple(node.label for node in nested.tree if "pushing something right" in node.label)
    assert len(below) == 4
    assert rows(edit.head) == rows(nested, without=below)
    other = drop_class(nested, "pushing something right fast")
    assert rows(other.head) == rows(nested, without=("pushing something right fast",))


def test_dropping_a_flat_subcategory_touches_its_class(head: Head) -> None:
    flat = split(head, "pushing something", ["left", "right", "up"], composition="flat")
    assert drop_class(flat, "pushing something up").report.n_untouched == 5


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("holding", EditError, "one of the model's original classes"),
        ("pushing something", EditError, "one of the model's original classes"),
        ("throwing", LabelError, "no class 'throwing'"),
    ],
)
def test_drops_that_cannot_be_are_refused(
    once: Head, name: str, error: type[EdgesplitError], message: str
) -> None:
    with pytest.raises(error, match=message):
        drop_class(once, name)


def test_one_of_two_is_merged_not_dropped(head: Head) -> None:
    two = split(head, "pushing something", ["left", "right"])
    with pytest.raises(EditError, match="`edgesplit merge --class 'pushing something'`"):
        drop_class(two, "pushing something left")


# Rename


def test_rename_changes_one_label(nested: Head) -> None:
    edit = rename_class(nested, "holding something", "keeping something")
    check(edit, nested)
    assert edit.head.weight.tobytes() == nested.weight.tobytes()
    old, new = nested.tree.nodes, edit.head.tree.nodes
    changed = [column for column in range(len(old)) if old[column] != new[column]]
    assert changed == [5]
    assert new[5] == replace(old[5], label="keeping something")
    assert edit.action == "rename 'holding something' to 'keeping something'"
    assert (edit.report.label, edit.report.to) == ("holding something", "keeping something")
    assert edit.report.n_untouched == 6
    assert edit.report.warnings == (
        "its subcategories keep their labels: 'holding something high', 'holding something low'",
    )


def test_rename_of_a_subcategory_may_change_its_modifier(once: Head) -> None:
    name, to = "pushing something left", "shoving  something west"
    kept = rename_class(once, name, to).head.tree[6]
    assert (kept.label, kept.modifier) == ("shoving something west", "left")
    told = rename_class(once, name, to, modifier="west").head.tree[6]
    assert (told.label, told.modifier) == ("shoving something west", "west")
    assert told.provenance == once.tree[6].provenance


def test_a_label_may_change_its_case(head: Head) -> None:
    edit = rename_class(head, "holding something", "Holding something")
    assert edit.head.labels[5] == "Holding something"


@pytest.mark.parametrize(
    ("name", "to", "error", "message"),
    [
        ("holding", "holding something", EditError, "is already called"),
        ("holding", "Moving something up", LabelError, "A class .* already exists"),
        ("holding", "pushing something left", LabelError, "A class .* already exists"),
        ("holding", " ", LabelError, "is not a label"),
        ("moving", "x", LabelError, "matches 2 classes"),
    ],
)
def test_renames_that_cannot_be_are_refused(
    once: Head, name: str, to: str, error: type[EdgesplitError], message: str
) -> None:
    with pytest.raises(error, match=message):
        rename_class(once, name, to)


def test_a_root_class_has_no_modifier(once: Head) -> None:
    with pytest.raises(EditError, match="is not a subcategory"):
        rename_class(once, "holding", "keeping", modifier="keeping")
