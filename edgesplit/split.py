"""Splitting classes: pure functions from a head, a request and knowledge to an `Edit`."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from edgesplit.confidence import look, measure, with_clips
from edgesplit.doubts import (
    describe_rows,
    find_doubts,
    rule_doubts,
    warn_of_clips,
    warn_of_rows,
)
from edgesplit.edit import Edit, find_first
from edgesplit.errors import (
    EdgesplitError,
    EditError,
    FeatureSpaceError,
    LabelError,
    ThinStatisticsError,
    UncertainSourceError,
)
from edgesplit.head import Head
from edgesplit.knowledge import Taxonomy, differing_words, known_groups
from edgesplit.labels import Composition, LabelTree, Node, Provenance, check_label, words
from edgesplit.report import Report, ShotReport
from edgesplit.request import Question, ask
from edgesplit.rules import DEFAULT_RULE, get_rule
from edgesplit.rules.lowshot import LowShot, low_shot
from edgesplit.rules.transfer import Request, Transfer, on_grid
from edgesplit.sources import in_known_words, match_sources, trust_in
from edgesplit.stats import Statistics
from edgesplit.text import TextEncoder, packaged_encoder

__all__ = ["Into", "Plan", "Shots", "Split", "split_class", "split_classes"]

Into = Sequence[str] | Mapping[str, str]
"""Modifiers ("left"), full labels ("pushing something left"), or {full label: modifier}."""

Shots = Mapping[str, npt.ArrayLike]
"""Features `(clips, dim)` of labelled clips, by the subcategory's label or modifier."""


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """One split of a plan, as in `split_class`; what is None is as the whole plan has it."""

    into: Into
    rule: str | None = None
    composition: Composition | None = None
    like: str | None = None
    shots: Shots | None = None
    force: bool | None = None


Plan = Mapping[str, Into | Split]
"""{class: its subcategories, or a `Split`}, in the order in which they are split."""


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
    bias). Labelled clips, from one on, then move the rows; see `edgesplit.rules.lowshot`. The
    temperature of a gated split makes the scores as sure as it is expected to be right.

    Args:
        head: the head to edit; it stays as it is.
        name: the class, as in `LabelTree.find`.
        into: at least two subcategories.
        rule: where the rows come from, one of `edgesplit.rules.RULES`.
        composition: `gated` shares the class's score among the subcategories and changes no
            other answer; `flat` is the paper's rule and lets them compete with every class.
        statistics: of unlabelled clips; without them there is no centring and no confidence.
        shots: features of a few labelled clips, by subcategory, some of which may have none.
        taxonomy: {coarse category: {fine label: modifier}} instead of induced groups.
        like: the one group of known labels to learn from, as "pulling something".
        force: accept sources that the text encoder cannot tell apart, or a low confidence.
        encoder: the text encoder; the packaged one by default.

    Raises:
        LabelError: the class does not exist or is ambiguous, or a subcategory's name is not
            allowed.
        EditError: the split cannot be made as asked.
        UncertainSourceError: the text encoder cannot tell the sources, or the head's own groups
            say that the split will come out wrong, `force` is off, and some subcategory has no
            labelled clip.
        FeatureSpaceError: the statistics or the clips are of another backbone.
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
    labelled = _placed(shots or {}, subcategories, head.dim)
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
    match = match_sources(question.request)
    trust = trust_in(match, named=like is not None)
    request = in_known_words(question.request, match, named=like is not None)
    used, transfer = _transfer(rule, request)
    known = [member.label for group in groups for member in group.members]
    rows = describe_rows(subcategories, known, transfer, match)
    confidence = measure(question, transfer.rows, statistics, trust)
    doubts = find_doubts(rows, match, trust, confidence) or rule_doubts(rows, request, transfer)
    # With a clip of every subcategory there is a way that needs no text.
    start = not doubts or force or not all(map(len, labelled))
    if doubts and start and not force:
        raise UncertainSourceError(
            f"This split is in doubt: {'; '.join(doubts)}. Name the group to learn from with "
            "--like, say it in its words (--into 'LABEL=MODIFIER,…'), give the modifiers with "
            "--taxonomy, show a clip of each with --shots, or accept this with --force.",
            tuple(doubts),
        )
    fitted = _fit(transfer.rows, labelled, question, statistics, trust_start=start)
    vectors = on_grid(transfer.rows if fitted is None else fitted.rows)
    if confidence is not None and fitted is not None:
        confidence = with_clips(confidence, fitted, len(rows))
    seen = look(question, vectors.astype(np.float64), statistics, confidence, fitted)
    flat = composition == "flat"
    report = Report(
        action="split",
        label=tree[column].label,
        n_untouched=len(tree.roots) - flat,
        rule=used,
        composition=composition,
        likeness=round(match.score, 4),
        rows=tuple(rows),
        n_clips=seen.n_clips,
        shots=None
        if fitted is None
        else ShotReport(tuple(map(len, labelled)), fitted.n_right, fitted.pull),
        confidence=confidence,
        roll_up_growth=math.log(len(rows)) if flat else 0.0,
        doubts=tuple(doubts),
        warnings=(
            *transfer.notices,
            *warn_of_rows(rows, transfer, request),
            *warn_of_clips(rows, seen, question, statistics),
        ),
    )
    made = ", ".join(repr(modifier) for _, modifier in subcategories)
    children = [
        Node(row.label, modifier=row.modifier, provenance=Provenance(used, row.sources, len(clips)))
        for row, clips in zip(rows, labelled, strict=True)
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
    return Edit(head, edited, report, f"split {tree[column].label!r} into {made} ({composition})")


def split_classes(
    head: Head,
    plan: Plan,
    *,
    rule: str = DEFAULT_RULE,
    composition: Composition = "gated",
    statistics: Statistics | None = None,
    taxonomy: Taxonomy | None = None,
    like: str | None = None,
    force: bool = False,
    encoder: TextEncoder | None = None,
) -> Edit:
    """Splits several classes, one after another, in one edit: all of them or none.

    Each is split by `split_class` on the head that the splits before it made, so a plan may go on
    to split a subcategory that it made itself. The new head's parent is `head`.

    Args:
        head: the head to edit; it stays as it is.
        plan: the classes in order, each with its subcategories.
        rule: of the splits that name none.
        composition: of the splits that name none.
        statistics: as in `split_class`.
        taxonomy: as in `split_class`, for all splits.
        like: for the splits that name no group.
        force: for the splits that do not say.
        encoder: as in `split_class`.

    Raises:
        EditError: the plan is empty, or some splits were refused; the text names each of them.
        UncertainSourceError: the same, where all that were refused are only in doubt.
        FeatureSpaceError: the statistics or the clips are of another backbone.
    """
    if not plan:
        raise EditError("The plan has no class to split. Name one at least.")
    edits: list[Edit] = []
    refused: dict[str, EdgesplitError] = {}
    for name, wanted in plan.items():
        split = wanted if isinstance(wanted, Split) else Split(wanted)
        attempt = partial(
            split_class,
            edits[-1].head if edits else head,
            name,
            into=split.into,
            rule=split.rule or rule,
            composition=split.composition or composition,
            statistics=statistics,
            shots=split.shots,
            taxonomy=taxonomy,
            like=split.like or like,
            encoder=encoder,
        )
        try:
            edits.append(attempt(force=force if split.force is None else split.force))
        except UncertainSourceError as error:
            refused[name] = error
            edits.append(attempt(force=True))  # for the splits below it to be judged, too
        except (EditError, LabelError) as error:
            refused[name] = error
    if refused:
        raise _refusal(refused, len(plan))
    return Edit(
        before=head,
        head=replace(edits[-1].head, parent=head.digest),
        report=Report(
            action="plan",
            label="",
            n_untouched=len(head.tree.roots) - len(set().union(*map(_touched, edits))),
            splits=tuple(edit.report for edit in edits),
        ),
        action=f"plan: split {', '.join(repr(edit.report.label) for edit in edits)}",
    )


def _touched(edit: Edit) -> set[int]:
    """Columns of the root classes whose logits a split changes."""
    tree = edit.before.tree
    flat = edit.report.composition == "flat"
    return {tree.path(tree.find(edit.report.label))[0]} if flat else set()


def _refusal(refused: Mapping[str, EdgesplitError], n_splits: int) -> EditError:
    """All that stands against a plan, and what to do."""
    lines = [f"Refused {len(refused)} of the plan's {n_splits} splits, so none was made:"]
    doubtful = {n: e.doubts for n, e in refused.items() if isinstance(e, UncertainSourceError)}
    for name, error in refused.items():
        why = f"in doubt: {'; '.join(doubtful[name])}" if name in doubtful else str(error)
        lines.append(f"  {name!r}: {why}")
    if doubtful:
        lines.append(
            "For each in doubt, name the group to learn from (like), say it in its words (into: "
            "{LABEL: MODIFIER, …}), show a clip of each (shots), or accept it (force: true)."
        )
    text = "\n".join(lines)
    if len(doubtful) < len(refused):
        return EditError(text)
    return UncertainSourceError(text, sum(doubtful.values(), ()))


def _transfer(rule: str, request: Request) -> tuple[str, Transfer]:
    """The rule that made the rows, and what it made."""
    try:
        return rule, get_rule(rule)(request)
    except ThinStatisticsError as error:
        notice = f"{error}; {DEFAULT_RULE} made the rows instead"
        transfer = get_rule(DEFAULT_RULE)(request)
        return DEFAULT_RULE, replace(transfer, notices=(notice, *transfer.notices))


def _placed(
    shots: Shots, subcategories: Sequence[tuple[str, str]], dim: int
) -> list[npt.NDArray[np.float64]]:
    """The clips of each subcategory.

    Raises:
        EditError: clips of something else, or no clip at all.
        FeatureSpaceError: features of another size.
        ValueError: features that are no matrix, or not finite.
    """
    placed = [np.zeros((0, dim)) for _ in subcategories]
    for name, features in shots.items():
        fits = [i for i, names in enumerate(subcategories) if words(name) in map(words, names)]
        if len(fits) != 1:
            listed = ", ".join(repr(modifier) for _, modifier in subcategories)
            raise EditError(f"There are clips of {name!r}, which is none of {listed}.")
        clips = np.asarray(features, np.float64)
        if clips.ndim != 2 or not np.isfinite(clips).all():
            raise ValueError(f"the clips of {name!r} must be finite features (clips, {dim})")
        if clips.shape[1] != dim:
            raise FeatureSpaceError(
                f"The features of {name!r} have {clips.shape[1]} values, the head takes {dim}. "
                "Extract them with this bundle's backbone."
            )
        placed[fits[0]] = np.concatenate([placed[fits[0]], clips])
    if shots and not any(map(len, placed)):
        raise EditError("There is no labelled clip of any subcategory. Leave --shots out, or add.")
    return placed


def _fit(
    start: npt.NDArray[np.float64],
    labelled: Sequence[npt.NDArray[np.float64]],
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
