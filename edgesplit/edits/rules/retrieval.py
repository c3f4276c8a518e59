"""The paper's retrieval rule: each subcategory takes the modifier vector of one known label."""

from __future__ import annotations

import numpy as np

from edgesplit.edits.rules.base import Transfer, TransferProblem, cosines, match_one_to_one
from edgesplit.errors import EditError

__all__ = ["retrieval"]


def retrieval(problem: TransferProblem) -> Transfer:
    """Greedy one-to-one matching on 0.5 cos(modifier texts) + 0.5 cos(label texts).

    As in the authors' code: take the largest similarity of all, assign, remove that subcategory
    and that known label, repeat ("Let's Split Up", ICLR 2026).

    Raises:
        EditError: there are more subcategories than known labels to take from.
    """
    wanted, known = problem.wanted, problem.known
    similarities = 0.5 * cosines(wanted.modifiers, known.modifiers)
    similarities += 0.5 * cosines(wanted.labels, known.labels)
    if len(similarities) > similarities.shape[1]:
        raise EditError(
            f"Retrieval needs a known label for each of the {len(similarities)} subcategories, "
            f"there are {similarities.shape[1]}. Use --rule alignment, or fewer subcategories."
        )
    weights = np.zeros_like(similarities)
    weights[np.arange(len(weights)), match_one_to_one(similarities)] = 1
    return Transfer(rows=weights @ problem.vectors, weights=weights, similarities=similarities)
