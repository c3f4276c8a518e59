"""Split a class: a pure function from a head, a request and knowledge to an `Edit`."""

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
    """Split a class into subcategories, from texts and, if there are any, unlabelled clips.

    The rule makes the subcategories' rows from the head's knowledge. With statistics, the rows are
    centred on the class (the paper copies the class's bias). Labelled clips, at least one, then
    move the rows; see `edgesplit.edits.fitting`.

    Args:
        head: the head to edit; it does not change.
        name: the class, as in `LabelTree.find`.
        request: the request; or give its fields as keywords: `into=["left", "right"]`.
        statistics: statistics of unlabelled clips; without them there is no centring and no
            estimate.
        taxonomy: {coarse category: {fine label: modifier}} in place of the found groups.
        encoder: the text encoder; default: the packaged one.
        choices: the fields of `SplitRequest`, if no request is given.

    Raises:
        LabelError: the class does not exist or is ambiguous, or a subcategory's name is not
            allowed.
        EditError: the split cannot be made as requested.
        DoubtfulSplitError: the split is in doubt (see `edgesplit.edits.checks`), the request does
            not accept that, and some subcategory has no labelled clip.
        FeatureSpaceError: the statistics or the clips are of another backbone.
    """
    if request is None:
        request = SplitRequest(**choices)
    elif choices or not isinstance(request, SplitRequest):
        raise TypeError('give either a SplitRequest or its fields: into=["left", "right"]')
    draft = draft_split(
        head, name, request, statistics=statistics, taxonomy=taxonomy, encoder=encoder
    )
    return draft.finish()


@dataclass(frozen=True, slots=True, eq=False)
class SplitDraft:
    """The part of a split that does not depend on labelled clips, made once for all answers."""

    problem: SplitProblem
    zero_shot: ZeroShot
    gains: Mapping[int, float]
    """Result of `edgesplit.edits.estimate.find_gains`."""

    @single_threaded_blas
    def finish(self, request: SplitRequest | None = None) -> Edit:
        """Finish the split, with the same bytes and errors as `split_class`.

        Args:
            request: a request with other labelled clips, as in
                `edgesplit.edits.problem.take_labelled`; default: the draft's request.
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
    """Return the head with the new rows below the class."""
    head, nodes, n = problem.head, list(problem.tree), len(problem.subcategories)
    nodes[problem.column] = replace(nodes[problem.column], temperature=fitted.temperature)
    answered: list[list[str]] = [[] for _ in range(n)]
    for answer in problem.answers:
        if answer.subcategory >= 0:
            answered[answer.subcategory].append(answer.digest)
    nodes[-n:] = [
        replace(node, provenance=Provenance(zero_shot.rule, sources, len(clips), tuple(digests)))
        for node, sources, clips, digests in zip(
            nodes[-n:], zero_shot.sources, problem.labelled, answered, strict=True
        )
    ]
    return Head(
        tree=LabelTree(tuple(nodes)),
        weight=np.concatenate([head.weight, fitted.rows]),
        bias=np.concatenate([head.bias, fitted.bias]),
        feature_space=head.feature_space,
        parent=head.digest,
    )
