"""The paper's retrieval rule: each subcategory gets the modifier vector of one known label."""

from __future__ import annotations

import numpy as np

from edgesplit.edits.rules.base import Transfer, TransferProblem, cosines, match_one_to_one
from edgesplit.errors import EditError

__all__ = ["retrieval"]


def retrieval(problem: TransferProblem) -> Transfer:
    """Match greedily and one-to-one on 0.5 cos(modifier texts) + 0.5 cos(label texts).

    As in the authors' code: assign the largest similarity, remove its subcategory and its known
    label, and repeat ("Let's Split Up", ICLR 2026).

    Raises:
        EditError: there are more subcategories than known labels.
    """
    wanted, known = problem.wanted, problem.known
    similarities = 0.5 * cosines(wanted.modifiers, known.modifiers)
    similarities += 0.5 * cosines(wanted.labels, known.labels)
    if len(similarities) > similarities.shape[1]:
        raise EditError(
            f"Rule 'retrieval' needs a known label for each of the {len(similarities)} "
            f"subcategories, but only {similarities.shape[1]} exist. Use --rule alignment, or "
            "fewer subcategories."
        )
    weights = np.zeros_like(similarities)
    weights[np.arange(len(weights)), match_one_to_one(similarities)] = 1
    return Transfer(rows=weights @ problem.vectors, weights=weights, similarities=similarities)
