"""What labelled clips say of rows: votes of neighbourhoods, the pull, clips of neither."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesplit._types import Float64
from edgesplit.edits.answers import (
    LEAST_PULL,
    MIN_SEEN,
    MORE_PULL,
    PRIOR,
    count_votes,
    near_labelled,
)

START = np.array([[1.0, 0.0], [-1.0, 0.0]])
NOBODY: Float64 = np.zeros((0, 2))
ZERO = np.zeros(2)


def pull_of(right: int, asked: int, expected: float, n: int = 2) -> float:
    accuracy = (PRIOR * expected + right) / (PRIOR + asked)
    return LEAST_PULL + MORE_PULL * min(max((accuracy - 1 / n) / (1 - 1 / n), 0), 1)


def test_without_unlabelled_clips_a_clip_votes_for_itself() -> None:
    votes = count_votes(START, [np.array([[4.0, 2.0]]), NOBODY], NOBODY, 0.5)
    pull = pull_of(1, 1, 0.5)
    expected = np.array([[(4 + pull) / (1 + pull), 2 / (1 + pull)], [-1, 0]])
    np.testing.assert_allclose(votes.rows, expected)
    assert (votes.pull, votes.n_right) == (round(pull, 1), 1)


def test_a_clip_votes_with_the_mean_of_its_neighbourhood() -> None:
    # 24 clips: the neighbourhood is three, the clip itself and the two next to it.
    near, far = np.array([[4.0, 3.0], [4.0, -2.0]]), np.tile([-50.0, 0.0], (21, 1))
    pool = np.concatenate([far, near])
    votes = count_votes(0 * START, [np.array([[4.0, 2.0]]), NOBODY], pool, 0.5)
    vote = np.array([4.0, (2 + 3 - 2) / 3])
    np.testing.assert_allclose(votes.rows, np.stack([vote, ZERO]))


def test_a_clip_of_another_subcategory_is_no_neighbour() -> None:
    pool = np.tile([-50.0, 0.0], (20, 1))
    labelled = [np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]]), np.array([[1.9, 0.0]])]
    votes = count_votes(0 * START, labelled, pool, 0.5)
    np.testing.assert_allclose(votes.rows[0] * 3, [6, 0])  # 2 each, three times


@pytest.mark.parametrize(("n", "neighbours"), [(MIN_SEEN - 1, False), (MIN_SEEN, True)])
def test_a_neighbourhood_wants_clips_enough(n: int, neighbours: bool) -> None:
    clip = np.array([[1.0, 0.0]])
    votes = count_votes(0 * START, [clip, NOBODY], np.tile([4.0, 0.0], (n, 1)), 0.5)
    assert votes.rows[0, 0] == pytest.approx(3.0 if neighbours else 1.0)


@pytest.mark.parametrize(("n", "size"), [(16, 3), (79, 10), (799, 20)])
def test_a_neighbourhood_is_an_eighth_of_the_clips_within_limits(n: int, size: int) -> None:
    clip = np.zeros((1, 2))
    pool = np.column_stack([np.zeros(n), np.arange(1.0, n + 1)])
    votes = count_votes(0 * START, [clip, NOBODY], pool, 0.5)
    assert votes.rows[0, 1] == pytest.approx((size - 1) / 2)


@given(n=st.integers(2, 10), asked=st.integers(1, 30), expected=st.floats(0.0, 1.0))
def test_the_more_the_text_gets_right_the_more_it_counts(
    n: int, asked: int, expected: float
) -> None:
    rows = np.eye(n)
    pulls = []
    for right in range(asked + 1):
        clips = np.tile(np.eye(n)[0], (asked, 1))
        clips[right:] = np.eye(n)[1]
        labelled = [clips, *[np.zeros((0, n))] * (n - 1)]
        votes = count_votes(rows, labelled, np.zeros((0, n)), expected)
        assert votes.n_right == right
        pulls.append(votes.pull)
    assert pulls == sorted(pulls)
    counts = [pull for right, pull in enumerate(pulls) if right * n >= asked]
    assert LEAST_PULL <= counts[0] <= counts[-1] <= LEAST_PULL + MORE_PULL
    # Where guessing gets more right, the text does not count.
    assert not any(pulls[: len(pulls) - len(counts)])


def test_text_that_says_nothing_gets_nothing_right() -> None:
    votes = count_votes(0 * START, [START[:1], START[1:]], NOBODY, 0.9)
    assert (votes.n_right, votes.pull) == (0, 0)


@given(seed=st.integers(0, 1000), n_pool=st.sampled_from([0, 5, 40]))
def test_a_subcategory_without_a_clip_keeps_the_row_of_its_text(seed: int, n_pool: int) -> None:
    rng = np.random.default_rng(seed)
    text, pool = rng.standard_normal((3, 4)), rng.standard_normal((n_pool, 4))
    labelled = [rng.standard_normal((2, 4)), np.zeros((0, 4)), rng.standard_normal((1, 4))]
    votes = count_votes(text, labelled, pool, 0.7)
    # Only if the text gets some clip right; else it lies in the middle, whatever the text says.
    assert (votes.pull > 0) == (votes.n_right > 0)
    np.testing.assert_allclose(votes.rows[1], text[1] if votes.pull else 0, rtol=1e-12)
    assert not np.allclose(votes.rows[0], text[0])


def test_clips_like_strangers_are_none_of_the_class() -> None:
    pool = np.array([[0.0, 0.0], [4.0, 0.0], [10.0, 0.0], [5.0, 0.0]])
    labelled, neither = np.array([[0.0, 0.0]]), np.array([[10.0, 0.0]])
    # At equal distance a clip stays.
    assert near_labelled(pool, labelled, neither).tolist() == [True, True, False, True]
    assert near_labelled(pool, labelled, NOBODY).all()
    assert near_labelled(pool, NOBODY, neither).all()
    assert near_labelled(pool[:0], labelled, neither).shape == (0,)
