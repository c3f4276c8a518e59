"""Which axis of a head a user means, and what the head can be split along."""

import numpy as np
import pytest

from edgesplit.edits.axes import choose_axis
from edgesplit.edits.groups import Axis, find_axes, find_groups, find_knowledge, known_groups
from edgesplit.edits.spelling import correct_spelling
from edgesplit.edits.split import split_class
from edgesplit.edits.text_encoder import packaged_encoder
from edgesplit.errors import DoubtfulSplitError, EditError
from edgesplit.heads.head import Head
from edgesplit.heads.labels import LabelTree
from tests.problems import texts_problem

GESTURES = [
    f"{gesture} with {what}"
    for gesture in ("swipe left", "swipe right", "swipe up", "swipe down", "tap", "pinch")
    for what in ("one finger", "the whole hand")
]
DIRECTION, FINGERS = "left, right, up, down", "one finger, the whole hand"


def named(axis: Axis) -> str:
    return ", ".join(axis.words)


def chosen(labels: list[str], wanted: list[str]) -> tuple[str | None, tuple[str, ...], list[str]]:
    """The axis that is meant, its words for what is wanted, and the candidates where none is."""
    groups = find_groups(enumerate(labels))
    told = [[member.modifier for member in group.members] for group in groups]
    problem = texts_problem(packaged_encoder(), wanted, *told)
    choice, _ = choose_axis(problem, wanted, find_axes(groups))
    name = None if choice.axis is None else named(choice.axis)
    return name, choice.words, [named(axis) for axis in choice.candidates]


def test_groups_that_share_words_are_one_axis() -> None:
    axes = find_axes(find_groups(enumerate([*GESTURES, "thumb up", "thumb down"])))
    assert {named(axis): len(axis.groups) for axis in axes} == {DIRECTION: 3, FINGERS: 6}


@pytest.mark.parametrize(
    ("wanted", "axis", "words"),
    [
        (["left", "right"], DIRECTION, ("left", "right")),
        (["to the left", "to the right"], DIRECTION, ("left", "right")),
        (["with the whole hand", "with one finger"], FINGERS, ("the whole hand", "one finger")),
        (["leftwards", "rightwards"], DIRECTION, ("left", "right")),
        (["left", "sharply right"], DIRECTION, ("left", "right")),  # 1.5 of 2 words
        (["using a single finger", "using all of the hand"], FINGERS, ("", "")),
    ],
)
def test_the_axis_is_told_by_its_words_or_by_likeness(
    wanted: list[str], axis: str, words: tuple[str, ...]
) -> None:
    name, found, _ = chosen(GESTURES, wanted)
    assert name == axis
    assert found == words


ROOMY = [
    f"{verb} the box {way}"
    for verbs, ways in (
        ("move pull", ("left", "right")),
        ("roll kick", ("into it", "out of it")),
        ("drag throw", ("closer to it", "away from it")),
        ("push shove", ("onto it", "off it")),
    )
    for verb in verbs.split()
    for way in ways
]


def test_where_it_is_not_clear_the_axes_are_named() -> None:
    name, _, candidates = chosen(ROOMY, ["approaching", "leaving"])
    assert name is None
    assert candidates[:2] == ["closer to, away from", "onto, off"]


def test_an_edit_that_may_be_meant_along_two_axes_asks() -> None:
    labels = [*ROOMY, "hit the box"]
    head = Head.from_arrays(np.eye(len(labels)), np.zeros(len(labels)), labels)
    with pytest.raises(
        DoubtfulSplitError, match=r"which of these axes is meant; .* --like: 'closer to"
    ):
        split_class(head, "hit the box", into=["approaching", "leaving"])
    split_class(head, "hit the box", into=["approaching", "leaving"], like="closer to, away from")


def test_a_head_without_groups_has_no_axis() -> None:
    assert chosen(["walk", "run"], ["left", "right"]) == (None, (), [])


def test_words_that_no_label_has_want_a_clip() -> None:
    labels = [label for label in GESTURES if "up" not in label and "down" not in label]
    head = Head.from_arrays(np.eye(9), np.zeros(9), [*labels, "shake"])
    into = ["left", "right", "backward"]
    with pytest.raises(
        DoubtfulSplitError, match=r"knows 'left, right', but no word for 'backward'"
    ):
        split_class(head, "shake", into=into)
    edit = split_class(head, "shake", into=into, shots={"backward": np.ones((1, 9))})
    assert edit.report.doubts == ()
    matches = [row.match for row in edit.report.rows]
    assert matches == ["swipe left with one finger", "swipe right with one finger", ""]


@pytest.mark.parametrize(
    ("into", "doubt"),
    [
        (["left", "leftwards"], "'left' and 'leftwards' mean the same"),
        (["left", "purple"], "knows 'left, right, up, down', but no word for 'purple'"),
    ],
)
def test_a_found_word_does_not_carry_the_other(into: list[str], doubt: str) -> None:
    labels = [*GESTURES, "shake"]
    head = Head.from_arrays(np.eye(len(labels)), np.zeros(len(labels)), labels)
    with pytest.raises(DoubtfulSplitError, match=doubt):
        split_class(head, "shake", into=into)


def test_a_misspelling_is_no_word_of_the_head_afterwards() -> None:
    labels = [*GESTURES, "shake", "hold"]
    head = Head.from_arrays(np.eye(len(labels)), np.zeros(len(labels)), labels)
    into = ["letf", "rigth"]
    once = split_class(head, "shake", into=into).head
    assert split_class(once, "hold", into=into).report.rows[0].match.startswith("swipe left")


def test_a_label_too_long_for_the_encoder_blocks_no_other() -> None:
    labels = [*GESTURES, "shake", "word " * 90]
    head = Head.from_arrays(np.eye(len(labels)), np.zeros(len(labels)), labels)
    assert split_class(head, "shake", into=["left", "right"]).report.likeness == 1


def test_a_word_that_is_matched_by_likeness_is_named() -> None:
    labels = [*GESTURES, "shake"]
    head = Head.from_arrays(np.eye(len(labels)), np.zeros(len(labels)), labels)
    into = ["left", "right", "up", "sideways"]
    warnings = split_class(head, "shake", into=into, accept_doubt=True).report.warnings
    assert any("no word for 'sideways', only 'left" in warning for warning in warnings)


def test_like_takes_the_words_of_an_axis() -> None:
    tree = LabelTree.from_labels([*GESTURES, "shake"])
    target = tree.find("shake")
    by_words = known_groups(tree, target=target, like="right, left")
    assert [group.name for group in by_words] == [
        "swipe … with one finger",
        "swipe … with the whole hand",
    ]
    assert len(known_groups(tree, target=target, like="swipe … with one finger")) == 1
    with pytest.raises(EditError, match=r"no axis\. The groups are: .*show --groups"):
        known_groups(tree, target=target, like="left, slowly")


def test_what_a_head_knows_is_told_by_axis() -> None:
    labels = [*GESTURES, "poke it so that it falls", "poke it without a touch", "shake"]
    known = find_knowledge(LabelTree.from_labels(labels))
    assert [named(axis) for axis in known.axes] == [FINGERS, DIRECTION]
    assert [group.name for group in known.siblings] == ["poke it"]
    assert known.alone == ("shake",)
    content = known.to_json()
    assert content["axes"][1]["by"] == "space"
    assert content["axes"][1]["groups"][0]["members"]["swipe up with one finger"] == "up"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("letf", "left"),
        ("to the lfet", "to the left"),
        ("clockwize", "clockwise"),
        ("counterclokwise", "counterclockwise"),
        ("lift", "lift"),  # another word
        ("light", "light"),
        ("tight", "tight"),
        ("right", "right"),
        ("quickly", "quickly"),  # known, though the head does not have it
        ("nach links", "nach links"),
        ("Letf", "left"),
    ],
)
def test_misspelt_words_are_read_as_those_of_the_head(text: str, read: str) -> None:
    known = {"left", "right", "clockwise", "counterclockwise", "pushing", "something", "stack"}
    assert correct_spelling(text, known, packaged_encoder().has_word) == read


def test_a_word_of_its_own_is_no_misspelling() -> None:
    assert correct_spelling("sack", {"stack"}, packaged_encoder().has_word) == "sack"
    assert correct_spelling("sack", {"stack"}, lambda word: False) == "stack"


def test_a_word_between_two_of_the_head_stays() -> None:
    assert correct_spelling("rigth", {"right", "rigths"}, lambda word: False) == "rigth"
