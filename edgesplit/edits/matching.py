"""Match subcategories with known labels that differ in the same way, and compute the trust.

Differences are compared with differences: "left" minus "right" should have the direction of
"turning the camera left" minus "turning the camera right". A match assigns each wanted subcategory
a source, a member of one known group. Its score, the text match, is the mean, over pairs of
subcategories, of the cosine between their difference and that of their sources. The margin of a
subcategory is the loss in score with its best other source.
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
"""Error of the text encoder: smaller margins are a near tie. Differences of unrelated modifiers
have cosines of 0.09 (root mean square, packaged encoder; tests/edits/test_matching.py measures
it)."""

CHANCE = 0.2
"""Upper limit of the text match for 90 % of word pairs that are unrelated to the head's labels: the
best of a few dozen groups always matches a little (tests/edits/test_matching.py)."""

SURE = 0.55
"""Minimum text match for full trust: such splits are as accurate as with the head's words. Below,
trust falls linearly to 0 at `CHANCE`. Fitted on Motion-Split's development backbones, with
subcategories in other words, in another language and misspelt, and on real motion
(`benchmarks.quality.expectation`)."""

SURE_NAMED = 0.2
"""Same where the user named the group, so that nothing was searched: above it, 98 of 100 opposites
are matched with the right pole of a group (`python -m benchmarks.quality.antonyms`)."""

MAX_MEMBERS = 256
"""Maximum members of a group that are compared; the nearest ones are."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelMatch:
    """The best match over all groups; indices are those of the problem's known labels."""

    score: float
    """Text match, -1 to 1; NaN if no group has as many members as there are subcategories."""
    trust: float
    """Trust in the texts for a split made from these labels, 0 to 1."""
    sources: tuple[int, ...] = ()
    """Known label of each subcategory, -1 if it was not matched; empty without a match."""
    runners_up: tuple[int, ...] = ()
    """Next best known label of each subcategory, -1 if there is none."""
    margins: tuple[float, ...] = ()


def match_labels(
    problem: TransferProblem, among: Sequence[Int64] | None = None, *, named: bool = False
) -> LabelMatch:
    """Match the wanted texts with the known labels whose differences are most similar.

    Args:
        problem: the wanted and the known texts.
        among: sets of known labels, by index, to search; default: all groups.
        named: True if the user named the group to learn from, so that nothing is searched.
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
    """Return the trust in a match of this score, 0 to 1; 0 for NaN."""
    low, high = (0.0, SURE_NAMED) if named else (CHANCE, SURE)
    return min(1.0, max(0.0, score - low) / (high - low)) if score > low else 0.0


def match_part(
    problem: TransferProblem, part: Sequence[int], among: Sequence[Int64], *, named: bool
) -> LabelMatch:
    """Match some of the subcategories, as `match_labels` does; scale the trust by their share."""
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
    """Return the problem with the head's words in place of the wanted words that match them.

    "leftwards" is a little similar to many texts. Once it is matched with the head's "left", a rule
    works better with the text "left", and with the text of that known label. A match that is not
    better than chance changes nothing. The words as written stay in `Texts.modifiers` and
    `Texts.labels`, which the paper's rules use.

    Args:
        problem: the wanted and the known texts.
        match: their match.
        other_words: True if a subcategory has other words than its match. Then all labels are
            replaced: if only some were, labels would differ in more than the modifier.
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
    """Return the cosines between differences in `wanted` and in `sources`, both `(n, text dim)`.

    Returns:
        `(pairs,)`; the mean is the score of the match of subcategory i with source i.
    """
    (cosines,) = _Differences(wanted, sources).cosines(np.arange(len(wanted))[None])
    return np.asarray(cosines)


def best_match(wanted: Float64, known: Float64, group: Int64) -> LabelMatch:
    """Return the best assignment within one group, by steepest ascent from a greedy start.

    Args:
        wanted: `(n, text dim)`: embeddings.
        known: `(m, text dim)`: embeddings of the group, m >= n.
        group: `(m,)`: indices of its labels, used in the result.
    """
    similarity = (wanted - wanted.mean(axis=0)) @ (known - known.mean(axis=0)).T
    if len(group) > MAX_MEMBERS:
        order = np.argsort(-settled(similarity.max(axis=0)), kind="stable")
        nearest = np.sort(order[:MAX_MEMBERS])
        known, group, similarity = known[nearest], group[nearest], similarity[:, nearest]
    differences = _Differences(wanted, known)
    best = match_one_to_one(similarity)
    value = float(differences.scores(best[None])[0])
    while True:
        others = _neighbours(best, len(known))
        values = differences.scores(others)
        if not len(values) or not values.max() > value:  # written so that NaN ends the loop
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

    (p - q) . (i - j) is a sum of four products, so the differences are never computed.
    """

    def __init__(self, wanted: Float64, known: Float64) -> None:
        self.products = wanted @ known.T
        self.p, self.q = _pairs(len(wanted))
        self.wanted = _distances(wanted)[self.p, self.q]
        self.known = _distances(known)

    def cosines(self, assignments: Int64) -> Float64:
        """Return cosines `(n, pairs)` for assignments `(n, wanted)` of known texts."""
        i, j = assignments[:, self.p], assignments[:, self.q]
        from_p = self.products[self.p, i] - self.products[self.p, j]
        from_q = self.products[self.q, i] - self.products[self.q, j]
        return np.asarray((from_p - from_q) / (self.wanted * self.known[i, j]))

    def scores(self, assignments: Int64) -> Float64:
        """Return the mean cosine `(n,)` over pairs."""
        return settled(self.cosines(assignments).mean(axis=1))


@lru_cache(maxsize=8)
def _pairs(n: int) -> tuple[Int64, Int64]:
    """Return the indices of all pairs; cached, since every group needs them."""
    return np.triu_indices(n, 1)


def _distances(rows: Float64) -> Float64:
    """Return distances `(n, n)`, at least 1e-6 so that they can be divided by."""
    squares = np.einsum("nd,nd->n", rows, rows)
    between = squares[:, None] + squares[None] - 2 * rows @ rows.T
    return np.asarray(np.sqrt(np.maximum(between, 1e-12)))


def _neighbours(assignment: Int64, n_known: int) -> Int64:
    """Return all assignments that change one source; if it is in use, the two are swapped."""
    n_wanted = len(assignment)
    place, other = np.divmod(np.arange(n_wanted * n_known), n_known)
    keep = other != assignment[place]
    place, other = place[keep], other[keep]
    moved = np.repeat(assignment[None], len(place), axis=0)
    source = assignment[place]
    moved = np.where(moved == other[:, None], source[:, None], moved)
    moved[np.arange(len(place)), place] = other
    return np.asarray(moved, np.int64)
