"""Make the stored rows from zero-shot rows: fit them to clips, centre them, choose a temperature.

Labelled clips first move the rows (`answers`). With statistics, or with clips in the request, the
rows are then fitted to the clips of the class (`refit`). Centring: a subcategory's bias is minus
its row's score of the class's mean feature, or of the middle of the class's clips if there are
enough (`middle_of`), so that no subcategory has an advantage. The temperature makes the mean
probability of the decisions equal to the expected accuracy.
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
"""Median length to which the head's own rows are scaled when rows are compared with points. A head
decides the same for logits times any factor, but points do not have that factor."""


@dataclass(frozen=True, slots=True, eq=False)
class AnswerFit:
    """The effect of labelled clips on the rows."""

    pull: float
    """Weight of each zero-shot row, in clips."""
    n_right: int
    """Number of labelled clips that the zero-shot rows get right."""
    separation: float | None
    """Part of the variance of the class's scores that lies between the subcategories; None if there
    are too few unlabelled clips."""
    neither_share: float
    """Share of the class's unlabelled clips that are like clips that show no subcategory."""
    moved_share: float
    """Share of the class's unlabelled clips that get another subcategory than by texts only; 0 if
    the texts give no rows."""
    by_text: tuple[int, ...]
    """Subcategory of each answered clip by texts only; -1 if the texts give no rows."""


@dataclass(frozen=True, slots=True, eq=False)
class FittedRows:
    """The new rows as they are stored, and their results on the class's unlabelled clips."""

    rows: Float32
    """`(wanted, dim)`."""
    bias: Float32
    """`(wanted,)`."""
    temperature: float
    n_clips: int
    """Number of unlabelled clips that the rows were centred on; 0 if they were not."""
    shares: Float64
    """`(wanted,)`: share of the class's clips that each subcategory gets; empty if unknown."""
    answers: AnswerFit | None
    """Effect of labelled clips; None without any."""
    expected: float | None
    """Expected accuracy of these rows; None if unknown."""


def fit_rows(problem: SplitProblem, zero_shot: ZeroShot, estimate: Estimate | None) -> FittedRows:
    """Fit the zero-shot rows to the class's clips and to labelled ones, and centre them.

    Args:
        problem: the class, its clips and the labelled ones.
        zero_shot: the rows from texts.
        estimate: the estimate for the zero-shot split.
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
            rows += zero_shot.rows.mean(axis=0)  # flat children compete with all classes
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
    if expected is not None:  # a clip that shows no subcategory always gets a wrong one
        expected = round(expected * (1 - neither_share), 3)
    n_clips = 0 if clips.mean is None else clips.count
    return FittedRows(stored, bias, temperature, n_clips, shares, answers, expected)


def _no_fit(problem: SplitProblem) -> AnswerFit:
    """Return the fit of answers that move no row: the class's clips are unknown."""
    return AnswerFit(
        pull=0.0,
        n_right=0,
        separation=None,
        neither_share=0.0,
        moved_share=0.0,
        by_text=(-1,) * len(problem.answers),
    )


def _unit(problem: SplitProblem, space: Whitening) -> float:
    """Return the unit of rows for points: rows are divided by it, and multiplied again later."""
    own = problem.head.weight[: len(problem.tree.roots)].astype(np.float64)
    lengths = np.linalg.norm(space.rows_for_points(own), axis=1)
    return float(np.median(lengths)) / ROW_LENGTH or 1.0


def _expect(problem: SplitProblem, answers: AnswerFit, by_text: float | None) -> float | None:
    """Return the expected accuracy on clips that show a subcategory, once there are answers.

    `by_text` is the expected accuracy without them. Clusters have no names, so the separation
    cannot raise it if some subcategory has no labelled clip.
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
    """Return the whitening around the class's mean, or, if unknown, the labelled clips' mean."""
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
    """Return rows for points, moved by labelled clips and fitted to the class's clips.

    Answers that a clip shows none of the subcategories do not move the rows.
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
    answered = np.reshape([answer.feature for answer in problem.answers], (-1, problem.head.dim))
    by_text_rows = settled(space.points(answered.astype(np.float64)) @ text_rows.T).argmax(axis=1)
    return rows, AnswerFit(
        pull=votes.pull,
        n_right=votes.n_right,
        separation=separation,
        neither_share=round(n_neither / max(len(pool) + len(problem.answers), 1), 3),
        moved_share=round(moved, 3),
        by_text=tuple(by_text_rows.tolist()) if text_rows.any() else (-1,) * len(answered),
    )


def fit_temperature(scores: Float64, accuracy: float) -> float:
    """Return the temperature at which the best child's mean share is the expected accuracy.

    No label is needed: a split that is right in 7 of 10 cases should have a mean share of 0.7.

    Args:
        scores: `(clips, children)`: relative scores of unlabelled clips of the class.
        accuracy: expected accuracy of the split.

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
