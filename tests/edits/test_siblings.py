"""Labels that begin with the same action."""

import itertools
import json
from pathlib import Path

import pytest

from edgesplit.edits.siblings import find_siblings
from edgesplit.heads.label_text import words

SSV2 = Path(__file__).parents[3] / "shared" / "data" / "SSv2-Split" / "group_scheme.json"


def grouped(labels: list[str]) -> dict[str, dict[str, str]]:
    """{beginning: {label: modifier}} of what is found."""
    found = find_siblings(labels)
    return {name: {labels[place]: text for place, text in members} for name, members in found}


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (
            ["Moving something up", "Moving something down", "Holding something"],
            {"Moving something": {"Moving something up": "up", "Moving something down": "down"}},
        ),
        (
            ["Pulling something from left to right", "Pulling something from right to left"],
            {
                "Pulling something": {
                    "Pulling something from left to right": "left to right",
                    "Pulling something from right to left": "right to left",
                }
            },
        ),
        (
            [
                "Turning the camera left while filming something",
                "Turning the camera right while filming something",
            ],
            {
                "Turning the camera": {
                    "Turning the camera left while filming something": "left",
                    "Turning the camera right while filming something": "right",
                }
            },
        ),
        (
            [
                "Holding something",
                "Holding something behind something",
                "Holding something over it",
            ],
            {
                "Holding something": {
                    "Holding something behind something": "behind something",
                    "Holding something over it": "over it",
                }
            },
        ),
        (
            ["Poking a hole into soft stuff", "Poking a stack of something"],
            {},
        ),
        (
            ["Pretending to put it down", "Pretending to throw it down"],
            {},
        ),
        (
            ["Lifting something up, then letting it drop", "Lifting something up without it"],
            {
                "Lifting something": {
                    "Lifting something up, then letting it drop": "then letting it drop",
                    "Lifting something up without it": "without it",
                }
            },
        ),
        (
            [
                "Moving something up",
                "Moving something down",
                "Moving something across a surface until it falls down",
                "Moving something across a surface without it falling down",
                "Moving something and something closer to each other",
                "Moving something and something away from each other",
            ],
            {
                "Moving something": {"Moving something up": "up", "Moving something down": "down"},
                "Moving something across a surface": {
                    "Moving something across a surface until it falls down": "until it falls",
                    "Moving something across a surface without it falling down": (
                        "without it falling"
                    ),
                },
                "Moving something and something": {
                    "Moving something and something closer to each other": "closer to",
                    "Moving something and something away from each other": "away from",
                },
            },
        ),
        (
            ["Twisting (wringing) it left", "Twisting (wringing) it right"],
            {
                "Twisting (wringing) it": {
                    "Twisting (wringing) it left": "left",
                    "Twisting (wringing) it right": "right",
                }
            },
        ),
        (
            [
                "Putting something into a box",
                "Putting something onto a table",
                "Putting something that cannot stand upright so it soon tumbles sideways",
            ],
            {
                "Putting something": {
                    "Putting something into a box": "into a box",
                    "Putting something onto a table": "onto a table",
                }
            },
        ),
        (["Bending something", "Tearing something"], {}),
        (["Bending", "Tearing"], {}),
        (["Moving something up", "MOVING Something UP!"], {}),
        (["Throwing something", "Throwing something up"], {}),
        ([], {}),
    ],
    ids=[
        "suffix",
        "shared preposition",
        "shared ending",
        "label that is the action",
        "article goes on",
        "pretending to",
        "comma",
        "longest action",
        "brackets",
        "little shared",
        "lone",
        "one word",
        "same words",
        "one modifier",
        "nothing",
    ],
)
def test_siblings_are_found_by_their_beginning(
    labels: list[str], expected: dict[str, dict[str, str]]
) -> None:
    assert grouped(labels) == expected


@pytest.fixture(scope="module")
def ssv2() -> dict[str, list[str]]:
    """{coarse category: fine labels} of Something-Something V2, as people grouped them."""
    scheme: dict[str, list[str]] = json.loads(SSV2.read_text())["group_scheme"]
    return scheme


@pytest.mark.skipif(not SSV2.is_file(), reason=f"needs {SSV2}")
def test_pushing_left_and_right_is_knowledge_about_pulling() -> None:
    labels = json.loads((SSV2.parent / "B" / "labels.json").read_text())
    modifiers = grouped(sorted(labels, key=labels.__getitem__))["Pushing something"].values()
    assert {"from left to right", "from right to left"} <= set(modifiers)


@pytest.mark.parametrize("action", ["turning the dial", "moving something", "moving it"])
def test_an_action_that_every_label_shares_is_a_group(action: str) -> None:
    labels = [f"{action} {modifier}" for modifier in ("left", "right", "up", "far down", "about")]
    assert list(grouped(labels)) == [action]


@pytest.mark.skipif(not SSV2.is_file(), reason=f"needs {SSV2}")
def test_every_group_of_ssv2_can_be_named_and_tells_its_members_apart(
    ssv2: dict[str, list[str]],
) -> None:
    labels = sorted(itertools.chain(*ssv2.values()))
    groups = find_siblings(labels)
    assert len({words(name) for name, _ in groups}) == len(groups)
    for name, members in groups:
        modifiers = [modifier for _, modifier in members]
        assert len(modifiers) >= 2
        assert all(modifiers)
        assert len(set(modifiers)) == len(modifiers)
        begin = words(name)
        assert all(words(labels[place])[: len(begin)] == begin for place, _ in members)
    places = [place for _, members in groups for place, _ in members]
    assert len(set(places)) == len(places)


def test_a_label_is_in_no_two_groups_whatever_the_order() -> None:
    labels = ["lift it up fast", "lift it up slowly", "lift it high", "lift it low", "lift it"]
    expected = {"lift it": {"lift it up fast", "lift it up slowly", "lift it high", "lift it low"}}
    for order in itertools.permutations(labels):
        assert {name: set(group) for name, group in grouped(list(order)).items()} == expected
