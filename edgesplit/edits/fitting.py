"""From zero-shot rows to the rows that are stored: fitted to clips, centred, tempered.

With statistics, or clips of its own, the rows are fitted to the clips of the class (`refit`).
Labelled clips first move them to where they belong (`answers`). Centring: a subcategory's bias is
minus its row's score of the class's mean feature, or of the middle of its clips where there are
enough (`middle_of`), so that none is ahead before a clip has said anything. The temperature makes
the scores as sure as the split is expected to be right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgesplit._types import Float32, Float64
from edgesplit.edits.answers import MIN_SEEN, count_votes, near_labelled
from edgesplit.edits.estimate import Estimate, accuracy_of_separation, separation_of
from edgesplit.edits.problem import SplitProblem
from edgesplit.edits.refit import middle_of, refit
from edgesplit.edits.rules.base import on_grid, settled
from edgesplit.edits.transfer import ZeroShot
from edgesplit.edits.whitening import Whitening, covariance_of

__all__ = ["AnswerFit", "FittedRows", "fit_rows", "fit_temperature"]

ROW_LENGTH = 0.9
"""Median length of the head's own rows when zero-shot rows are compared with points. Logits times
a factor decide the same, so the factor must not count against the points, which do not have it."""


@dataclass(frozen=True, slots=True, eq=False)
class AnswerFit:
    """What labelled clips did to the rows."""

    pull: float
    """Clips that each zero-shot row counted as."""
    n_right: int
    """Labelled clips that the zero-shot rows get right."""
    separation: float | None
    """Part of the variance of the class's scores that lies between the subcategories; None where
    there are too few unlabelled clips."""
    neither_share: float
    """Of the class's unlabelled clips, how many are like the ones that show none."""
    moved_share: float
    """Of the class's unlabelled clips, how many get another subcategory than from texts alone; 0
    if texts say nothing."""
    by_text: tuple[int, ...]
    """Of each clip that somebody was asked about: the subcategory that texts alone give it; -1 if
    texts say nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class FittedRows:
    """The new rows as they are stored, and what unlabelled clips of the class make of them."""

    rows: Float32
    """`(wanted, dim)`."""
    bias: Float32
    """`(wanted,)`."""
    temperature: float
    n_clips: int
    """Unlabelled clips that the rows were centred on; 0 when they were not."""
    shares: Float64
    """`(wanted,)`: of the class's clips, how many each subcategory gets; empty when unknown."""
    answers: AnswerFit | None
    """What labelled clips did; None without any."""
    expected: float | None
    """Expected accuracy of these rows; None when it is unknown."""


def fit_rows(problem: SplitProblem, zero_shot: ZeroShot, estimate: Estimate | None) -> FittedRows:
    """Fits the zero-shot rows to the class's clips and to labelled ones, and centres them.

    Args:
        problem: the class, its clips and the labelled ones.
        zero_shot: rows that texts gave.
        estimate: of the zero-shot split.
    """
    clips = problem.clips
    rows, expected = zero_shot.rows, estimate.accuracy if estimate else None
    answers = _no_fit(problem) if problem.answers else None
    neither_share = 0.0
    space = _whitening(problem)
    if space is not None:
        unit = _unit(problem, space)
        text_rows = space.rows_for_points(rows) / unit
        pool = space.points(clips.features)
        if len(pool) >= MIN_SEEN:
            text_rows = refit(text_rows, pool)
        fitted = text_rows
        if problem.has_labelled or problem.answers:
            fitted, answers = _answer(problem, space, text_rows, pool, expected)
            expected = _expect(problem, answers, expected)
            neither_share = answers.neither_share
        rows = space.rows_for_features(fitted) * unit
        if problem.request.composition == "flat":
            rows += zero_shot.rows.mean(axis=0)  # what all children share counts there
    stored = on_grid(rows)
    rows = stored.astype(np.float64)
    bias, temperature, shares = np.zeros(len(rows), np.float32), 1.0, np.zeros(0)
    if space is not None:
        middle = rows @ space.mean
        if len(clips.features) >= MIN_SEEN:
            middle += middle_of((clips.features - space.mean) @ rows.T)
        bias = on_grid(-middle)
        scores = clips.features @ rows.T + bias
        if expected is not None and len(scores) >= MIN_SEEN:
            shares = np.bincount(scores.argmax(axis=1), minlength=len(rows)) / len(scores)
            if problem.request.composition == "gated":
                temperature = fit_temperature(scores, expected)
    if expected is not None:  # a clip that shows no subcategory comes out wrong
        expected = round(expected * (1 - neither_share), 3)
    n_clips = 0 if clips.mean is None else clips.count
    return FittedRows(stored, bias, temperature, n_clips, shares, answers, expected)


def _no_fit(problem: SplitProblem) -> AnswerFit:
    """Of answers where nothing is known of the class's clips: they are told, and move nothing."""
    return AnswerFit(
        pull=0.0,
        n_right=0,
        separation=None,
        neither_share=0.0,
        moved_share=0.0,
        by_text=(-1,) * len(problem.answers),
    )


def _unit(problem: SplitProblem, space: Whitening) -> float:
    """What a row for points is divided by, and multiplied with on the way back."""
    own = problem.head.weight[: len(problem.tree.roots)].astype(np.float64)
    lengths = np.linalg.norm(space.rows_for_points(own), axis=1)
    return float(np.median(lengths)) / ROW_LENGTH or 1.0


def _expect(problem: SplitProblem, answers: AnswerFit, by_text: float | None) -> float | None:
    """Accuracy to expect, once there are answers, of clips that show a subcategory.

    `by_text` is what was expected before. A cluster has no name, so where some subcategory has no
    clip, the separation cannot raise it.
    """
    expected, known = by_text, answers.separation
    if problem.has_labelled:
        separated = None if known is None else accuracy_of_separation(known, len(problem.labelled))
        if not problem.not_shown:
            expected = separated
        elif by_text is not None and separated is not None:
            expected = min(by_text, separated)
    return expected


def _whitening(problem: SplitProblem) -> Whitening | None:
    """Around the class's mean; around that of the labelled clips where it is not known."""
    seen = [part for part in problem.labelled if len(part)]
    if problem.whitening is not None or not seen:
        return problem.whitening
    mean, statistics = np.mean([part.mean(axis=0) for part in seen], axis=0), problem.statistics
    if statistics is None:
        return Whitening(mean, covariance_of(seen))
    return Whitening(mean, statistics.covariance.astype(np.float64))


def _answer(
    problem: SplitProblem,
    space: Whitening,
    text_rows: Float64,
    pool: Float64,
    expected: float | None,
) -> tuple[Float64, AnswerFit]:
    """Rows for points, moved by labelled clips and fitted to the class's.

    Answers that clips show none of the subcategories leave the rows where they are.
    """
    n = len(text_rows)
    labelled = [space.points(part) for part in problem.labelled]
    neither = space.points(problem.neither)
    kept = pool[near_labelled(pool, np.concatenate(labelled), neither)]
    n_neither = len(pool) - len(kept) + len(neither)
    votes = count_votes(text_rows, labelled, kept, expected or 1 / n)
    rows, separation, moved = votes.rows - votes.rows.mean(axis=0), None, 0.0
    if problem.has_labelled and len(kept) >= MIN_SEEN:
        rows = refit(rows, kept, labelled)
        separation = round(separation_of(np.concatenate([*labelled, kept]) @ rows.T), 3)
    if len(pool) and text_rows.any():
        by_text = settled(pool @ text_rows.T).argmax(axis=1)
        moved = float(np.mean(settled(pool @ rows.T).argmax(axis=1) != by_text))
    asked = np.reshape([answer.feature for answer in problem.answers], (-1, problem.head.dim))
    said = settled(space.points(asked.astype(np.float64)) @ text_rows.T).argmax(axis=1)
    return rows, AnswerFit(
        pull=votes.pull,
        n_right=votes.n_right,
        separation=separation,
        neither_share=round(n_neither / max(len(pool) + len(problem.answers), 1), 3),
        moved_share=round(moved, 3),
        by_text=tuple(said.tolist()) if text_rows.any() else (-1,) * len(asked),
    )


def fit_temperature(scores: Float64, accuracy: float) -> float:
    """The temperature at which the best child's share is, on average, the expected accuracy.

    No label is needed: a split that is right in 7 of 10 cases should say 0.7 on average.

    Args:
        scores: `(clips, children)`: relative scores of unlabelled clips of the class.
        accuracy: what is expected of the split.

    Returns:
        A power of 1.1 between 0.02 and 50.
    """
    temperatures = np.power(1.1, np.arange(-40, 42))
    shares = np.empty(len(temperatures))
    shifted = scores - scores.max(axis=1, keepdims=True)
    for place, temperature in enumerate(temperatures):
        shares[place] = np.mean(1 / np.exp(shifted / temperature).sum(axis=1))
    best = int(np.argmin(np.round(np.abs(shares - accuracy), 9)))
    return float(np.round(temperatures[best], 6))
