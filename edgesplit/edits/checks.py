"""Reasons to refuse a split before it is made, and warnings.

A split is refused if it is not clear what is meant, if the head has no word for a subcategory, if
it is expected to be hardly better than guessing (the texts may be why, or the clips), or if the
rule would take what differs otherwise. Warnings do not stop anything.
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
"""A split that is expected to gain less, where guessing gains 0 and always right 1, is not made
without being asked twice. It tells splits that fail from others best, on Motion-Split's development
backbones and on real motion, each set counting alike (`benchmarks.quality.expectation`)."""

MIN_TRUST = 0.55
"""Trust that texts want where clips say nothing; fitted alike, but above a half: a word that is
found does not stand for another that is not."""

MAX_LISTED = 4
"""Words of an axis that a message names."""


@dataclass(frozen=True, slots=True)
class Decision:
    """That a split is made."""

    doubts: tuple[str, ...]
    """What spoke against it, in sentences, and was overruled."""
    warnings: tuple[str, ...]
    """About the zero-shot rows, in sentences."""


def decide(problem: SplitProblem, zero_shot: ZeroShot, estimate: Estimate | None) -> Decision:
    """Whether the split is made.

    Raises:
        DoubtfulSplitError: something speaks against it (see the top of this module), the request
            does not accept that, and some subcategory has no labelled clip.
    """
    doubts = tuple(
        _say_the_same(problem)
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
    show = f"of {_listing(problem.not_shown)}, too," if problem.has_labelled else "of each"
    raise DoubtfulSplitError(
        f"This split is in doubt: {'; '.join(doubts)}. Name the group to learn from "
        "with --like, say it in its words (--into 'LABEL=MODIFIER,…'), give the modifiers "
        f"with --taxonomy, show a clip {show} with --shots, answer questions (`edgesplit ask`), "
        "or accept this with --accept-doubt.",
        doubts,
    )


def _expected_failure(
    problem: SplitProblem, zero_shot: ZeroShot, estimate: Estimate | None
) -> list[str]:
    """Why the split may come out no better than guessing; empty when it should not."""
    match = zero_shot.match
    if match.trust >= MIN_TRUST if estimate is None else estimate.gain >= MIN_GAIN:
        return []
    doubts = []
    wanted = " | ".join(problem.modifiers)
    if not problem.groups:
        doubts.append(
            "no two labels of this head differ in one thing alone, so it knows no way to tell "
            f"{wanted} apart"
        )
    elif not match.sources:
        doubts.append(
            f"no group of known labels has {len(problem.modifiers)} members, as many as {wanted}"
        )
    elif match.trust < MIN_TRUST:
        nearest = _listing(problem.known_labels[source] for source in match.sources if source >= 0)
        doubts.append(
            f"no known labels differ as {wanted} do (likeness {match.score:.2f} of 1; "
            f"the nearest are {nearest})"
        )
    if estimate is not None and (estimate.gain_by_clips < MIN_GAIN or not doubts):
        doubts.append(
            "it is expected to be hardly better than guessing: the head's own groups with like "
            f"names come out at {estimate.precedent:+.2f} when they are split so (1 is always "
            f"right, 0 guessing), and clips of the class lie {estimate.spread:.1f} times as far "
            f"apart as usual; {estimate.separation:.0%} of how they differ lies between the "
            "subcategories (of one cloud, cut in two, 64 % would)"
        )
    return doubts


def _say_the_same(problem: SplitProblem) -> list[str]:
    """Subcategories whose words are known to mean one thing: "left", "leftwards"."""
    said: dict[object, str] = {}
    for _, modifier in problem.read_as:
        stems = parse_label(modifier).stems
        if not read(stems):
            continue
        other = said.setdefault(meaning(stems), modifier)
        if other != modifier:
            return [f"{other!r} and {modifier!r} say the same"]
    return []


def _unclear_axis(zero_shot: ZeroShot) -> list[str]:
    """That several things vary in the head, and the texts do not say which is meant."""
    candidates = zero_shot.choice.candidates
    if zero_shot.choice.axis is not None or len(candidates) < 2:
        return []
    listed = " | ".join(_shortened(axis.words) for axis in candidates)
    return [f"it may be meant along any of these; choose one with --like: {listed}"]


def _missing_words(problem: SplitProblem, zero_shot: ZeroShot) -> list[str]:
    """Subcategories that the axis has no word for, nor a labelled clip.

    Most words must be found for another to be told by likeness.
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
    return [f"the head knows {_shortened(choice.axis.words)}, but nothing of {_listing(missing)}"]


def _shortened(words: Sequence[str]) -> str:
    more = ", …" if len(words) > MAX_LISTED else ""
    return repr(", ".join(words[:MAX_LISTED]) + more)


def _rule_differs(problem: SplitProblem, zero_shot: ZeroShot) -> list[str]:
    """What the rule would copy, where it does not differ as the subcategories do.

    A rule looks at all known labels, and the paper's look at the words as they are written; what
    they take need not be what the texts say.
    """
    seen = zero_shot.problem
    if not len(seen.vectors):
        return []
    strongest = seen.known.told_apart[np.argmax(settled(zero_shot.transfer.weights), axis=1)]
    alike = pair_cosines(seen.wanted.told_apart, strongest)
    if alike.mean() >= SURE and alike.min() >= ENCODER_ERROR:
        return []
    taken = _listing(sources[0].label for sources in zero_shot.sources if sources)
    return [
        f"the rule would take {taken} for {' | '.join(problem.modifiers)}: they differ otherwise "
        f"(likeness {alike.mean():.2f} of 1, the worst pair {alike.min():+.2f})"
    ]


def _listing(labels: Iterable[str]) -> str:
    return ", ".join(repr(label) for label in labels)


def _warn_of_words(problem: SplitProblem, zero_shot: ZeroShot) -> list[str]:
    """Words that are read as others, that the axis does not have, or that are a little alike."""
    said = zip(problem.modifiers, problem.read_as, strict=True)
    warnings = [
        f"{modifier!r} is read as {corrected!r}, as the head spells it"
        for modifier, (_, corrected) in said
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
            f"{' | '.join(problem.modifiers)} are a little like {nearest}, no more (likeness "
            f"{match.score:.2f} of 1)"
        )
    return warnings


def _warn_of_rows(problem: SplitProblem, zero_shot: ZeroShot) -> list[str]:
    """Near ties between sources, and rows that hardly move, or nearly the same way."""
    match, known, names = zero_shot.match, problem.known_labels, problem.modifiers
    warnings = [
        f"{names[i]!r} is nearly as near to {known[runner_up]!r} as to {known[source]!r}"
        for i, (source, runner_up, margin) in enumerate(
            zip(match.sources, match.runners_up, match.margins, strict=True)
        )
        if margin < ENCODER_ERROR
    ]
    length = np.linalg.norm(zero_shot.rows, axis=1)
    known_rows = zero_shot.problem.vectors
    typical = float(np.median(np.linalg.norm(known_rows, axis=1))) if len(known_rows) else 0.0
    warnings += [
        f"{name!r} moves its row hardly at all: nothing known is like it."
        for name, norm in zip(names, length, strict=True)
        if norm < 0.1 * typical
    ]
    unit: Float64 = zero_shot.rows / np.maximum(length, 1e-12)[:, None]
    alike = unit @ unit.T
    warnings += [
        f"{names[j]!r} and {names[i]!r} get nearly the same row (cosine {alike[i, j]:.2f}): one "
        "may take all."
        for i in range(len(names))
        for j in range(i)
        if alike[i, j] > 0.9
    ]
    return warnings


def warn_of_clips(problem: SplitProblem, shares: Float64) -> list[str]:
    """Too few unlabelled clips of the class, or a subcategory that gets hardly any of them.

    Args:
        problem: the split.
        shares: of the class's clips that each subcategory gets; empty if they are not known.
    """
    given = problem.request.features is not None
    if problem.statistics is not None and problem.clips.mean is None:
        clips = "clips" if given else "bundle's clips"
        return [
            f"only {problem.clips.count} of the {clips} are of this class, {MIN_CLASS_CLIPS} are "
            "wanted: the new rows are not centred on it"
        ]
    return [
        f"{modifier!r} gets {share:.0%} of the class's clips{'' if given else ' in the bundle'}"
        for modifier, share in zip(problem.modifiers, shares, strict=False)
        if share < 1 / len(problem.modifiers) / 4
    ]


def warn_of_flips(before: Head, after: Head, statistics: Statistics | None) -> tuple[str, ...]:
    """What flat splits cost: decisions about the bundle's clips that change between classes."""
    if statistics is None:
        return ()
    flips = count_flips(before, after, statistics.sample)
    clips = f"{len(statistics.sample)} of the bundle's clips"
    return (f"flat flips {flips} decisions on {clips}",) if flips else ()
