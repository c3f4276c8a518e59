"""What a split is asked for."""

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
"""What a person said of clips, by their place in `SplitRequest.features`: the label or modifier of
a subcategory, or None for a clip that shows none of them."""


@dataclass(frozen=True, slots=True, eq=False)
class SplitRequest:
    """How a class is to be split; every choice but `into` has a default."""

    into: Into
    """At least two subcategories."""
    rule: str | Rule = DEFAULT_RULE
    """Makes the rows: one of `edgesplit.edits.rules.RULES`, or a function of your own."""
    composition: Composition = "gated"
    """`gated` shares the class's score among the subcategories and changes no other answer; `flat`
    is the paper's and lets them compete with every class."""
    like: str | None = None
    """The one group of known labels to learn from, as "pulling something"."""
    shots: Shots | None = None
    """A few labelled clips; some subcategories may have none."""
    features: npt.ArrayLike | None = None
    """`(clips, dim)`: unlabelled clips. The rows are fitted to those that the head gives to the
    class, instead of to those in the statistics."""
    answers: Answers | None = None
    """What a person said of some of `features`; see `edgesplit.edits.asking.choose_clips`."""
    accept_doubt: bool = False
    """Make the split even if it is expected to be hardly better than guessing."""


class SplitOptions(TypedDict, total=False):
    """The fields of `SplitRequest` but `into`, as keyword arguments."""

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
