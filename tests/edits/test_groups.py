"""Groups and modifiers, induced from label texts or told by a taxonomy."""

import json
from pathlib import Path
from typing import Any

import pytest

from edgesplit.edits.embedding import words_in_order
from edgesplit.edits.groups import (
    Group,
    find_groups,
    known_groups,
    load_taxonomy,
)
from edgesplit.errors import EditError
from edgesplit.heads.labels import LabelTree, Node, Provenance, Source

SSV2 = Path(__file__).parents[3] / "shared" / "data" / "SSv2-Split" / "group_scheme.json"


def told(groups: tuple[Group, ...]) -> dict[str, dict[str, str]]:
    return {group.name: {m.label: m.modifier for m in group.members} for group in groups}


def test_columns_are_those_of_the_labels() -> None:
    (group,) = find_groups([(7, "moving it up"), (9, "hold"), (3, "moving it down")])
    assert [(member.column, member.modifier) for member in group.members] == [
        (7, "up"),
        (3, "down"),
    ]


# What a split may learn from


@pytest.fixture
def tree() -> LabelTree:
    return LabelTree.from_labels(
        [
            "pushing something",
            "pulling something left",
            "pulling something right",
            "moving something up",
            "moving something down",
            "holding something",
        ]
    )


def test_induced_groups_are_known(tree: LabelTree) -> None:
    assert set(told(known_groups(tree, target=0))) == {"pulling something", "moving something"}


def test_the_target_is_no_knowledge(tree: LabelTree) -> None:
    assert set(told(known_groups(tree, target=1))) == {"moving something"}


def test_zero_shot_rows_are_never_knowledge(tree: LabelTree) -> None:
    made = Provenance("alignment", (Source("pulling something left", 1.0, 1.0),))
    children = [
        Node(f"holding something {side}", modifier=side, provenance=made)
        for side in ("left", "right")
    ]
    split = tree.split(5, children, composition="gated")
    assert known_groups(split, target=0) == known_groups(tree, target=0)
    taxonomy = {"holding": {"holding something left": "left", "holding something right": "right"}}
    with pytest.raises(EditError, match="no coarse category with two known labels"):
        known_groups(split, target=0, taxonomy=taxonomy)


def test_a_class_stays_knowledge_after_its_own_split(tree: LabelTree) -> None:
    made = Provenance("alignment")
    children = [Node(name, modifier=name, provenance=made) for name in ("slow", "fast")]
    split = tree.split(1, children, composition="gated")
    assert told(known_groups(split, target=0)) == told(known_groups(tree, target=0))


@pytest.mark.parametrize("like", ["pulling something", "PULLING", "pulling"])
def test_like_names_one_group(tree: LabelTree, like: str) -> None:
    assert set(told(known_groups(tree, target=0, like=like))) == {"pulling something"}


@pytest.mark.parametrize(
    ("like", "message"),
    [
        ("throwing", "'throwing' matches no group.*'pulling something', 'moving something'"),
        ("holding something", "matches no group of known labels"),
        ("pulling something left", "matches no group of known labels"),
        ("", "contains no word"),
        (",", "contains no word"),
    ],
)
def test_like_that_names_no_group_lists_the_groups(
    tree: LabelTree, like: str, message: str
) -> None:
    with pytest.raises(EditError, match=message):
        known_groups(tree, target=0, like=like)


def test_a_taxonomy_replaces_the_induced_groups(tree: LabelTree) -> None:
    taxonomy = {
        "sideways": {"Pulling Something Left": "to the left", "moving something up": "upwards"},
        "alone": {"holding something": "still"},
        "elsewhere": {"throwing something left": "left", "throwing something right": "right"},
    }
    assert told(known_groups(tree, target=0, taxonomy=taxonomy)) == {
        "sideways": {"pulling something left": "to the left", "moving something up": "upwards"}
    }


def test_a_taxonomy_of_other_labels_is_refused(tree: LabelTree) -> None:
    with pytest.raises(EditError, match="no coarse category with two known labels"):
        known_groups(tree, target=0, taxonomy={"x": {"a": "b", "c": "d"}})


def test_a_taxonomys_target_is_no_knowledge(tree: LabelTree) -> None:
    taxonomy = {"x": {"pushing something": "away", "pulling something left": "left"}}
    with pytest.raises(EditError, match="no coarse category with two known labels"):
        known_groups(tree, target=0, taxonomy=taxonomy)


# Taxonomy files


def test_taxonomy_file_is_read(tmp_path: Path) -> None:
    content = {"推": {"推動左": "左", "推動右": "右"}}
    file = tmp_path / "taxonomy.json"
    file.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    assert load_taxonomy(file) == content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "is not a taxonomy"),
        (7, "is not a taxonomy"),
        ({"a": "b"}, "'a' does not map labels to modifiers"),
        ({"a": ["b"]}, "'a' does not map labels to modifiers"),
        ({"a": {"b": 1}}, "'a' does not map labels to modifiers"),
        ({"a": {"b": {}}}, "'a' does not map labels to modifiers"),
    ],
    ids=str,
)
def test_what_is_no_taxonomy_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    file = tmp_path / "taxonomy.json"
    file.write_text(json.dumps(content))
    with pytest.raises(EditError, match=rf"{message}.*Write {{"):
        load_taxonomy(file)


@pytest.mark.parametrize("data", [b"", b"{", b"[" * 10**5], ids=["empty", "torn", "nested"])
def test_what_is_no_json_is_refused(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "taxonomy.json"
    file.write_bytes(data)
    with pytest.raises(EditError, match=r"is not JSON \("):
        load_taxonomy(file)


def test_a_taxonomy_in_another_encoding_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "taxonomy.json"
    file.write_bytes('{"pousser": {"pousser à gauche": "à gauche"}}'.encode("latin-1"))
    with pytest.raises(EditError, match=r"not UTF-8 text.* Latin-1 .* reads .*à gauche"):
        load_taxonomy(file)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(EditError, match="is not UTF-8 text"):
        load_taxonomy(file)


def test_missing_taxonomy_is_named(tmp_path: Path) -> None:
    with pytest.raises(EditError, match=r"Cannot read .*none\.json"):
        load_taxonomy(tmp_path / "none.json")


# Order


@pytest.mark.parametrize(
    ("modifiers", "read"),
    [
        (["left", "right"], ["left", "right"]),
        (["from left to right", "from right to left"], ["to right", "to left"]),
        # Only those that are the same words are shortened, whatever their case.
        (
            ["From left to right", "from right to left", "from top to bottom"],
            ["to right", "to left", "from top to bottom"],
        ),
        (
            ["opening it, then closing it", "closing it, then opening it"],
            ["it then closing it", "it then opening it"],
        ),
        (["one, two, three", "two, three, one"], ["two three", "three one"]),
        (["up", "up"], ["up", "up"]),
        (["a b", "a b c"], ["a b", "a b c"]),
    ],
    ids=["other words", "order", "some", "actions", "three", "equal", "part"],
)
def test_what_is_the_same_words_in_another_order_is_told_by_its_end(
    modifiers: list[str], read: list[str]
) -> None:
    assert words_in_order(modifiers) == read


def test_a_taxonomy_names_a_label_once(tree: LabelTree) -> None:
    twice = {"pulling": {"pulling something left": "left", "Pulling something LEFT": "right"}}
    with pytest.raises(EditError, match=r"label of 'pulling' twice"):
        known_groups(tree, target=0, taxonomy=twice)
