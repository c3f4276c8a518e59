"""Shadow heads: a candidate decides beside the live head, and differences are counted.

Both heads get the same feature, so a shadow costs one more head, not one more backbone. Nodes of
the two heads are matched as in `edgesplit.heads.diff`. A decision that differs in a node that both
heads have is outside the split. If only the candidate continues below such a node, the decision is
inside the split.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from edgesplit._types import Float32
from edgesplit.errors import EdgesplitError
from edgesplit.heads.diff import match_nodes
from edgesplit.heads.head import Evaluation
from edgesplit.runtime.live.live_head import ServingHead

__all__ = [
    "COLLAPSED",
    "MIN_WINDOWS",
    "Change",
    "Shadow",
    "ShadowReport",
    "SplitReport",
    "lowest_share",
]

COLLAPSED = 0.95
"""A split that gives one child this share of its windows, or more, has collapsed."""
MIN_WINDOWS = 30
"""Fewest windows for a warning."""
MAX_CHANGES = 10
"""Largest number of kinds of disagreement in a report, most frequent first."""
Z = 3.0
"""Standard errors by which a share must exceed a limit; high, as every window is a check."""


_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """One kind of disagreement outside the splits."""

    live: str
    """Label decided by the live head, among the nodes that both heads have."""
    candidate: str
    count: int


@dataclass(frozen=True, slots=True)
class SplitReport:
    """Decisions of the candidate below a class that only it splits."""

    label: str
    n_windows: int
    shares: dict[str, float]
    """Share of the windows by child, 0..1."""
    mean_margin: float
    """Mean difference of the two highest probabilities of children, given their parent; 0..1."""

    @property
    def collapsed(self) -> bool:
        """True if nearly all windows are decided as the same child."""
        return self.n_windows >= MIN_WINDOWS and max(self.shares.values()) >= COLLAPSED


@dataclass(frozen=True, slots=True)
class ShadowReport:
    """Comparison of a candidate with the live head, over the windows since both were set."""

    live: str
    """Digest of the live head, as is `candidate` of the candidate."""
    candidate: str
    n_windows: int
    n_outside: int
    """Windows on which the heads disagree outside the splits."""
    changes: tuple[Change, ...]
    largest_logit_difference: float
    """Largest difference of a logit, among root classes that both heads have."""
    splits: tuple[SplitReport, ...]
    stopped: str
    """Reason why the candidate is no longer scored; empty while it is."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Findings that need attention, in sentences."""
        texts = [self.stopped] if self.stopped else []
        for split in self.splits:
            if split.collapsed:
                label, share = max(split.shares.items(), key=lambda item: item[1])
                texts.append(
                    f"{share:.0%} of {split.n_windows} windows of {split.label!r} are decided as "
                    f"{label!r}; unless the scene really shows so many, the split does not "
                    "distinguish its subcategories"
                )
        return tuple(texts)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        content = asdict(self)
        for given, split in zip(content["splits"], self.splits, strict=True):
            given["collapsed"] = split.collapsed
        return {**content, "warnings": list(self.warnings)}


class Shadow:
    """Scores a candidate beside the live head. Safe from several threads."""

    def __init__(self, candidate: ServingHead) -> None:
        """Start with a candidate that is built and warmed."""
        self.candidate = candidate
        self._lock = threading.Lock()
        self._stopped = ""
        self._start(None)

    def _start(self, live: ServingHead | None) -> None:
        """Count from zero, against another live head."""
        self._live = live
        self._pairs = {} if live is None else match_nodes(live.head, self.candidate.head)
        self._known = frozenset(self._pairs.values())
        roots = [c for c in self._pairs if live is not None and live.head.tree[c].parent is None]
        self._live_roots = np.array(roots, np.int64)
        self._own_roots = np.array([self._pairs[column] for column in roots], np.int64)
        self._n_windows = self._n_outside = 0
        self._changes: Counter[tuple[str, str]] = Counter()
        self._largest = 0.0
        self._children: dict[int, Counter[int]] = {}
        self._margins: dict[int, float] = {}

    def observe(self, live: ServingHead, features: Float32, decided: Evaluation) -> None:
        """Decide with the candidate, and count differences from the live head. Never raises.

        Args:
            live: the head that decided; if it has changed, counting restarts.
            features: `(batch, dim)` float32.
            decided: the evaluation of `live`.
        """
        if self._stopped:
            return
        try:
            result = self.candidate.evaluate(features)
            with self._lock:
                if self._live is None or self._live.digest != live.digest:
                    self._start(live)
                for row in range(len(features)):
                    self._count(live, row, decided, result)
        except (EdgesplitError, ArithmeticError, LookupError, ValueError) as error:
            # An error of the candidate must not stop the live head's answers.
            self._stopped = f"{self.candidate.digest[:12]} is no longer scored: {error}"
            _log.warning("%s", self._stopped)

    def _count(self, live: ServingHead, row: int, decided: Evaluation, result: Evaluation) -> None:
        tree = self.candidate.head.tree
        path = tree.path(int(result.class_index[row]))
        theirs = [
            self._pairs[column]
            for column in live.head.tree.path(int(decided.class_index[row]))
            if column in self._pairs
        ]
        ours = [column for column in path if column in self._known]
        self._n_windows += 1
        if len(self._own_roots):
            roots = result.logits[row, self._own_roots] - decided.logits[row, self._live_roots]
            self._largest = max(self._largest, float(np.abs(roots).max()))
        # Compare down to the depth of both: a node that only one of them has is inside its split.
        shared = max(1, min(len(ours), len(theirs)))
        if ours[:shared] != theirs[:shared]:
            self._n_outside += 1
            named = [tree[columns[-1]].label if columns else "" for columns in (theirs, ours)]
            self._changes[named[0], named[1]] += 1
        for parent, child in pairwise(path):
            if child not in self._known:
                self._children.setdefault(parent, Counter())[child] += 1
                below = tree.children(parent)
                shares = np.sort(result.probabilities[row, below.start : below.stop])
                total = float(shares.sum())
                margin = float(shares[-1] - shares[-2]) / total if total else 0.0
                self._margins[parent] = self._margins.get(parent, 0.0) + margin

    @property
    def outside(self) -> tuple[int, int]:
        """Numbers of windows on which the heads disagree outside the splits, and of all windows."""
        with self._lock:
            return self._n_outside, self._n_windows

    def report(self) -> ShadowReport:
        """Return the comparison so far."""
        tree = self.candidate.head.tree
        with self._lock:
            splits = []
            for parent, counts in sorted(self._children.items()):
                n = counts.total()
                shares = {tree[child].label: counts[child] / n for child in tree.children(parent)}
                splits.append(SplitReport(tree[parent].label, n, shares, self._margins[parent] / n))
            return ShadowReport(
                live="" if self._live is None else self._live.digest,
                candidate=self.candidate.digest,
                n_windows=self._n_windows,
                n_outside=self._n_outside,
                changes=tuple(
                    Change(*labels, count)
                    for labels, count in self._changes.most_common(MAX_CHANGES)
                ),
                largest_logit_difference=self._largest,
                splits=tuple(splits),
                stopped=self._stopped,
            )


def lowest_share(count: int, total: int, z: float = Z) -> float:
    """Return the lower end of Wilson's interval for `count / total`, `z` standard errors wide.

    Source: Wilson 1927, Journal of the American Statistical Association 22, 209-212.
    """
    if not total:
        return 0.0
    share, spread = count / total, z * z / total
    root = float(np.sqrt(share * (1 - share) * spread + spread * spread / 4))
    return max(0.0, (share + spread / 2 - root) / (1 + spread))
