"""The baselines that every rule is compared with."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from benchmarks.paper.baselines import alignment_modifiers, copies, find_rule, random_rows
from benchmarks.quality.tried import variant
from edgesplit.edits.rules.alignment import alignment
from edgesplit.edits.rules.base import LabelRows, Rule, Texts, TransferProblem
from edgesplit.edits.split import split_class
from edgesplit.edits.text_encoder import TextEncoder
from edgesplit.heads.head import Head


def problem() -> TransferProblem:
    rng = np.random.default_rng(0)
    known, wanted = rng.standard_normal((6, 12)), rng.standard_normal((2, 12))
    return TransferProblem(
        wanted=Texts(wanted, wanted, np.zeros(2, np.int64)),
        known=Texts(known, known, np.array([0, 0, 1, 1, 2, 2])),
        vectors=rng.standard_normal((6, 5)),
    )


def test_random_rows_are_as_long_as_known_vectors_and_the_same_each_time() -> None:
    posed = problem()
    rows = random_rows(posed).rows
    np.testing.assert_array_equal(rows, random_rows(posed).rows)
    usual = np.linalg.norm(posed.vectors, axis=1).mean()
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), usual)


def test_copies_move_nothing() -> None:
    assert not copies(problem()).rows.any()


def with_labels() -> TransferProblem:
    rng = np.random.default_rng(1)
    rows = LabelRows(rng.standard_normal((9, 12)), rng.standard_normal((9, 5)), np.arange(6))
    return replace(problem(), labels=rows)


def test_alignment_as_it_was_looks_at_no_labels() -> None:
    wanted = alignment(problem()).rows
    np.testing.assert_array_equal(alignment_modifiers(with_labels()).rows, wanted)
    assert not np.allclose(alignment(with_labels()).rows, wanted)


def test_variants_of_alignment_begin_with_the_rule_as_it_is() -> None:
    def directions(rule: Rule) -> npt.NDArray[np.float64]:
        rows = rule(with_labels()).rows
        return np.asarray(rows / np.linalg.norm(rows))

    wanted = directions(alignment)
    np.testing.assert_allclose(directions(variant()), wanted)
    for other in (variant(weight=3), variant(ridge=1)):
        assert not np.allclose(directions(other), wanted)


def test_a_baseline_makes_a_split_under_its_name(head: Head, encoder: TextEncoder) -> None:
    edit = split_class(
        head,
        "pushing",
        into=["left", "right"],
        rule=find_rule("random-rows"),
        encoder=encoder,
        accept_doubt=True,
    )
    assert edit.report.rule == "random-rows"
    assert find_rule("alignment") == "alignment"
