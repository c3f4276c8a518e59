"""Motion-Split does not change, and all its classes can be rendered."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.harness.figures import interval, rank_correlation
from benchmarks.motion_split.classes import (
    CATEGORIES,
    CLIPS_PER_SEED,
    DEV_SEEDS,
    FINE_CLASSES,
    FINE_LABELS,
    FROZEN_DIGEST,
    TEST_SEEDS,
    Category,
    Family,
    FineClass,
    Half,
    clip_seed,
    head_labels,
    label_digest,
    mirrored,
    taxonomy,
)
from benchmarks.motion_split.data import label_indices, mirror_indices
from benchmarks.motion_split.grid import Row, Way, by_category, table
from benchmarks.motion_split.programs import PROGRAMS
from benchmarks.motion_split.render import render_clip
from benchmarks.motion_split.videos import N_FRAMES, heldout_video, write_video
from edgesplit.heads.metrics import Score
from edgesplit.video.clips import read_clip
from edgesplit.video.preprocessing import Preprocessing

BY_LABEL = {fine.label: fine for fine in FINE_CLASSES}
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
    for fine in FINE_CLASSES:
        seen = BY_LABEL[mirrored(fine)]
        assert seen.coarse == fine.coarse
        assert mirrored(seen) == fine.label


def test_no_clip_is_in_two_splits_or_used_by_two_backbones() -> None:
    spans = sorted(
        (clip_seed(split, seed, 0), clip_seed(split, seed, CLIPS_PER_SEED - 1))
        for split in ("train", "unlabelled", "heldout")
        for seed in (*DEV_SEEDS, *TEST_SEEDS)
    )
    assert all(last < first for (_, last), (first, _) in pairwise(spans))


def render(fine: FineClass, seed: int) -> npt.NDArray[np.uint8]:
    return render_clip(fine, seed, size=16, n_frames=4)


def test_every_program_is_used() -> None:
    assert {fine.program for fine in FINE_CLASSES} == set(PROGRAMS)


@pytest.mark.filterwarnings("error")  # a NaN would warn when it is cast to uint8
@pytest.mark.parametrize("fine", FINE_CLASSES, ids=lambda fine: fine.label)
def test_a_class_renders_and_its_seed_decides_the_clip(fine: FineClass) -> None:
    clip = render(fine, 1)
    assert clip.shape == (4, 16, 16, 3)
    assert clip.std() > 1  # not one colour
    np.testing.assert_array_equal(clip, render(fine, 1))
    assert (clip != render(fine, 2)).any()


@pytest.mark.parametrize("category", CATEGORIES, ids=lambda category: category.coarse)
def test_the_fine_classes_of_a_category_look_different(category: Category) -> None:
    clips = [render(BY_LABEL[label], 1).tobytes() for label in category.fine]
    assert len(set(clips)) == len(clips)


def test_a_scene_does_not_depend_on_size_and_frames() -> None:
    small = render_clip(FINE_CLASSES[0], 3, size=32, n_frames=4)
    large = render_clip(FINE_CLASSES[0], 3, size=64, n_frames=12)[1::3]
    averaged = large.reshape(4, 32, 2, 32, 2, 3).mean(axis=(2, 4))
    # Edges and noise differ by a few levels; another scene differs by dozens.
    assert np.abs(averaged - small).mean() < 6


def test_index_tables_follow_the_labels() -> None:
    classes = label_indices("A")
    assert {head_labels("A")[index] for index in classes} == set(head_labels("A"))
    np.testing.assert_array_equal(mirror_indices()[mirror_indices()], np.arange(len(FINE_LABELS)))


def test_a_video_file_shows_the_clip_that_was_written(tmp_path: Path) -> None:
    path, again = tmp_path / "clip.mp4", tmp_path / "again.mp4"
    frames = heldout_video(BY_LABEL["pushing something left"], 0)
    write_video(frames, path)
    write_video(frames, again)
    assert path.read_bytes() == again.read_bytes()
    height, width = frames.shape[1:3]
    read = read_clip(path, Preprocessing(frames=N_FRAMES, height=height, width=width))
    shown = 255 * read.transpose(1, 2, 3, 0)
    assert shown.shape == frames.shape
    # 4:2:0 chroma and quantisation cost a few levels.
    assert np.abs(shown - frames).mean() < 6


@pytest.mark.torch
@pytest.mark.parametrize("family", ["cnn", "transformer"])
def test_the_model_gives_one_logit_per_class(family: Family) -> None:
    torch = pytest.importorskip("torch")
    from benchmarks.motion_split.model import FACTORIES, N_FRAMES, SIZE, normalised_batches

    model = FACTORIES[family](len(head_labels("A"))).eval()
    (clips,) = normalised_batches(np.zeros((2, N_FRAMES, SIZE, SIZE, 3), np.uint8))
    with torch.inference_mode():
        assert model(clips).shape == (2, len(head_labels("A")))


# Summaries of the grid


def row(category: str, generality: float, *, rule: str = "alignment", n_clips: int = 9) -> Row:
    score = Score(generality, generality, 1.0, 1.0, 0, 10, 90)
    return Row("cnn", "A", 0, "dev", category, 2, rule, "gated", n_clips, None, False, 0.1, score)


def test_ways_are_compared_category_by_category() -> None:
    rows = [row("a", 0.5), row("a", 0.7), row("b", 0.9), row("a", 0.4, n_clips=0)]
    rows += [row("b", 0.6, n_clips=0), row("c", 0.1)]
    reference: Way = ("alignment", "gated", False)
    assert by_category(rows, ("alignment", "gated", True)) == pytest.approx(
        {"a": 0.6, "b": 0.9, "c": 0.1}
    )
    (best, other) = table(rows, reference)
    assert (best["clips"], best["generality"], best["splits"]) == (True, 0.55, 4)
    assert best["difference"] == pytest.approx(0.25)  # of a and b, which both have
    assert best["interval"] == [0.2, 0.3]
    assert (other["clips"], other["difference"]) == (False, 0)


def test_interval_holds_the_mean_and_shrinks_to_it() -> None:
    mean, low, high = interval(np.array([0.1, 0.3, 0.2, 0.2]))
    assert low < mean < high
    assert mean == pytest.approx(0.2)
    assert interval(np.full(5, 0.3)) == pytest.approx((0.3, 0.3, 0.3))


def test_rank_correlation_is_spearmans() -> None:
    values = np.array([3.0, 1.0, 2.0, 10.0])
    assert rank_correlation(values, values**3) == pytest.approx(1)
    assert rank_correlation(values, -values) == pytest.approx(-1)
    assert rank_correlation(values, np.array([3.0, 2.0, 1.0, 10.0])) == pytest.approx(0.8)
