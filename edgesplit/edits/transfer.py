"""Zero-shot rows: the match of the texts, and what a rule makes of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from edgesplit._types import Float64
from edgesplit.edits.axes import AxisChoice, choose_axis
from edgesplit.edits.matching import LabelMatch, in_known_words, match_labels, match_part
from edgesplit.edits.problem import SplitProblem
from edgesplit.edits.rules import DEFAULT_RULE, get_rule
from edgesplit.edits.rules.base import Rule, Transfer, TransferProblem, members_of
from edgesplit.edits.tokens import parse_label
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
    match = _match(problem, read, choice)
    seen = in_known_words(read, match, other_words=_in_other_words(problem, match))
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


def _in_other_words(problem: SplitProblem, match: LabelMatch) -> bool:
    """Whether some subcategory is asked for in other words than its match has."""
    modifiers = [member.modifier for group in problem.groups for member in group.members]
    return any(
        source >= 0 and parse_label(text).stems != parse_label(modifiers[source]).stems
        for (_, text), source in zip(problem.read_as, match.sources, strict=False)
    )


def _match(problem: SplitProblem, read: TransferProblem, choice: AxisChoice) -> LabelMatch:
    """The known labels that differ as the subcategories do, along the axis that is meant.

    In one group of it where one has enough members, else among the axis' words. Where those are
    fewer than the subcategories, only the ones that the axis has words for are matched.
    """
    named, axis = problem.request.like is not None, choice.axis
    if axis is None:
        return match_labels(read, named=named)
    if len(axis.words) < len(problem.subcategories):
        found = [i for i, word in enumerate(choice.words) if word]
        return match_part(read, found, [axis.members], named=named)
    groups = members_of(problem.transfer.known.siblings)
    enough = [groups[g] for g in axis.groups if len(groups[g]) >= len(problem.subcategories)]
    match = match_labels(read, enough or [axis.members], named=named)
    n_found = sum(map(bool, choice.words))
    if n_found > 0:  # words that are found are alike whatever the others are
        match = replace(match, trust=min(match.trust, n_found / len(choice.words)))
    return match


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
