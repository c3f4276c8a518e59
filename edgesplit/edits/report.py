"""What an edit says about itself: where each row came from, and how far to trust that."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from edgesplit.edits.estimate import Confidence
from edgesplit.heads.labels import Source

__all__ = ["NewRow", "Report", "ShotReport"]


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
    confidence: Confidence | None = None
    """What is expected of the split; None when there are too few clips to say."""
    rows: tuple[NewRow, ...] = ()
    roll_up_growth: float = 0.0
    """Flat only: by how much the class's logit grows when its subcategories are equally likely,
    log(number of subcategories); that much more often it wins against the root classes."""
    doubts: tuple[str, ...] = ()
    """What spoke against the split, and was overruled by --force or by labelled clips."""
    warnings: tuple[str, ...] = ()
    splits: tuple[Report, ...] = ()
    """Plan only: the account of each split, in order."""

    def to_json(self) -> dict[str, Any]:
        """A JSON object; NaN becomes null."""
        content = asdict(self)
        for part, key in ((content, "likeness"), *((row, "margin") for row in content["rows"])):
            part[key] = None if part[key] != part[key] else part[key]
        content["splits"] = [split.to_json() for split in self.splits]
        return content
