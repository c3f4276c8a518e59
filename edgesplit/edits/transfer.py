"""Zero-shot rows: the match of the texts, and what a rule makes of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from edgesplit._types import Float64, Int64
from edgesplit.edits.axes import AxisChoice, choose_axis
from edgesplit.edits.groups import Axis
from edgesplit.edits.matching import LabelMatch, in_known_words, match_labels
from edgesplit.edits.problem import SplitProblem
from edgesplit.edits.rules import DEFAULT_RULE, get_rule
from edgesplit.edits.rules.base import Rule, Transfer, TransferProblem, members_of
from edgesplit.errors import TooFewClipsError
from edgesplit.heads.labels import Source

__all__ = ["ZeroShot", "transfer_rows"]

N_SOURCES = 3
"""How many sources a row's provenance keeps."""

MIN_SHARE = 0.1
"""A source with less than this share of the strongest one's weight is not listed."""


@dataclass(frozen=True, slots=True, eq=False)
class ZeroShot:
    """Rows that texts and known labels give, and where they come from."""

    rule: str
    """The rule that made them."""
    problem: TransferProblem
    """What the rule saw: the wanted texts in known words, where they match."""
    choice: AxisChoice
    match: LabelMatch
    transfer: Transfer
    sources: tuple[tuple[Source, ...], ...]
    """Of each row: the known labels with the largest shares, the largest first."""

    @property
    def rows(self) -> Float64:
        """`(wanted, dim)`: relative rows."""
        return self.transfer.rows


def transfer_rows(problem: SplitProblem) -> ZeroShot:
    """Rows by the rule that was asked for, or by the default one where that lacks clips."""
    choice, read = choose_axis(
        problem.transfer, [text for _, text in problem.read_as], problem.axes
    )
    match = match_labels(read, _among(problem, choice.axis), named=problem.request.like is not None)
    seen = in_known_words(read, match)
    rule = problem.request.rule
    name = rule if isinstance(rule, str) else _name(rule)
    try:
        transfer = (get_rule(rule) if isinstance(rule, str) else rule)(seen)
    except TooFewClipsError as error:
        notice = f"{error}; {DEFAULT_RULE} made the rows instead"
        transfer = get_rule(DEFAULT_RULE)(seen)
        transfer = replace(transfer, notices=(notice, *transfer.notices))
        name = DEFAULT_RULE
    return ZeroShot(name, seen, choice, match, transfer, _sources(problem.known_labels, transfer))


def _among(problem: SplitProblem, axis: Axis | None) -> list[Int64] | None:
    """The groups of an axis that have enough members, or the axis' words where none has."""
    if axis is None:
        return None
    groups = members_of(problem.transfer.known.siblings)
    enough = [groups[g] for g in axis.groups if len(groups[g]) >= len(problem.subcategories)]
    return enough or [axis.members]


def _name(rule: Rule) -> str:
    return str(getattr(rule, "__name__", type(rule).__name__)).replace("_", "-")


def _sources(known: tuple[str, ...], transfer: Transfer) -> tuple[tuple[Source, ...], ...]:
    if not known:
        return ((),) * len(transfer.rows)
    found = []
    for similarities, weights in zip(transfer.similarities, transfer.weights, strict=True):
        # Rounded before they are ordered, since they are for people and become part of the head's
        # bytes, and equally good sources differ in their last bits. No -0.0, either.
        near, share = np.round(similarities, 4) + 0.0, np.round(weights, 4) + 0.0
        order = np.argsort(-share, kind="stable")
        # The row is made of all of them; people are told of those that matter.
        matter = share > max(0.0, MIN_SHARE * float(share.max()))
        best = order[: min(N_SOURCES, np.count_nonzero(matter))]
        found.append(tuple(Source(known[i], float(near[i]), float(share[i])) for i in best))
    return tuple(found)
