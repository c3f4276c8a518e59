"""Make several splits in one edit: all of them or none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from edgesplit.edits.checks import warn_of_flips
from edgesplit.edits.edit import Edit
from edgesplit.edits.groups import Taxonomy
from edgesplit.edits.report import Report
from edgesplit.edits.request import Into, SplitOptions, SplitRequest
from edgesplit.edits.split import split_class
from edgesplit.edits.text_encoder import TextEncoder
from edgesplit.errors import DoubtfulSplitError, EdgesplitError, EditError, LabelError
from edgesplit.heads.head import Head
from edgesplit.heads.statistics import Statistics

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Plan", "split_classes"]

Plan = Mapping[str, Into | SplitRequest]
"""{class: its subcategories, or a request}, in the order of the splits."""


def split_classes(
    head: Head,
    plan: Plan,
    *,
    statistics: Statistics | None = None,
    taxonomy: Taxonomy | None = None,
    encoder: TextEncoder | None = None,
    **choices: Unpack[SplitOptions],
) -> Edit:
    """Split several classes, one after another, in one edit: all of them or none.

    Each `split_class` starts from the head of the previous split, so a plan can split a subcategory
    that it made before. The new head's parent is `head`.

    Args:
        head: the head to edit; it does not change.
        plan: the classes in order, each with its subcategories.
        statistics: as in `split_class`.
        taxonomy: as in `split_class`, for all splits.
        encoder: as in `split_class`.
        choices: fields of `SplitRequest` for the classes without a request.

    Raises:
        EditError: the plan is empty, or splits were refused; the text names each of them.
        DoubtfulSplitError: same, if all refused splits are only in doubt.
        FeatureSpaceError: the statistics or the clips are of another backbone.
    """
    if not plan:
        raise EditError("The plan has no class to split. Add at least one.")
    edits: list[Edit] = []
    refused: dict[str, EdgesplitError] = {}

    def attempt(name: str, request: SplitRequest) -> Edit:
        before = edits[-1].head if edits else head
        return split_class(
            before, name, request, statistics=statistics, taxonomy=taxonomy, encoder=encoder
        )

    for name, wanted in plan.items():
        request = wanted if isinstance(wanted, SplitRequest) else SplitRequest(wanted, **choices)
        try:
            edits.append(attempt(name, request))
        except DoubtfulSplitError as error:
            refused[name] = error
            # Made anyway, so that later splits of its subcategories are checked, too.
            edits.append(attempt(name, replace(request, accept_doubt=True)))
        except (EditError, LabelError) as error:
            refused[name] = error
    if refused:
        raise _refusal(refused, len(plan))
    edited = replace(edits[-1].head, parent=head.digest)
    flat = set().union(*map(_flat_roots, edits))
    report = Report(
        action="plan",
        label="",
        n_untouched=len(head.tree.roots) - len(flat),
        warnings=warn_of_flips(head, edited, statistics) if flat else (),
        splits=tuple(edit.report for edit in edits),
    )
    action = f"plan: split {', '.join(repr(edit.report.label) for edit in edits)}"
    return Edit(head, edited, report, action)


def _flat_roots(edit: Edit) -> set[int]:
    """Return columns of the root classes whose logits a split changes: the root of a flat split."""
    tree = edit.before.tree
    flat = edit.report.composition == "flat"
    return {tree.path(tree.find(edit.report.label))[0]} if flat else set()


def _refusal(refused: Mapping[str, EdgesplitError], n_splits: int) -> EditError:
    """Return the error with all reasons against a plan, and the next step."""
    lines = [f"{len(refused)} of the plan's {n_splits} splits were refused, so none was made:"]
    doubtful = {n: e.doubts for n, e in refused.items() if isinstance(e, DoubtfulSplitError)}
    for name, error in refused.items():
        why = f"in doubt: {'; '.join(doubtful[name])}" if name in doubtful else str(error)
        lines.append(f"  {name!r}: {why}")
    if doubtful:
        lines.append(
            "For each split in doubt, name the group to learn from (like), use its words (into: "
            "{LABEL: MODIFIER, …}), give a labelled clip of each subcategory (shots or answers), "
            "or accept the doubt (accept_doubt: true)."
        )
    text = "\n".join(lines)
    if len(doubtful) < len(refused):
        return EditError(text)
    return DoubtfulSplitError(text, sum(doubtful.values(), ()))
