"""Rows fitted to the clips of a class: where the cut goes, and where it stays."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesplit._types import Float64
from edgesplit.edits.refit import PULL, _Ridge, middle_of, refit

DIM = 6
START = np.array([[0.3, 0.0, 0.0, 0.0, 0.0, 0.0], [-0.3, 0.0, 0.0, 0.0, 0.0, 0.0]])


def heaps(
    n: int, *, apart: Float64, seed: int = 0, width: float = 1.0
) -> tuple[Float64, Float64, Float64]:
    """n points around `apart`, n around `-apart`, and both together."""
    rng = np.random.default_rng(seed)
    left, right = width * rng.standard_normal((2, n, len(apart)))
    left, right = left + apart, right - apart
    return left, right, np.concatenate([left, right])


def angle(rows: Float64, direction: Float64) -> float:
    """Degrees between what tells two rows apart and a direction."""
    across = rows[0] - rows[1]
    cosine = across @ direction / np.linalg.norm(across) / np.linalg.norm(direction)
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def test_the_cut_turns_to_where_two_heaps_part() -> None:
    apart = 3 * np.eye(DIM)[0] + 3 * np.eye(DIM)[1]  # 45 degrees from where the rows point
    *_, pool = heaps(300, apart=apart)
    fitted = refit(START, pool)
    assert angle(START, apart) == pytest.approx(45)
    assert angle(fitted, apart) < 12


def test_the_rows_keep_the_size_of_their_scores_and_their_mean_of_zero() -> None:
    *_, pool = heaps(100, apart=2 * np.eye(DIM)[1] + np.eye(DIM)[0])
    fitted = refit(START + 5, pool)  # what all rows share says nothing
    np.testing.assert_allclose(fitted.mean(axis=0), 0, atol=1e-12)
    sizes = [np.sqrt(np.mean((pool @ rows.T) ** 2)) for rows in (START, fitted)]
    assert sizes[1] == pytest.approx(sizes[0])
    np.testing.assert_allclose(fitted, refit(START, pool), atol=1e-12)


def test_the_more_clips_the_further_the_rows_move() -> None:
    apart = 3 * np.eye(DIM)[0] + 3 * np.eye(DIM)[1]
    left, right, _ = heaps(400, apart=apart)
    moved = [
        angle(refit(START, np.concatenate([left[:n], right[:n]])), np.eye(DIM)[0])
        for n in (1, 5, 20, 400)
    ]
    assert moved == sorted(moved)
    assert moved[0] < 2
    assert moved[-1] > 30


@pytest.mark.parametrize("place", [0.0, 1.0, 1e6])
def test_clips_that_are_all_alike_teach_nothing(place: float) -> None:
    pool = np.full((20, DIM), place)
    np.testing.assert_array_equal(refit(START, pool), START)
    labelled = [pool[:1], pool[:1]]  # not even when they are said to be both
    np.testing.assert_array_equal(refit(START, pool, labelled), START)


def test_rows_that_say_nothing_stay() -> None:
    *_, pool = heaps(20, apart=np.eye(DIM)[0])
    np.testing.assert_array_equal(refit(np.zeros((3, DIM)), pool), np.zeros((3, DIM)))
    np.testing.assert_array_equal(refit(np.ones((3, DIM)), pool), np.zeros((3, DIM)))


def test_what_somebody_said_counts_for_more_than_what_the_rows_say() -> None:
    # Clips lie left and right; the rows look up and down. One side is said to be left.
    left, right, pool = heaps(60, apart=4 * np.eye(DIM)[1])
    rows = START + 0.02 * np.array([[0, -1, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0]])
    alone = refit(rows, pool)
    assert np.mean((left @ alone.T).argmax(axis=1) == 0) < 0.5  # the other way round
    told = refit(rows, pool[::4], [left[:20], right[:20]])
    assert np.mean((left @ told.T).argmax(axis=1) == 0) > 0.95
    assert np.mean((right @ told.T).argmax(axis=1) == 1) > 0.95


def test_a_subcategory_may_have_no_labelled_clip() -> None:
    left, _, pool = heaps(30, apart=2 * np.eye(DIM)[0])
    fitted = refit(START, pool, [left[:3], np.zeros((0, DIM))])
    assert np.isfinite(fitted).all()
    assert angle(fitted, np.eye(DIM)[0]) < 20


@given(
    n=st.integers(1, 40),
    dim=st.integers(1, 40),
    seed=st.integers(0, 1000),
    weight=st.floats(0.5, 10),
)
def test_both_forms_of_the_ridge_are_the_ridge(n: int, dim: int, seed: int, weight: float) -> None:
    rng = np.random.default_rng(seed)
    around, wanted = rng.standard_normal((n, dim)), rng.standard_normal((n, 3))
    weights = np.where(np.arange(n) % 2, weight, 1.0)
    rows = _Ridge(around, weights)(wanted)
    square = around.T @ (weights[:, None] * around) + PULL * np.eye(dim)
    expected = np.linalg.solve(square, around.T @ (weights[:, None] * wanted)).T
    np.testing.assert_allclose(rows, expected, atol=1e-12)


@given(
    n=st.integers(1, 60),
    n_labelled=st.integers(0, 3),
    wanted=st.integers(2, 5),
    seed=st.integers(0, 1000),
    scale=st.sampled_from([1e-3, 1.0, 1e2]),  # points are of unit size
)
def test_the_order_of_clips_does_not_count_and_rows_stay_finite(
    n: int, n_labelled: int, wanted: int, seed: int, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((wanted, DIM)) / scale
    pool = scale * rng.standard_normal((n, DIM))
    labelled = [scale * rng.standard_normal((n_labelled, DIM)) for _ in range(wanted)]
    fitted = refit(rows, pool, labelled)
    assert np.isfinite(fitted).all()
    mixed = refit(
        rows, pool[rng.permutation(n)], [part[rng.permutation(len(part))] for part in labelled]
    )
    np.testing.assert_allclose(mixed, fitted, atol=1e-8 * np.abs(fitted).max())


@given(seed=st.integers(0, 1000), wanted=st.integers(2, 5))
def test_the_names_of_rows_do_not_count(seed: int, wanted: int) -> None:
    rng = np.random.default_rng(seed)
    rows, pool = rng.standard_normal((wanted, DIM)), rng.standard_normal((30, DIM))
    order = rng.permutation(wanted)
    np.testing.assert_allclose(refit(rows[order], pool), refit(rows, pool)[order], atol=1e-9)


@pytest.mark.parametrize("n", [20, 60, 100])
def test_the_middle_lies_between_two_heaps_however_uneven_they_are(n: int) -> None:
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((200, 2)) * 0.1 + [1.0, -1.0]
    scores[:n] *= -1
    middle = middle_of(scores)
    # By the roots of their counts: n of 200 weigh as sqrt(n) of sqrt(n) + sqrt(200 - n).
    share = np.sqrt(n) / (np.sqrt(n) + np.sqrt(200 - n))
    np.testing.assert_allclose(middle, [1 - 2 * share, 2 * share - 1], atol=0.05)


def test_the_middle_of_even_heaps_is_their_mean() -> None:
    *_, pool = heaps(50, apart=4 * np.eye(DIM)[0])
    scores = pool @ START.T
    np.testing.assert_allclose(middle_of(scores), scores.mean(axis=0), atol=1e-12)


def test_clips_that_all_score_alike_are_the_middle() -> None:
    np.testing.assert_allclose(middle_of(np.full((3, 2), 0.5)), 0.5)
