"""Motion-Split stays what it was frozen as, and every class of it can be rendered."""

from collections import Counter
from itertools import pairwise

import pytest

from benchmarks.motion_split.classes import (
    CATEGORIES,
    CLIPS_PER_SEED,
    DEV_SEEDS,
    FINE_CLASSES,
    FINE_LABELS,
    FROZEN_DIGEST,
    TEST_SEEDS,
    Half,
    clip_seed,
    head_labels,
    label_digest,
    mirrored,
    taxonomy,
)

HALVES: tuple[Half, ...] = ("A", "B")


def test_classes_halves_and_seeds_are_frozen() -> None:
    assert label_digest() == FROZEN_DIGEST


def test_there_are_enough_classes_and_no_category_of_one() -> None:
    assert len(CATEGORIES) >= 24
    assert len(FINE_LABELS) >= 80
    assert min(len(category.fine) for category in CATEGORIES) >= 2


def test_labels_are_unique() -> None:
    labels = [*FINE_LABELS, *(category.coarse for category in CATEGORIES)]
    assert len(set(labels)) == len(labels)


def test_halves_are_alike_in_size() -> None:
    sizes = Counter(fine.half for fine in FINE_CLASSES)
    assert abs(sizes["A"] - sizes["B"]) <= 2
    assert abs(len(taxonomy("A")) - len(taxonomy("B"))) <= 1


def test_pushing_is_one_class_of_head_a_that_splits_into_left_and_right() -> None:
    assert taxonomy("A")["pushing something"] == {
        "pushing something left": "left",
        "pushing something right": "right",
    }
    assert [name for name in head_labels("A") if name.startswith("pushing")] == [
        "pushing something"
    ]


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("pair", [("left", "right"), ("up", "down")], ids=str)
def test_directions_recur_in_each_half(half: Half, pair: tuple[str, str]) -> None:
    groups = [set(fine.values()) for fine in taxonomy(half).values()]
    assert sum(group.issuperset(pair) for group in groups) >= 3


def test_most_modifiers_of_a_half_are_known_from_the_other_half() -> None:
    of_a, of_b = ({m for g in taxonomy(half).values() for m in g.values()} for half in HALVES)
    assert len(of_a & of_b) >= 0.9 * len(of_a)


@pytest.mark.parametrize("half", HALVES)
def test_a_head_names_its_own_half_coarsely_and_the_other_finely(half: Half) -> None:
    other: Half = "B" if half == "A" else "A"
    fine = [label for group in taxonomy(other).values() for label in group]
    assert set(head_labels(half)) == {*taxonomy(half), *fine}


def test_a_mirror_keeps_the_category_and_undoes_itself() -> None:
    by_label = {fine.label: fine for fine in FINE_CLASSES}
    for fine in FINE_CLASSES:
        seen = by_label[mirrored(fine)]
        assert seen.coarse == fine.coarse
        assert mirrored(seen) == fine.label


def test_no_clip_is_in_two_splits_or_used_by_two_backbones() -> None:
    spans = sorted(
        (clip_seed(split, seed, 0), clip_seed(split, seed, CLIPS_PER_SEED - 1))
        for split in ("train", "unlabelled", "heldout")
        for seed in (*DEV_SEEDS, *TEST_SEEDS)
    )
    assert all(last < first for (_, last), (first, _) in pairwise(spans))
