"""Which clips are asked about, what answers do through `split_class`, and when to stop."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesplit._types import Float32
from edgesplit.edits.answers import LEAST_PULL, MIN_SEEN
from edgesplit.edits.asking import ENOUGH_SEPARATION, MOST_ANSWERS, choose_clips, pays
from edgesplit.edits.edit import Edit
from edgesplit.edits.report import AnswerReport, Report, ShotReport
from edgesplit.edits.request import SplitRequest
from edgesplit.edits.rules.alignment import alignment
from edgesplit.edits.rules.base import Transfer, TransferProblem
from edgesplit.edits.split import split_class
from edgesplit.edits.text_encoder import TextEncoder
from edgesplit.errors import (
    BundleError,
    DoubtfulSplitError,
    EditError,
    FeatureSpaceError,
    LabelError,
)
from edgesplit.heads.head import Head
from edgesplit.heads.statistics import MAX_SAMPLE, MIN_CLASS_CLIPS, Statistics

DIM = 24
INTO = ["left", "right"]
LABELS = (
    "pulling something left",
    "pulling something right",
    "moving something left",
    "moving something right",
    "pushing something",
    "holding something",
)
PUSHING, HOLDING = 2, 3
"""Their axes."""


class Lab:
    """Clips in heaps, and a head that knows actions, but not heaps, apart.

    Axis a of a feature says that a clip shows action a; those from the tenth on say in which heap
    it lies. Left and right of the known actions differ along the ninth, a little; those of the
    class do not, so that its heaps are what somebody must say.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        weight = 8 * np.eye(DIM)[[0, 0, 1, 1, 2, 3]]
        weight[:4, 9] = (0.1, -0.1, 0.1, -0.1)
        self.head = Head.from_arrays(weight, np.zeros(len(LABELS)), LABELS, feature_space="f" * 64)

    def clips(self, n: int, *, heap: int = 0, action: int = PUSHING, width: float = 0.1) -> Float32:
        """n clips of an action around one heap's middle; heap 0 has none."""
        middle = 4 * np.eye(DIM)[action] + (2 * np.eye(DIM)[9 + heap] if heap else 0)
        return np.asarray(middle + width * self.rng.standard_normal((n, DIM)), np.float32)

    def pool(self, *sizes: int, others: int = 10) -> Float32:
        """Clips of the class in heaps of these sizes, one after another, and of another class."""
        heaps = [self.clips(n, heap=heap) for heap, n in enumerate(sizes, 1)]
        return np.concatenate([*heaps, self.clips(others, action=HOLDING)])

    def known(self, n: int = 20) -> Float32:
        """n clips of each class that lies left or right: precedents, for an estimate."""
        parts = [self.clips(n, action=action) for action in (0, 0, 1, 1)]
        for place, part in enumerate(parts):
            part[:, 9] += (1, -1)[place % 2]
        return np.concatenate(parts)

    def choose(self, features: npt.ArrayLike, n: int, **choices: Any) -> list[int]:
        request = SplitRequest(choices.pop("into", INTO), features=features, **choices)
        return [*map(int, choose_clips(self.head, "pushing", request, features, n))]


@pytest.fixture
def lab() -> Lab:
    return Lab()


def heap_of(place: int, *sizes: int) -> int:
    return int(np.searchsorted(np.cumsum(sizes), place, side="right"))


# Choosing


def test_one_clip_of_each_heap_is_chosen_the_largest_first(lab: Lab) -> None:
    sizes = (20, 60, 40)
    chosen = lab.choose(lab.pool(*sizes), 3)
    assert [heap_of(place, *sizes) for place in chosen] == [1, 2, 0]


def test_the_chosen_clip_is_the_one_in_the_middle(lab: Lab) -> None:
    pool = lab.pool(20, 30)
    for place, heap in zip(lab.choose(pool, 2), (pool[20:50], pool[:20]), strict=True):
        far = np.linalg.norm(heap - heap.mean(axis=0), axis=1)
        assert np.linalg.norm(pool[place] - heap.mean(axis=0)) < np.median(far)


@given(
    seed=st.integers(0, 500),
    sizes=st.lists(st.integers(1, 20), min_size=1, max_size=4),
    n=st.integers(1, 12),
    data=st.data(),
)
def test_chosen_clips_are_distinct_of_the_class_and_not_answered(
    seed: int, sizes: list[int], n: int, data: st.DataObject
) -> None:
    lab = Lab(seed=seed)
    pool = lab.pool(*sizes)
    n_class = sum(sizes)
    asked = data.draw(st.sets(st.integers(0, len(pool) - 1), max_size=n_class - 1))
    says = st.sampled_from([*INTO, None])
    answers = {place: data.draw(says) for place in asked}
    chosen = lab.choose(pool, n, answers=answers)
    assert len(set(chosen)) == len(chosen) <= n
    assert set(chosen) <= set(range(n_class)) - asked
    if None not in answers.values():
        assert len(chosen) == min(n, n_class - len(asked & set(range(n_class))))
    assert lab.choose(pool, n, answers=dict(reversed(answers.items()))) == chosen
    assert len(chosen) >= 1


def test_what_was_answered_stands_for_its_heap(lab: Lab) -> None:
    sizes = (20, 60, 40)
    pool = lab.pool(*sizes)
    first, second, third = lab.choose(pool, 3)
    (chosen,) = lab.choose(pool, 1, answers={first: "left", third: "right"})
    assert heap_of(chosen, *sizes) == heap_of(second, *sizes)


def test_clips_like_one_that_shows_neither_are_not_asked_about(lab: Lab) -> None:
    sizes = (20, 60, 40)
    pool = lab.pool(*sizes)
    stranger, left, right = lab.choose(pool, 3)
    chosen = lab.choose(pool, 6, answers={stranger: None, left: "left", right: "right"})
    assert 1 not in {heap_of(place, *sizes) for place in chosen}
    assert len(chosen) == 6


def test_where_nothing_else_is_left_they_are(lab: Lab) -> None:
    pool = np.concatenate([lab.pool(1, 9), lab.clips(1, heap=1)])
    chosen = lab.choose(pool[1:], 3, answers={0: None, len(pool) - 2: "left"})
    assert set(chosen) <= set(range(1, 9))


def test_few_clips_are_all_chosen(lab: Lab) -> None:
    pool = lab.pool(3)
    assert lab.choose(pool, 5) == [0, 1, 2]
    assert lab.choose(pool, 3) == [0, 1, 2]
    assert lab.choose(pool, 5, answers={1: "left"}) == [0, 2]


def test_clips_that_are_all_the_same_are_chosen_one_after_another(lab: Lab) -> None:
    pool = np.tile(lab.clips(1), (20, 1))
    chosen = lab.choose(pool, 4)
    assert len(set(chosen)) == 4
    assert len(lab.choose(pool, 4, answers={0: "left", 1: None})) == 4


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e9])
def test_the_scale_of_features_does_not_count(lab: Lab, scale: float) -> None:
    sizes = (20, 60, 40)
    chosen = lab.choose(np.asarray(scale * lab.pool(*sizes), np.float32), 3)
    assert [heap_of(place, *sizes) for place in chosen] == [1, 2, 0]


def test_a_clip_far_away_does_not_take_the_place_of_a_heap(lab: Lab) -> None:
    pool = np.concatenate([lab.pool(30, 30), lab.clips(1, heap=3)])
    chosen = lab.choose(pool, 2)
    assert {heap_of(place, 30, 30) for place in chosen} == {0, 1}


def test_a_class_below_another_is_asked_about_with_its_own_clips(
    lab: Lab, encoder: TextEncoder
) -> None:
    pool = lab.pool(30, 30)
    answers = {0: "left", 30: "right"}
    once = split_class(
        lab.head, "pushing", into=INTO, features=pool, answers=answers, encoder=encoder
    )
    left = np.flatnonzero(np.array(once.head.classify(pool)) == "pushing something left")
    assert set(left) == set(range(30))
    request = SplitRequest(["slowly", "fast"], features=pool)
    chosen = choose_clips(once.head, "pushing something left", request, pool, 4)
    assert set(chosen.tolist()) <= set(range(30))
    twice = split_class(
        once.head,
        "pushing something left",
        replace(request, answers={int(chosen[0]): "slowly", int(chosen[1]): "fast"}),
        encoder=encoder,
    )
    assert twice.report.n_clips == 30


def test_a_split_that_cannot_be_made_is_refused_before_anyone_is_asked(
    lab: Lab, encoder: TextEncoder
) -> None:
    pool = lab.pool(20, 20)
    once = split_class(lab.head, "pushing", into=INTO, encoder=encoder)
    with pytest.raises(EditError, match="already split"):
        choose_clips(once.head, "pushing something", SplitRequest(["up", "down"]), pool, 2)
    flat = SplitRequest(["up", "down"], composition="flat")
    with pytest.raises(EditError, match="inside a gated split"):
        choose_clips(once.head, "pushing something left", flat, pool, 2)
    with pytest.raises(LabelError):
        choose_clips(lab.head, "juggling", SplitRequest(INTO), pool, 2)
    with pytest.raises(EditError, match="at least two"):
        choose_clips(lab.head, "pushing", SplitRequest(["left"]), pool, 2)


def test_nothing_can_be_asked_about_a_class_without_clips(lab: Lab) -> None:
    others = lab.clips(5, action=HOLDING)
    with pytest.raises(EditError, match=r"gives none of the 5 clips to 'pushing something'\. Use"):
        lab.choose(others, 2)
    with pytest.raises(EditError, match="gives none of the 0 clips"):
        lab.choose(others[:0], 2)
    with pytest.raises(EditError, match="2 clips without an answer to 'pushing something'"):
        lab.choose(lab.clips(2), 2, answers={0: "left", 1: None})


@pytest.mark.parametrize("n", [0, -3])
def test_no_clip_cannot_be_chosen(lab: Lab, n: int) -> None:
    with pytest.raises(ValueError, match=f"at least 1 clip to ask about, got {n}"):
        lab.choose(lab.pool(5), n)


def test_features_that_do_not_fit_are_refused(lab: Lab) -> None:
    pool = lab.pool(5)
    with pytest.raises(FeatureSpaceError, match="have 3 values; the head needs 24"):
        lab.choose(pool[:, :3], 2)
    with pytest.raises(ValueError, match="finite"):
        lab.choose(pool * np.float32(np.nan), 2)
    with pytest.raises(ValueError, match="finite"):
        lab.choose(pool.astype(np.float64) * 1e300, 2)  # too large for float32
    with pytest.raises(ValueError, match="finite"):
        lab.choose(pool[0], 2)
    statistics = replace(Statistics.from_features(lab.head, pool), feature_space="0" * 64)
    with pytest.raises(FeatureSpaceError, match="another feature space"):
        choose_clips(lab.head, "pushing", SplitRequest(INTO), pool, 2, statistics=statistics)


# Answers through split_class


def split_of(lab: Lab, encoder: TextEncoder, features: Float32, **choices: Any) -> Edit:
    request = SplitRequest(choices.pop("into", INTO), features=features, **choices)
    return split_class(lab.head, "pushing", request, encoder=encoder)


def heaps_split(
    lab: Lab, encoder: TextEncoder, *sizes: int, **choices: Any
) -> tuple[Edit, Float32]:
    """The first clip of heap 1 is left, that of heap 2 right, unless answers say otherwise."""
    pool = lab.pool(*sizes)
    answers = {0: "left", sizes[0]: "right"}
    return split_of(lab, encoder, pool, **{"answers": answers} | choices), pool


def shots_of(edit: Edit) -> ShotReport:
    assert edit.report.shots is not None
    return edit.report.shots


def test_two_answers_make_a_split(lab: Lab, encoder: TextEncoder) -> None:
    edit, pool = heaps_split(lab, encoder, 60, 30)
    assert edit.head.classify(pool) == [
        *["pushing something left"] * 60,
        *["pushing something right"] * 30,
        *["holding something"] * 10,
    ]
    report, shots = edit.report, shots_of(edit)
    assert report.n_clips == 90
    assert shots.clips == (1, 1)
    assert (shots.n_neither, shots.neither_share) == (0, 0)
    assert shots.separation is not None
    assert shots.separation > ENOUGH_SEPARATION
    assert report.expected is not None
    assert report.expected > 0.9
    assert not pays(report)
    nodes = edit.head.tree.nodes[-2:]
    assert [node.provenance.n_clips for node in nodes] == [1, 1]
    assert Head.from_bytes(edit.head.to_bytes()).tree == edit.head.tree
    n = len(LABELS)
    assert edit.head.weight[:n].tobytes() == lab.head.weight.tobytes()
    assert edit.head.bias[:n].tobytes() == lab.head.bias.tobytes()


def test_answers_the_other_way_round_give_the_split_the_other_way_round(
    lab: Lab, encoder: TextEncoder
) -> None:
    edit, pool = heaps_split(lab, encoder, 30, 30, answers={0: "right", 30: "left"})
    assert edit.head.classify(pool[:30]) == ["pushing something right"] * 30
    assert edit.head.classify(pool[30:60]) == ["pushing something left"] * 30


def test_four_subcategories_are_told_by_one_answer_each(lab: Lab, encoder: TextEncoder) -> None:
    into, sizes = ["left", "right", "up", "down"], (20, 20, 20, 20)
    answers = {20 * heap: modifier for heap, modifier in enumerate(into)}
    edit, pool = heaps_split(lab, encoder, *sizes, into=into, answers=answers, accept_doubt=True)
    decided = edit.head.classify(pool[:80])
    assert decided == [f"pushing something {modifier}" for modifier in into for _ in range(20)]


@pytest.mark.parametrize("composition", ["gated", "flat"])
def test_the_order_of_answers_does_not_count(
    lab: Lab, encoder: TextEncoder, composition: str
) -> None:
    pool = lab.pool(30, 30, 20)
    answers: dict[int, str | None] = {0: "left", 5: "left", 31: "right", 60: None, 99: "right"}
    answers.pop(99)
    edits = [
        split_of(lab, encoder, pool, answers=some, composition=composition)
        for some in (answers, dict(reversed(answers.items())))
    ]
    assert edits[0].head.to_bytes() == edits[1].head.to_bytes()
    assert edits[0].report == edits[1].report
    assert [answer.clip for answer in shots_of(edits[0]).answers] == [0, 5, 31, 60]


def test_the_report_names_each_answer_beside_the_text(lab: Lab, encoder: TextEncoder) -> None:
    edit, pool = heaps_split(lab, encoder, 30, 30, 20, answers={30: "right", 0: "left", 60: None})
    answers = shots_of(edit).answers
    assert [(answer.clip, answer.answer) for answer in answers] == [
        (0, "left"),
        (30, "right"),
        (60, ""),
    ]
    assert len({answer.digest for answer in answers}) == 3
    assert all(len(answer.digest) == 16 for answer in answers)
    assert {answer.by_text for answer in answers} <= set(INTO)
    content = edit.report.to_json()
    assert content["shots"]["answers"][0]["clip"] == 0
    again = split_of(lab, encoder, pool[::-1], answers={89: "left", 59: "right"})
    assert shots_of(again).answers[1].digest == answers[0].digest  # the clip's, wherever it lies


def test_neither_takes_its_heap_out_and_lowers_what_is_expected(
    lab: Lab, encoder: TextEncoder
) -> None:
    sure, pool = heaps_split(lab, encoder, 30, 30, 20, answers={0: "left", 30: "right"})
    edit = split_of(lab, encoder, pool, answers={0: "left", 30: "right", 60: None})
    shots = shots_of(edit)
    assert shots.n_neither == 1
    assert shots.neither_share == pytest.approx(19 / 76, abs=0.02)
    alone = split_of(lab, encoder, pool[:60], answers={0: "left", 30: "right"})
    assert edit.report.expected is not None
    assert alone.report.expected is not None
    assert edit.report.expected == pytest.approx(
        alone.report.expected * (1 - shots.neither_share), abs=0.02
    )
    assert (
        f"about {shots.neither_share:.0%} of the class's clips show none of the subcategories"
        in (edit.report.warnings)
    )
    assert not any("show none of the subcategories" in warning for warning in sure.report.warnings)
    assert shots.clips == (1, 1)


def test_neither_alone_moves_no_row_and_is_told(lab: Lab, encoder: TextEncoder) -> None:
    pool = np.concatenate([lab.pool(30, 30), lab.known()])
    plain = split_of(lab, encoder, np.delete(pool, 5, axis=0), answers={}, accept_doubt=True)
    edit = split_of(lab, encoder, pool, answers={5: None}, accept_doubt=True)
    shots = shots_of(edit)
    assert (shots.clips, shots.n_neither, shots.confirmed) == ((0, 0), 1, False)
    assert shots.answers[0].answer == ""
    np.testing.assert_allclose(edit.head.weight[-2:], plain.head.weight[-2:], atol=0.02)
    assert plain.report.expected is not None
    assert 0 < shots.neither_share < 0.05
    told = plain.report.expected * (1 - shots.neither_share)
    assert edit.report.expected == pytest.approx(told, abs=0.01)
    assert (
        "no labelled clip shows 'left', 'right': its row is from text only" in edit.report.warnings
    )
    assert pays(edit.report)


def test_neither_is_told_where_the_class_has_too_few_clips(lab: Lab, encoder: TextEncoder) -> None:
    pool = np.concatenate([lab.pool(3), lab.known()])
    edit = split_of(lab, encoder, pool, answers={1: None}, accept_doubt=True)
    assert [(answer.clip, answer.answer) for answer in shots_of(edit).answers] == [(1, "")]
    assert (
        "no labelled clip shows 'left', 'right': its row is from text only" in edit.report.warnings
    )
    assert edit.report.n_clips == 0


@pytest.mark.parametrize("factor", [0.25, 8.0])
@pytest.mark.parametrize("answers", [{}, {0: "left", 50: "right"}])
def test_a_head_whose_logits_are_larger_decides_the_same(
    lab: Lab, encoder: TextEncoder, factor: float, answers: Mapping[int, str]
) -> None:
    pool = np.concatenate([lab.pool(50, 30), lab.known()])
    pool[:, 11:] += 0.5 * lab.rng.standard_normal((len(pool), DIM - 11)).astype(np.float32)
    heads = [
        split_class(
            replace(lab.head, weight=lab.head.weight * np.float32(scale)),
            "pushing",
            SplitRequest(INTO, features=pool, answers=answers, accept_doubt=True),
            encoder=encoder,
        ).head
        for scale in (1, factor)
    ]
    assert heads[0].classify(pool) == heads[1].classify(pool)
    # Powers of two scale floating-point numbers exactly, and the grid of rows with them.
    np.testing.assert_allclose(heads[1].weight, factor * heads[0].weight, rtol=1e-4, atol=1e-4)


def test_a_subcategory_without_an_answer_is_named(lab: Lab, encoder: TextEncoder) -> None:
    pool = lab.pool(30, 30)
    first = split_of(lab, encoder, pool, answers={0: "left"})
    by_text = shots_of(first).answers[0].by_text
    (other,) = {*INTO} - {by_text}
    sources = {
        by_text: "its row is from text only",
        other: "its row is from unlabelled clips only",
    }
    for answer, sentence in sources.items():
        edit = split_of(lab, encoder, pool, answers={0: answer})
        (missing,) = {*INTO} - {answer}
        assert f"no labelled clip shows {missing!r}: {sentence}" in edit.report.warnings
        assert (shots_of(edit).pull > 0) == (answer == by_text)
        assert pays(edit.report)


def test_answers_do_what_the_same_clips_as_shots_do(lab: Lab, encoder: TextEncoder) -> None:
    pool = lab.pool(40, 40)
    answered = split_of(lab, encoder, pool, answers={0: "left", 40: "right"})
    shown = split_of(
        lab, encoder, pool, answers=None, shots={"left": pool[:1], "right": pool[40:41]}
    )
    assert shown.head.classify(pool) == answered.head.classify(pool)
    assert [node.provenance for node in shown.head.tree] == [
        replace(node.provenance, asked=()) for node in answered.head.tree
    ]
    told = [node.provenance.asked for node in answered.head.tree][-2:]
    assert told == [(answer.digest,) for answer in shots_of(answered).answers]
    assert shots_of(shown).answers == ()
    one, two = shots_of(shown), shots_of(answered)
    assert (one.clips, one.n_right, one.pull) == (two.clips, two.n_right, two.pull)
    assert one.separation == pytest.approx(two.separation, abs=0.01)


def test_answers_and_shots_count_together(lab: Lab, encoder: TextEncoder) -> None:
    pool = lab.pool(30, 30)
    edit = split_of(lab, encoder, pool, answers={30: "right"}, shots={"left": lab.clips(2, heap=1)})
    assert shots_of(edit).clips == (2, 1)
    assert edit.head.classify(pool[:60]) == [
        f"pushing something {INTO[i // 30]}" for i in range(60)
    ]


def test_a_clip_that_comes_both_ways_counts_once(lab: Lab, encoder: TextEncoder) -> None:
    pool = lab.pool(30, 30)
    shots = {"left": pool[[0, 1]], "right": pool[[30]]}
    shown = split_of(lab, encoder, pool, shots=shots)
    both = split_of(lab, encoder, pool, shots=shots, answers={0: "left", 30: "right"})
    assert shots_of(both).clips == shots_of(shown).clips == (2, 1)
    assert len(shots_of(both).answers) == 2
    assert both.head.weight.tobytes() == shown.head.weight.tobytes()
    for said in ("right", None):
        with pytest.raises(EditError, match=r"clip 0 is .* among the labelled clips of 'left'"):
            split_of(lab, encoder, pool, shots=shots, answers={0: said})


@pytest.mark.parametrize(
    "name", ["left", "LEFT", "pushing something left", "Pushing something Left"]
)
def test_an_answer_is_a_modifier_or_a_label(lab: Lab, encoder: TextEncoder, name: str) -> None:
    edit, _ = heaps_split(lab, encoder, 20, 20, answers={0: name, 20: "right"})
    assert shots_of(edit).answers[0].answer == "left"


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_a_place_may_be_a_number_of_numpy(lab: Lab, encoder: TextEncoder, kind: type) -> None:
    edit, pool = heaps_split(lab, encoder, 20, 20)
    other = split_of(lab, encoder, pool, answers={kind(0): "left", kind(20): "right"})
    assert other.head.digest == edit.head.digest
    assert [type(answer.clip) for answer in shots_of(other).answers] == [int, int]


@pytest.mark.parametrize(
    ("answers", "error", "message"),
    [
        ({60: "left"}, EditError, "an answer about clip 60, but there are 50 clips"),
        ({-1: "left"}, EditError, "an answer about clip -1, but there are 50 clips"),
        ({True: "left"}, TypeError, "a clip's index, an integer, got True"),
        ({1.5: "left"}, TypeError, "a clip's index, an integer, got 1.5"),
        ({"1": "left"}, TypeError, "a clip's index, an integer, got '1'"),
        ({0: "left", "a.mp4": "right"}, TypeError, "an integer, got 'a.mp4'"),
        ({0: "down"}, EditError, "clip 0 is 'down', which is not a subcategory"),
        ({0: ""}, EditError, "clip 0 is ''"),
        ({0: "pushing"}, EditError, "clip 0 is 'pushing'"),
        ({0: 1}, TypeError, "The answer about clip 0 must be a label or None, got 1"),
    ],
)
def test_wrong_answers_are_refused(
    lab: Lab,
    encoder: TextEncoder,
    answers: Mapping[int, str | None],
    error: type[Exception],
    message: str,
) -> None:
    pool = lab.pool(20, 20)
    request = SplitRequest(INTO, features=pool, answers=answers)
    with pytest.raises(error, match=message):
        split_class(lab.head, "pushing", request, encoder=encoder)
    with pytest.raises(error, match=message):
        choose_clips(lab.head, "pushing", request, pool, 2)


def test_answers_want_the_features_that_they_count_in(lab: Lab, encoder: TextEncoder) -> None:
    with pytest.raises(EditError, match="Add the features of the clips"):
        split_class(lab.head, "pushing", into=INTO, answers={0: "left"}, encoder=encoder)
    split_class(lab.head, "pushing", into=INTO, answers={}, encoder=encoder)


def test_features_of_a_split_must_fit_the_head(lab: Lab, encoder: TextEncoder) -> None:
    pool = lab.pool(20, 20)

    def split(features: Any) -> None:
        split_class(lab.head, "pushing", into=INTO, features=features, encoder=encoder)

    with pytest.raises(FeatureSpaceError, match="have 3 values"):
        split(pool[:, :3])
    with pytest.raises(ValueError, match="finite"):
        split(np.where(np.arange(DIM) == 3, np.nan, pool))
    with pytest.raises(ValueError, match="finite"):
        split(pool[0])
    with pytest.raises(ValueError, match="finite"):
        split(pool.astype(np.float64) * 1e300)
    with pytest.raises(BundleError, match="too large for statistics"):
        split(np.asarray(pool * 1e30, np.float32))


# Which clips count


def test_no_feature_is_as_good_as_none_given(lab: Lab, encoder: TextEncoder) -> None:
    pool = lab.pool(20, 20)
    statistics = Statistics.from_features(lab.head, pool)
    for stats in (None, statistics):
        plain = split_class(lab.head, "pushing", into=INTO, statistics=stats, encoder=encoder)
        none = split_class(
            lab.head, "pushing", into=INTO, statistics=stats, encoder=encoder, features=pool[:0]
        )
        assert none.head.to_bytes() == plain.head.to_bytes()
    with pytest.raises(EditError, match="an answer about clip 0, but there are 0 clips"):
        split_of(lab, encoder, pool[:0], answers={0: "left"})


def test_without_statistics_the_features_give_them(lab: Lab, encoder: TextEncoder) -> None:
    pool = lab.pool(20, 20)
    own = Statistics.from_features(lab.head, pool)
    alone = split_class(lab.head, "pushing", into=INTO, features=pool, encoder=encoder)
    with_them = split_class(lab.head, "pushing", into=INTO, statistics=own, encoder=encoder)
    assert alone.head.to_bytes() == with_them.head.to_bytes()


def test_features_count_instead_of_the_statistics_clips(lab: Lab, encoder: TextEncoder) -> None:
    statistics = Statistics.from_features(lab.head, lab.pool(50, 50, others=50))
    edit = split_class(
        lab.head,
        "pushing",
        into=INTO,
        statistics=statistics,
        features=lab.pool(20, 20),
        encoder=encoder,
    )
    assert edit.report.n_clips == 40


@pytest.mark.parametrize("n", [0, MIN_CLASS_CLIPS - 1])
def test_where_too_few_are_of_the_class_the_statistics_clips_count(
    lab: Lab, encoder: TextEncoder, n: int
) -> None:
    statistics = Statistics.from_features(lab.head, lab.pool(50, 50))
    few = lab.pool(n)
    edit = split_class(
        lab.head, "pushing", into=INTO, statistics=statistics, features=few, encoder=encoder
    )
    assert edit.report.n_clips == 100
    alone = split_class(lab.head, "pushing", into=INTO, features=few, encoder=encoder)
    assert alone.report.n_clips == 0
    assert (
        f"the new rows are not centred: only {n} of the clips are of this class; at least 5 are "
        "needed"
    ) in alone.report.warnings


def test_answers_about_few_clips_still_count(lab: Lab, encoder: TextEncoder) -> None:
    for sizes in ((1, 1), (2, 2), (4, 4)):
        edit, pool = heaps_split(lab, encoder, *sizes)
        assert len(pool) - 10 < MIN_SEEN
        n = sizes[0]
        assert edit.head.classify(pool[: 2 * n]) == [
            f"pushing something {modifier}" for modifier in INTO for _ in range(n)
        ]
        assert shots_of(edit).separation is None
        assert edit.report.expected is None
        assert pays(edit.report)


def test_answers_about_clips_of_another_class_count_as_clips_do(
    lab: Lab, encoder: TextEncoder
) -> None:
    pool = lab.pool(30, 30)
    edit = split_of(lab, encoder, pool, answers={0: "left", 60: "right"})
    assert shots_of(edit).clips == (1, 1)
    assert np.isfinite(edit.head.weight).all()


def test_clips_that_are_all_the_same_are_not_two_heaps(lab: Lab, encoder: TextEncoder) -> None:
    pool = np.concatenate([np.tile(lab.clips(1), (40, 1)), lab.clips(10, action=HOLDING)])
    pool[0] += np.eye(DIM, dtype=np.float32)[10]
    pool[1] -= np.eye(DIM, dtype=np.float32)[10]
    edit = split_of(lab, encoder, pool, answers={0: "left", 1: "right"})
    assert np.isfinite(edit.head.weight).all()
    same = np.tile(lab.clips(1), (40, 1))
    edit = split_of(lab, encoder, same, answers={0: "left"}, accept_doubt=True)
    assert np.isfinite(edit.head.weight).all()
    assert edit.report.expected is None  # every clip was answered: they are one clip


def test_more_clips_than_the_sample_holds_are_a_sample(lab: Lab, encoder: TextEncoder) -> None:
    n = MAX_SAMPLE // 2 + 100
    edit, pool = heaps_split(lab, encoder, n, n)
    assert edit.report.n_clips == 2 * n
    assert edit.head.classify(pool[: 2 * n : 50]) == [
        f"pushing something {INTO[i // n]}" for i in range(0, 2 * n, 50)
    ]


def test_a_class_that_is_rare_among_many_clips_counts_with_all_of_its_own(
    lab: Lab, encoder: TextEncoder
) -> None:
    others = lab.clips(2 * MAX_SAMPLE, action=HOLDING)
    few = lab.pool(MIN_SEEN, MIN_SEEN, others=0)
    n = len(others)
    edit = split_of(
        lab,
        encoder,
        np.concatenate([others, few]),
        answers={n: "left", n + MIN_SEEN: "right"},
    )
    assert edit.report.n_clips == 2 * MIN_SEEN
    assert edit.report.expected is not None
    assert edit.head.classify(few) == [
        f"pushing something {INTO[i // MIN_SEEN]}" for i in range(2 * MIN_SEEN)
    ]


@pytest.mark.parametrize("scale", [1e-3, 1e6, 1e12])
def test_the_scale_of_features_changes_no_decision(
    lab: Lab, encoder: TextEncoder, scale: float
) -> None:
    pool = lab.pool(30, 20)
    lab.head = replace(lab.head, weight=np.asarray(lab.head.weight / scale, np.float32))
    edit = split_of(
        lab,
        encoder,
        np.asarray(scale * pool, np.float32),
        answers={0: "left", 30: "right"},
    )
    assert np.isfinite(edit.head.weight).all()
    decided = edit.head.classify(np.asarray(scale * pool[:50], np.float32))
    assert decided == [f"pushing something {INTO[i // 30]}" for i in range(50)]


# Doubt


def no_groups(lab: Lab) -> Head:
    return Head.from_arrays(
        lab.head.weight[4:], lab.head.bias[4:], LABELS[4:], feature_space="f" * 64
    )


def test_a_head_without_groups_wants_an_answer_of_each(lab: Lab, encoder: TextEncoder) -> None:
    head, pool = no_groups(lab), lab.pool(30, 30)

    def split(answers: dict[int, str | None], *, accept_doubt: bool = False) -> Edit:
        return split_class(
            head,
            "pushing",
            into=INTO,
            features=pool,
            answers=answers,
            encoder=encoder,
            accept_doubt=accept_doubt,
        )

    with pytest.raises(DoubtfulSplitError, match=r"give a labelled clip of each \(--shots\)"):
        split({})
    with pytest.raises(DoubtfulSplitError, match=r"give a labelled clip of each \(--shots\)"):
        split({0: None})
    with pytest.raises(DoubtfulSplitError, match=r"a labelled clip of 'right', too \(--shots\)"):
        split({0: "left"})
    edit = split({0: "left", 30: "right"})
    assert edit.report.doubts
    assert edit.head.classify(pool[:60]) == [
        f"pushing something {INTO[i // 30]}" for i in range(60)
    ]
    shots = shots_of(edit)
    assert shots.pull == LEAST_PULL  # what texts say counts little
    assert shots.n_right == sum(answer.answer == answer.by_text for answer in shots.answers)
    one = split({0: "left"}, accept_doubt=True)
    assert "no labelled clip shows 'right': its row is from text only" in one.report.warnings


def test_ten_subcategories_have_ten_answers(lab: Lab, encoder: TextEncoder) -> None:
    into = [f"kind {letter}" for letter in "abcdefghij"]
    sizes = (12,) * 10
    answers = {12 * heap: modifier for heap, modifier in enumerate(into)}
    edit, pool = heaps_split(lab, encoder, *sizes, into=into, answers=answers)
    decided = edit.head.classify(pool[:120])
    wanted = [f"pushing something {modifier}" for modifier in into for _ in range(12)]
    assert np.mean([got == want for got, want in zip(decided, wanted, strict=True)]) > 0.95


def test_flat_children_keep_what_all_of_them_share(lab: Lab, encoder: TextEncoder) -> None:
    shared = np.linspace(-1, 1, DIM)

    def rule(problem: TransferProblem) -> Transfer:
        found = alignment(problem)
        return replace(found, rows=found.rows + shared)

    pool = lab.pool(30, 30)
    for answers in ({}, {0: "left", 30: "right"}):
        edits = {
            composition: split_of(
                lab, encoder, pool, answers=answers, rule=rule, composition=composition
            )
            for composition in ("flat", "gated")
        }
        mean = {name: edit.head.weight[-2:].mean(axis=0) for name, edit in edits.items()}
        across = {name: np.diff(edit.head.weight[-2:], axis=0) for name, edit in edits.items()}
        np.testing.assert_allclose(mean["flat"], shared, atol=1e-3)
        np.testing.assert_allclose(mean["gated"], 0, atol=1e-3)
        np.testing.assert_allclose(across["flat"], across["gated"], atol=1e-3)


# When to stop


def answered(clips: Sequence[int], separation: float | None, *, n_neither: int = 0) -> Report:
    answer = AnswerReport(0, "", "", "left")
    shots = ShotReport(tuple(clips), 0, 3.0, separation, 0.0, 0.0, (answer,) * n_neither)
    return Report(action="split", label="pushing something", n_untouched=3, shots=shots)


@pytest.mark.parametrize(
    ("report", "wanted"),
    [
        (Report(action="split", label="pushing something", n_untouched=3), True),
        (answered([1, 1], ENOUGH_SEPARATION - 0.01), True),
        (answered([1, 1], ENOUGH_SEPARATION), False),
        (answered([2, 0], 0.99), True),
        (answered([1, 1], None), True),
        (answered([0, 0], None, n_neither=2), True),
        (answered([MOST_ANSWERS, MOST_ANSWERS], 0.3), False),
        (answered([2 * MOST_ANSWERS, 0], 0.3), False),
        (answered([0, 0], None, n_neither=2 * MOST_ANSWERS), False),
    ],
)
def test_another_answer_pays_until_the_heaps_part_or_enough_was_asked(
    report: Report, wanted: bool
) -> None:
    assert pays(report) is wanted


def test_asking_on_ends(lab: Lab, encoder: TextEncoder) -> None:
    """One cloud that nothing parts: the questions end at three answers of each subcategory."""
    pool = lab.clips(80, width=1.0)
    pool = pool[np.array(lab.head.classify(pool)) == "pushing something"]
    answers: dict[int, str | None] = {}
    for _ in range(10):
        request = SplitRequest(INTO, features=pool, answers=answers, accept_doubt=True)
        if answers and not pays(split_class(lab.head, "pushing", request, encoder=encoder).report):
            break
        for place in choose_clips(lab.head, "pushing", request, pool, 2).tolist():
            answers[place] = INTO[int(pool[place, 12] < 0)]
    assert 2 <= len(answers) <= 2 * MOST_ANSWERS
