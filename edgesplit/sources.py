"""Can the text encoder tell which known labels a split should learn from?

Differences are compared with differences: "left" minus "right" should point the way "turning the
camera left" minus "turning the camera right" does. A match assigns each wanted subcategory a
member of one known group; its score is the mean, over pairs of subcategories, of the cosine
between their difference and that of their sources. The margin of a subcategory is what the score
loses when it takes the best other source instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgesplit.rules.transfer import Request, match_one_to_one, settled

__all__ = [
    "ENCODER_ERROR",
    "MIN_SCORE",
    "MIN_SCORE_NAMED",
    "SourceMatch",
    "match_sources",
    "pair_cosines",
]

ENCODER_ERROR = 0.10
"""Margins below this are a near tie. Differences of unrelated modifiers have cosines of 0.09 (root
mean square, the packaged encoder; tests/test_sources.py measures it), so less means nothing."""

MIN_SCORE = 0.33
"""A best match below this is found by chance among a few dozen groups."""

MIN_SCORE_NAMED = 0.2
"""The same where the user named the group, so that nothing was searched."""

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class SourceMatch:
    """The best match over all groups; indices count the known labels of the request."""

    score: float
    """Cosine in -1..1; NaN when no group has as many members as there are subcategories."""
    sources: tuple[int, ...]
    """Known label of each subcategory."""
    runners_up: tuple[int, ...]
    """The next best known label of each, -1 when there is none."""
    margins: tuple[float, ...]


def match_sources(request: Request) -> SourceMatch:
    """The known labels whose texts differ most like the wanted ones."""
    wanted, known = request.wanted.modifiers, request.known.modifiers
    groups = [
        np.flatnonzero(request.known.siblings == g) for g in np.unique(request.known.siblings)
    ]
    matches = [_match(wanted, known[group], group) for group in groups if len(group) >= len(wanted)]
    none = SourceMatch(float("nan"), (), (), ())
    return max(matches, key=lambda match: match.score, default=none)


def pair_cosines(wanted: Floats, sources: Floats) -> Floats:
    """How alike each difference among `wanted` and among `sources`, `(n, text dim)`, is.

    Returns:
        `(pairs,)` cosines; their mean is the score of taking source i for subcategory i.
    """
    p, q = np.triu_indices(len(wanted), 1)
    return np.asarray(_cosines(wanted, sources)[p, q, p, q])


def _match(wanted: Floats, known: Floats, group: Integers) -> SourceMatch:
    """The best assignment within one group, by steepest ascent from a greedy start."""
    cosines = _cosines(wanted, known)
    best = match_one_to_one((wanted - wanted.mean(axis=0)) @ (known - known.mean(axis=0)).T)
    value = float(_scores(cosines, best[None])[0])
    while True:
        others = _neighbours(best, len(known))
        values = _scores(cosines, others)
        if not len(values) or values.max() <= value:
            break
        best, value = others[np.argmax(values)], float(values.max())
    runners_up, margins = [], []
    for index, source in enumerate(best):
        changed = np.flatnonzero(others[:, index] != source)
        place = changed[np.argmax(values[changed])] if len(changed) else None
        runners_up.append(-1 if place is None else int(group[others[place, index]]))
        margins.append(float("nan") if place is None else value - float(values[place]))
    return SourceMatch(value, tuple(group[best].tolist()), tuple(runners_up), tuple(margins))


def _cosines(wanted: Floats, known: Floats) -> Floats:
    """`[p, q, i, j]`: cosine of wanted p minus q with known i minus j."""

    def differences(rows: Floats) -> Floats:
        each = rows[:, None] - rows[None]
        length = np.linalg.norm(each, axis=-1, keepdims=True)
        return np.asarray(each / np.maximum(length, 1e-6))

    products = np.einsum("pqd,ijd->pqij", differences(wanted), differences(known), optimize=True)
    return np.asarray(products)


def _scores(cosines: Floats, assignments: Integers) -> Floats:
    """Mean cosine over pairs, for assignments `(n, wanted)`; settled."""
    p, q = np.triu_indices(assignments.shape[1], 1)
    return settled(cosines[p, q, assignments[:, p], assignments[:, q]].mean(axis=1))


def _neighbours(assignment: Integers, n_known: int) -> Integers:
    """All assignments that give one subcategory another source; whoever had it swaps."""
    found: list[Integers] = []
    for index, source in enumerate(assignment):
        for other in range(n_known):
            if other != source:
                moved = np.where(assignment == other, source, assignment)
                moved[index] = other
                found.append(moved)
    return np.array(found, np.int64).reshape(-1, len(assignment))
