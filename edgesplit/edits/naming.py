"""The subcategories of a request: their labels and modifiers, and their labelled clips."""

from __future__ import annotations

import operator
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, SupportsIndex

import numpy as np

from edgesplit._types import Float32, Float64
from edgesplit.edits.request import Into, Shots, SplitRequest
from edgesplit.edits.spelling import correct_spelling
from edgesplit.edits.text_encoder import TextEncoder
from edgesplit.edits.tokens import parse_label
from edgesplit.errors import EditError, FeatureSpaceError, LabelError
from edgesplit.heads.label_text import check_label, differing_words, words
from edgesplit.heads.labels import Composition, LabelTree, Node, Provenance

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = [
    "Subcategories",
    "check_features",
    "correct_names",
    "find_split",
    "grow",
    "name_subcategories",
    "place_shots",
    "read_answers",
]

Subcategories = Sequence[tuple[str, str]]
"""(full label, modifier) of each subcategory."""


def name_subcategories(label: str, into: Into, existing: Collection[str]) -> Subcategories:
    """Return (full label, modifier) of every subcategory.

    A text that begins with the class's first word is a full label. Any other text is a modifier,
    and is appended to the class's label.

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
                f"A class {taken[0]!r} already exists. If it is meant as a modifier, write the "
                f"label, too: '{label} {taken[0]}={taken[0]}'."
            )
        full = [words(text)[0] == words(label)[0] for text in texts]
        modifiers = iter(
            _modifiers(label, [t for t, is_full in zip(texts, full, strict=True) if is_full])
        )
        pairs = [
            (text, next(modifiers)) if is_full else (f"{label} {text}", text)
            for text, is_full in zip(texts, full, strict=True)
        ]
    if len(pairs) < 2:
        raise EditError(
            f"A split of {label!r} needs at least two subcategories, got {len(pairs)}. Add another "
            "one."
        )
    for names in zip(*pairs, strict=True):
        folded = [name.casefold() for name in names]
        twice = {name for name in folded if folded.count(name) > 1}
        if twice:
            raise LabelError(f"The subcategory {min(twice)!r} appears twice. Name each one once.")
    return pairs


def find_split(tree: LabelTree, name: str, into: Into) -> tuple[int, Subcategories]:
    """Return the column of the class to split, and its subcategories.

    Raises:
        LabelError, EditError: as `LabelTree.find` and `name_subcategories`.
    """
    column = tree.find_first(name, tree.leaves, tree.inner)
    taken = {node.label.casefold() for node in tree}
    return column, name_subcategories(tree[column].label, into, taken)


def grow(
    tree: LabelTree, column: int, subcategories: Subcategories, composition: Composition
) -> LabelTree:
    """Return the tree after the split; the new nodes have no provenance yet.

    Raises:
        EditError: the class cannot be split with this composition.
    """
    children = [Node(label=label, modifier=modifier) for label, modifier in subcategories]
    return tree.split(column, children, composition=composition)


def _modifiers(label: str, full_labels: Sequence[str]) -> list[str]:
    if not full_labels:
        return []
    *modifiers, _ = differing_words([*full_labels, label])
    for full, modifier in zip(full_labels, modifiers, strict=True):
        if not modifier:
            raise LabelError(
                f"{full!r} does not add a word to {label!r}. Add what distinguishes it."
            )
    return modifiers


def correct_names(
    subcategories: Subcategories, tree: LabelTree, encoder: TextEncoder
) -> Subcategories:
    """Return the subcategories with misspelt words replaced by words of the head."""
    exported = (node.label for node in tree if node.provenance == Provenance())
    known = {word for label in exported for word in parse_label(label).words}
    read = [
        (
            correct_spelling(label, known, encoder.has_word),
            correct_spelling(modifier, known, encoder.has_word),
        )
        for label, modifier in subcategories
    ]
    distinct = len({modifier.casefold() for _, modifier in read}) == len(read)
    return read if distinct else subcategories


def place_shots(shots: Shots, subcategories: Subcategories, dim: int) -> list[Float64]:
    """Return the labelled clips of each subcategory.

    Raises:
        EditError: clips of an unknown subcategory, or no clip at all.
        FeatureSpaceError: features of another size.
        ValueError: features that are not a matrix, or not finite.
    """
    placed = [np.zeros((0, dim)) for _ in subcategories]
    for name, features in shots.items():
        place = _place_of(name, subcategories)
        if place is None:
            raise EditError(
                f"There are clips of {name!r}, which is not a subcategory. The subcategories are "
                f"{_list(subcategories)}."
            )
        clips = check_features(features, dim, f"the clips of {name!r}").astype(np.float64)
        placed[place] = np.concatenate([placed[place], clips])
    if shots and not any(map(len, placed)):
        raise EditError(
            "There is no labelled clip of any subcategory. Add clips, or remove --shots."
        )
    return placed


def read_answers(
    request: SplitRequest, subcategories: Subcategories, dim: int
) -> tuple[Float32, tuple[tuple[int, int], ...]]:
    """Return the request's features `(clips, dim)`, and each answer as (clip, subcategory).

    Answers are in the order of clips. The subcategory is -1 for a clip that shows none. Without
    features, the array has no row.

    Raises:
        EditError: answers without features, about a clip that does not exist, or that name an
            unknown subcategory.
        FeatureSpaceError: features of another size.
        ValueError: features that are not a matrix, or not finite.
        TypeError: a clip that is not an integer, or an answer that is not a text.
    """
    if request.features is None:
        if request.answers:
            raise EditError("There are answers but no features. Add the features of the clips.")
        return np.zeros((0, dim), np.float32), ()
    features = check_features(request.features, dim, "the features")
    answers = []
    for clip, name in sorted((_index(key), name) for key, name in (request.answers or {}).items()):
        if not 0 <= clip < len(features):
            raise EditError(
                f"There is an answer about clip {clip}, but there are {len(features)} clips, "
                "counted from 0."
            )
        if name is not None and not isinstance(name, str):
            raise TypeError(f"The answer about clip {clip} must be a label or None, got {name!r}.")
        place = -1 if name is None else _place_of(name, subcategories)
        if place is None:
            raise EditError(
                f"The answer about clip {clip} is {name!r}, which is not a subcategory. The "
                f"subcategories are {_list(subcategories)}."
            )
        answers.append((clip, place))
    return features, tuple(answers)


def check_features(features: npt.ArrayLike, dim: int, what: str) -> Float32:
    """Return `features` as float32; they must be `(clips, dim)` and finite.

    Raises:
        FeatureSpaceError: they are of another size.
        ValueError: they are not a matrix, or not finite.
    """
    with np.errstate(over="ignore"):  # an overflow is not finite, and refused below
        clips = np.asarray(features, np.float32)
    if clips.ndim != 2 or not np.isfinite(clips).all():
        raise ValueError(f"{what} must be finite features (clips, {dim})")
    if clips.shape[1] != dim:
        raise FeatureSpaceError(
            f"{what[0].upper()}{what[1:]} have {clips.shape[1]} values; the head needs {dim}. "
            "Extract them with this bundle's backbone."
        )
    return clips


def _index(clip: object) -> int:
    if isinstance(clip, bool | np.bool_) or not isinstance(clip, SupportsIndex):
        raise TypeError(f"A key of the answers must be a clip's index, an integer, got {clip!r}.")
    return operator.index(clip)


def _place_of(name: str, subcategories: Subcategories) -> int | None:
    fits = [i for i, names in enumerate(subcategories) if words(name) in map(words, names)]
    return fits[0] if len(fits) == 1 else None


def _list(subcategories: Subcategories) -> str:
    return ", ".join(repr(modifier) for _, modifier in subcategories)
