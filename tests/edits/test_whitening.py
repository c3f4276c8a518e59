"""Points in which clips of one class scatter alike, and rows that score them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesplit._types import Float64
from edgesplit.edits.whitening import SHRINKAGE, Whitening, covariance_of, distances


def covariance(dim: int, seed: int, rank: int | None = None) -> Float64:
    root = np.random.default_rng(seed).standard_normal((dim, rank or dim))
    return np.asarray(root @ root.T)


def shrunk(matrix: Float64) -> Float64:
    level = np.trace(matrix) / len(matrix)
    return np.asarray((1 - SHRINKAGE) * matrix + SHRINKAGE * level * np.eye(len(matrix)))


@given(dim=st.integers(1, 8), seed=st.integers(0, 1000))
def test_points_scatter_alike_in_all_directions(dim: int, seed: int) -> None:
    matrix = covariance(dim, seed)
    space = Whitening(np.zeros(dim), matrix)
    # Features whose covariance is the shrunk one, exactly: its factor's columns, both ways.
    factor = np.linalg.cholesky(shrunk(matrix)) * np.sqrt(dim)
    features = np.concatenate([factor.T, -factor.T])
    points = space.points(features)
    np.testing.assert_allclose(points.T @ points / (2 * dim), np.eye(dim), atol=1e-8)


def test_distances_of_points_are_mahalanobis_distances() -> None:
    matrix, rng = covariance(5, 0), np.random.default_rng(1)
    first, second = rng.standard_normal((2, 5))
    space = Whitening(rng.standard_normal(5), matrix)
    expected = (first - second) @ np.linalg.solve(shrunk(matrix), first - second)
    (one,), (two,) = space.points(first[None]), space.points(second[None])
    assert np.sum((one - two) ** 2) == pytest.approx(expected)


@given(dim=st.integers(1, 8), seed=st.integers(0, 1000), scale=st.sampled_from([1e-3, 1.0, 1e6]))
def test_rows_there_and_back_score_the_same(dim: int, seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    mean, features = scale * rng.standard_normal(dim), scale * rng.standard_normal((6, dim))
    rows = rng.standard_normal((3, dim)) / scale
    space = Whitening(mean, scale**2 * covariance(dim, seed))
    there = space.rows_for_points(rows)
    around = rows - rows.mean(axis=0)
    np.testing.assert_allclose(space.points(features) @ there.T, (features - mean) @ around.T)
    np.testing.assert_allclose(space.rows_for_features(there) * scale, around * scale, atol=1e-8)


@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_a_covariance_without_full_rank_can_be_inverted(rank: int, scale: float) -> None:
    matrix = (scale * covariance(16, 0, rank)).astype(np.float32).astype(np.float64)
    space = Whitening(np.zeros(16), matrix)
    points = space.points(np.sqrt(scale) * np.random.default_rng(0).standard_normal((20, 16)))
    assert np.isfinite(points).all()
    assert np.abs(points).max() < 100  # no direction is blown up


def test_where_nothing_scatters_points_are_features_around_the_mean() -> None:
    features = np.arange(8.0).reshape(2, 4)
    expected = (features - 1) / np.sqrt(SHRINKAGE)
    points = Whitening(np.ones(4), np.zeros((4, 4))).points(features)
    np.testing.assert_allclose(points, expected)


def test_a_few_clips_say_how_far_clips_lie_apart() -> None:
    rng = np.random.default_rng(0)
    clips = [3 * rng.standard_normal((50, 4)) + middle for middle in (0.0, 100.0)]
    matrix = covariance_of(clips)
    np.testing.assert_array_equal(matrix, matrix[0, 0] * np.eye(4))
    assert matrix[0, 0] == pytest.approx(9, rel=0.2)


def test_one_clip_each_says_it_of_all_together() -> None:
    clips = [np.array([[1.0, 0.0]]), np.array([[-1.0, 0.0]])]
    np.testing.assert_allclose(covariance_of(clips), np.eye(2))
    twice = [np.repeat(part, 2, axis=0) for part in clips]
    np.testing.assert_allclose(covariance_of(twice), np.eye(2) * 2 / 3)
    np.testing.assert_array_equal(covariance_of([np.ones((1, 3))]), np.eye(3))


@given(seed=st.integers(0, 1000), offset=st.sampled_from([0.0, 1e3]))
def test_distances_are_squares_and_never_negative(seed: int, offset: float) -> None:
    left, right = np.random.default_rng(seed).standard_normal((2, 4, 3)) + offset
    expected = np.sum((left[:, None] - right) ** 2, axis=2)
    np.testing.assert_allclose(distances(left, right), expected, atol=1e-8)
    assert (distances(left, left) >= 0).all()
    assert distances(left, right[:0]).shape == (4, 0)
