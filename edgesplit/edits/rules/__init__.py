"""Split rules: from known texts and vectors to the relative rows of new subcategories.

base           input and output of a rule, and shared functions
alignment      a linear map from texts to modifier vectors, in closed form (the default)
alignment_mlp  the paper's: a small network, trained on the same pairs and on more
retrieval      the paper's: each subcategory gets the modifier vector of one known label
prototype      alignment with mean features of clips in place of rows
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from edgesplit.edits.rules.base import Rule

__all__ = ["DEFAULT_RULE", "RULES", "RuleName", "get_rule"]

RuleName = Literal["alignment", "alignment-mlp", "prototype", "retrieval"]
RULES: tuple[str, ...] = get_args(RuleName)
"""Rules of the command line."""
DEFAULT_RULE: RuleName = "alignment"


def get_rule(name: str) -> Rule:
    """Return the rule of this name, one of `RULES`.

    Raises:
        ValueError: there is no such rule.
    """
    if name not in RULES:
        raise ValueError(f"rule must be one of {', '.join(RULES)}, got {name!r}")
    # Imported here: the command line lists the rules without loading numpy.
    function = name.replace("-", "_")
    rule: Rule = getattr(import_module(f"edgesplit.edits.rules.{function}"), function)
    return rule
