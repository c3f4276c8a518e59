"""The split rules, worked by hand and against their textbook forms."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from edgesplit.edits.rules import DEFAULT_RULE, RULES, get_rule
from edgesplit.edits.rules.alignment import alignment, leave_groups_out
from edgesplit.edits.rules.base import (
    LabelRows,
    Texts,
    TransferProblem,
    match_one_to_one,
    on_grid,
    settled,
)
from edgesplit.edits.rules.retrieval import retrieval
from edgesplit.errors import EditError

Floats = npt.NDArray[np.float64]

FROM_ROWS = ("alignment", "retrieval")
"""Rules that need neither clips nor the rows of other labels."""


def texts(modifiers: npt.ArrayLike, labels: npt.ArrayLike, siblings: npt.ArrayLike) -> Texts:
    return Texts(
        np.asarray(modifiers, np.float64),
        np.asarray(labels, np.float64),
        np.asarray(siblings, np.int64),
    )


def request_with(similarities: npt.ArrayLike) -> TransferProblem:
    """A request whose retrieval similarities are the given `(wanted, known)` numbers.

    Known texts are the axes, so that a wanted text's coordinates are its cosines.
    """
    wanted = np.asarray(similarities, np.float64)
    n_wanted, n_known = wanted.shape
    axes = np.eye(n_known)
    return TransferProblem(
        wanted=texts(wanted, wanted, np.zeros(n_wanted)),
        known=texts(axes, axes, np.zeros(n_known)),
        vectors=np.diag(np.arange(1.0, n_known + 1)),
    )


@pytest.fixture
def request_() -> TransferProblem:
    """Three wanted texts; eight known ones in groups of 2, 3 and 3."""
    rng = np.random.default_rng(0)

    def unit(n: int) -> Floats:
        rows = rng.standard_normal((n, 16))
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))

    return TransferProblem(
        wanted=Texts(unit(3), unit(3), np.zeros(3, np.int64)),
        known=Texts(unit(8), unit(8), np.array([0, 0, 1, 1, 1, 2, 2, 2])),
        vectors=rng.standard_normal((8, 5)),
    )


# The table of rules


def test_every_name_has_its_rule() -> None:
    names = [get_rule(name).__name__.replace("_", "-") for name in RULES]
    assert names == [*RULES]
    assert [get_rule(name) for name in FROM_ROWS] == [alignment, retrieval]
    assert DEFAULT_RULE in RULES


def test_an_unknown_rule_is_a_mistake_of_the_program() -> None:
    with pytest.raises(ValueError, match=r"one of alignment, .*retrieval, got 'magic'"):
        get_rule("magic")


# Texts


def test_centred_texts_are_differences_among_siblings() -> None:
    rows = texts([[1, 0], [0, 1], [3, 4], [5, 5]], np.eye(4, 2), [0, 0, 1, 2])
    half = np.sqrt(0.5)
    np.testing.assert_allclose(
        rows.centred, [[half, -half], [-half, half], [0, 0], [0, 0]], atol=1e-15
    )


def test_centring_leaves_the_texts_alone(request_: TransferProblem) -> None:
    before = request_.known.modifiers.copy()
    assert request_.known.centred is not request_.known.modifiers
    np.testing.assert_array_equal(request_.known.modifiers, before)


# Retrieval


def test_retrieval_takes_the_largest_similarity_of_all_first() -> None:
    transfer = retrieval(
        request_with(
            [
                [0.9, 0.8, 0.1, 0.0],  # would like 0, which the second row likes more
                [1.0, 0.2, 0.3, 0.0],
                [0.7, 0.75, 0.6, 0.5],  # would like 1, which the first row then takes
            ]
        )
    )
    assert transfer.weights.tolist() == [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]]
    # The vector of known i is (i + 1) times axis i.
    assert transfer.rows.tolist() == [[0, 2, 0, 0], [1, 0, 0, 0], [0, 0, 3, 0]]


def test_retrieval_takes_the_first_of_a_tie() -> None:
    transfer = retrieval(request_with([[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]]))
    assert transfer.weights.tolist() == [[1, 0, 0], [0, 1, 0]]


def test_retrieval_compares_modifiers_and_labels_by_half() -> None:
    known = np.array([[1, 0], [0, 1], [0.6, 0.8]])
    transfer = retrieval(
        TransferProblem(
            wanted=texts([[1, 0]], [[0, 1]], [0]),
            known=texts(known, known, [0, 0, 0]),
            vectors=np.eye(3),
        )
    )
    np.testing.assert_allclose(transfer.similarities, [[0.5, 0.5, 0.7]], rtol=1e-15)
    assert transfer.weights.tolist() == [[0, 0, 1]]


def test_retrieval_needs_a_source_for_each() -> None:
    retrieval(request_with(np.ones((3, 3))))
    with pytest.raises(
        EditError, match=r"each of the 3 subcategories, but only 2 exist. Use --rule"
    ):
        retrieval(request_with(np.ones((3, 2))))


def test_a_rounding_error_is_a_tie() -> None:
    noise = 1e-14 * np.array([[0, 1, 2], [3, 4, 5]])
    assert match_one_to_one(0.3 + noise).tolist() == [0, 1]
    assert np.unique(settled(0.3 + noise)).size == 1
    assert not np.signbit(settled(np.array([-1e-14]))).any()


# Alignment


def test_alignment_is_ridge_regression(request_: TransferProblem) -> None:
    # The primal form: the matrix M, (text dim, dim), that minimises
    # |X M - V|^2 + 0.1 |M|^2 is (X'X + 0.1 I)^-1 X'V.
    x = request_.known.centred
    matrix = np.linalg.solve(x.T @ x + 0.1 * np.eye(x.shape[1]), x.T @ request_.vectors)
    transfer = alignment(request_)
    np.testing.assert_allclose(transfer.rows, request_.wanted.centred @ matrix, rtol=0, atol=1e-13)
    np.testing.assert_array_equal(transfer.rows, transfer.weights @ request_.vectors)


def test_alignment_on_a_known_direction_gives_most_of_its_vector() -> None:
    both = texts(np.eye(2), np.eye(2), [0, 0])
    vectors = np.array([[1.0, 2], [-1, -2]])
    transfer = alignment(TransferProblem(both, both, vectors))
    # Centred, left = -right, and K has the eigenvalues 2 and 0: shrinkage 2 / (2 + 0.1).
    np.testing.assert_allclose(transfer.rows, vectors * 2 / (2 + 0.1), rtol=1e-14)


# Rows as they are stored


@pytest.mark.parametrize("scale", [1e-6, 1.0, 3e5])
def test_stored_rows_are_the_nearest_on_the_grid(request_: TransferProblem, scale: float) -> None:
    rows = scale * request_.vectors
    stored = on_grid(rows)
    assert stored.dtype == np.float32
    largest = np.abs(rows).max()
    np.testing.assert_allclose(stored, rows, rtol=0, atol=1.6e-5 * largest)
    assert np.unique(stored).size > 30  # 40 numbers went in
    np.testing.assert_array_equal(on_grid(stored.astype(np.float64)), stored)


def test_stored_rows_do_not_show_the_last_bits(request_: TransferProblem) -> None:
    rows = request_.vectors
    noise = 1e-14 * np.random.default_rng(2).standard_normal(rows.shape)
    assert on_grid(rows + noise).tobytes() == on_grid(rows).tobytes()
    assert on_grid(np.array([[1.0, -1e-17]])).tobytes() == on_grid(np.array([[1.0, 0]])).tobytes()


def test_rows_of_zeros_stay_zero() -> None:
    assert on_grid(np.zeros((2, 3))).tobytes() == bytes(24)


# Laws of every rule


@pytest.mark.parametrize("rule", FROM_ROWS)
@pytest.mark.parametrize("order", [[1, 0, 2], [2, 1, 0], [1, 2, 0]], ids=str)
def test_order_of_the_subcategories_does_not_matter(
    request_: TransferProblem, rule: str, order: list[int]
) -> None:
    wanted = request_.wanted
    permuted = TransferProblem(
        Texts(wanted.modifiers[order], wanted.labels[order], wanted.siblings),
        request_.known,
        request_.vectors,
    )
    plain, moved = get_rule(rule)(request_), get_rule(rule)(permuted)
    # The mean of the siblings is summed in another order: one rounding.
    np.testing.assert_allclose(moved.rows, plain.rows[order], rtol=0, atol=1e-13)
    np.testing.assert_allclose(moved.weights, plain.weights[order], rtol=0, atol=1e-13)
    np.testing.assert_allclose(moved.similarities, plain.similarities[order], rtol=0, atol=1e-13)


@pytest.mark.parametrize("rule", FROM_ROWS)
def test_order_of_the_known_labels_does_not_matter(request_: TransferProblem, rule: str) -> None:
    order = np.random.default_rng(1).permutation(8)
    known = request_.known
    permuted = TransferProblem(
        request_.wanted,
        Texts(known.modifiers[order], known.labels[order], known.siblings[order]),
        request_.vectors[order],
    )
    plain, moved = get_rule(rule)(request_), get_rule(rule)(permuted)
    np.testing.assert_allclose(moved.rows, plain.rows, rtol=0, atol=1e-13)


@pytest.mark.parametrize("rule", FROM_ROWS)
def test_rules_answer_in_float64_and_alike_every_time(request_: TransferProblem, rule: str) -> None:
    first, second = (get_rule(rule)(request_) for _ in range(2))
    for name, shape in (("rows", (3, 5)), ("weights", (3, 8)), ("similarities", (3, 8))):
        array = getattr(first, name)
        assert (array.dtype, array.shape) == (np.float64, shape)
        assert array.tobytes() == getattr(second, name).tobytes()


def test_an_unknown_rule_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="one of alignment, alignment-mlp, prototype, retrieval"):
        get_rule("guessing")


# Every label's row


@pytest.fixture
def with_labels(request_: TransferProblem) -> TransferProblem:
    """Twelve labels, eight of them known; the third and the sixth known label are one label."""
    rng = np.random.default_rng(1)
    of_known = np.array([0, 1, 2, 3, 4, 2, 6, -1])
    labels = LabelRows(rng.standard_normal((12, 16)), rng.standard_normal((12, 5)), of_known)
    return replace(request_, labels=labels)


def fitted(asked: Floats, lessons: tuple[Floats, Floats]) -> Floats:
    """Ridge regression as a textbook has it."""
    x, y = lessons
    return np.asarray(asked @ np.linalg.solve(x.T @ x + 0.1 * np.eye(x.shape[1]), x.T @ y))


def test_rows_are_those_of_a_ridge_regression_on_modifiers_and_labels(
    with_labels: TransferProblem,
) -> None:
    labels = with_labels.labels
    assert labels is not None
    x, y = with_labels.lessons
    np.testing.assert_array_equal(x[:8], with_labels.known.centred)
    np.testing.assert_allclose(x[8:], labels.texts - labels.texts.mean(axis=0))
    np.testing.assert_allclose(y[8:], labels.rows - labels.rows.mean(axis=0))
    wanted = with_labels.wanted
    asked = wanted.centred + wanted.centred_labels
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    rows, expected = alignment(with_labels).rows, fitted(asked, (x, y))
    # As long as modifiers alone make them.
    alone = alignment(replace(with_labels, labels=None)).rows
    lengths = [np.linalg.norm(some, axis=1).mean() for some in (rows, expected, alone)]
    assert lengths[0] == pytest.approx(lengths[2])
    np.testing.assert_allclose(rows / lengths[0], expected / lengths[1], atol=1e-10)


def test_a_label_s_own_row_counts_for_its_share(with_labels: TransferProblem) -> None:
    transfer = alignment(with_labels)
    x, _ = with_labels.lessons
    asked = with_labels.asked(with_labels.wanted)
    weights = asked @ x.T @ np.linalg.inv(x @ x.T + 0.1 * np.eye(len(x)))
    np.testing.assert_allclose(transfer.weights[:, 0], weights[:, 0] + weights[:, 8], atol=1e-10)
    np.testing.assert_allclose(transfer.weights[:, 7], weights[:, 7], atol=1e-10)  # has no row


def test_a_group_is_left_out_with_its_labels_rows_and_in_other_groups(
    with_labels: TransferProblem,
) -> None:
    x, y = with_labels.lessons
    left_out = leave_groups_out(with_labels)
    asked = with_labels.asked(with_labels.known)
    # Group 1 has the known labels 2, 3, 4; label 2 is also known label 5, of group 2.
    kept = np.setdiff1d(np.arange(len(x)), [2, 3, 4, 5, 8 + 2, 8 + 3, 8 + 4])
    alone = fitted(asked[2:5], (x[kept], y[kept]))
    np.testing.assert_allclose(left_out[2:5], alone, atol=1e-10)
