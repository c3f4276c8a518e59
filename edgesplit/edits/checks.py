"""What can be said against a split before it is made: doubts, which ask, and warnings.

There is one rule for doubts: the split is expected to be hardly better than guessing. The texts may
be why, since nothing known differs as they do, or the clips, since the head's own groups come out
wrong when they are split so. Warnings do not stop anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from edgesplit.edits.estimate import Confidence, Sight
from edgesplit.edits.matching import ENCODER_ERROR, SURE, SourceMatch, pair_cosines
from edgesplit.edits.problem import Question
from edgesplit.edits.report import NewRow
from edgesplit.edits.rules.base import Request, Transfer, settled
from edgesplit.heads.labels import Source
from edgesplit.heads.statistics import MIN_CLIPS, Statistics

__all__ = ["describe_rows", "find_doubts", "rule_doubts", "warn_of_clips", "warn_of_rows"]

N_SOURCES = 3
"""How many sources a row's provenance keeps."""

MIN_GAIN = 0.18
"""A split that is expected to gain less, where guessing gains 0 and always right 1, is not made
without being asked twice. Fitted on the development backbones of benchmarks/motion_split: it tells
splits that fail from others best (`fit`)."""

MIN_TRUST = 0.5
"""Trust that texts want where clips say nothing; fitted alike."""

MIN_SHARE = 0.1
"""A source with less than this share of the strongest one's weight is not listed."""


def warn_of_clips(
    rows: Sequence[NewRow], seen: Sight, question: Question, statistics: Statistics | None
) -> list[str]:
    """Too few unlabelled clips of the class, or a subcategory that gets hardly any of them."""
    if statistics is not None and question.mean is None:
        return [
            f"only {question.n_clips} of the bundle's clips are of this class, {MIN_CLIPS} are "
            "wanted: the new rows are not centred on it"
        ]
    return [
        f"{row.modifier!r} gets {share:.0%} of the class's clips in the bundle"
        for row, share in zip(rows, seen.shares, strict=False)
        if share < 1 / len(rows) / 4
    ]


def describe_rows(question: Question, transfer: Transfer, match: SourceMatch) -> list[NewRow]:
    """The new rows with their sources.

    Args:
        question: what was asked.
        transfer: what the rule made.
        match: what the texts say.
    """
    known = question.known
    rows = []
    for index, (label, modifier) in enumerate(question.subcategories):
        # Rounded before they are ordered, since they are for people and become part of the head's
        # bytes, and equally good sources differ in their last bits. No -0.0, either.
        near, share = (
            np.round(part[index], 4) + 0.0 for part in (transfer.similarities, transfer.weights)
        )
        order = np.argsort(-share, kind="stable")
        # The row is made of all of them; people are told of those that matter.
        matter = share > max(0.0, MIN_SHARE * float(share.max()))
        best = order[: min(N_SOURCES, np.count_nonzero(matter))]
        sources = tuple(Source(known[i], float(near[i]), float(share[i])) for i in best)
        row = NewRow(label, modifier, sources)
        if match.sources:
            runner_up = match.runners_up[index]
            row = replace(
                row,
                match=known[match.sources[index]],
                runner_up=known[runner_up] if runner_up >= 0 else "",
                margin=round(match.margins[index], 4),
                near_tie=match.margins[index] < ENCODER_ERROR,
            )
        rows.append(row)
    return rows


def find_doubts(
    rows: Sequence[NewRow], match: SourceMatch, trust: float, confidence: Confidence | None
) -> list[str]:
    """Why the split may come out no better than guessing, in sentences; empty when it should not.

    Args:
        rows: the new rows with their matches.
        match: what the texts say.
        trust: in the match, see `edgesplit.edits.matching.trust_in`.
        confidence: what texts and clips say together; None when there are too few clips.
    """
    if trust >= MIN_TRUST if confidence is None else confidence.gain >= MIN_GAIN:
        return []
    doubts = []
    if not match.sources:
        doubts.append(
            f"no group of known labels has {len(rows)} members, as many as {_modifiers(rows)}"
        )
    elif trust < MIN_TRUST:
        nearest = _listing(row.match for row in rows)
        doubts.append(
            f"no known labels differ as {_modifiers(rows)} do (likeness {match.score:.2f} of 1; "
            f"the nearest are {nearest})"
        )
    if confidence is not None and (confidence.gain_by_clips < MIN_GAIN or not doubts):
        doubts.append(
            "it is expected to be hardly better than guessing: the head's own groups with like "
            f"names come out at {confidence.precedent:+.2f} when they are split so (1 is always "
            f"right, 0 guessing), and clips of the class lie {confidence.spread:.1f} times as far "
            "apart as usual"
        )
    return doubts


def rule_doubts(rows: Sequence[NewRow], request: Request, transfer: Transfer) -> list[str]:
    """What the rule would take, where it does not differ as the subcategories do.

    A rule looks at all known labels, and the paper's look at the words as they are written; what
    they take need not be what the texts say.
    """
    strongest = request.known.told_apart[np.argmax(settled(transfer.weights), axis=1)]
    alike = pair_cosines(request.wanted.told_apart, strongest)
    if alike.mean() >= SURE and alike.min() >= ENCODER_ERROR:
        return []
    taken = _listing(row.sources[0].label for row in rows if row.sources)
    return [
        f"the rule would take {taken} for {_modifiers(rows)}: they differ otherwise (likeness "
        f"{alike.mean():.2f} of 1, the worst pair {alike.min():+.2f})"
    ]


def _modifiers(rows: Sequence[NewRow]) -> str:
    return " | ".join(row.modifier for row in rows)


def _listing(labels: Iterable[str]) -> str:
    return ", ".join(repr(label) for label in labels)


def warn_of_rows(rows: Sequence[NewRow], transfer: Transfer, request: Request) -> list[str]:
    """Near ties between sources, and rows that hardly move, or nearly the same way."""
    warnings = [
        f"{row.modifier!r} is nearly as near to {row.runner_up!r} as to {row.match!r}"
        for row in rows
        if row.near_tie
    ]
    length = np.linalg.norm(transfer.rows, axis=1)
    typical = float(np.median(np.linalg.norm(request.vectors, axis=1)))
    for row, norm in zip(rows, length, strict=True):
        if norm < 0.1 * typical:
            warnings.append(
                f"{row.modifier!r} moves its row hardly at all: nothing known is like it."
            )
    unit: npt.NDArray[np.float64] = transfer.rows / np.maximum(length, 1e-12)[:, None]
    alike = unit @ unit.T
    for i in range(len(rows)):
        for j in range(i):
            if alike[i, j] > 0.9:
                warnings.append(
                    f"{rows[j].modifier!r} and {rows[i].modifier!r} get nearly the same row "
                    f"(cosine {alike[i, j]:.2f}): one may take all."
                )
    return warnings
