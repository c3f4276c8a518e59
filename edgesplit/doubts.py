"""What can be said against a split before it is made: doubts, which ask, and warnings.

Doubts of the texts: the encoder cannot tell which known labels to learn from. Doubts of the clips:
the head's own groups say that a split like this comes out wrong. Warnings do not stop anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from edgesplit.confidence import Confidence, Sight
from edgesplit.labels import Source
from edgesplit.report import NewRow
from edgesplit.request import Question
from edgesplit.rules.transfer import Request, Transfer, settled
from edgesplit.sources import (
    ENCODER_ERROR,
    MIN_SCORE,
    MIN_SCORE_NAMED,
    SourceMatch,
    pair_cosines,
)
from edgesplit.stats import MIN_CLIPS, Statistics

__all__ = ["clip_doubts", "describe_rows", "text_doubts", "warn_of_clips", "warn_of_rows"]

N_SOURCES = 3
"""How many sources a row's provenance keeps."""

MIN_GAIN = 0.0
"""A split that is expected to do worse than guessing is not made without being asked twice."""

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


def clip_doubts(confidence: Confidence | None) -> list[str]:
    """Why the split may come out wrong although its sources are right; empty when it should not."""
    if confidence is None or confidence.gain >= MIN_GAIN:
        return []
    return [
        "it is expected to be no better than guessing: the head's own groups with like names come "
        f"out at {confidence.precedent:+.2f} when they are split so (1 is always right, 0 "
        f"guessing), and clips of the class lie {confidence.spread:.1f} times as far apart as usual"
    ]


def describe_rows(
    subcategories: Sequence[tuple[str, str]],
    known: Sequence[str],
    transfer: Transfer,
    match: SourceMatch,
) -> list[NewRow]:
    """The new rows with their sources.

    Args:
        subcategories: (full label, modifier) of each.
        known: the known labels.
        transfer: what the rule made.
        match: what the texts say.
    """
    rows = []
    for index, (label, modifier) in enumerate(subcategories):
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


def text_doubts(
    rows: Sequence[NewRow], request: Request, transfer: Transfer, match: SourceMatch, *, named: bool
) -> list[str]:
    """Why the sources may be the wrong ones, in sentences; empty when they can be trusted."""
    modifiers = " | ".join(row.modifier for row in rows)
    needed = MIN_SCORE_NAMED if named else MIN_SCORE
    if not match.sources:
        return [f"no group of known labels has {len(rows)} members, as many as {modifiers}"]
    if match.score < needed:
        nearest = _listing(row.match for row in rows)
        return [
            f"no known labels differ as {modifiers} do (likeness {match.score:.2f}, {needed} is "
            f"needed; the nearest are {nearest})"
        ]
    doubts = [
        f"{row.modifier!r} is as near to {row.match!r} as to {row.runner_up!r} (margin "
        f"{row.margin:+.2f}, the text encoder's error is {ENCODER_ERROR:.2f})"
        for row in rows
        if row.near_tie
    ]
    # The rule looks at all known labels, not at one group; what it takes must differ alike too.
    strongest = request.known.modifiers[np.argmax(settled(transfer.weights), axis=1)]
    alike = pair_cosines(request.wanted.modifiers, strongest)
    if not doubts and (alike.mean() < needed or alike.min() < ENCODER_ERROR):
        taken = _listing(row.sources[0].label for row in rows if row.sources)
        short = (
            f"likeness {alike.mean():.2f}, {needed} is needed"
            if alike.mean() < needed
            else f"the worst pair {alike.min():+.2f}, {ENCODER_ERROR:.2f} is needed"
        )
        doubts.append(
            f"the rule would take {taken} for {modifiers}: they differ otherwise ({short})"
        )
    return doubts


def _listing(labels: Iterable[str]) -> str:
    return ", ".join(repr(label) for label in labels)


def warn_of_rows(rows: Sequence[NewRow], transfer: Transfer, request: Request) -> list[str]:
    """Rows that hardly move, or nearly the same way."""
    warnings = []
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
