"""Splitting a class: a pure function from a head, a request and knowledge to an `Edit`."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from edgesplit.confidence import Confidence, Sight, look
from edgesplit.edit import Edit, find_first
from edgesplit.errors import EditError, FeatureSpaceError, LabelError, UncertainSourceError
from edgesplit.head import Head
from edgesplit.knowledge import Taxonomy, differing_words, known_groups
from edgesplit.labels import Composition, LabelTree, Node, Provenance, Source, check_label, words
from edgesplit.report import NewRow, Report
from edgesplit.request import ask
from edgesplit.rules import DEFAULT_RULE, get_rule
from edgesplit.rules.transfer import Request, Transfer, on_grid, settled
from edgesplit.sources import (
    ENCODER_ERROR,
    MIN_SCORE,
    MIN_SCORE_NAMED,
    SourceMatch,
    match_sources,
    pair_cosines,
)
from edgesplit.stats import MIN_CLIPS, Statistics
from edgesplit.text import TextEncoder, packaged_encoder

__all__ = ["Into", "split_class"]

Into = Sequence[str] | Mapping[str, str]
"""Modifiers ("left"), full labels ("pushing something left"), or {full label: modifier}."""

N_SOURCES = 3
"""How many sources a row's provenance keeps."""

MIN_GAIN = 0.0
"""A split that is expected to do worse than guessing is not made without being asked twice."""

MIN_SHARE = 0.1
"""A source with less than this share of the strongest one's weight is not listed."""


def split_class(
    head: Head,
    name: str,
    *,
    into: Into,
    rule: str = DEFAULT_RULE,
    composition: Composition = "gated",
    statistics: Statistics | None = None,
    taxonomy: Taxonomy | None = None,
    like: str | None = None,
    force: bool = False,
    encoder: TextEncoder | None = None,
) -> Edit:
    """Splits a class into subcategories, from texts and, where there are any, unlabelled clips.

    The rule makes the subcategories' rows from what the head knows. With statistics, the rows are
    centred on the class: a subcategory's bias is minus its row's score of the class's mean
    feature, so that none is ahead before a clip has said anything (the paper copies the class's
    bias, and on Motion-Split gives away eight points of generality). The temperature of a gated
    split then makes the scores as sure as the split is expected to be right.

    Args:
        head: the head to edit; it stays as it is.
        name: the class, as in `LabelTree.find`.
        into: at least two subcategories.
        rule: where the rows come from, one of `edgesplit.rules.RULES`.
        composition: `gated` shares the class's score among the subcategories and changes no
            other answer; `flat` is the paper's rule and lets them compete with every class.
        statistics: of unlabelled clips; without them there is no centring and no confidence.
        taxonomy: {coarse category: {fine label: modifier}} instead of induced groups.
        like: the one group of known labels to learn from, as "pulling something".
        force: accept sources that the text encoder cannot tell apart, or a low confidence.
        encoder: the text encoder; the packaged one by default.

    Raises:
        LabelError: the class does not exist or is ambiguous, or a subcategory's name is not
            allowed.
        EditError: the split cannot be made as asked.
        UncertainSourceError: the text encoder cannot tell the sources, or the head's own groups
            say that the split will come out wrong, and `force` is off.
        FeatureSpaceError: the statistics are of another backbone.
    """
    if statistics is not None and statistics.feature_space != head.feature_space:
        raise FeatureSpaceError("The statistics were made with a head of another feature space.")
    tree = head.tree
    column = _splittable(tree, name)
    subcategories = _subcategories(
        tree[column].label, into, {node.label.casefold() for node in tree}
    )
    bare = [Node(label=label, modifier=modifier) for label, modifier in subcategories]
    tree.split(column, bare, composition=composition)  # refuses before the slow part
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
    transfer = get_rule(rule)(question.request)
    vectors = on_grid(transfer.rows)
    known = [member.label for group in groups for member in group.members]
    match = match_sources(question.request)
    rows = _describe(subcategories, known, transfer, match)
    seen = look(question, vectors.astype(np.float64), statistics)
    confidence = seen.confidence
    doubts = _doubts(rows, question.request, transfer, match, named=like is not None)
    if confidence is not None and confidence.gain < MIN_GAIN:
        doubts.append(_low(confidence))
    if doubts and not force:
        raise UncertainSourceError(
            f"This split is in doubt: {'; '.join(doubts)}. Name the group to learn from with "
            "--like, say it in its words (--into 'LABEL=MODIFIER,…'), give the modifiers with "
            "--taxonomy, or accept this with --force."
        )
    flat = composition == "flat"
    report = Report(
        action="split",
        label=tree[column].label,
        n_untouched=len(tree.roots) - flat,
        rule=rule,
        composition=composition,
        likeness=round(match.score, 4),
        rows=tuple(rows),
        n_clips=seen.n_clips,
        confidence=confidence,
        roll_up_growth=math.log(len(rows)) if flat else 0.0,
        warnings=(
            *doubts,
            *_warnings(rows, transfer, question.request),
            *_clip_warnings(rows, seen, question.target, statistics),
        ),
    )
    made = ", ".join(repr(modifier) for _, modifier in subcategories)
    edited = _append(
        head,
        column,
        [
            Node(row.label, modifier=row.modifier, provenance=Provenance(rule, row.sources))
            for row in rows
        ],
        vectors,
        seen.bias,
        composition=composition,
        temperature=1.0 if flat else seen.temperature,
    )
    return Edit(head, edited, report, f"split {tree[column].label!r} into {made} ({composition})")


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


def _splittable(tree: LabelTree, name: str) -> int:
    return find_first(tree, name, tree.leaves, tree.inner)


def _subcategories(label: str, into: Into, existing: Collection[str]) -> list[tuple[str, str]]:
    """(full label, modifier) of every subcategory.

    A text that begins with the class's first word is a full label; any other is a modifier and
    follows the class's label.

    Raises:
        LabelError: a name is empty, not allowed or appears twice.
        EditError: there are fewer than two.
    """
    if isinstance(into, str):
        raise TypeError(f"into must be a sequence of texts or a mapping, got the text {into!r}")
    if isinstance(into, Mapping):
        pairs = [(check_label(full), check_label(modifier)) for full, modifier in into.items()]
    else:
        texts = [check_label(text) for text in into]
        taken = [text for text in texts if text.casefold() in existing and text != label]
        if taken:
            raise LabelError(
                f"There already is a class {taken[0]!r}. If it is a modifier, say which label it "
                f"makes: '{label} {taken[0]}={taken[0]}'."
            )
        full = [words(text)[0] == words(label)[0] for text in texts]
        told_apart = iter(
            _modifiers(label, [t for t, is_full in zip(texts, full, strict=True) if is_full])
        )
        pairs = [
            (text, next(told_apart)) if is_full else (f"{label} {text}", text)
            for text, is_full in zip(texts, full, strict=True)
        ]
    if len(pairs) < 2:
        raise EditError(
            f"A split needs at least two subcategories, got {len(pairs)}. Add what {label!r} is "
            "when it is not that."
        )
    for names in zip(*pairs, strict=True):
        folded = [name.casefold() for name in names]
        twice = {name for name in folded if folded.count(name) > 1}
        if twice:
            raise LabelError(f"The subcategory {min(twice)!r} appears twice. Name each one once.")
    return pairs


def _modifiers(label: str, full_labels: Sequence[str]) -> list[str]:
    if not full_labels:
        return []
    *modifiers, _ = differing_words([*full_labels, label])
    for full, modifier in zip(full_labels, modifiers, strict=True):
        if not modifier:
            raise LabelError(f"{full!r} says no more than {label!r}. Name what tells it apart.")
    return modifiers


def _clip_warnings(
    rows: Sequence[NewRow], seen: Sight, target: int, statistics: Statistics | None
) -> list[str]:
    if statistics is not None and not seen.n_clips:
        return [
            f"only {statistics.counts[target]} of the bundle's clips are of this class, "
            f"{MIN_CLIPS} are wanted: the new rows are not centred"
        ]
    return [
        f"{row.modifier!r} gets {share:.0%} of the class's clips in the bundle"
        for row, share in zip(rows, seen.shares, strict=False)
        if share < 1 / len(rows) / 4
    ]


def _low(confidence: Confidence) -> str:
    return (
        "it is expected to be no better than guessing: the head's own groups with like names come "
        f"out at {confidence.precedent:+.2f} when they are split so (1 is always right, 0 "
        f"guessing), and clips of the class lie {confidence.spread:.1f} times as far apart as usual"
    )


def _describe(
    subcategories: Sequence[tuple[str, str]],
    known: Sequence[str],
    transfer: Transfer,
    match: SourceMatch,
) -> list[NewRow]:
    rows = []
    for index, (label, modifier) in enumerate(subcategories):
        # Rounded before they are ordered, since they are for people and become part of the head's
        # bytes, and equally good sources differ in their last bits. No -0.0, either.
        near, share = (
            np.round(part[index], 4) + 0.0 for part in (transfer.similarities, transfer.weights)
        )
        order = np.argsort(-share, kind="stable")
        # The row is made of all of them; people are told of those that matter.
        matter = share > max(0.0, MIN_SHARE * float(share.max()))
        best = order[: min(N_SOURCES, np.count_nonzero(matter))]
        sources = tuple(Source(known[i], float(near[i]), float(share[i])) for i in best)
        row = NewRow(label, modifier, sources)
        if match.sources:
            runner_up = match.runners_up[index]
            row = replace(
                row,
                match=known[match.sources[index]],
                runner_up=known[runner_up] if runner_up >= 0 else "",
                margin=round(match.margins[index], 4),
                near_tie=match.margins[index] < ENCODER_ERROR,
            )
        rows.append(row)
    return rows


def _doubts(
    rows: Sequence[NewRow], request: Request, transfer: Transfer, match: SourceMatch, *, named: bool
) -> list[str]:
    """Why the sources may be the wrong ones, in sentences; empty when they can be trusted."""
    modifiers = " | ".join(row.modifier for row in rows)
    needed = MIN_SCORE_NAMED if named else MIN_SCORE
    if not match.sources:
        return [f"no group of known labels has {len(rows)} members, as many as {modifiers}"]
    if match.score < needed:
        nearest = _listing(row.match for row in rows)
        return [
            f"no known labels differ as {modifiers} do (likeness {match.score:.2f}, {needed} is "
            f"needed; the nearest are {nearest})"
        ]
    doubts = [
        f"{row.modifier!r} is as near to {row.match!r} as to {row.runner_up!r} (margin "
        f"{row.margin:+.2f}, the text encoder's error is {ENCODER_ERROR:.2f})"
        for row in rows
        if row.near_tie
    ]
    # The rule looks at all known labels, not at one group; what it takes must differ alike too.
    strongest = request.known.modifiers[np.argmax(settled(transfer.weights), axis=1)]
    alike = pair_cosines(request.wanted.modifiers, strongest)
    if not doubts and (alike.mean() < needed or alike.min() < ENCODER_ERROR):
        taken = _listing(row.sources[0].label for row in rows if row.sources)
        short = (
            f"likeness {alike.mean():.2f}, {needed} is needed"
            if alike.mean() < needed
            else f"the worst pair {alike.min():+.2f}, {ENCODER_ERROR:.2f} is needed"
        )
        doubts.append(
            f"the rule would take {taken} for {modifiers}: they differ otherwise ({short})"
        )
    return doubts


def _listing(labels: Iterable[str]) -> str:
    return ", ".join(repr(label) for label in labels)


def _warnings(rows: Sequence[NewRow], transfer: Transfer, request: Request) -> list[str]:
    warnings = []
    length = np.linalg.norm(transfer.rows, axis=1)
    typical = float(np.median(np.linalg.norm(request.vectors, axis=1)))
    for row, norm in zip(rows, length, strict=True):
        if norm < 0.1 * typical:
            warnings.append(
                f"{row.modifier!r} moves its row hardly at all: nothing known is like it."
            )
    unit: npt.NDArray[np.float64] = transfer.rows / np.maximum(length, 1e-12)[:, None]
    alike = unit @ unit.T
    for i in range(len(rows)):
        for j in range(i):
            if alike[i, j] > 0.9:
                warnings.append(
                    f"{rows[j].modifier!r} and {rows[i].modifier!r} get nearly the same row "
                    f"(cosine {alike[i, j]:.2f}): one may take all."
                )
    return warnings
