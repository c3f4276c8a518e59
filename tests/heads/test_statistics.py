"""Statistics of unlabelled features."""

import numpy as np
import numpy.typing as npt
import pytest

from edgesplit.errors import BundleError
from edgesplit.heads.head import Head
from edgesplit.heads.labels import Composition, Node
from edgesplit.heads.statistics import MAX_SAMPLE, Statistics, spread

Floats = npt.NDArray[np.float32]


@pytest.fixture
def axes() -> Head:
    """Three classes; each decides for its own axis of three."""
    return Head.from_arrays(np.eye(3), np.zeros(3), "abc", feature_space="f" * 64)


def test_means_and_covariance_worked_by_hand(axes: Head) -> None:
    features = np.array([[4, 0, 0], [6, 2, 0], [0, 3, 0], [0, 5, 0]], np.float32)
    statistics = Statistics.from_features(axes, features)
    assert statistics.labels == ("a", "b", "c")
    assert statistics.counts.tolist() == [2, 2, 0]
    assert statistics.means.tolist() == [[5, 1, 0], [0, 4, 0], [0, 0, 0]]
    # Around their means: (-1, -1), (1, 1), (0, -1), (0, 1); 4 clips less 2 classes that have any.
    assert statistics.covariance.tolist() == [[1, 1, 0], [1, 2, 0], [0, 0, 0]]
    assert statistics.feature_space == axes.feature_space


@pytest.mark.parametrize("composition", ["gated", "flat"])
def test_a_split_class_counts_as_its_root(axes: Head, composition: Composition) -> None:
    tree = axes.tree.split(0, [Node("x"), Node("y")], composition=composition)
    split = Head(tree, np.concatenate([axes.weight, np.zeros((2, 3))]), np.zeros(5, np.float32))
    statistics = Statistics.from_features(split, np.eye(3, dtype=np.float32))
    assert statistics.counts.tolist() == [1, 1, 1]


def test_one_clip_has_no_spread(axes: Head) -> None:
    statistics = Statistics.from_features(axes, np.ones((1, 3)))
    assert not statistics.covariance.any()


def test_features_that_overflow_are_refused(axes: Head) -> None:
    for value in (1e30, 3e38):  # the covariance, and the logits too
        features = np.array([[value, 0, 0], [0, 0, 0]], np.float32)
        with pytest.raises(BundleError, match="too large for statistics"):
            Statistics.from_features(axes, features)


@pytest.mark.parametrize("shape", [(3,), (0, 3), (2, 4), (1, 2, 3)])
def test_features_of_another_shape_are_refused(axes: Head, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"features have shape"):
        Statistics.from_features(axes, np.zeros(shape))


def test_file_is_the_statistics(head: Head, features: Floats) -> None:
    statistics = Statistics.from_features(head, features)
    again = Statistics.from_bytes(statistics.to_bytes())
    assert again.labels == statistics.labels
    assert again.feature_space == statistics.feature_space
    for name in ("means", "counts", "covariance"):
        np.testing.assert_array_equal(getattr(again, name), getattr(statistics, name))
        assert getattr(again, name).dtype == getattr(statistics, name).dtype


def test_the_same_statistics_give_the_same_bytes(head: Head, features: Floats) -> None:
    first, second = (Statistics.from_features(head, features).to_bytes() for _ in range(2))
    assert first == second


@pytest.mark.parametrize("cut", [0, 10, 500])
def test_damaged_files_are_refused(head: Head, features: Floats, cut: int) -> None:
    data = Statistics.from_features(head, features).to_bytes()[:cut]
    with pytest.raises(BundleError, match=r"stats\.npz is damaged"):
        Statistics.from_bytes(data)


def test_a_sample_is_spread_over_all_features(axes: Head) -> None:
    features = np.random.default_rng(0).random((3 * MAX_SAMPLE, 3), np.float32)
    statistics = Statistics.from_features(axes, features)
    np.testing.assert_array_equal(statistics.sample, features[::3])
    np.testing.assert_array_equal(statistics.decided, features[::3].argmax(axis=1))
    np.testing.assert_array_equal(
        statistics.of_class(1), statistics.sample[statistics.decided == 1]
    )


@pytest.mark.parametrize(
    ("n", "n_wanted", "places"),
    [
        (0, 4, []),
        (3, 4, [0, 1, 2]),
        (4, 4, [0, 1, 2, 3]),
        (5, 4, [0, 1, 2, 3]),
        (9, 4, [0, 2, 4, 6]),
    ],
)
def test_spread_takes_places_evenly(n: int, n_wanted: int, places: list[int]) -> None:
    assert spread(n, n_wanted).tolist() == places
