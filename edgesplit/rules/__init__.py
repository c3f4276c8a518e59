"""Split rules: from what is known to the relative rows of new subcategories.

transfer    what a rule sees and answers
retrieval   the paper's: each subcategory takes one known label's modifier vector
alignment   a linear map from texts to modifier vectors, in closed form (the default)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from edgesplit.rules.transfer import Rule

__all__ = ["DEFAULT_RULE", "RULES", "RuleName", "get_rule"]

RuleName = Literal["alignment", "retrieval"]
RULES: tuple[str, ...] = get_args(RuleName)
DEFAULT_RULE: RuleName = "alignment"


def get_rule(name: str) -> Rule:
    """The rule called `name`, one of `RULES`.

    Raises:
        ValueError: there is no such rule.
    """
    # Imported here: the command line lists the rules without loading numpy.
    from edgesplit.rules.alignment import alignment
    from edgesplit.rules.retrieval import retrieval

    rules: dict[str, Rule] = {"alignment": alignment, "retrieval": retrieval}
    if name not in rules:
        raise ValueError(f"rule must be one of {', '.join(RULES)}, got {name!r}")
    return rules[name]
