"""Split rules: from what is known to the relative rows of new subcategories.

base           what a rule sees and answers, and what rules share
alignment      a linear map from texts to modifier vectors, in closed form (the default)
alignment_mlp  the paper's: a small network, trained on the same pairs and more
retrieval      the paper's: each subcategory takes one known label's modifier vector
prototype      alignment between mean features of clips, instead of rows
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from edgesplit.edits.rules.base import Rule

__all__ = ["DEFAULT_RULE", "RULES", "RuleName", "get_rule"]

RuleName = Literal["alignment", "alignment-mlp", "prototype", "retrieval"]
RULES: tuple[str, ...] = get_args(RuleName)
"""What the command line offers."""
DEFAULT_RULE: RuleName = "alignment"


def get_rule(name: str) -> Rule:
    """The rule of that name, one of `RULES`.

    Raises:
        ValueError: there is no such rule.
    """
    if name not in RULES:
        raise ValueError(f"rule must be one of {', '.join(RULES)}, got {name!r}")
    # Imported here: the command line lists the rules without loading numpy.
    function = name.replace("-", "_")
    rule: Rule = getattr(import_module(f"edgesplit.edits.rules.{function}"), function)
    return rule
