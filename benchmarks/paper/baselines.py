"""Baselines that a rule must exceed. They are for the benchmark only, not for use."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgesplit._types import Float64
from edgesplit.edits.rules.alignment import alignment
from edgesplit.edits.rules.base import Rule, Transfer, TransferProblem

__all__ = ["BASELINES", "BLIND", "alignment_modifiers", "copies", "find_rule", "random_rows"]


def alignment_modifiers(problem: TransferProblem) -> Transfer:
    """Apply an earlier `alignment`, which learns only from groups' modifiers, not from labels."""
    return alignment(replace(problem, labels=None))


def random_rows(problem: TransferProblem) -> Transfer:
    """Return rows in random directions, with the mean length of the known modifier vectors."""
    n_wanted, dim = len(problem.wanted.modifiers), problem.vectors.shape[1]
    rows = np.random.default_rng(0).standard_normal((n_wanted, dim))
    rows *= np.linalg.norm(problem.vectors, axis=1).mean() / np.linalg.norm(rows, axis=1)[:, None]
    return _from_nothing(problem, rows)


def copies(problem: TransferProblem) -> Transfer:
    """Return a copy of the class for every subcategory; the first wins all ties and gets all clips.

    A majority vote would do the same, because there are no labels to count.
    """
    return _from_nothing(
        problem, np.zeros((len(problem.wanted.modifiers), problem.vectors.shape[1]))
    )


def _from_nothing(problem: TransferProblem, rows: Float64) -> Transfer:
    nothing = np.zeros((len(rows), len(problem.vectors)))
    return Transfer(rows=rows, weights=nothing, similarities=nothing)


BASELINES: dict[str, Rule] = {
    "alignment-modifiers": alignment_modifiers,
    "copies": copies,
    "random-rows": random_rows,
}
BLIND = ("copies", "random-rows")
"""Baselines that use no groups."""


def find_rule(name: str) -> str | Rule:
    """Return the value of `SplitRequest.rule` for a rule or a baseline of this name."""
    return BASELINES.get(name, name)
