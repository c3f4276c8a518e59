"""Can the text encoder tell which known labels a split should learn from?

Differences are compared with differences: "left" minus "right" should point the way "turning the
camera left" minus "turning the camera right" does. A match assigns each wanted subcategory a
member of one known group; its score is the mean, over pairs of subcategories, of the cosine
between their difference and that of their sources. The margin of a subcategory is what the score
loses when it takes the best other source instead.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from edgesplit.edits.rules.base import Request, match_one_to_one, members_of, settled

__all__ = [
    "CHANCE",
    "ENCODER_ERROR",
    "SURE",
    "SURE_NAMED",
    "SourceMatch",
    "in_known_words",
    "match_sources",
    "pair_cosines",
    "trust_in",
]

ENCODER_ERROR = 0.10
"""Margins below this are a near tie. Differences of unrelated modifiers have cosines of 0.09 (root
mean square, the packaged encoder; tests/test_sources.py measures it), so less means nothing."""

CHANCE = 0.2
"""Likeness that nine in ten pairs of words reach at most which have nothing to do with what the
head knows: the best of a few dozen groups is always a little alike (tests/test_sources.py)."""

SURE = 0.4
"""From this likeness on, splits come out as well as with the very words that the head knows; in
between, as much worse as it is lower. Fitted on the development backbones of
benchmarks/motion_split, whose subcategories were asked for in other words, another language and
misspelt (`fit`)."""

SURE_NAMED = 0.2
"""The same where the user named the group, so that nothing was searched: from here on, 99 in 100
opposites take the right pole of a group (`python -m benchmarks.antonyms`)."""

MAX_MEMBERS = 256
"""Members of a group that are looked at, the nearest ones."""

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
    wanted, known = request.wanted.told_apart, request.known.told_apart
    groups = members_of(request.known.siblings)
    matches = [_match(wanted, known[group], group) for group in groups if len(group) >= len(wanted)]
    none = SourceMatch(float("nan"), (), (), ())
    return max(matches, key=lambda match: match.score, default=none)


def in_known_words(request: Request, match: SourceMatch, *, named: bool = False) -> Request:
    """The request with the known words for what is wanted, where they are alike enough.

    "leftwards" is a little like many things. Once it is decided that it means what the head calls
    "left", a rule does better to look for "left". A match no better than by chance decides nothing.
    The words as written stay in `Texts.modifiers`, which the paper's rules use.
    """
    if not trust_in(match, named=named):
        return request
    known = request.known.told_apart[list(match.sources)]
    return replace(request, wanted=replace(request.wanted, in_order=known))


def trust_in(match: SourceMatch, *, named: bool = False) -> float:
    """How far a split made from such sources can be trusted, 0 to 1, as far as texts go.

    Args:
        match: the best match.
        named: the user named the one group to learn from.
    """
    if not match.sources:
        return 0.0
    low, high = (0.0, SURE_NAMED) if named else (CHANCE, SURE)
    return min(1.0, max(0.0, match.score - low) / (high - low))


def pair_cosines(wanted: Floats, sources: Floats) -> Floats:
    """How alike each difference among `wanted` and among `sources`, `(n, text dim)`, is.

    Returns:
        `(pairs,)` cosines; their mean is the score of taking source i for subcategory i.
    """
    (cosines,) = _Differences(wanted, sources).cosines(np.arange(len(wanted))[None])
    return np.asarray(cosines)


def _match(wanted: Floats, known: Floats, group: Integers) -> SourceMatch:
    """The best assignment within one group, by steepest ascent from a greedy start."""
    alike = (wanted - wanted.mean(axis=0)) @ (known - known.mean(axis=0)).T
    if len(group) > MAX_MEMBERS:
        nearest = np.sort(np.argsort(-settled(alike.max(axis=0)), kind="stable")[:MAX_MEMBERS])
        known, group, alike = known[nearest], group[nearest], alike[:, nearest]
    differences = _Differences(wanted, known)
    best = match_one_to_one(alike)
    value = float(differences.scores(best[None])[0])
    while True:
        others = _neighbours(best, len(known))
        values = differences.scores(others)
        if not len(values) or not values.max() > value:  # so that NaN ends it, too
            break
        best, value = others[np.argmax(values)], float(values.max())
    runners_up, margins = [], []
    for index, source in enumerate(best):
        changed = np.flatnonzero(others[:, index] != source)
        place = changed[np.argmax(values[changed])] if len(changed) else None
        runners_up.append(-1 if place is None else int(group[others[place, index]]))
        margins.append(float("nan") if place is None else value - float(values[place]))
    return SourceMatch(value, tuple(group[best].tolist()), tuple(runners_up), tuple(margins))


class _Differences:
    """Cosines between differences of wanted and of known texts, `(wanted | known, text dim)`.

    (p - q) . (i - j) is a sum of four products: the differences themselves, of which there are
    as many as pairs of pairs, are never made.
    """

    def __init__(self, wanted: Floats, known: Floats) -> None:
        self.products = wanted @ known.T
        self.p, self.q = _pairs(len(wanted))
        self.wanted = _distances(wanted)[self.p, self.q]
        self.known = _distances(known)

    def cosines(self, assignments: Integers) -> Floats:
        """`(n, pairs)`, for assignments `(n, wanted)` of known texts."""
        i, j = assignments[:, self.p], assignments[:, self.q]
        from_p = self.products[self.p, i] - self.products[self.p, j]
        from_q = self.products[self.q, i] - self.products[self.q, j]
        return np.asarray((from_p - from_q) / (self.wanted * self.known[i, j]))

    def scores(self, assignments: Integers) -> Floats:
        """`(n,)`: the mean over pairs."""
        return settled(self.cosines(assignments).mean(axis=1))


@lru_cache(maxsize=8)
def _pairs(n: int) -> tuple[Integers, Integers]:
    """The places of all pairs; asked for once for every group."""
    return np.triu_indices(n, 1)


def _distances(rows: Floats) -> Floats:
    """`(n, n)`; equal texts are taken to be a little apart, so that nothing is divided by zero."""
    squares = np.einsum("nd,nd->n", rows, rows)
    between = squares[:, None] + squares[None] - 2 * rows @ rows.T
    return np.asarray(np.sqrt(np.maximum(between, 1e-12)))


def _neighbours(assignment: Integers, n_known: int) -> Integers:
    """All assignments that give one subcategory another source; whoever had it swaps."""
    n_wanted = len(assignment)
    place, other = np.divmod(np.arange(n_wanted * n_known), n_known)
    keep = other != assignment[place]
    place, other = place[keep], other[keep]
    moved = np.repeat(assignment[None], len(place), axis=0)
    source = assignment[place]
    moved = np.where(moved == other[:, None], source[:, None], moved)
    moved[np.arange(len(place)), place] = other
    return np.asarray(moved, np.int64)
