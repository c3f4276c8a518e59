"""Make zero-shot rows: match the texts, then apply a rule."""

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
"""Maximum sources in a row's provenance."""

MIN_SHARE = 0.1
"""Minimum weight of a listed source, as a share of the largest weight."""


@dataclass(frozen=True, slots=True, eq=False)
class ZeroShot:
    """Rows made from texts and known labels, and their sources."""

    rule: str
    """Rule that made the rows."""
    problem: TransferProblem
    """Input of the rule: the wanted texts in the head's words where they match."""
    choice: AxisChoice
    match: LabelMatch
    transfer: Transfer
    sources: tuple[tuple[Source, ...], ...]
    """Known labels with the largest shares of each row, the largest first."""

    @property
    def rows(self) -> Float64:
        """`(wanted, dim)`: rows relative to the class."""
        return self.transfer.rows


def transfer_rows(problem: SplitProblem) -> ZeroShot:
    """Make the rows with the requested rule, or with the default rule if it lacks clips."""
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
        notice = f"{error}; rule {DEFAULT_RULE!r} made the rows instead"
        transfer = get_rule(DEFAULT_RULE)(seen)
        transfer = replace(transfer, notices=(notice, *transfer.notices))
        name = DEFAULT_RULE
    return ZeroShot(name, seen, choice, match, transfer, _sources(problem.known_labels, transfer))


def _in_other_words(problem: SplitProblem, match: LabelMatch) -> bool:
    """Return True if some subcategory has other words than its match."""
    modifiers = [member.modifier for group in problem.groups for member in group.members]
    return any(
        source >= 0 and parse_label(text).stems != parse_label(modifiers[source]).stems
        for (_, text), source in zip(problem.read_as, match.sources, strict=False)
    )


def _match(problem: SplitProblem, read: TransferProblem, choice: AxisChoice) -> LabelMatch:
    """Match the subcategories with known labels of the chosen axis.

    Use one group of the axis if one has enough members, else all words of the axis. If the axis has
    fewer words than there are subcategories, match only those that it has words for.
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
    if n_found > 0:  # common words make a high score, even if the other words do not match
        match = replace(match, trust=min(match.trust, n_found / len(choice.words)))
    return match


def _name(rule: Rule) -> str:
    return str(getattr(rule, "__name__", type(rule).__name__)).replace("_", "-")


def _sources(known: tuple[str, ...], transfer: Transfer) -> tuple[tuple[Source, ...], ...]:
    if not known:
        return ((),) * len(transfer.rows)
    found = []
    for similarities, weights in zip(transfer.similarities, transfer.weights, strict=True):
        # Rounded before sorting: the numbers become part of the head's bytes, and equally good
        # sources differ in their last bits. Adding 0.0 turns -0.0 into 0.0.
        near, share = np.round(similarities, 4) + 0.0, np.round(weights, 4) + 0.0
        order = np.argsort(-share, kind="stable")
        # The row is made of all sources; only the large ones are listed.
        large = share > max(0.0, MIN_SHARE * float(share.max()))
        best = order[: min(N_SOURCES, np.count_nonzero(large))]
        found.append(tuple(Source(known[i], float(near[i]), float(share[i])) for i in best))
    return tuple(found)
