"""The label tree: names, columns, and trees that must not be."""

import pytest

from edgesplit.errors import EdgesplitError, EditError, HeadError, LabelError
from edgesplit.heads.label_text import MAX_LABEL_CHARS, check_label, words
from edgesplit.heads.labels import LabelTree, Node


def leaf(label: str, parent: int | None = None, **fields: object) -> Node:
    return Node(label, parent=parent, **fields)  # type: ignore[arg-type]


@pytest.fixture
def tree() -> LabelTree:
    return LabelTree.from_labels(
        ["pushing something", "Pulling something left", "Pulling something right", "push-up", "up"]
    )


@pytest.fixture
def split_tree(tree: LabelTree) -> LabelTree:
    """0 is split gated into 5 and 6, 1 flat into 7, 8 and 9, and 5 again into 10 and 11."""
    grown = tree.split(0, [leaf("a"), leaf("b")], composition="gated")
    grown = grown.split(1, [leaf("c"), leaf("d"), leaf("e")], composition="flat")
    return grown.split(5, [leaf("f"), leaf("g")], composition="gated")


# Labels


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  Pushing \t something\n", "Pushing something"),
        ("cafe\u0301", "caf\u00e9"),
        ("3D", "3D"),
        ("推動某物", "推動某物"),
    ],
    ids=["spaces", "composed", "digit", "other script"],
)
def test_labels_are_kept_in_one_form(text: str, expected: str) -> None:
    assert check_label(text) == expected
    assert check_label(expected) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "contains no word"),
        (" \n", "contains no word"),
        ("…!", "contains no word"),
        ("a\x00b", "invisible characters"),
        ("a\x1b[31mb", "invisible characters"),
        ("push\u200bing", "invisible characters"),
        ("a\u202eb", "invisible characters"),
        ("a\ud800b", "invisible characters"),
        ("x" * (MAX_LABEL_CHARS + 1), "has 501 characters; the limit is 500"),
    ],
    ids=[
        "empty",
        "blank",
        "punctuation",
        "nul",
        "escape",
        "zero width",
        "right to left",
        "surrogate",
        "long",
    ],
)
def test_texts_that_are_no_labels_are_refused(text: str, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        check_label(text)


def test_longest_label_is_accepted() -> None:
    assert len(check_label("x" * MAX_LABEL_CHARS)) == MAX_LABEL_CHARS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Pushing something, then letting GO.", "pushing something then letting go"),
        ("doesn't stick", "doesn't stick"),
        ("push-up", "push-up"),
        ("(wringing)", "wringing"),
        ("…", ""),
    ],
)
def test_words_have_no_case_and_no_punctuation_around_them(text: str, expected: str) -> None:
    assert " ".join(words(text)) == expected


# Columns


def test_columns_of_a_split_tree(split_tree: LabelTree) -> None:
    assert list(split_tree.roots) == [0, 1, 2, 3, 4]
    assert split_tree.leaves == (2, 3, 4, 6, 7, 8, 9, 10, 11)
    assert split_tree.competitors == (0, 2, 3, 4, 7, 8, 9)
    assert split_tree.depths == (0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2)
    assert list(split_tree.children(1)) == [7, 8, 9]
    assert list(split_tree.children(2)) == []
    assert split_tree.descendants(0) == [5, 10, 11, 6]
    assert split_tree.path(11) == (0, 5, 11)


def test_split_leaves_the_tree_as_it_was(tree: LabelTree) -> None:
    nodes = tree.nodes
    tree.split(0, [leaf("a"), leaf("b")], composition="gated")
    assert tree.nodes == nodes


def test_merge_removes_everything_below_and_closes_the_gap(split_tree: LabelTree) -> None:
    merged, kept = split_tree.merge(0)
    assert kept == [0, 1, 2, 3, 4, 7, 8, 9]
    assert [node.label for node in merged] == [split_tree[column].label for column in kept]
    assert list(merged.children(1)) == [5, 6, 7]
    assert merged.competitors == (0, 2, 3, 4, 5, 6, 7)


def test_merge_of_an_inner_split_keeps_the_outer_one(split_tree: LabelTree) -> None:
    merged, kept = split_tree.merge(5)
    assert kept == list(range(10))
    assert list(merged.children(0)) == [5, 6]


def test_merge_of_a_leaf_is_refused(split_tree: LabelTree) -> None:
    with pytest.raises(EditError, match="'up' is not split, so there is nothing to merge"):
        split_tree.merge(4)


@pytest.mark.parametrize(
    ("column", "composition", "labels", "error", "message"),
    [
        (0, "gated", "xy", EditError, "'pushing something' is already split into 'a', 'b'"),
        (6, "flat", "xy", EditError, "is inside a gated split.*Use composition gated"),
        (10, "flat", "xy", EditError, "is inside a gated split"),
        (2, "gated", ["UP", "x"], LabelError, "A class 'UP' already exists"),
        (2, "gated", "xx", LabelError, "both called 'x'"),
        (2, "gated", "x", HeadError, "at least 2 children"),
        (2, "gated", "", HeadError, "at least 2 children"),
    ],
    ids=["again", "flat in gated", "flat deep", "taken", "twice", "one child", "none"],
)
def test_splits_that_cannot_be_are_refused(
    split_tree: LabelTree,
    column: int,
    composition: str,
    labels: list[str],
    error: type[EdgesplitError],
    message: str,
) -> None:
    children = [leaf(label) for label in labels]
    with pytest.raises(error, match=message):
        split_tree.split(column, children, composition=composition)  # type: ignore[arg-type]


def test_flat_split_inside_a_flat_split_is_allowed(split_tree: LabelTree) -> None:
    grown = split_tree.split(8, [leaf("x"), leaf("y")], composition="flat")
    assert grown.competitors == (0, 2, 3, 4, 7, 9, 12, 13)


# Trees that contradict themselves


ROOTS = (Node("r"), Node("s", composition="gated"))
PAIR = (Node("a", parent=1), Node("b", parent=1))


@pytest.mark.parametrize(
    ("nodes", "error", "message"),
    [
        ((), HeadError, "at least 2 root classes; this one has 0"),
        ((Node("r"),), HeadError, "at least 2 root classes; this one has 1"),
        ((Node("r"), Node("r")), LabelError, "Columns 0 and 1 are both called 'r'"),
        ((Node("r"), Node(" s")), HeadError, "not in its stored form"),
        ((Node("r"), Node("?")), LabelError, "contains no word"),
        (ROOTS, HeadError, "composition 'gated' and 0 children"),
        ((*ROOTS, PAIR[0]), HeadError, "composition 'gated' and 1 children"),
        ((Node("r"), Node("s"), *PAIR), HeadError, "composition None and 2 children"),
        ((*ROOTS, *PAIR, Node("t")), HeadError, "root class after a split's children"),
        ((*ROOTS, PAIR[0], Node("t"), PAIR[1]), HeadError, "not one block of columns"),
        ((*ROOTS, *PAIR, Node("a2", parent=9), Node("b2", parent=9)), HeadError, "parent 9"),
        ((*ROOTS, *PAIR, Node("a2", parent=-1), Node("b2", parent=-1)), HeadError, "parent -1"),
        (
            (Node("r"), Node("s", composition="soft"), *PAIR),  # type: ignore[arg-type]
            HeadError,
            "unknown composition 'soft'",
        ),
        (
            (
                *ROOTS,
                Node("a", parent=1, composition="flat"),
                PAIR[1],
                Node("c", parent=2),
                Node("d", parent=2),
            ),
            HeadError,
            "is flat inside a gated split",
        ),
        ((Node("r", temperature=2.0), Node("s")), HeadError, "only a gated split has"),
        (
            (Node("r"), Node("s", composition="flat", temperature=2.0), *PAIR),
            HeadError,
            "only a gated split has",
        ),
        *(
            (
                (Node("r"), Node("s", composition="gated", temperature=bad), *PAIR),
                HeadError,
                "temperature",
            )
            for bad in (0.0, -1.0, float("inf"), float("nan"), 1e-50, 1e50)
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else None,
)
def test_trees_that_contradict_themselves_are_refused(
    nodes: tuple[Node, ...], error: type[EdgesplitError], message: str
) -> None:
    with pytest.raises(error, match=message):
        LabelTree(nodes)


# Names


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("pushing something", 0),
        ("pushing", 0),
        ("PUSHING", 0),
        ("pulling something LEFT", 1),
        ("pulling  something left.", 1),
        ("up", 4),
        ("push-up", 3),
    ],
)
def test_a_class_is_found_by_its_leading_words(tree: LabelTree, name: str, column: int) -> None:
    assert tree.find(name) == column


def test_an_exact_label_wins_over_labels_that_it_begins() -> None:
    tree = LabelTree.from_labels(["holding something behind", "holding something", "Holding it"])
    assert tree.find("holding something") == 1
    assert tree.find("Holding Something") == 1


def test_labels_that_differ_in_case_only_are_told_apart_exactly() -> None:
    tree = LabelTree.from_labels(["up", "Up"])
    assert tree.find("Up") == 1
    with pytest.raises(LabelError, match="matches 2 classes: 'up', 'Up'"):
        tree.find("UP")


def test_an_ambiguous_name_lists_its_matches(tree: LabelTree) -> None:
    with pytest.raises(
        LabelError,
        match="'pulling' matches 2 classes: 'Pulling something left', 'Pulling something right'",
    ):
        tree.find("pulling")


def test_many_matches_are_cut_short() -> None:
    tree = LabelTree.from_labels([f"moving thing {index}" for index in range(11)])
    with pytest.raises(LabelError, match=r"matches 11 classes: .*'moving thing 7' and 3 more\."):
        tree.find("moving")


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("pusing", "pushing something"),
        ("pushing somthing", "pushing something"),
        ("puling something left", "Pulling something left"),
    ],
)
def test_an_unknown_class_names_the_nearest(tree: LabelTree, name: str, near: str) -> None:
    with pytest.raises(LabelError, match=rf"no class '{name}'. Did you mean .*'{near}'"):
        tree.find(name)


@pytest.mark.parametrize("name", ["xyzzy", "", "?", "something", "pus"])
def test_a_name_that_is_near_nothing_points_to_the_labels(name: str) -> None:
    tree = LabelTree.from_labels(["pushing that", "pulling that"])
    with pytest.raises(LabelError, match=r"There is no class"):
        tree.find(name)


def test_find_can_be_restricted_to_some_columns(tree: LabelTree) -> None:
    assert tree.find("pulling", among=[0, 2]) == 2
    with pytest.raises(LabelError, match="no class 'pulling something left'"):
        tree.find("pulling something left", among=[0, 2])
