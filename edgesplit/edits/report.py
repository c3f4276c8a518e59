"""The report of an edit: the sources of each new row, its expected accuracy, and warnings."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from edgesplit._data import nan_to_null
from edgesplit.edits.checks import MIN_GAIN, Decision, warn_of_clips, warn_of_flips
from edgesplit.edits.estimate import Estimate
from edgesplit.edits.fitting import AnswerFit, FittedRows
from edgesplit.edits.matching import ENCODER_ERROR
from edgesplit.edits.problem import SplitProblem
from edgesplit.edits.transfer import ZeroShot
from edgesplit.heads.head import Head
from edgesplit.heads.labels import Source

__all__ = ["AnswerReport", "NewRow", "Report", "ShotReport", "report_split"]


@dataclass(frozen=True, slots=True)
class NewRow:
    """One subcategory made by an edit."""

    label: str
    modifier: str
    sources: tuple[Source, ...]
    """Known labels that the row was made from, the largest share first."""
    match: str = ""
    """Known label whose text differs from its siblings' as this subcategory's text does."""
    runner_up: str = ""
    """Next best label in the group of `match`; empty if there is none."""
    margin: float = float("nan")
    """Loss in text match with the runner-up in place of `match`; see `edgesplit.edits.matching`."""
    near_tie: bool = False
    """True if the margin is within the text encoder's error."""


@dataclass(frozen=True, slots=True)
class AnswerReport:
    """A person's answer about one clip, and the decision by texts only."""

    clip: int
    """Index of the clip in `SplitRequest.features`."""
    digest: str
    """See `edgesplit.edits.problem.Answer.digest`."""
    answer: str
    """Modifier of the subcategory that the clip shows; empty if it shows none of them."""
    by_text: str
    """Modifier by the rows from texts only; empty if the texts give no rows."""


@dataclass(frozen=True, slots=True)
class ShotReport:
    """Labelled clips and answers about clips, and their effect."""

    clips: tuple[int, ...]
    """Number of labelled clips and answers of each subcategory."""
    n_right: int
    """Number of these clips that the rows from texts only get right."""
    pull: float
    """Weight of each zero-shot row, in clips."""
    separation: float | None
    """Part of the variance of the class's scores that lies between the subcategories, 0 to 1; 0.64
    for one cluster cut in two. None if there are too few unlabelled clips."""
    moved_share: float
    """Share of the class's unlabelled clips that get another subcategory than by texts only; 0 if
    the texts give no rows."""
    neither_share: float
    """Share of the class's unlabelled clips that are like clips that show no subcategory."""
    answers: tuple[AnswerReport, ...] = ()
    """Answers in the order of the clips."""

    @property
    def n_neither(self) -> int:
        """Number of answers that a clip shows none of the subcategories."""
        return sum(not answer.answer for answer in self.answers)

    @property
    def confirmed(self) -> bool:
        """True if each subcategory has a labelled clip, and texts only get every clip right."""
        return all(self.clips) and self.n_right == sum(self.clips)


@dataclass(frozen=True, slots=True)
class Report:
    """The report of one edit."""

    action: str
    """`split`, `merge`, `rename`, `drop` or `plan`."""
    label: str
    """Edited class; empty for a plan, which edits several."""
    n_untouched: int
    """Number of root classes whose rows and logits stay equal bit by bit."""
    to: str = ""
    """New label of a rename."""
    rule: str = ""
    composition: str = ""
    likeness: float = float("nan")
    """Text match of the new and the known modifiers, a cosine; 1 for the same words. It does not
    depend on clips."""
    n_clips: int = 0
    """Number of unlabelled clips of the class that the new rows were centred on; 0 if none."""
    shots: ShotReport | None = None
    """Effect of labelled clips; None without any."""
    estimate: Estimate | None = None
    """Estimate from texts and unlabelled clips, before any labelled clip; None if there are too few
    clips."""
    expected: float | None = None
    """Expected accuracy of the final split; None if unknown."""
    rows: tuple[NewRow, ...] = ()
    roll_up_growth: float = 0.0
    """Growth of the class's logit if its subcategories are equally likely, log(number of
    subcategories); the class then wins more often against the root classes. Flat only."""
    doubts: tuple[str, ...] = ()
    """Reasons against the split that were accepted or overruled by labelled clips."""
    warnings: tuple[str, ...] = ()
    splits: tuple[Report, ...] = ()
    """Reports of a plan's splits, in order."""

    @property
    def settled(self) -> bool:
        """True if labelled clips settled the doubts.

        Each subcategory has a labelled clip, and the expected gain is at least `MIN_GAIN`.
        """
        if self.expected is None or self.shots is None or self.shots.separation is None:
            return False
        chance = 1 / len(self.rows)
        gain = (self.expected - chance) / (1 - chance)
        return all(self.shots.clips) and gain >= MIN_GAIN

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object; NaN becomes null."""
        content = nan_to_null(asdict(self))
        content["rows"] = [nan_to_null(row) for row in content["rows"]]
        content["splits"] = [split.to_json() for split in self.splits]
        return content


def report_split(
    problem: SplitProblem,
    zero_shot: ZeroShot,
    estimate: Estimate | None,
    decision: Decision,
    fitted: FittedRows,
    edited: Head,
) -> Report:
    """Return the report of a split, from the results of its stages."""
    head, flat = problem.head, problem.request.composition == "flat"
    rows = tuple(_row(problem, zero_shot, i) for i in range(len(problem.subcategories)))
    return Report(
        action="split",
        label=head.tree[problem.column].label,
        n_untouched=len(head.tree.roots) - flat,
        rule=zero_shot.rule,
        composition=problem.request.composition,
        likeness=round(zero_shot.match.score, 4),
        rows=rows,
        n_clips=fitted.n_clips,
        shots=_report_shots(problem, fitted.answers),
        estimate=estimate,
        expected=fitted.expected,
        roll_up_growth=math.log(len(rows)) if flat else 0.0,
        doubts=decision.doubts,
        warnings=(
            *decision.warnings,
            *warn_of_clips(problem, fitted.shares),
            *_warn_of_answers(problem, fitted.answers),
            *(warn_of_flips(head, edited, problem.statistics) if flat else ()),
        ),
    )


def _report_shots(problem: SplitProblem, fit: AnswerFit | None) -> ShotReport | None:
    if fit is None:
        return None
    names = (*problem.modifiers, "")  # -1 is none of them
    return ShotReport(
        clips=tuple(map(len, problem.labelled)),
        n_right=fit.n_right,
        pull=fit.pull,
        separation=fit.separation,
        moved_share=fit.moved_share,
        neither_share=fit.neither_share,
        answers=tuple(
            AnswerReport(
                clip=answer.clip,
                digest=answer.digest,
                answer=names[answer.subcategory],
                by_text=names[by_text],
            )
            for answer, by_text in zip(problem.answers, fit.by_text, strict=True)
        ),
    )


def _warn_of_answers(problem: SplitProblem, fit: AnswerFit | None) -> list[str]:
    """Return warnings of subcategories without labelled clips, and of clips that show none."""
    if fit is None:
        return []
    missing, warnings = ", ".join(map(repr, problem.not_shown)), []
    if missing:
        uses_text = fit.pull or not problem.has_labelled
        source = (
            "its row is from text only" if uses_text else "its row is from unlabelled clips only"
        )
        warnings.append(f"no labelled clip shows {missing}: {source}")
    if round(fit.neither_share, 2):
        warnings.append(
            f"about {fit.neither_share:.0%} of the class's clips show none of the subcategories"
        )
    return warnings


def _row(problem: SplitProblem, zero_shot: ZeroShot, i: int) -> NewRow:
    label, modifier = problem.subcategories[i]
    known, match, sources = problem.known_labels, zero_shot.match, zero_shot.sources[i]
    if not match.sources or match.sources[i] < 0:
        return NewRow(label, modifier, sources)
    runner_up = match.runners_up[i]
    return NewRow(
        label,
        modifier,
        sources,
        match=known[match.sources[i]],
        runner_up=known[runner_up] if runner_up >= 0 else "",
        margin=round(match.margins[i], 4),
        near_tie=match.margins[i] < ENCODER_ERROR,
    )
