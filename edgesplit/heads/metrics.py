"""The quality of an edit: generality, locality, churn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from edgesplit._data import nan_to_null
from edgesplit._types import Float32, Int64
from edgesplit.errors import EditError
from edgesplit.heads.head import Head

__all__ = ["Score", "count_flips", "score_split"]


@dataclass(frozen=True, slots=True)
class Score:
    """Metrics of one edit on labelled features. Fractions are of 1; NaN without clips."""

    generality: float
    """Accuracy on the clips of the new subcategories."""
    in_group: float
    """Accuracy on the same clips when only the new subcategories can win."""
    locality: float
    """Correct decisions on all other clips after the edit, divided by those before it; the unedited
    head may answer the coarse category."""
    locality_paper: float
    """The same, divided by the correct decisions of the unedited head with the coarse category
    masked out, as in the authors' code. Only this value is comparable with published figures."""
    churn: int
    """Number of clips whose decision changed; a subcategory counts as its class."""
    n_target: int
    """Number of clips of the new subcategories."""
    n_other: int
    """Number of all other clips."""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object of the fields; NaN becomes null."""
        return nan_to_null(asdict(self))


def score_split(
    before: Head,
    after: Head,
    name: str,
    features: npt.ArrayLike,
    labels: Sequence[str],
    *,
    edited_features: npt.ArrayLike | None = None,
) -> Score:
    """Score the split of class `name`.

    Args:
        before: the unedited head.
        after: the edited head.
        name: label of the class that was split.
        features: `(clips, dim)` float32.
        labels: the true label of every clip: a subcategory of `name`, or any other class.
        edited_features: features of the same clips for the edited head, if a variant of the
            backbone computes them; default: `features`.

    Raises:
        EditError: `name` is not split in `after`.
    """
    batch = np.asarray(features, np.float32)
    truth = np.asarray(labels, dtype=object)
    seen = batch if edited_features is None else np.asarray(edited_features, np.float32)
    for part in (batch, seen):
        if len(part) != len(truth):
            raise ValueError(f"there are {len(part)} features and {len(truth)} labels")
    column = after.tree.find(name)
    label = after.tree[column].label
    children = [after.tree[child].label for child in after.tree.children(column)]
    if not children:
        raise EditError(f"{name!r} is not split in the edited head.")
    target = np.fromiter((name in children for name in labels), bool, len(truth))
    decided = before.evaluate(batch).class_index
    evaluated = after.evaluate(seen)
    old, new = _names(before, decided), _names(after, evaluated.class_index)
    among = _among(after, column, evaluated.logits[target])
    masked = _masked(before, label, batch[~target], decided[~target])
    correct = (new == truth)[~target].sum()
    return Score(
        generality=_ratio((new == truth)[target].sum(), target.sum()),
        in_group=_ratio((among == truth[target]).sum(), target.sum()),
        locality=_ratio(correct, (old == truth)[~target].sum()),
        locality_paper=_ratio(correct, (masked == truth[~target]).sum()),
        churn=_count_flips(before, after, decided, evaluated.class_index),
        n_target=int(target.sum()),
        n_other=int((~target).sum()),
    )


def count_flips(before: Head, after: Head, features: npt.ArrayLike) -> int:
    """Return for how many of `(clips, dim)` features the two heads decide different classes.

    A subcategory and its class do not count as different.
    """
    batch = np.asarray(features, np.float32)
    decided = (head.evaluate(batch).class_index for head in (before, after))
    return _count_flips(before, after, *decided)


def _count_flips(before: Head, after: Head, old: Int64, new: Int64) -> int:
    flips = 0
    for pair, count in Counter(zip(old.tolist(), new.tolist(), strict=True)).items():
        was, is_now = (
            [head.tree[column].label for column in head.tree.path(decided)]
            for head, decided in zip((before, after), pair, strict=True)
        )
        if was[-1] not in is_now and is_now[-1] not in was:
            flips += count
    return flips


def _names(head: Head, columns: Int64) -> npt.NDArray[Any]:
    labels: npt.NDArray[Any] = np.array([node.label for node in head.tree], dtype=object)[columns]
    return labels


def _among(head: Head, column: int, logits: Float32) -> npt.NDArray[Any]:
    """Return the best child of a split for every row, ignoring all other classes."""
    children = head.tree.children(column)
    best = logits[:, children.start : children.stop].argmax(axis=1)
    return _names(head, children.start + best)


def _masked(head: Head, label: str, batch: Float32, decided: Int64) -> npt.NDArray[Any]:
    """Return the head's decisions if `label` cannot win; all other decisions stay."""
    column = head.tree.find(label)
    inside = np.array([column in head.tree.path(leaf) for leaf in range(len(head.tree))])[decided]
    weight, bias = head.weight.copy(), head.bias.copy()
    weight[column], bias[column] = 0, -1e9  # finite, and below every score
    names = _names(head, decided)
    if inside.any():
        masked = replace(head, weight=weight, bias=bias)
        names[inside] = _names(masked, masked.evaluate(batch[inside]).class_index)
    return names


def _ratio(part: Any, whole: Any) -> float:
    return float(part) / float(whole) if whole else float("nan")
