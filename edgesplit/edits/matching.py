"""Which known labels differ as the subcategories do, and how far to trust that.

Differences are compared with differences: "left" minus "right" should point the way "turning the
camera left" minus "turning the camera right" does. A match assigns each wanted subcategory a
member of one known group; its score is the mean, over pairs of subcategories, of the cosine
between their difference and that of their sources. The margin of a subcategory is what the score
loses when it takes the best other source instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from edgesplit._types import Float64, Int64
from edgesplit.edits.rules.base import TransferProblem, match_one_to_one, members_of, settled

__all__ = [
    "CHANCE",
    "ENCODER_ERROR",
    "SURE",
    "SURE_NAMED",
    "LabelMatch",
    "best_match",
    "in_known_words",
    "match_labels",
    "match_part",
    "pair_cosines",
    "trust_of",
]

ENCODER_ERROR = 0.10
"""Margins below this are a near tie. Differences of unrelated modifiers have cosines of 0.09 (root
mean square, the packaged encoder; tests/edits/test_matching.py measures it), so less means
nothing."""

CHANCE = 0.2
"""Likeness that nine in ten pairs of words reach at most which have nothing to do with what the
head knows: the best of a few dozen groups is always a little alike
(tests/edits/test_matching.py)."""

SURE = 0.55
"""From this likeness on, splits come out as well as with the very words that the head knows; in
between, as much worse as it is lower. Fitted on Motion-Split's development backbones, whose
subcategories were asked for in other words, another language and misspelt, and on real motion
(`benchmarks.quality.expectation`)."""

SURE_NAMED = 0.2
"""The same where the user named the group, so that nothing was searched: from here on, 98 in 100
opposites take the right pole of a group (`python -m benchmarks.quality.antonyms`)."""

MAX_MEMBERS = 256
"""Members of a group that are looked at, the nearest ones."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelMatch:
    """The best match over all groups; indices count the known labels of the problem."""

    score: float
    """Cosine in -1..1; NaN when no group has as many members as there are subcategories."""
    trust: float
    """0 to 1: how far a split made from these labels can be trusted, as far as texts go."""
    sources: tuple[int, ...] = ()
    """Known label of each subcategory, -1 where none was looked for; empty without a match."""
    runners_up: tuple[int, ...] = ()
    """The next best known label of each, -1 when there is none."""
    margins: tuple[float, ...] = ()


def match_labels(
    problem: TransferProblem, among: Sequence[Int64] | None = None, *, named: bool = False
) -> LabelMatch:
    """The known labels whose texts differ most like the wanted ones.

    Args:
        problem: what is wanted and known.
        among: sets of known labels to look among, by their places; all groups by default.
        named: the user named the one group to learn from, so that nothing is searched.
    """
    wanted, known = problem.wanted.told_apart, problem.known.told_apart
    groups = members_of(problem.known.siblings) if among is None else among
    matches = [
        best_match(wanted, known[group], group) for group in groups if len(group) >= len(wanted)
    ]
    none = LabelMatch(float("nan"), 0.0)
    best = max(matches, key=lambda match: match.score, default=none)
    return replace(best, trust=trust_of(best.score, named=named))


def trust_of(score: float, *, named: bool) -> float:
    """How far a match of this score is to be trusted, 0 to 1; 0 for NaN."""
    low, high = (0.0, SURE_NAMED) if named else (CHANCE, SURE)
    return min(1.0, max(0.0, score - low) / (high - low)) if score > low else 0.0


def match_part(
    problem: TransferProblem, part: Sequence[int], among: Sequence[Int64], *, named: bool
) -> LabelMatch:
    """As `match_labels`, for some of the subcategories; the trust is that part's share."""
    chosen = np.array(part, np.int64)
    found = match_labels(replace(problem, wanted=problem.wanted.part(chosen)), among, named=named)
    if not found.sources:
        return found
    n = len(problem.wanted.modifiers)
    sources, runners_up, margins = [-1] * n, [-1] * n, [float("nan")] * n
    for place, i in enumerate(part):
        sources[i], runners_up[i] = found.sources[place], found.runners_up[place]
        margins[i] = found.margins[place]
    trust = found.trust * len(part) / n
    return LabelMatch(found.score, trust, tuple(sources), tuple(runners_up), tuple(margins))


def in_known_words(
    problem: TransferProblem, match: LabelMatch, *, other_words: bool
) -> TransferProblem:
    """The problem with the known words for what is wanted, where they are alike enough.

    "leftwards" is a little like many things. Once it is decided that it means what the head calls
    "left", a rule does better to look for "left", and for a known label that ends so. A match no
    better than by chance decides nothing. The words as written stay in `Texts.modifiers` and
    `Texts.labels`, which the paper's rules use.

    Args:
        problem: what is wanted and known.
        match: of the two.
        other_words: whether some subcategory is asked for in other words than its match has; then
            all labels are exchanged, for half of them would differ in more than the modifier.
    """
    if not match.trust:
        return problem
    sources, wanted, known = np.array(match.sources), problem.wanted, problem.known
    matched = sources >= 0
    words, labels = wanted.told_apart.copy(), wanted.labels.copy()
    words[matched] = known.told_apart[sources[matched]]
    if other_words:
        labels[matched] = known.labels[sources[matched]]
    return replace(problem, wanted=replace(wanted, in_order=words, known_labels=labels))


def pair_cosines(wanted: Float64, sources: Float64) -> Float64:
    """How alike each difference among `wanted` and among `sources`, `(n, text dim)`, is.

    Returns:
        `(pairs,)` cosines; their mean is the score of taking source i for subcategory i.
    """
    (cosines,) = _Differences(wanted, sources).cosines(np.arange(len(wanted))[None])
    return np.asarray(cosines)


def best_match(wanted: Float64, known: Float64, group: Int64) -> LabelMatch:
    """The best assignment within one group, by steepest ascent from a greedy start.

    Args:
        wanted: `(n, text dim)`: embeddings.
        known: `(m, text dim)`: embeddings of the group, m >= n.
        group: `(m,)`: places of its labels, by which the match names them.
    """
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
    sources = tuple(group[best].tolist())
    return LabelMatch(value, 0.0, sources, tuple(runners_up), tuple(margins))


class _Differences:
    """Cosines between differences of wanted and of known texts, `(wanted | known, text dim)`.

    (p - q) . (i - j) is a sum of four products: the differences themselves, of which there are
    as many as pairs of pairs, are never made.
    """

    def __init__(self, wanted: Float64, known: Float64) -> None:
        self.products = wanted @ known.T
        self.p, self.q = _pairs(len(wanted))
        self.wanted = _distances(wanted)[self.p, self.q]
        self.known = _distances(known)

    def cosines(self, assignments: Int64) -> Float64:
        """`(n, pairs)`, for assignments `(n, wanted)` of known texts."""
        i, j = assignments[:, self.p], assignments[:, self.q]
        from_p = self.products[self.p, i] - self.products[self.p, j]
        from_q = self.products[self.q, i] - self.products[self.q, j]
        return np.asarray((from_p - from_q) / (self.wanted * self.known[i, j]))

    def scores(self, assignments: Int64) -> Float64:
        """`(n,)`: the mean over pairs."""
        return settled(self.cosines(assignments).mean(axis=1))


@lru_cache(maxsize=8)
def _pairs(n: int) -> tuple[Int64, Int64]:
    """The places of all pairs; asked for once for every group."""
    return np.triu_indices(n, 1)


def _distances(rows: Float64) -> Float64:
    """`(n, n)`; equal texts are taken to be a little apart, so that nothing is divided by zero."""
    squares = np.einsum("nd,nd->n", rows, rows)
    between = squares[:, None] + squares[None] - 2 * rows @ rows.T
    return np.asarray(np.sqrt(np.maximum(between, 1e-12)))


def _neighbours(assignment: Int64, n_known: int) -> Int64:
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
