"""What a rule is asked, made from a head, its groups, the wanted texts and statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgesplit.edits.groups import Group, words_in_order
from edgesplit.edits.naming import Subcategories
from edgesplit.edits.rules.base import Floats, Request, Texts, members_of
from edgesplit.edits.text_encoder import TextEncoder
from edgesplit.heads.head import Head
from edgesplit.heads.labels import Provenance
from edgesplit.heads.statistics import MIN_CLIPS, Statistics

__all__ = ["Question", "ask"]


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """What is asked of a rule, and what is needed to judge its answer."""

    request: Request
    subcategories: Subcategories
    known: tuple[str, ...]
    """The labels that belong to a group."""
    names: Floats
    """`(groups, text dim)`: embeddings of the groups' names."""
    name: Floats
    """`(text dim,)`: of the class's label."""
    columns: npt.NDArray[np.int64]
    """`(known,)`: columns of the known labels."""
    clips: Floats
    """`(clips, dim)`: unlabelled ones of the class, or of the nearest class above it that has
    enough of them; none without statistics."""
    mean: Floats | None
    """`(dim,)`: of all that the statistics are of; None where there are too few."""
    n_clips: int
    """That the mean is of, or would be."""


def ask(
    head: Head,
    column: int,
    groups: Sequence[Group],
    subcategories: Subcategories,
    encoder: TextEncoder,
    statistics: Statistics | None,
    *,
    with_context: bool = False,
) -> Question:
    """Embeds the texts and gathers what the head and the clips know.

    Args:
        head: the head that is edited.
        column: the class to split.
        groups: what is known.
        subcategories: (full label, modifier) of each.
        encoder: embeds the texts.
        statistics: of unlabelled clips, if there are any.
        with_context: fill `Request.context`.
    """
    members = [member for group in groups for member in group.members]
    owner = np.array([i for i, group in enumerate(groups) for _ in group.members], np.int64)
    columns = np.array([member.column for member in members], np.int64)
    labels = [label for label, _ in subcategories] + [member.label for member in members]
    siblings = [[text for _, text in subcategories]]
    siblings += [[member.modifier for member in group.members] for group in groups]
    modifiers = [text for some in siblings for text in some]
    in_order = [text for some in siblings for text in words_in_order(some)]
    n_labels, n_wanted = len(labels), len(subcategories)
    texts = [*labels, *modifiers, *in_order]
    texts += [*(group.name for group in groups), head.tree[column].label]
    embedded = encoder.encode(texts).astype(np.float64)
    of_labels, of_modifiers, ordered = np.split(embedded[: 3 * n_labels], 3)
    written = Texts(of_modifiers, of_labels, np.append(np.full(n_wanted, -1), owner), ordered)
    means, clips = _means(columns, owner, statistics)
    request = Request(
        wanted=written.part(np.arange(n_wanted)),
        known=written.part(np.arange(n_wanted, n_labels)),
        vectors=_centred(head.weight[columns].astype(np.float64), owner),
        means=means,
        clips=clips,
        context=_context(head, groups, encoder) if with_context else None,
    )
    seen = _clips_of(head, column, statistics)
    known = tuple(member.label for member in members)
    names, name = embedded[3 * n_labels : -1], embedded[-1]
    return Question(request, subcategories, known, names, name, columns, *seen)


def _clips_of(
    head: Head, column: int, statistics: Statistics | None
) -> tuple[Floats, Floats | None, int]:
    """Clips, mean and count of a class, or of the nearest one above it that has enough."""
    if statistics is None:
        return np.zeros((0, head.dim)), None, 0
    root, *below = head.tree.path(column)
    clips = statistics.of_class(root).astype(np.float64)
    if below and len(clips):
        decided = head.evaluate(clips).class_index
        paths = {leaf: head.tree.path(leaf) for leaf in np.unique(decided).tolist()}
        for part in reversed(below):
            mine = clips[[part in paths[leaf] for leaf in decided.tolist()]]
            if len(mine) >= MIN_CLIPS:
                return mine, mine.mean(axis=0), len(mine)
    count = int(statistics.counts[root])
    mean = statistics.means[root].astype(np.float64) if count >= MIN_CLIPS else None
    return clips, mean, count


def _context(head: Head, groups: Sequence[Group], encoder: TextEncoder) -> tuple[Floats, Floats]:
    """All exported labels with their rows, all groups with their members' mean row."""
    exported = [c for c, node in enumerate(head.tree) if node.provenance == Provenance()]
    texts = [head.tree[column].label for column in exported] + [group.name for group in groups]
    rows = head.weight.astype(np.float64)
    means = [rows[[member.column for member in group.members]].mean(axis=0) for group in groups]
    targets = np.concatenate([rows[exported], np.reshape(means, (len(groups), head.dim))])
    return encoder.encode(texts).astype(np.float64), targets


def _means(
    columns: npt.NDArray[np.int64], owner: npt.NDArray[np.int64], statistics: Statistics | None
) -> tuple[Floats | None, npt.NDArray[np.int64] | None]:
    """Mean features of the known labels around their groups' means, and their clips."""
    if statistics is None:
        return None, None
    n_roots = len(statistics.counts)
    inside = columns < n_roots  # a subcategory has no mean of its own
    place = np.where(inside, columns, 0)
    clips = np.where(inside, statistics.counts[place], 0)
    means = statistics.means[place].astype(np.float64)
    for members in members_of(owner):
        if clips[members].min() < MIN_CLIPS:  # then the group says nothing
            clips[members] = 0
            means[members] = 0
    return _centred(means, owner), clips


def _centred(rows: Floats, owner: npt.NDArray[np.int64]) -> Floats:
    """Rows minus the mean of their group's rows; changes them in place."""
    for members in members_of(owner):
        rows[members] -= rows[members].mean(axis=0)
    return rows
