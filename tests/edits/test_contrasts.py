"""Labels that differ in one place, found by aligning their words."""

import json
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import pytest

from edgesplit.edits.contrasts import find_contrasts
from edgesplit.edits.tokens import parse_label
from edgesplit.edits.vocabulary import contrast, stem

LISTS = Path(__file__).parents[3] / "shared" / "data" / "labels"

needs_lists = pytest.mark.skipif(not LISTS.is_dir(), reason=f"needs {LISTS}")


def found(labels: list[str]) -> dict[str, tuple[str, list[str]]]:
    """{context: (what differs, fillers)}."""
    return {one.name: (one.by, [text for _, text in one.members]) for one in find_contrasts(labels)}


def pairs(groups: Iterable[Iterable[str]]) -> set[frozenset[str]]:
    return {frozenset(pair) for group in groups for pair in combinations(group, 2)}


def pairs_of(labels: list[str]) -> set[frozenset[str]]:
    return pairs([labels[place] for place, _ in one.members] for one in find_contrasts(labels))


def read_list(name: str) -> list[str]:
    return [line.strip() for line in (LISTS / name).read_text().splitlines() if line.strip()]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["Swiping Left", "Swiping Right"], {"Swiping": ("space", ["Left", "Right"])}),
        (["left pendulum", "right pendulum"], {"pendulum": ("space", ["left", "right"])}),
        (
            ["swipe left with one finger", "swipe right with one finger"],
            {"swipe … with one finger": ("space", ["left", "right"])},
        ),
        (
            ["tap with one finger", "tap with the whole hand"],
            {"tap with": ("body", ["one finger", "whole hand"])},
        ),
        (
            ["put on a hat/cap", "take off a hat/cap"],
            {"a hat/cap": ("verbs", ["put on", "take off"])},
        ),
        (
            ["Pushing Hand Away", "Pulling Hand In"],
            {"Hand": ("verbs", ["Pushing Away", "Pulling In"])},
        ),
        (
            ["sitting down", "standing up (from sitting position)", "clapping"],
            {"sitting down / standing up": ("verbs", ["sitting down", "standing up"])},
        ),
        (
            ["folding a towel", "unfolding a towel"],
            {"a towel": ("verbs", ["folding", "unfolding"])},
        ),
        (
            ["rotation clockwise fast", "rotation counter clockwise fast"],
            {"rotation … fast": ("space", ["clockwise", "counter clockwise"])},
        ),
        (["JumpForward", "JumpBackward"], {"Jump": ("space", ["Forward", "Backward"])}),
        (["thumb up", "thumb down"], {"thumb": ("space", ["up", "down"])}),
    ],
)
def test_what_is_known_to_vary_makes_a_contrast(
    labels: list[str], expected: dict[str, tuple[str, list[str]]]
) -> None:
    told = {name: (by.partition(" ")[0], texts) for name, (by, texts) in found(labels).items()}
    assert told == expected


@pytest.mark.parametrize(
    "labels",
    [
        ["pull ups", "push ups"],  # nothing is named that is pushed
        ["playing guitar", "playing violin"],  # of one verb alone
        ["grab left", "tap left", "swipe left"],  # the action itself
        ["high jump", "long jump"],  # height and length are two things
        ["zoom in with full hand", "zoom out with two fingers", "zoom in with two fingers"][:2],
        ["shaking hands", "washing hands"],
        ["Moving something up", "MOVING Something UP!"],
        [f"class {number}" for number in range(40)],
        ["walk"],
        [],
    ],
)
def test_what_is_not_known_to_vary_makes_none(labels: list[str]) -> None:
    assert found(labels) == {}


def test_two_things_that_vary_make_two_axes() -> None:
    grid = [f"swipe {way} with {what}" for way in ("left", "up") for what in ("fist", "palm")]
    assert found(grid) == {
        "swipe … with fist": ("space", ["left", "up"]),
        "swipe … with palm": ("space", ["left", "up"]),
        "swipe left with": ("body", ["fist", "palm"]),
        "swipe up with": ("body", ["fist", "palm"]),
    }


def test_open_words_need_two_actions() -> None:
    one = ["salto tucked", "salto piked"]
    assert found(one) == {}
    assert found([*one, "jump tucked", "jump piked"]) == {
        "salto": ("repeated", ["tucked", "piked"]),
        "jump": ("repeated", ["tucked", "piked"]),
    }
    # A grid of one action has the same pair twice, too.
    assert (
        found(["salto tucked now", "salto piked now", "salto tucked soon", "salto piked soon"])
        == {}
    )


def test_a_missing_word_is_named_by_the_whole_labels() -> None:
    labels = [
        f"{start}{verb} it" for verb in ("squeeze", "throw") for start in ("", "pretending to ")
    ]
    assert found(labels)["squeeze it"][1] == ["squeeze it", "pretending to squeeze it"]


@pytest.mark.parametrize(
    ("text", "stems"),
    [
        ("Putting something", ("put", "someth")),
        ("(FX) split jump with 1.5 turn", ("fx", "split", "jump", "with", "1.5", "turn")),
        ("Back+15som+05Twis", ("back", "15", "som", "05", "twis")),
        ("anti-clockwise", ("counterclockwis",)),
        ("the letter a", ("letter", "a")),
        ("other person's pocket", ("other", "person", "pocket")),
    ],
)
def test_labels_are_read_word_by_word(text: str, stems: tuple[str, ...]) -> None:
    assert parse_label(text).stems == stems


def test_a_tag_names_no_action() -> None:
    label = parse_label("(FX) split jump")
    assert label.stems[label.action or 0] == "split"


@pytest.mark.parametrize(
    ("one", "other", "by"),
    [
        ("left", "right", "space"),
        ("slowly", "quickly", "speed"),
        ("two fingers", "full hand", "body"),
        ("full hand", "hand", None),  # the same
        ("left arm", "right leg", None),  # two things
        ("to the left", "right", "space"),
        ("left", "quickly", None),
        ("back", "neck", "body"),
        ("back", "front", None),
        ("3", "0.5", "count"),
    ],
)
def test_two_texts_are_a_contrast_of_one_kind(one: str, other: str, by: str | None) -> None:
    a, b = (parse_label(text).stems for text in (one, other))
    assert contrast(a, b) == contrast(b, a) == by


@pytest.mark.parametrize(
    "words", ["put puts putting", "close closes closed closing", "swing swings"]
)
def test_forms_of_a_word_have_one_stem(words: str) -> None:
    assert len({stem(word) for word in words.split()}) == 1


@needs_lists
@pytest.mark.parametrize("name", ["jester", "shrec17"])
def test_pairs_are_those_that_people_see(name: str) -> None:
    key = json.loads((LISTS / f"{name}.groups.json").read_text())
    if name == "jester":
        labels = read_list("jester.txt")
        wanted = pairs(
            [label for label, _ in group] for title, group in key.items() if title != "no group"
        )
    else:
        labels = [label for group in key["fingers"] for label in group]
        wanted = pairs(group for axis in key.values() for group in axis)
    assert pairs_of(labels) == wanted


@needs_lists
def test_pairs_of_ntu60_are_nearly_those_that_people_see() -> None:
    key = json.loads((LISTS / "ntu60.groups.json").read_text())
    wanted = pairs([x for x, _ in group] for title, group in key.items() if "optional" not in title)
    optional = pairs([x for x, _ in group] for title, group in key.items() if "optional" in title)
    seen = pairs_of(read_list("label_map_ntu60.txt")) - optional
    assert len(seen & wanted) >= 0.9 * len(wanted)
    assert len(seen & wanted) >= 0.9 * len(seen)


@needs_lists
def test_lists_with_nothing_to_transfer_give_next_to_nothing() -> None:
    assert find_contrasts(read_list("ucf101.txt")) == ()
    assert {one.name for one in find_contrasts(read_list("hmdb51.txt"))} == {
        "catch / throw",
        "sit / stand",
    }
    assert {one.by for one in find_contrasts(read_list("label_map_k400.txt"))} == {"body"}
