"""The request for a split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from edgesplit.edits.rules import DEFAULT_RULE
from edgesplit.heads.labels import Composition

if TYPE_CHECKING:
    import numpy.typing as npt

    from edgesplit.edits.rules.base import Rule

__all__ = ["Answers", "Into", "Shots", "SplitChoices", "SplitOptions", "SplitRequest"]

Into = Sequence[str] | Mapping[str, str]
"""Modifiers ("left"), full labels ("pushing something left"), or {full label: modifier}."""

Shots = Mapping[str, "npt.ArrayLike"]
"""Features `(clips, dim)` of labelled clips, by the subcategory's label or modifier."""


Answers = Mapping[int, str | None]
"""Answers of a person, by the clip's index in `SplitRequest.features`: the label or modifier of a
subcategory, or None for a clip that shows none of them."""


@dataclass(frozen=True, slots=True, eq=False)
class SplitRequest:
    """The request to split a class; every field except `into` has a default."""

    into: Into
    """At least two subcategories."""
    rule: str | Rule = DEFAULT_RULE
    """Rule that makes the rows: one of `edgesplit.edits.rules.RULES`, or your own function."""
    composition: Composition = "gated"
    """Composition. `gated` shares the class's score among the subcategories and changes no other
    answer. `flat` is the paper's; its subcategories compete with every class."""
    like: str | None = None
    """Group of known labels to learn from, such as "pulling something"; default: all groups."""
    shots: Shots | None = None
    """Labelled clips; some subcategories may have none."""
    features: npt.ArrayLike | None = None
    """`(clips, dim)`: unlabelled clips. The rows are fitted to those that the head gives to the
    class, in place of the clips in the statistics."""
    answers: Answers | None = None
    """Answers about some of `features`; see `edgesplit.edits.asking.choose_clips`."""
    accept_doubt: bool = False
    """True to make the split even if it is in doubt."""


class SplitOptions(TypedDict, total=False):
    """The fields of `SplitRequest` except `into`, as keyword arguments."""

    rule: str | Rule
    composition: Composition
    like: str | None
    shots: Shots | None
    features: npt.ArrayLike | None
    answers: Answers | None
    accept_doubt: bool


class SplitChoices(SplitOptions, total=False):
    """The fields of `SplitRequest` as keyword arguments."""

    into: Into
