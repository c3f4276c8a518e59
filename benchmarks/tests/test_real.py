"""Heads trained on real motion: subjects are on one side only, and edits are local."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks.harness.cells import measure
from benchmarks.real.data import AXES, Motion, load_motion, name_group, shared_data
from benchmarks.real.grid import KNOWN, Row, grid, show, table, write_if_whole
from benchmarks.real.limits import agreement, find_limits
from benchmarks.real.models import PARTS, RealHead, find_trained
from edgesplit.edits.rules import DEFAULT_RULE

SPAR = [*find_trained("spar-sides")]
SHREC = [*find_trained("shrec-fingers", "shrec-direction")]
each_head = pytest.mark.parametrize("model", [*SPAR, *SHREC], ids=lambda model: model.name)


def test_the_watchs_heads_are_committed() -> None:
    assert [model.about["seed"] for model in SPAR] == list(range(6))
    for model in SPAR:
        assert model.head.dim == 128
        assert len(model.head.tree) == 14 - len(model.categories)
        assert len(model.train[0]) + len(model.heldout[0]) == 3605


@each_head
def test_nobody_is_both_seen_and_held_out(model: RealHead) -> None:
    seen, heldout = (set(model.subjects(part).tolist()) for part in PARTS)
    assert not seen & heldout
    assert heldout == set(model.about["heldout_subjects"])


def test_each_clip_is_held_out_once_where_its_category_is_split() -> None:
    held: Counter[tuple[str, int]] = Counter()
    everyone = {who for model in SPAR for who in model.subjects("train").tolist()}
    for model in SPAR:
        held.update((c, who) for c in model.categories for who in model.about["heldout_subjects"])
    assert set(held.values()) == {1}
    assert len(held) == 7 * len(everyone)


@each_head
def test_a_head_knows_collapsed_classes_by_their_shared_text_alone(model: RealHead) -> None:
    labels = {node.label for node in model.head.tree}
    for coarse, fine in model.categories.items():
        assert coarse in labels
        assert not labels & set(fine)
        assert set(fine) <= set(model.labelled)
        known = {label for group in model.taxonomy(coarse).values() for label in group}
        assert known <= labels
        truth = model.truth(coarse)
        assert set(fine) <= set(truth) <= labels | set(fine)
        assert coarse not in truth
    assert set(model.truth()) <= labels


def test_there_is_no_taxonomy_for_what_is_not_split() -> None:
    with pytest.raises(KeyError):
        SPAR[0].taxonomy("pendulum left")


def test_a_watch_has_one_axis() -> None:
    assert SPAR[0].other_taxonomy() is None


@pytest.mark.parametrize("model", SHREC, ids=lambda model: model.name)
def test_no_group_of_the_other_axis_varies_as_the_collapsed_classes_do(model: RealHead) -> None:
    other = model.other_taxonomy()
    assert other
    wanted = {text for group in model.categories.values() for text in group.values()}
    assert not wanted & {text for group in other.values() for text in group.values()}
    labels = {node.label for node in model.head.tree}
    assert any(len(labels & {*group}) > 1 for group in other.values())


@each_head
def test_the_default_split_changes_nothing_else(model: RealHead) -> None:
    for coarse in model.categories:
        for taxonomy in (None, model.taxonomy(coarse)):
            cell = measure(model, coarse, DEFAULT_RULE, "gated", model.statistics(), taxonomy)
            assert cell.score.locality == 1.0
            assert cell.score.churn == 0


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return [*grid(SPAR[0], ("alignment", "copies"))]


def test_a_head_goes_through_the_grid(rows: list[Row]) -> None:
    n = len(SPAR[0].categories)
    lines = table(rows)
    assert len(lines) == 3 * 2 * 2  # copies know nothing, and there is no other axis
    assert {line["splits"] for line in lines} == {n}
    assert len(rows) == n * len(lines)
    guesses = [line["in_group"] for line in lines if line["rule"] == "copies"]
    assert guesses == pytest.approx([0.5] * len(guesses), abs=0.05)


def test_a_gated_split_stays_below_the_ceiling_and_a_probe_far_above_chance(
    rows: list[Row],
) -> None:
    limits = {each.category: each for each in find_limits(SPAR[0])}
    assert set(limits) == set(SPAR[0].categories)
    for row in rows:
        assert row.composition == "flat" or (
            row.score.generality <= limits[row.category].ceiling + 1e-5
        )
        assert row.score.n_target == limits[row.category].n_clips
    for each in limits.values():
        assert each.gated_probe <= min(each.ceiling, each.probe)
        assert each.probe > 0.8
    assert -1 <= agreement(SPAR[0]) <= 1


def test_the_short_table_quotes_the_papers_rules() -> None:
    model = SPAR[0]
    found = [*grid(model, ("alignment", "alignment-mlp", "retrieval"))]
    limits = {"splits": 3, "chance": 0.5, "ceiling": 1.0, "probe": 1.0}
    shown = show({model.axis: {"ways": table(found), "limits": limits}})
    assert shown.row_count == len(KNOWN) - 1


def test_half_of_the_axes_do_not_take_the_place_of_all() -> None:
    assert write_if_whole("real", {}, AXES[:1]).startswith("nothing is written: shrec-fingers")


def test_shared_texts_and_modifiers() -> None:
    assert name_group(["grab with one finger", "grab with the whole hand"]) == (
        "grab",
        {"grab with one finger": "one finger", "grab with the whole hand": "the whole hand"},
    )
    turns = ["rotation clockwise with one finger", "rotation counter clockwise with one finger"]
    assert name_group(turns) == (
        "rotation with one finger",
        dict(zip(turns, ("clockwise", "counter clockwise"), strict=True)),
    )


@pytest.mark.skipif(
    not (shared_data() / "real" / "shrec17.npz").exists(), reason="SHREC'17 is not there"
)
def test_gestures_have_both_axes() -> None:
    fingers, direction = (load_motion(axis) for axis in AXES[1:])
    assert fingers is not None
    assert direction is not None
    assert fingers.clips.shape == (2800, 66, 48)
    assert np.isfinite(fingers.clips).all()
    assert len(fingers.groups) == 14
    assert sorted(map(len, direction.groups.values())) == [2, 2, 4, 4]
    assert len(set(fingers.subject.tolist())) == 28
    for motion in (fingers, direction):
        assert {label for group in motion.groups.values() for label in group} <= set(motion.labels)


def made_motion() -> Motion:
    """Return synthetic clips of six subjects, with four actions to the left and to the right."""
    rng = np.random.default_rng(0)
    fine, subject = np.tile(np.arange(8), 24), np.repeat(np.arange(6), 32)
    actions = ("wave", "pull", "push", "turn")
    groups = {a: {f"{a} {side}": side for side in ("left", "right")} for a in actions}
    labels = tuple(label for group in groups.values() for label in group)
    clips = rng.standard_normal((len(fine), 3, 16)).astype(np.float32)
    return Motion("spar-sides", clips, fine, subject, labels, groups)


@pytest.mark.torch
def test_training_writes_a_head_that_can_be_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    from benchmarks.real import train

    monkeypatch.setattr(train, "N_STEPS", 3)
    motion, path = made_motion(), tmp_path / "spar-sides-0.npz"
    about = train.make_head(motion, 0, path)
    model = RealHead(path)
    assert model.about == about
    assert len(about["collapsed"]) == 2
    assert sorted(about["collapsed"] + train.choose_collapsed(motion, 1)) == sorted(motion.groups)
    assert len(model.heldout[0]) == 64
    decided = model.head.evaluate(model.heldout[0]).class_index
    answers = np.array([node.label for node in model.head.tree])[decided]
    accuracy = float(np.mean(answers == np.array(model.truth())))
    # float16 features may move a clip or two.
    assert accuracy == pytest.approx(about["heldout_accuracy"], abs=0.04)
