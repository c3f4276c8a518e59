"""What an edit says about itself: where each row came from, and how far to trust that."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from edgesplit._data import nan_to_null
from edgesplit.edits.checks import Decision, warn_of_clips, warn_of_flips
from edgesplit.edits.estimate import Estimate
from edgesplit.edits.fitting import FittedRows
from edgesplit.edits.matching import ENCODER_ERROR
from edgesplit.edits.problem import SplitProblem
from edgesplit.edits.transfer import ZeroShot
from edgesplit.heads.head import Head
from edgesplit.heads.labels import Source

__all__ = ["NewRow", "Report", "ShotReport", "report_split"]


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
class ShotReport:
    """Labelled clips, and what they say of the rows that were fitted to them."""

    clips: tuple[int, ...]
    """Of each subcategory."""
    n_right: int
    """Clips that come out right when each is left out in turn."""
    pull: float
    """Clips that each zero-shot row counted as."""


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
    """What is expected of the split; None when there are too few clips to say."""
    rows: tuple[NewRow, ...] = ()
    roll_up_growth: float = 0.0
    """Flat only: by how much the class's logit grows when its subcategories are equally likely,
    log(number of subcategories); that much more often it wins against the root classes."""
    doubts: tuple[str, ...] = ()
    """What spoke against the split, and was accepted or overruled by labelled clips."""
    warnings: tuple[str, ...] = ()
    splits: tuple[Report, ...] = ()
    """Plan only: the account of each split, in order."""

    def to_json(self) -> dict[str, Any]:
        """A JSON object; NaN becomes null."""
        content = nan_to_null(asdict(self))
        content["rows"] = [nan_to_null(row) for row in content["rows"]]
        content["splits"] = [split.to_json() for split in self.splits]
        return content


def report_split(
    problem: SplitProblem,
    zero_shot: ZeroShot,
    decision: Decision,
    fitted: FittedRows,
    edited: Head,
) -> Report:
    """The account of a split, from what each stage found."""
    head, flat = problem.head, problem.request.composition == "flat"
    rows = tuple(_row(problem, zero_shot, i) for i in range(len(problem.subcategories)))
    shots = fitted.shots
    counts = tuple(map(len, problem.labelled))
    return Report(
        action="split",
        label=head.tree[problem.column].label,
        n_untouched=len(head.tree.roots) - flat,
        rule=zero_shot.rule,
        composition=problem.request.composition,
        likeness=round(zero_shot.match.score, 4),
        rows=rows,
        n_clips=fitted.n_clips,
        shots=None if shots is None else ShotReport(counts, shots.n_right, shots.pull),
        estimate=fitted.estimate,
        roll_up_growth=math.log(len(rows)) if flat else 0.0,
        doubts=decision.doubts,
        warnings=(
            *decision.warnings,
            *warn_of_clips(problem, fitted.shares),
            *(warn_of_flips(head, edited, problem.statistics) if flat else ()),
        ),
    )


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
