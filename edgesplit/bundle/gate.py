"""The gate: a head goes live only if it changes nothing outside its edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgesplit._types import Float32
from edgesplit.backbone.session import open_session
from edgesplit.errors import GateError
from edgesplit.heads.diff import HeadDiff, diff_heads, match_nodes
from edgesplit.heads.head import Head
from edgesplit.heads.labels import LabelTree
from edgesplit.heads.metrics import count_flips
from edgesplit.heads.statistics import spread

__all__ = ["GateReport", "check_locality"]

MAX_CHANGED_SHARE = 0.25
"""Largest share of decisions on the bundle's clips that a new flat split may change unless that is
accepted. The paper's rule changes up to a tenth (docs/results.md)."""

MAX_GOLDEN = 256
"""Maximum number of features to compare."""

OUTPUTS = ["logits", "probabilities"]

N_MADE = 64
"""Number of random features for a bundle without golden features."""


@dataclass(frozen=True, slots=True)
class GateReport:
    """Size of a comparison that found no difference."""

    n_features: int
    n_untouched: int
    """Number of root classes whose logits were compared, bit for bit."""
    n_changed: int
    """Decisions on the bundle's clips that change between classes; 0 without a new flat split."""
    n_decided: int
    """Clips whose decisions were compared; 0 without a new flat split."""


def check_locality(before: Head, after: Head, golden: Float32 | None) -> GateReport:
    """Raise GateError if `after` changes anything that both heads have.

    A node of both heads must have the same row, parent and provenance. A split of both heads must
    have the same composition and temperature and no new children. Root logits, computed by ONNX
    Runtime on the golden features, must be equal bit for bit, except those of classes that are or
    were split flat. If no class is or was split flat, the root probabilities must be equal, too. A
    label of both heads must belong to the same node. One label may be renamed, if nothing else
    changes.

    Args:
        before: the live head.
        after: the new head.
        golden: `(clips, dim)` features of real clips, a sample of which is compared; by default
            random features.

    Raises:
        GateError: a root class is missing, new or moved, or something differs.
    """
    old, new = before.tree, after.tree
    pairs = match_nodes(before, after)
    _check_roots(before, after, pairs)
    difference = diff_heads(before, after, pairs)
    _check_renames(difference)
    untouched = [
        column
        for column in old.roots
        if "flat" not in (old[column].composition, new[column].composition)
    ]
    if golden is None:
        features = np.random.default_rng(0).standard_normal((N_MADE, before.dim), np.float32)
    else:
        features = golden[spread(len(golden), MAX_GOLDEN)]
    results = [
        open_session(head.to_bytes(), optimize=False).run(OUTPUTS, {"features": features})
        for head in (before, after)
    ]
    logits, probabilities = (
        [np.ascontiguousarray(result[kind][:, untouched]).view(np.int32) for result in results]
        for kind in range(len(OUTPUTS))
    )
    changed = _changed_labels(before, after, pairs, difference) + _differing(old, untouched, logits)
    if not changed and len(untouched) == len(old.roots):
        changed = _differing(old, untouched, probabilities)
    if changed:
        labels = list(dict.fromkeys(changed))
        listed = ", ".join(map(repr, labels[:5])) + (", …" if len(labels) > 5 else "")
        raise GateError(
            f"The head would change {len(labels)} labels that its edit must not change: {listed}. "
            "Nothing was published; make the edit again."
        )
    flat = sum(node.composition == "flat" for node in new)
    grew = flat > sum(node.composition == "flat" for node in old)
    clips = golden if golden is not None and grew else features[:0]
    return GateReport(
        n_features=len(features),
        n_untouched=len(untouched),
        n_changed=count_flips(before, after, clips) if len(clips) else 0,
        n_decided=len(clips),
    )


def _differing(
    tree: LabelTree, columns: list[int], values: list[npt.NDArray[np.int32]]
) -> list[str]:
    """Return the labels of the columns whose values differ in a bit, NaN included."""
    equal = (values[0] == values[1]).all(axis=0)
    return [tree[c].label for c, same in zip(columns, equal, strict=True) if not same]


def _check_roots(before: Head, after: Head, pairs: Mapping[int, int]) -> None:
    """Raise GateError unless the root classes are the same nodes in the same columns."""
    old, new = before.tree, after.tree
    if len(old.roots) != len(new.roots) or not pairs.keys() >= set(old.roots):
        raise GateError("This head was not made from the live head: its original classes differ.")
    for column in old.roots:
        if pairs[column] != column:
            raise GateError(
                f"The head has {old[column].label!r} in column {pairs[column]}, the live head in "
                f"column {column}: labels were exchanged. Nothing was published; make the edit "
                "again."
            )


def _check_renames(difference: HeadDiff) -> None:
    """Raise GateError if a label changes together with anything else.

    Then the head is damaged, or it is an edit of another head.
    """
    others = (*difference.added, *difference.removed, *difference.resplit)
    if difference.renamed and (others or len(difference.renamed) > 1):
        rename = difference.renamed[0]
        raise GateError(
            f"The head renames {rename.before!r} to {rename.after!r} and has other changes. "
            "Nothing was published. Publish the rename as a separate edit."
        )


def _changed_labels(
    before: Head, after: Head, pairs: Mapping[int, int], difference: HeadDiff
) -> list[str]:
    """Return the labels of nodes whose row differs, or whose split differs in both heads."""
    resplit = [split.label for split in difference.resplit if split.before and split.after]
    known = set(pairs.values())
    grown = [
        after.tree[pair].label
        for column, pair in pairs.items()
        if before.tree[column].composition is not None
        and not known.issuperset(after.tree.children(pair))
    ]
    return [*difference.changed, *resplit, *grown]
