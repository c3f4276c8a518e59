"""Splits and merges: what may be asked, what comes out, where the rows come from."""

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgesplit.edits.edit import Edit
from edgesplit.edits.plan import Plan, split_classes
from edgesplit.edits.request import Into, SplitRequest
from edgesplit.edits.split import split_class
from edgesplit.edits.text_encoder import TextEncoder
from edgesplit.errors import DoubtfulSplitError, EdgesplitError, EditError, LabelError
from edgesplit.heads.head import Head
from edgesplit.heads.labels import Composition

SIDES = ["left", "right"]
FROM_ROWS = ("alignment", "alignment-mlp", "retrieval")
"""Rules that need no clips."""


def split(head: Head, encoder: TextEncoder, **choices: Any) -> Edit:
    """Splits "pushing something" into sides, or otherwise, with sources taken as they come."""
    chosen: dict[str, Any] = {
        "name": "pushing something",
        "into": SIDES,
        "accept_doubt": True,
    } | choices
    return split_class(head, chosen.pop("name"), encoder=encoder, **chosen)


def made(edit: Edit) -> dict[str, str]:
    """{label: modifier} of the rows that an edit made."""
    return {row.label: row.modifier for row in edit.report.rows}


# What comes out


@pytest.mark.parametrize("rule", FROM_ROWS)
@pytest.mark.parametrize("composition", ["gated", "flat"])
def test_a_split_appends_subcategories_and_changes_nothing_else(
    head: Head, encoder: TextEncoder, rule: str, composition: Composition
) -> None:
    before = head.to_bytes()
    edit = split(head, encoder, rule=rule, composition=composition)
    assert edit.before is head
    assert head.to_bytes() == before
    after = edit.head
    assert [node.label for node in after.tree] == [
        *head.labels,
        "pushing something left",
        "pushing something right",
    ]
    assert after.tree[4].composition == composition
    assert after.weight[:6].tobytes() == head.weight.tobytes()
    assert after.bias[:6].tobytes() == head.bias.tobytes()
    assert after.bias[6:].tolist() == [0, 0]
    assert after.parent == head.digest
    assert after.feature_space == head.feature_space
    assert Head.from_bytes(after.to_bytes()).digest == after.digest


@pytest.mark.parametrize("rule", FROM_ROWS)
def test_each_row_comes_from_the_label_with_its_modifier(
    head: Head, encoder: TextEncoder, rule: str
) -> None:
    edit = split(head, encoder, rule=rule)
    for side, row in zip(SIDES, edit.report.rows, strict=True):
        assert row.modifier == side
        assert row.sources[0].label == f"pulling something {side}"
        node = edit.head.tree[edit.head.tree.find(f"pushing something {side}")]
        assert node.provenance.rule == rule
        assert node.provenance.sources == row.sources
    left, right = edit.head.weight[6:]
    known = head.weight[0] - head.weight[1]  # pulling left minus pulling right
    cosine = (left - right) @ known / np.linalg.norm(left - right) / np.linalg.norm(known)
    # Retrieval takes the vectors themselves; alignment mixes in a little of up and down.
    assert cosine > (0.999 if rule == "retrieval" else 0.9)


def test_retrieved_rows_are_relative_to_the_mean_of_their_group(
    head: Head, encoder: TextEncoder
) -> None:
    edit = split(head, encoder, rule="retrieval")
    pulling = head.weight[:2]
    np.testing.assert_allclose(
        edit.head.weight[6:], pulling - pulling.mean(axis=0), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("rule", FROM_ROWS)
def test_the_same_request_gives_the_same_bytes(head: Head, encoder: TextEncoder, rule: str) -> None:
    first, second = (split(head, encoder, rule=rule).head for _ in range(2))
    assert first.to_bytes() == second.to_bytes()


def test_report_of_a_gated_split(head: Head, encoder: TextEncoder) -> None:
    edit = split(head, encoder, rule="retrieval", like="pulling something")
    assert edit.action == "split 'pushing something' into 'left', 'right' (gated)"
    report = edit.report
    assert (report.action, report.label, report.rule) == ("split", "pushing something", "retrieval")
    assert (report.composition, report.n_untouched, report.roll_up_growth) == ("gated", 6, 0.0)
    json.dumps(report.to_json(), allow_nan=False)


def test_report_of_a_flat_split_says_how_the_roll_up_grows(
    head: Head, encoder: TextEncoder
) -> None:
    edit = split(head, encoder, composition="flat", into=["left", "right", "up"])
    assert edit.report.n_untouched == 5
    assert edit.report.roll_up_growth == math.log(3)


# What may be asked


@pytest.mark.parametrize("name", ["pushing something", "pushing", "Pushing", "PUSHING SOMETHING"])
def test_class_is_named_by_its_leading_words(head: Head, encoder: TextEncoder, name: str) -> None:
    assert split(head, encoder, name=name).report.label == "pushing something"


@pytest.mark.parametrize(
    ("into", "expected"),
    [
        (SIDES, {"pushing something left": "left", "pushing something right": "right"}),
        (("up ", "  down"), {"pushing something up": "up", "pushing something down": "down"}),
        (
            ["pushing something left", "pushing something right"],
            {"pushing something left": "left", "pushing something right": "right"},
        ),
        (
            ["Pushing something left", "right"],
            {"Pushing something left": "left", "pushing something right": "right"},
        ),
        (
            {"pushing to the left": "left", "nudging it": "right"},
            {"pushing to the left": "left", "nudging it": "right"},
        ),
        (
            ["up, then left", "up"],
            {"pushing something up, then left": "up, then left", "pushing something up": "up"},
        ),
    ],
    ids=["modifiers", "spaces", "full labels", "both", "mapping", "comma"],
)
def test_subcategories_are_modifiers_or_full_labels(
    head: Head, encoder: TextEncoder, into: Into, expected: dict[str, str]
) -> None:
    edit = split(head, encoder, into=into)
    assert made(edit) == expected
    nodes = {node.label: node.modifier for node in edit.head.tree.nodes[6:]}
    assert nodes == expected


@pytest.mark.parametrize(
    ("choices", "error", "message"),
    [
        ({"name": "pusing"}, LabelError, "no class 'pusing'. Did you mean 'pushing something'"),
        ({"name": "xyzzy"}, LabelError, "no class 'xyzzy'"),
        ({"name": "moving"}, LabelError, "matches 2 classes: 'moving something up', 'moving"),
        ({"into": []}, EditError, "at least two subcategories, got 0"),
        ({"into": ["left"]}, EditError, "at least two subcategories, got 1"),
        ({"into": {"pushing left": "left"}}, EditError, "at least two subcategories, got 1"),
        ({"into": ["left", ""]}, LabelError, "'' is not a label"),
        ({"into": ["left", " "]}, LabelError, "is not a label"),
        ({"into": {"pushing left": "left", "pushing right": ""}}, LabelError, "is not a label"),
        ({"into": ["left", "left"]}, LabelError, "'pushing something left' appears twice"),
        ({"into": ["left", "LEFT"]}, LabelError, "appears twice"),
        ({"into": ["left", "pushing something left"]}, LabelError, "appears twice"),
        ({"into": {"a": "left", "b": "left"}}, LabelError, "'left' appears twice"),
        (
            {"into": {"a": "x", "holding something": "y"}},
            LabelError,
            "A class 'holding something' already exists",
        ),
        (
            {"into": {"a": "x", "Holding Something": "y"}},
            LabelError,
            "A class 'Holding Something' already exists",
        ),
        (
            {"into": ["pushing something", "pushing something left"]},
            LabelError,
            "'pushing something' does not add a word to 'pushing something'",
        ),
        ({"into": ["x" * 499, "left"]}, LabelError, "characters|class"),
        ({"like": "throwing"}, EditError, "'throwing' matches no group of known labels"),
        ({"taxonomy": {"a": {"b": "c"}}}, EditError, "no coarse category with two known labels"),
        (
            {"rule": "retrieval", "into": list("abcdefg")},
            EditError,
            "each of the 7 subcategories, but only 4 exist",
        ),
    ],
    ids=lambda value: str(value)[:50] if isinstance(value, dict) else "",
)
def test_requests_that_cannot_be_met_say_why(
    head: Head,
    encoder: TextEncoder,
    choices: dict[str, Any],
    error: type[EdgesplitError],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        split(head, encoder, **choices)


@pytest.mark.parametrize(
    ("choices", "error", "message"),
    [
        ({"rule": "magic"}, ValueError, "rule must be one of"),
        ({"into": "left"}, TypeError, "into must be a sequence of texts or a mapping"),
        ({"composition": "soft"}, ValueError, "composition.*soft"),
    ],
    ids=["rule", "into", "composition"],
)
def test_mistakes_of_the_program_are_not_errors_of_edgesplit(
    head: Head,
    encoder: TextEncoder,
    choices: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        split(head, encoder, **choices)


def test_a_head_without_groups_is_split_by_its_labels_once_that_is_accepted(
    encoder: TextEncoder,
) -> None:
    labels = ["pushing something", "holding something", "pulling something left"]
    lone = Head.from_arrays(np.eye(3), np.zeros(3), labels)
    with pytest.raises(
        DoubtfulSplitError, match=r"no two labels.*distinguish left \| right\..*--shots"
    ):
        split(lone, encoder, accept_doubt=False)
    edit = split(lone, encoder, accept_doubt=True)
    assert edit.report.estimate is None
    assert [row.sources for row in edit.report.rows] == [(), ()]
    rows = edit.head.weight[-2:]
    assert rows[0] @ lone.weight[2] > rows[1] @ lone.weight[2]  # "left" is learned from a label


def test_texts_unlike_any_known_label_are_refused_unless_the_doubt_is_accepted(
    head: Head, encoder: TextEncoder
) -> None:
    with pytest.raises(DoubtfulSplitError, match=r"in doubt.*--like.*--taxonomy.*--accept-doubt"):
        split(head, encoder, into=["quickly", "slowly"], accept_doubt=False)
    edit = split(head, encoder, into=["quickly", "slowly"], accept_doubt=True)
    assert edit.report.doubts


def test_equal_words_need_no_force(head: Head, encoder: TextEncoder) -> None:
    edit = split(head, encoder, accept_doubt=False)
    assert not edit.report.warnings
    assert not any(row.near_tie for row in edit.report.rows)


def test_like_learns_from_the_named_group_alone(head: Head, encoder: TextEncoder) -> None:
    edit = split(head, encoder, like="moving something", rule="retrieval")
    sources = {source.label for row in edit.report.rows for source in row.sources}
    assert sources == {"moving something up", "moving something down"}


@pytest.mark.parametrize("rule", FROM_ROWS)
def test_a_taxonomy_says_which_label_means_which_modifier(
    head: Head, encoder: TextEncoder, rule: str
) -> None:
    crossed = {"x": {"moving something up": "left", "moving something down": "right"}}
    edit = split(head, encoder, taxonomy=crossed, rule=rule)
    assert [row.sources[0].label for row in edit.report.rows] == [
        "moving something up",
        "moving something down",
    ]


# Splits of splits


def test_a_class_is_split_once(head: Head, encoder: TextEncoder) -> None:
    once = split(head, encoder).head
    with pytest.raises(
        EditError,
        match=r"already split into 'pushing something left', 'pushing something right'.*merge",
    ):
        split(once, encoder, into=["up", "down"])


def test_splits_nest(head: Head, encoder: TextEncoder) -> None:
    once = split(head, encoder).head
    twice = split(once, encoder, name="pushing something left", into=["up", "down"])
    assert twice.head.labels[-2:] == (
        "pushing something left up",
        "pushing something left down",
    )
    assert twice.head.tree.depths[-1] == 2
    sources = [source.label for row in twice.report.rows for source in row.sources]
    assert not any(label.startswith("pushing") for label in sources)


def test_flat_inside_gated_is_refused_with_the_reason(head: Head, encoder: TextEncoder) -> None:
    once = split(head, encoder).head
    with pytest.raises(EditError, match=r"inside a gated split.*Use composition gated"):
        split(once, encoder, name="pushing something left", into=["a", "b"], composition="flat")


@pytest.mark.parametrize("composition", ["gated", "flat"])
def test_a_flat_split_takes_either_below_it(
    head: Head, encoder: TextEncoder, composition: Composition
) -> None:
    flat = split(head, encoder, composition="flat").head
    edit = split(
        flat, encoder, name="pushing something left", into=["up", "down"], composition=composition
    )
    assert edit.head.tree[6].composition == composition


# Plans

UPRIGHT = ["up", "down"]
NESTED: Plan = {
    "pushing": SIDES,
    "pushing something left": SplitRequest(UPRIGHT, rule="retrieval"),
    "holding": SplitRequest({"holding it high": "up", "holding it low": "down"}, like="moving"),
}


def test_a_plan_is_its_splits_one_after_another(head: Head, encoder: TextEncoder) -> None:
    edit = split_classes(head, NESTED, encoder=encoder)
    first = split(head, encoder, accept_doubt=False)
    second = split(
        first.head, encoder, name="pushing something left", into=UPRIGHT, rule=FROM_ROWS[2]
    )
    third = split(
        second.head,
        encoder,
        name="holding something",
        into={"holding it high": "up", "holding it low": "down"},
        like="moving",
    )
    one_by_one = (first, second, third)
    assert edit.before is head
    assert edit.head.to_bytes() == replace(third.head, parent=head.digest).to_bytes()
    assert [part.label for part in edit.report.splits] == [part.report.label for part in one_by_one]
    assert edit.report.splits[1].to_json() == second.report.to_json()
    assert (edit.report.action, edit.report.n_untouched) == ("plan", 6)
    assert edit.action == (
        "plan: split 'pushing something', 'pushing something left', 'holding something'"
    )
    json.dumps(edit.report.to_json(), allow_nan=False)


def test_a_plan_of_one_split_makes_the_same_head(head: Head, encoder: TextEncoder) -> None:
    edit = split_classes(head, {"pushing": SIDES}, encoder=encoder)
    assert edit.head.digest == split(head, encoder).head.digest


def test_what_an_earlier_split_made_is_no_source_of_a_later_one(
    head: Head, encoder: TextEncoder
) -> None:
    # The words are the same, so the new rows would be the nearest of all.
    edit = split_classes(head, {"pushing": SIDES, "holding": SIDES}, encoder=encoder)
    alone = split(head, encoder, name="holding")
    assert edit.report.splits[1].rows == alone.report.rows
    assert edit.head.weight[-2:].tobytes() == alone.head.weight[-2:].tobytes()


def test_what_a_plans_split_leaves_open_is_as_for_all(head: Head, encoder: TextEncoder) -> None:
    plan: Plan = {
        "pushing": SIDES,
        "holding": SplitRequest(SIDES, rule="alignment", composition="gated"),
    }
    edit = split_classes(head, plan, rule="retrieval", composition="flat", encoder=encoder)
    chosen = [(part.rule, part.composition) for part in edit.report.splits]
    assert chosen == [("retrieval", "flat"), ("alignment", "gated")]
    assert edit.report.n_untouched == 5
    below: Plan = {"pushing": SIDES, "pushing something left": UPRIGHT}
    edit = split_classes(head, below, composition="flat", encoder=encoder)
    assert edit.report.n_untouched == 5  # both are of one root class


def test_a_refused_plan_names_every_split_with_its_reason(head: Head, encoder: TextEncoder) -> None:
    plan: Plan = {
        "pushing": ["red", "blue"],
        "pushing something red": SIDES,  # is judged although what it hangs on is in doubt
        "pushing something blue": ["soft", "loud"],
        "holding": ["left"],
        "throwing": SIDES,
    }
    with pytest.raises(EditError) as caught:
        split_classes(head, plan, encoder=encoder)
    first, *lines, advice = str(caught.value).splitlines()
    assert first == "4 of the plan's 5 splits were refused, so none was made:"
    assert [line.split(": ")[0] for line in lines] == [
        "  'pushing'",
        "  'pushing something blue'",
        "  'holding'",
        "  'throwing'",
    ]
    assert "in doubt: no known labels differ as red | blue do" in lines[0]
    assert "at least two subcategories" in lines[2]
    assert "no class 'throwing'" in lines[3]
    assert all(
        word in advice
        for word in ("(like)", "(into: ", "(shots or answers)", "(accept_doubt: true)")
    )
    assert not isinstance(caught.value, DoubtfulSplitError)


def test_a_plan_that_is_only_in_doubt_can_be_accepted(head: Head, encoder: TextEncoder) -> None:
    odd = ["red", "blue"]
    with pytest.raises(DoubtfulSplitError) as caught:
        split_classes(head, {"pushing": odd, "holding": SIDES}, encoder=encoder)
    assert len(caught.value.doubts) == 1
    assert "--like" not in caught.value.doubts[0]
    for plan, force in (
        ({"pushing": SplitRequest(odd, accept_doubt=True)}, False),
        ({"pushing": odd}, True),
    ):
        edit = split_classes(head, plan, accept_doubt=force, encoder=encoder)
        assert edit.report.splits[0].doubts
    with pytest.raises(DoubtfulSplitError):
        split_classes(
            head,
            {"pushing": SplitRequest(odd, accept_doubt=False)},
            accept_doubt=True,
            encoder=encoder,
        )


def test_a_plan_without_a_class_is_refused(head: Head, encoder: TextEncoder) -> None:
    with pytest.raises(EditError, match="no class to split"):
        split_classes(head, {}, encoder=encoder)


def test_clips_of_a_plans_split_are_used(head: Head, encoder: TextEncoder) -> None:
    clips = {"left": np.ones((5, head.dim)), "right": -np.ones((5, head.dim))}
    plan: Plan = {"pushing": SplitRequest(SIDES, shots=clips), "holding": SIDES}
    edit = split_classes(head, plan, encoder=encoder)
    assert edit.report.splits[0].shots is not None
    # Rows with five clips are knowledge, so the next split may learn from them.
    sources = {source.label for row in edit.report.splits[1].rows for source in row.sources}
    assert "pushing something left" in sources


# The paper's, by hand


def test_retrieval_flat_is_the_papers_arithmetic(encoder: TextEncoder) -> None:
    """Rows w_c + w_y - mean of the group, the bias of c; c itself cannot be answered."""
    known = {"pulling something left": [1.0, 0.0], "pulling something right": [0.0, 1.0]}
    labels = [*known, "pushing something"]
    head = Head.from_arrays([*known.values(), [2.0, 2.0]], [0.1, 0.2, 0.5], labels)
    edit = split_class(
        head,
        "pushing",
        into=["left", "right"],
        rule="retrieval",
        composition="flat",
        encoder=encoder,
    )
    # The group's mean is (0.5, 0.5), so left is (0.5, -0.5) and right (-0.5, 0.5).
    assert edit.head.weight[3:].tolist() == [[0.5, -0.5], [-0.5, 0.5]]
    found = edit.head.evaluate([[1.0, 0.0], [0.0, 1.0]])
    # (2 + 0.5, 2 - 0.5) . (1, 0) + 0.5 and so on: the bias is the class's.
    np.testing.assert_allclose(found.logits[:, 3:], [[3.0, 2.0], [2.0, 3.0]], atol=1e-6)
    np.testing.assert_allclose(found.logits[:, :2], [[1.1, 0.2], [0.1, 1.2]], atol=1e-6)
    expected = np.exp([1.1, 0.2, 3.0, 2.0])  # a softmax over the leaves, without c
    np.testing.assert_allclose(
        found.probabilities[0, [0, 1, 3, 4]], expected / expected.sum(), atol=1e-6
    )
    assert edit.head.classify([[1.0, 0.0], [0.0, 1.0]]) == [
        "pushing something left",
        "pushing something right",
    ]
