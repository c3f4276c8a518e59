"""Reasons to refuse a split before it is made, and warnings.

A split is refused if its axis is unclear, if the head has no word for a subcategory, if the texts
or the clips give little hope of better accuracy than guessing, or if the rule would copy labels
whose difference does not match. Warnings never refuse a split.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from edgesplit._types import Float64
from edgesplit.edits.estimate import Estimate
from edgesplit.edits.matching import ENCODER_ERROR, SURE, pair_cosines
from edgesplit.edits.problem import SplitProblem
from edgesplit.edits.rules.base import settled
from edgesplit.edits.tokens import parse_label
from edgesplit.edits.transfer import ZeroShot
from edgesplit.edits.vocabulary import meaning, read
from edgesplit.errors import DoubtfulSplitError
from edgesplit.heads.head import Head
from edgesplit.heads.metrics import count_flips
from edgesplit.heads.statistics import MIN_CLASS_CLIPS, Statistics

__all__ = ["MIN_GAIN", "MIN_TRUST", "Decision", "decide", "warn_of_clips", "warn_of_flips"]

MIN_GAIN = 0.32
"""Minimum expected gain of a split that is not refused: 0 is guessing, 1 is always right. This
value separates failing splits from others best, on Motion-Split's development backbones and on
real motion, with equal weight for each set (`benchmarks.quality.expectation`)."""

MIN_TRUST = 0.55
"""Minimum trust in the texts where there is no estimate. Fitted in the same way, but above 0.5: one
of two words found is not enough."""

ONE_CLUSTER = 0.64
"""Separation of one normal distribution that is cut in two at its mean, 2/pi."""

MAX_LISTED = 4
"""Maximum words of an axis in a message."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision to make a split."""

    doubts: tuple[str, ...]
    """Reasons against the split that were overruled."""
    warnings: tuple[str, ...]
    """Warnings about the zero-shot rows."""


def decide(problem: SplitProblem, zero_shot: ZeroShot, estimate: Estimate | None) -> Decision:
    """Decide that the split is made, or refuse it.

    Raises:
        DoubtfulSplitError: there is a reason against the split (see the top of this module), the
            request does not accept it, and some subcategory has no labelled clip.
    """
    doubts = tuple(
        _same_meaning(problem)
        or _unclear_axis(zero_shot)
        or _missing_words(problem, zero_shot)
        or _expected_failure(problem, zero_shot, estimate)
        or _rule_differs(problem, zero_shot)
    )
    warnings = (
        *zero_shot.transfer.notices,
        *_warn_of_words(problem, zero_shot),
        *_warn_of_rows(problem, zero_shot),
    )
    if not doubts or problem.request.accept_doubt or all(map(len, problem.labelled)):
        return Decision(doubts, warnings)
    which = f"of {_listing(problem.not_shown)}, too" if problem.has_labelled else "of each"
    raise DoubtfulSplitError(
        f"This split is in doubt: {'; '.join(doubts)}. Name the group to learn from (--like), use "
        "its words (--into 'LABEL=MODIFIER,…'), give the modifiers (--taxonomy), give a labelled "
        f"clip {which} (--shots), answer questions (`edgesplit ask`), or accept the doubt "
        "(--accept-doubt).",
        doubts,
    )


def _expected_failure(
    problem: SplitProblem, zero_shot: ZeroShot, estimate: Estimate | None
) -> list[str]:
    """Return reasons why the split may be little better than guessing; empty if there are none."""
    match = zero_shot.match
    if match.trust >= MIN_TRUST if estimate is None else estimate.gain >= MIN_GAIN:
        return []
    doubts = []
    wanted = " | ".join(problem.modifiers)
    if not problem.groups:
        doubts.append(
            "no two labels of this head differ in one part only, so it has no knowledge to "
            f"distinguish {wanted}"
        )
    elif not match.sources:
        doubts.append(
            f"no group of known labels has at least {len(problem.modifiers)} members, as {wanted} "
            "need"
        )
    elif match.trust < MIN_TRUST:
        nearest = _listing(problem.known_labels[source] for source in match.sources if source >= 0)
        doubts.append(
            f"no known labels differ as {wanted} do (text match {match.score:.2f} of 1; "
            f"the nearest are {nearest})"
        )
    if estimate is not None and (estimate.gain_by_clips < MIN_GAIN or not doubts):
        accuracy = f"{100 * estimate.accuracy:.0f} % (chance {100 / len(problem.modifiers):.0f} %)"
        reasons = _reasons_against(estimate)
        doubts.append(f"its expected accuracy is {accuracy}" + (reasons and f": {reasons}"))
    return doubts


def _reasons_against(estimate: Estimate) -> str:
    """Return what lowers an estimate, and nothing that raises it."""
    reasons = []
    if estimate.precedent < MIN_GAIN:
        how = "the wrong way round" if estimate.precedent < -MIN_GAIN else "with little success"
        reasons.append(
            f"known groups with similar names, such as {estimate.low_group!r}, would be split "
            f"{how} ({estimate.precedent:+.2f}; 1 is always right, 0 is guessing)"
        )
    if estimate.spread < 1:
        reasons.append(
            "the class's clips differ less in this than clips of any class do "
            f"({estimate.spread:.1f} of the usual spread)"
        )
    if estimate.separation < ONE_CLUSTER:
        reasons.append(
            f"the class's clips form one cluster ({100 * estimate.separation:.0f} % of their "
            f"variance lies between the subcategories; {100 * ONE_CLUSTER:.0f} % for one cluster "
            "cut in two)"
        )
    return ", and ".join(reasons)


def _same_meaning(problem: SplitProblem) -> list[str]:
    """Return a doubt if two modifiers are known to mean the same: "left", "leftwards"."""
    by_meaning: dict[object, str] = {}
    for _, modifier in problem.read_as:
        stems = parse_label(modifier).stems
        if not read(stems):
            continue
        other = by_meaning.setdefault(meaning(stems), modifier)
        if other != modifier:
            return [f"{other!r} and {modifier!r} mean the same"]
    return []


def _unclear_axis(zero_shot: ZeroShot) -> list[str]:
    """Return a doubt if several axes of the head are equally likely."""
    candidates = zero_shot.choice.candidates
    if zero_shot.choice.axis is not None or len(candidates) < 2:
        return []
    listed = " | ".join(_shortened(axis.words) for axis in candidates)
    return [f"it is unclear which of these axes is meant; choose one with --like: {listed}"]


def _missing_words(problem: SplitProblem, zero_shot: ZeroShot) -> list[str]:
    """Return a doubt if subcategories have neither a word of the axis nor a labelled clip.

    A missing word is matched by its text only if the axis has most of the other words.
    """
    choice, match, names = zero_shot.choice, zero_shot.match, problem.modifiers
    if choice.axis is None or not any(choice.words):
        return []
    missing = [
        names[i]
        for i, source in enumerate(match.sources)
        if not choice.words[i] and not len(problem.labelled[i])
        if source < 0 or match.trust < MIN_TRUST
    ]
    if not missing:
        return []
    return [f"the head knows {_shortened(choice.axis.words)}, but no word for {_listing(missing)}"]


def _shortened(words: Sequence[str]) -> str:
    more = ", …" if len(words) > MAX_LISTED else ""
    return repr(", ".join(words[:MAX_LISTED]) + more)


def _rule_differs(problem: SplitProblem, zero_shot: ZeroShot) -> list[str]:
    """Return a doubt if the rule would copy labels that do not differ as the subcategories do.

    A rule uses all known labels, and the paper's rules use the words as written. Their sources may
    differ from the match of the texts.
    """
    seen = zero_shot.problem
    if not len(seen.vectors):
        return []
    strongest = seen.known.told_apart[np.argmax(settled(zero_shot.transfer.weights), axis=1)]
    similarity = pair_cosines(seen.wanted.told_apart, strongest)
    if similarity.mean() >= SURE and similarity.min() >= ENCODER_ERROR:
        return []
    copied = _listing(sources[0].label for sources in zero_shot.sources if sources)
    return [
        f"rule {zero_shot.rule!r} would copy {copied}, but their difference does not match "
        f"{' | '.join(problem.modifiers)} (text match {similarity.mean():.2f} of 1, worst pair "
        f"{similarity.min():+.2f})"
    ]


def _listing(labels: Iterable[str]) -> str:
    return ", ".join(repr(label) for label in labels)


def _warn_of_words(problem: SplitProblem, zero_shot: ZeroShot) -> list[str]:
    """Return warnings of corrected words, of words that the axis lacks, and of a weak match."""
    pairs = zip(problem.modifiers, problem.read_as, strict=True)
    warnings = [
        f"{modifier!r} is read as {corrected!r}, the head's spelling; the new label keeps "
        f"{modifier!r}"
        for modifier, (_, corrected) in pairs
        if modifier != corrected
    ]
    axis, found = zero_shot.choice.axis, zero_shot.choice.words
    if axis is not None and any(found):
        warnings += [
            f"the head has no word for {modifier!r}, only {_shortened(axis.words)}"
            for modifier, word, source in zip(
                problem.modifiers, found, zero_shot.match.sources, strict=True
            )
            if not word and source >= 0
        ]
    match = zero_shot.match
    if match.trust >= MIN_TRUST and match.score < SURE:
        nearest = _listing(problem.known_labels[source] for source in match.sources if source >= 0)
        warnings.append(
            f"{' | '.join(problem.modifiers)} match {nearest} only weakly (text match "
            f"{match.score:.2f} of 1)"
        )
    return warnings


def _warn_of_rows(problem: SplitProblem, zero_shot: ZeroShot) -> list[str]:
    """Return warnings of near ties between sources, of very short rows and of similar rows."""
    match, known, names = zero_shot.match, problem.known_labels, problem.modifiers
    warnings = [
        f"{names[i]!r} matches {known[runner_up]!r} almost as well as {known[source]!r}"
        for i, (source, runner_up, margin) in enumerate(
            zip(match.sources, match.runners_up, match.margins, strict=True)
        )
        if margin < ENCODER_ERROR
    ]
    length = np.linalg.norm(zero_shot.rows, axis=1)
    known_rows = zero_shot.problem.vectors
    typical = float(np.median(np.linalg.norm(known_rows, axis=1))) if len(known_rows) else 0.0
    warnings += [
        f"{name!r}: no known label is similar; its row is almost that of the class"
        for name, norm in zip(names, length, strict=True)
        if norm < 0.1 * typical
    ]
    unit: Float64 = zero_shot.rows / np.maximum(length, 1e-12)[:, None]
    cosine = unit @ unit.T
    warnings += [
        f"{names[j]!r} and {names[i]!r} have almost the same row (cosine {cosine[i, j]:.2f}): one "
        "of them may get all clips"
        for i in range(len(names))
        for j in range(i)
        if cosine[i, j] > 0.9
    ]
    return warnings


def warn_of_clips(problem: SplitProblem, shares: Float64) -> list[str]:
    """Return a warning of too few clips of the class, or of subcategories that get very few.

    Args:
        problem: the split.
        shares: share of the class's clips that each subcategory gets; empty if unknown.
    """
    given = problem.request.features is not None
    if problem.statistics is not None and problem.clips.mean is None:
        clips = "clips" if given else "bundle's clips"
        return [
            f"the new rows are not centred: only {problem.clips.count} of the {clips} are of this "
            f"class; at least {MIN_CLASS_CLIPS} are needed"
        ]
    return [
        f"{modifier!r} gets {share:.0%} of the class's clips{'' if given else ' in the bundle'}"
        for modifier, share in zip(problem.modifiers, shares, strict=False)
        if share < 1 / len(problem.modifiers) / 4
    ]


def warn_of_flips(before: Head, after: Head, statistics: Statistics | None) -> tuple[str, ...]:
    """Return a warning if flat splits change decisions between classes on the bundle's clips."""
    if statistics is None:
        return ()
    flips = count_flips(before, after, statistics.sample)
    clips = f"{len(statistics.sample)} of the bundle's clips"
    return (f"flat changes the class of {flips} decisions on {clips}",) if flips else ()
