"""Splitting a class: a pure function from a head, a request and knowledge to an `Edit`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from edgesplit._threads import single_threaded_blas
from edgesplit.edits.checks import decide
from edgesplit.edits.edit import Edit
from edgesplit.edits.estimate import estimate_accuracy, find_gains
from edgesplit.edits.fitting import FittedRows, fit_rows
from edgesplit.edits.groups import Taxonomy
from edgesplit.edits.problem import SplitProblem, pose_problem, take_labelled
from edgesplit.edits.report import report_split
from edgesplit.edits.request import SplitChoices, SplitRequest
from edgesplit.edits.text_encoder import TextEncoder
from edgesplit.edits.transfer import ZeroShot, transfer_rows
from edgesplit.heads.head import Head
from edgesplit.heads.labels import LabelTree, Provenance
from edgesplit.heads.statistics import Statistics

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["SplitDraft", "draft_split", "split_class"]


@single_threaded_blas
def split_class(
    head: Head,
    name: str,
    request: SplitRequest | None = None,
    *,
    statistics: Statistics | None = None,
    taxonomy: Taxonomy | None = None,
    encoder: TextEncoder | None = None,
    **choices: Unpack[SplitChoices],
) -> Edit:
    """Splits a class into subcategories, from texts and, where there are any, unlabelled clips.

    The rule makes the subcategories' rows from what the head knows. With statistics, the rows are
    centred on the class (the paper copies the class's bias). Labelled clips, from one on, then move
    the rows; see `edgesplit.edits.fitting`.

    Args:
        head: the head to edit; it stays as it is.
        name: the class, as in `LabelTree.find`.
        request: what is asked for; or its fields as keywords: `into=["left", "right"]`.
        statistics: of unlabelled clips; without them there is no centring and no estimate.
        taxonomy: {coarse category: {fine label: modifier}} instead of induced groups.
        encoder: the text encoder; the packaged one by default.
        choices: the fields of `SplitRequest`, when no request is given.

    Raises:
        LabelError: the class does not exist or is ambiguous, or a subcategory's name is not
            allowed.
        EditError: the split cannot be made as asked.
        DoubtfulSplitError: the split is expected to be hardly better than guessing, since nothing
            known differs as the subcategories do or the head's own groups come out wrong; the
            request does not accept that, and some subcategory has no labelled clip.
        FeatureSpaceError: the statistics or the clips are of another backbone.
    """
    if request is None:
        request = SplitRequest(**choices)
    elif choices or not isinstance(request, SplitRequest):
        raise TypeError('give a SplitRequest, or its fields by name: into=["left", "right"]')
    draft = draft_split(
        head, name, request, statistics=statistics, taxonomy=taxonomy, encoder=encoder
    )
    return draft.finish()


@dataclass(frozen=True, slots=True, eq=False)
class SplitDraft:
    """A split as far as texts and unlabelled clips make it: each answer then costs little."""

    problem: SplitProblem
    zero_shot: ZeroShot
    gains: Mapping[int, float]
    """Of `edgesplit.edits.estimate.find_gains`."""

    @single_threaded_blas
    def finish(self, request: SplitRequest | None = None) -> Edit:
        """Finish the split, with the same bytes as `split_class`; its errors, too.

        Args:
            request: other labelled clips, as in `edgesplit.edits.problem.take_labelled`; those of
                the draft by default.
        """
        problem, zero_shot = self.problem, self.zero_shot
        if request is not None:
            problem = take_labelled(problem, request)
        estimate = estimate_accuracy(problem, zero_shot, self.gains)
        decision = decide(problem, zero_shot, estimate)
        fitted = fit_rows(problem, zero_shot, estimate)
        edited = _grow(problem, zero_shot, fitted)
        report = report_split(problem, zero_shot, estimate, decision, fitted, edited)
        into = ", ".join(repr(modifier) for _, modifier in problem.subcategories)
        action = f"split {report.label!r} into {into} ({problem.request.composition})"
        return Edit(problem.head, edited, report, action)


@single_threaded_blas
def draft_split(
    head: Head,
    name: str,
    request: SplitRequest,
    *,
    statistics: Statistics | None = None,
    taxonomy: Taxonomy | None = None,
    encoder: TextEncoder | None = None,
) -> SplitDraft:
    """Make the part of a split that does not depend on labelled clips.

    Arguments and errors are those of `split_class`.
    """
    problem = pose_problem(
        head, name, request, statistics=statistics, taxonomy=taxonomy, encoder=encoder
    )
    zero_shot = transfer_rows(problem)
    return SplitDraft(problem, zero_shot, find_gains(problem, zero_shot))


def _grow(problem: SplitProblem, zero_shot: ZeroShot, fitted: FittedRows) -> Head:
    """The head with the new rows below the class."""
    head, nodes, n = problem.head, list(problem.tree), len(problem.subcategories)
    nodes[problem.column] = replace(nodes[problem.column], temperature=fitted.temperature)
    asked: list[list[str]] = [[] for _ in range(n)]
    for answer in problem.answers:
        if answer.subcategory >= 0:
            asked[answer.subcategory].append(answer.digest)
    nodes[-n:] = [
        replace(node, provenance=Provenance(zero_shot.rule, sources, len(clips), tuple(digests)))
        for node, sources, clips, digests in zip(
            nodes[-n:], zero_shot.sources, problem.labelled, asked, strict=True
        )
    ]
    return Head(
        tree=LabelTree(tuple(nodes)),
        weight=np.concatenate([head.weight, fitted.rows]),
        bias=np.concatenate([head.bias, fitted.bias]),
        feature_space=head.feature_space,
        parent=head.digest,
    )
