"""Splitting a class: a pure function from a head, a request and knowledge to an `Edit`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edgesplit._threads import on_one_core
from edgesplit.edits.checks import (
    describe_rows,
    find_doubts,
    rule_doubts,
    warn_of_clips,
    warn_of_rows,
)
from edgesplit.edits.edit import Edit, find_first
from edgesplit.edits.estimate import Confidence, look, measure, with_clips
from edgesplit.edits.groups import Taxonomy, known_groups
from edgesplit.edits.matching import in_known_words, match_sources, trust_in
from edgesplit.edits.naming import Into, Shots, name_subcategories, place_shots
from edgesplit.edits.problem import Question, ask
from edgesplit.edits.report import NewRow, Report, ShotReport
from edgesplit.edits.rules import DEFAULT_RULE, get_rule
from edgesplit.edits.rules.base import Floats, Request, Transfer, on_grid
from edgesplit.edits.rules.lowshot import LowShot, low_shot
from edgesplit.edits.text_encoder import TextEncoder, packaged_encoder
from edgesplit.errors import (
    EditError,
    FeatureSpaceError,
    ThinStatisticsError,
    UncertainSourceError,
)
from edgesplit.heads.head import Head
from edgesplit.heads.labels import Composition, LabelTree, Node, Provenance
from edgesplit.heads.statistics import Statistics

__all__ = ["split_class"]


@on_one_core
def split_class(
    head: Head,
    name: str,
    *,
    into: Into,
    rule: str = DEFAULT_RULE,
    composition: Composition = "gated",
    statistics: Statistics | None = None,
    shots: Shots | None = None,
    taxonomy: Taxonomy | None = None,
    like: str | None = None,
    force: bool = False,
    encoder: TextEncoder | None = None,
) -> Edit:
    """Splits a class into subcategories, from texts and, where there are any, unlabelled clips.

    The rule makes the subcategories' rows from what the head knows. With statistics, the rows are
    centred on the class: a subcategory's bias is minus its row's score of the class's mean
    feature, so that none is ahead before a clip has said anything (the paper copies the class's
    bias). Labelled clips, from one on, then move the rows; see `edgesplit.edits.rules.lowshot`. The
    temperature of a gated split makes the scores as sure as it is expected to be right.

    Args:
        head: the head to edit; it stays as it is.
        name: the class, as in `LabelTree.find`.
        into: at least two subcategories.
        rule: where the rows come from, one of `edgesplit.edits.rules.RULES`.
        composition: `gated` shares the class's score among the subcategories and changes no
            other answer; `flat` is the paper's rule and lets them compete with every class.
        statistics: of unlabelled clips; without them there is no centring and no confidence.
        shots: features of a few labelled clips, by subcategory, some of which may have none.
        taxonomy: {coarse category: {fine label: modifier}} instead of induced groups.
        like: the one group of known labels to learn from, as "pulling something".
        force: accept a split that is expected to be hardly better than guessing.
        encoder: the text encoder; the packaged one by default.

    Raises:
        LabelError: the class does not exist or is ambiguous, or a subcategory's name is not
            allowed.
        EditError: the split cannot be made as asked.
        UncertainSourceError: the split is expected to be hardly better than guessing, since nothing
            known differs as the subcategories do or the head's own groups come out wrong; `force`
            is off, and some subcategory has no labelled clip.
        FeatureSpaceError: the statistics or the clips are of another backbone.
    """
    if statistics is not None and statistics.feature_space != head.feature_space:
        raise FeatureSpaceError("The statistics were made with a head of another feature space.")
    tree = head.tree
    column = find_first(tree, name, tree.leaves, tree.inner)
    taken = {node.label.casefold() for node in tree}
    subcategories = name_subcategories(tree[column].label, into, taken)
    bare = [Node(label=label, modifier=modifier) for label, modifier in subcategories]
    tree.split(column, bare, composition=composition)  # refuses before the slow part
    labelled = place_shots(shots or {}, subcategories, head.dim)
    groups = known_groups(tree, target=column, taxonomy=taxonomy, like=like)
    if not groups:
        raise EditError(
            "No two labels of this head share an action, so there is no modifier to learn from. "
            "Give a taxonomy with --taxonomy."
        )
    question = ask(
        head,
        column,
        groups,
        subcategories,
        encoder or packaged_encoder(),
        statistics,
        with_context=rule == "alignment-mlp",
    )
    answer = _answer(question, rule, statistics, named=like is not None)
    # With a clip of every subcategory there is a way that needs no text.
    start = not answer.doubts or force or not all(map(len, labelled))
    if answer.doubts and start and not force:
        raise UncertainSourceError(
            f"This split is in doubt: {'; '.join(answer.doubts)}. Name the group to learn from "
            "with --like, say it in its words (--into 'LABEL=MODIFIER,…'), give the modifiers "
            "with --taxonomy, show a clip of each with --shots, or accept this with --force.",
            answer.doubts,
        )
    fitted = _fit(answer.rows, labelled, question, statistics, trust_start=start)
    vectors = on_grid(answer.rows if fitted is None else fitted.rows)
    confidence = answer.confidence
    if confidence is not None and fitted is not None:
        confidence = with_clips(confidence, fitted, len(subcategories))
    seen = look(question, vectors.astype(np.float64), statistics, confidence, fitted)
    flat = composition == "flat"
    children = [
        Node(row.label, modifier=row.modifier, provenance=Provenance(answer.rule, row.sources, n))
        for row, n in zip(answer.new_rows, map(len, labelled), strict=True)
    ]
    edited = _append(
        head,
        column,
        children,
        vectors,
        seen.bias,
        composition=composition,
        temperature=1.0 if flat else seen.temperature,
    )
    report = Report(
        action="split",
        label=tree[column].label,
        n_untouched=len(tree.roots) - flat,
        rule=answer.rule,
        composition=composition,
        likeness=answer.likeness,
        rows=answer.new_rows,
        n_clips=seen.n_clips,
        shots=None if fitted is None else _report_shots(fitted, labelled),
        confidence=confidence,
        roll_up_growth=math.log(len(subcategories)) if flat else 0.0,
        doubts=answer.doubts,
        warnings=(
            *answer.warnings,
            *warn_of_clips(answer.new_rows, seen, question, statistics),
        ),
    )
    made = ", ".join(repr(modifier) for _, modifier in subcategories)
    return Edit(head, edited, report, f"split {tree[column].label!r} into {made} ({composition})")


@dataclass(frozen=True, slots=True, eq=False)
class _Answer:
    """Zero-shot rows, and what is to be said of them."""

    rule: str
    """That made them."""
    rows: Floats
    """`(wanted, dim)`: relative rows."""
    new_rows: tuple[NewRow, ...]
    likeness: float
    confidence: Confidence | None
    doubts: tuple[str, ...]
    warnings: tuple[str, ...]


def _answer(
    question: Question, rule: str, statistics: Statistics | None, *, named: bool
) -> _Answer:
    """Rows from texts and from what the head knows."""
    match = match_sources(question.request)
    trust = trust_in(match, named=named)
    request = in_known_words(question.request, match, named=named)
    used, transfer = _transfer(rule, request)
    rows = describe_rows(question, transfer, match)
    confidence = measure(question, transfer.rows, statistics, trust)
    doubts = find_doubts(rows, match, trust, confidence) or rule_doubts(rows, request, transfer)
    return _Answer(
        rule=used,
        rows=transfer.rows,
        new_rows=tuple(rows),
        likeness=round(match.score, 4),
        confidence=confidence,
        doubts=tuple(doubts),
        warnings=(*transfer.notices, *warn_of_rows(rows, transfer, request)),
    )


def _transfer(rule: str, request: Request) -> tuple[str, Transfer]:
    """The rule that made the rows, and what it made."""
    try:
        return rule, get_rule(rule)(request)
    except ThinStatisticsError as error:
        notice = f"{error}; {DEFAULT_RULE} made the rows instead"
        transfer = get_rule(DEFAULT_RULE)(request)
        return DEFAULT_RULE, replace(transfer, notices=(notice, *transfer.notices))


def _fit(
    start: Floats,
    labelled: Sequence[Floats],
    question: Question,
    statistics: Statistics | None,
    *,
    trust_start: bool,
) -> LowShot | None:
    if not any(map(len, labelled)):
        return None
    covariance = None if statistics is None else statistics.covariance.astype(np.float64)
    return low_shot(
        start, labelled, mean=question.mean, covariance=covariance, trust_start=trust_start
    )


def _report_shots(fitted: LowShot, labelled: Sequence[Floats]) -> ShotReport:
    return ShotReport(tuple(map(len, labelled)), fitted.n_right, fitted.pull)


def _append(
    head: Head,
    column: int,
    children: Sequence[Node],
    vectors: npt.NDArray[np.float32],
    bias: npt.NDArray[np.float32],
    *,
    composition: Composition,
    temperature: float,
) -> Head:
    """The head with `children` below `column`; `vectors` are their `(n, dim)` relative rows."""
    nodes = list(head.tree.split(column, children, composition=composition))
    nodes[column] = replace(nodes[column], temperature=temperature)
    return Head(
        tree=LabelTree(tuple(nodes)),
        weight=np.concatenate([head.weight, vectors]),
        bias=np.concatenate([head.bias, bias]),
        feature_space=head.feature_space,
        parent=head.digest,
    )
