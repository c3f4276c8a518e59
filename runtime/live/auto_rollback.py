"""Automatic rollback: an edit that changes too much outside its splits is taken back."""

from __future__ import annotations

import itertools
import logging
import threading

from edgesplit._types import Float32
from edgesplit.bundle.bundle import Bundle
from edgesplit.errors import EdgesplitError
from edgesplit.heads.head import Evaluation, Head
from edgesplit.runtime.live.live_head import LiveHead, ServingHead
from edgesplit.runtime.live.shadow import MIN_WINDOWS, Shadow, lowest_share

__all__ = ["Probation"]

_log = logging.getLogger(__name__)


class Probation:
    """Keeps the head before an edit as the edit's shadow. Safe from several threads."""

    def __init__(self, bundle: Bundle, bar: float) -> None:
        """Args: bar: share of windows, 0..1, that an edit may change outside its splits."""
        self.bar = bar
        self.rolled_back = ""
        """What was taken back last, and why; empty when nothing was."""
        self._bundle = bundle
        self._watched: tuple[Shadow, str] | None = None
        """The head before an edit, and the edit's digest."""
        self._taken_back = ""
        """Digest of the edit that was; who makes it live once more means it."""
        self._lock = threading.Lock()

    def start(self, before: ServingHead, after: ServingHead) -> None:
        """Watches `after`, if it is an edit of `before`, or an edit of one.

        A rollback is never watched, nor is an edit that was taken back and is made live again.
        """
        if after.digest == before.digest:
            return
        watched = after.digest != self._taken_back and self._is_edit(after.head, before.digest)
        with self._lock:
            self._watched = (Shadow(before), after.digest) if watched else None

    def _is_edit(self, head: Head, before: str) -> bool:
        """Whether edits lead from `before` to it: several may be published between two looks."""
        try:
            chain = itertools.chain([head], self._bundle.heads.ancestors(head))
            return any(edited.parent == before for edited in chain)
        except EdgesplitError:  # damaged: nobody knows
            return False

    def observe(
        self,
        live: LiveHead,
        serving: ServingHead,
        features: Float32,
        decided: Evaluation,
    ) -> None:
        """Counts a decision as `Shadow.observe` does; at the bar, rolls back in a thread."""
        watched = self._watched
        if watched is None or serving.digest != watched[1]:
            return
        shadow, _ = watched
        shadow.observe(serving, features, decided)
        n_outside, n_windows = shadow.outside
        if n_windows < MIN_WINDOWS:  # of the first ones a single change would be above most bars
            return
        if lowest_share(n_outside, n_windows) <= self.bar:
            return
        with self._lock:
            if self._watched is not watched:
                return  # another thread saw it first, or another head is live
            self._watched = None
        before = shadow.candidate.digest
        reason = (
            f"{serving.digest[:12]} was rolled back to {before[:12]}: it changed {n_outside} of "
            f"{n_windows} windows outside its splits, which is surely above {self.bar:.2%}"
        )
        # Not on the thread that predicts: a rollback writes to the disk.
        threading.Thread(
            target=self._roll_back,
            args=(live, serving.digest, before, reason),
            name="edgesplit-rollback",
            daemon=True,
        ).start()

    def _roll_back(self, live: LiveHead, digest: str, before: str, reason: str) -> None:
        earlier, self.rolled_back = self.rolled_back, reason  # told as soon as HEAD is followed
        follow, self._taken_back = True, digest
        try:
            self._bundle.rollback(before, expect=digest)
        except EdgesplitError as error:
            if self._is_gone(digest):  # somebody published since: theirs is followed, not ours
                self.rolled_back = earlier
                return
            follow = False
            self.rolled_back += f"; in this runtime only: {error}"
        try:
            if live.serving.digest == digest:
                live.swap(None if follow else before)  # HEAD: others may have published by now
            _log.warning("%s", self.rolled_back)
        except EdgesplitError as error:
            self.rolled_back = earlier
            _log.error("%s goes on serving, as it cannot be rolled back: %s", digest[:12], error)

    def _is_gone(self, digest: str) -> bool:
        """Whether the bundle names another head than this by now."""
        try:
            return self._bundle.live != digest
        except EdgesplitError:
            return False
