"""The texts of a split, wanted and known, and their embeddings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgesplit._types import Float64, Int64
from edgesplit.edits.groups import Group, known_groups
from edgesplit.edits.naming import Subcategories
from edgesplit.edits.rules.base import Texts
from edgesplit.edits.text_encoder import TextEncoder
from edgesplit.heads.label_text import common_start, words
from edgesplit.heads.labels import LabelTree, Provenance

__all__ = ["embed_texts", "exported_columns", "texts_of_head", "words_in_order"]

MAX_LABELS = 1000
"""Maximum labels of the head that a rule learns from, groups first: each costs an embedding."""


def exported_columns(tree: LabelTree, known: Int64, encoder: TextEncoder) -> list[int]:
    """Return columns of rows not made by an edit, up to `MAX_LABELS`, preferring group members.

    Labels that may be too long for the encoder are skipped: a token has at least one byte.
    """
    columns = [
        column
        for column, node in enumerate(tree)
        if node.provenance == Provenance() and len(node.label.encode()) <= encoder.max_tokens - 2
    ]
    if len(columns) > MAX_LABELS:
        members = set(known.tolist())
        columns = sorted(sorted(columns, key=lambda c: c not in members)[:MAX_LABELS])
    return columns


def embed_texts(
    tree: LabelTree,
    column: int,
    subcategories: Subcategories,
    groups: Sequence[Group],
    exported: Sequence[int],
    encoder: TextEncoder,
) -> tuple[Texts, Texts, Float64, Float64]:
    """Embed all texts of a split in one call: a call costs as much as thirty texts.

    Returns:
        The wanted texts, the known texts, the exported labels, and the names of the groups with
        the class's label as the last.
    """
    owner = [-1] * len(subcategories) + [i for i, group in enumerate(groups) for _ in group.members]
    labels = [label for label, _ in subcategories]
    labels += [member.label for group in groups for member in group.members]
    modifiers, in_order = _modifiers([[text for _, text in subcategories]], groups)
    of_head = [tree[c].label for c in exported]
    names = [*(group.name for group in groups), tree[column].label]
    texts = [*modifiers, *labels, *in_order, *of_head, *names]
    embedded = encoder.encode(texts).astype(np.float64)
    n, n_wanted = len(labels), len(subcategories)
    of_modifiers, of_labels, ordered, of_head_texts, of_names = np.split(
        embedded, np.cumsum([n, n, n, len(of_head)])
    )
    written = Texts(of_modifiers, of_labels, np.array(owner, np.int64), ordered)
    wanted, known = written.part(np.arange(n_wanted)), written.part(np.arange(n_wanted, n))
    return wanted, known, of_head_texts, of_names


def texts_of_head(tree: LabelTree, encoder: TextEncoder) -> list[str]:
    """Return the texts that every split of a head embeds, so that export can embed them once."""
    groups = known_groups(tree)
    members = [member for group in groups for member in group.members]
    columns = np.array([member.column for member in members], np.int64)
    modifiers, in_order = _modifiers([], groups)
    texts = [*modifiers, *in_order, *(member.label for member in members)]
    texts += [tree[column].label for column in exported_columns(tree, columns, encoder)]
    texts += [group.name for group in groups]
    return list(dict.fromkeys(texts))


def words_in_order(modifiers: Sequence[str]) -> list[str]:
    """Return siblings' modifiers in a form that a text encoder can distinguish.

    An encoder is almost blind to the order of words: the packaged one places "from left to right"
    and "from right to left" equally near to "left". Siblings that have the same words in another
    order are cut after the first word that differs, here to "to right" and "to left": the end of a
    motion comes last.
    """
    split = [words(modifier) for modifier in modifiers]
    orders_of: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for text in split:
        orders_of.setdefault(tuple(sorted(text)), set()).add(text)
    distinct = []
    for modifier, text in zip(modifiers, split, strict=True):
        orders = sorted(orders_of[tuple(sorted(text))])
        start = common_start(orders, len(text)) + 1
        distinct.append(" ".join(text[start:]) if len(orders) > 1 else modifier)
    return distinct


def _modifiers(
    wanted: Sequence[Sequence[str]], groups: Sequence[Group]
) -> tuple[list[str], list[str]]:
    """Return all modifiers as written, those of the groups last, and as `words_in_order`."""
    siblings = [*wanted, *([member.modifier for member in group.members] for group in groups)]
    in_order = [text for some in siblings for text in words_in_order(some)]
    return [text for some in siblings for text in some], in_order
