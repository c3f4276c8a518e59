"""What an edit says about itself: where each row came from, and how far to trust that."""

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
    """One subcategory that an edit made."""

    label: str
    modifier: str
    sources: tuple[Source, ...]
    """The known labels it was made from, the largest share first."""
    match: str = ""
    """The known label whose text differs from its siblings' as this one's does."""
    runner_up: str = ""
    """The sibling of `match` that comes next; empty when there is none."""
    margin: float = float("nan")
    """What the likeness loses with the runner-up instead; see `edgesplit.edits.matching`."""
    near_tie: bool = False
    """The margin is within the text encoder's error."""


@dataclass(frozen=True, slots=True)
class AnswerReport:
    """What a person said of one clip, against what texts alone would have said."""

    clip: int
    """Its place in `SplitRequest.features`."""
    digest: str
    """See `edgesplit.edits.problem.Answer.digest`."""
    answer: str
    """The modifier of the subcategory that it shows; empty if it shows none of them."""
    by_text: str
    """The modifier that the rows from texts alone give it; empty if texts say nothing."""


@dataclass(frozen=True, slots=True)
class ShotReport:
    """Labelled clips and answers about clips, and what they did."""

    clips: tuple[int, ...]
    """Of each subcategory, labelled clips and answers."""
    n_right: int
    """How many of them the rows from texts alone get right."""
    pull: float
    """Clips that each zero-shot row counted as."""
    separation: float | None
    """Part of the variance of the class's scores that lies between the subcategories, 0 to 1; 0.64
    for one cloud cut in two. None where there are too few unlabelled clips."""
    moved_share: float
    """Of the class's unlabelled clips, how many get another subcategory than from texts alone; 0
    if texts say nothing."""
    neither_share: float
    """Of the class's unlabelled clips, how many are like the ones that show no subcategory."""
    answers: tuple[AnswerReport, ...] = ()
    """In the order of the clips."""

    @property
    def n_neither(self) -> int:
        """Answers that a clip shows none of the subcategories."""
        return sum(not answer.answer for answer in self.answers)

    @property
    def confirmed(self) -> bool:
        """Whether there is a clip of each subcategory, and texts alone get every clip right."""
        return all(self.clips) and self.n_right == sum(self.clips)


@dataclass(frozen=True, slots=True)
class Report:
    """The account of one edit."""

    action: str
    """`split`, `merge`, `rename`, `drop` or `plan`."""
    label: str
    """The class that was edited; empty for a plan, which edits several."""
    n_untouched: int
    """Root classes whose rows and logits the edit leaves alone, to the bit."""
    to: str = ""
    """Rename only: the new label."""
    rule: str = ""
    composition: str = ""
    likeness: float = float("nan")
    """How alike the new modifiers and the matched known ones differ, as texts: a cosine, 1 for the
    same words. It says nothing about the clips."""
    n_clips: int = 0
    """Unlabelled clips of the class that the new rows were centred on; 0 when they were not."""
    shots: ShotReport | None = None
    """What labelled clips did; None without any."""
    estimate: Estimate | None = None
    """What texts and unlabelled clips say of the split, before any labelled one; None when there
    are too few clips to say."""
    expected: float | None = None
    """Accuracy that is expected of the split as it was made; None when it is unknown."""
    rows: tuple[NewRow, ...] = ()
    roll_up_growth: float = 0.0
    """Flat only: by how much the class's logit grows when its subcategories are equally likely,
    log(number of subcategories); that much more often it wins against the root classes."""
    doubts: tuple[str, ...] = ()
    """What spoke against the split, and was accepted or overruled by labelled clips."""
    warnings: tuple[str, ...] = ()
    splits: tuple[Report, ...] = ()
    """Plan only: the account of each split, in order."""

    @property
    def settled(self) -> bool:
        """Whether labelled clips settled the doubts.

        There is one of each subcategory, and they let expect what a split without a doubt gains.
        """
        if self.expected is None or self.shots is None or self.shots.separation is None:
            return False
        chance = 1 / len(self.rows)
        gain = (self.expected - chance) / (1 - chance)
        return all(self.shots.clips) and gain >= MIN_GAIN

    def to_json(self) -> dict[str, Any]:
        """A JSON object; NaN becomes null."""
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
    """The account of a split, from what each stage found."""
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
    """Subcategories that nobody showed a clip of, and clips that show none."""
    if fit is None:
        return []
    missing, warnings = ", ".join(map(repr, problem.not_shown)), []
    if missing:
        uses_text = fit.pull or not problem.has_labelled
        told = "text alone tells it" if uses_text else "it gets clips that are like no answered one"
        warnings.append(f"no clip shows {missing}: {told}")
    if round(fit.neither_share, 2):
        warnings.append(f"about {fit.neither_share:.0%} of the class's clips show none of these")
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
