"""Automatic rollback: an edit that changes too much outside its splits is taken back."""

from __future__ import annotations

import logging
import threading

import numpy as np
import numpy.typing as npt

from edgesplit.bundle import Bundle
from edgesplit.errors import EdgesplitError
from edgesplit.head import Evaluation
from edgesplit.runtime.shadow import MIN_WINDOWS, Shadow, lowest_share
from edgesplit.runtime.swap import LiveHead, ServingHead

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
        self._shadow: Shadow | None = None
        self._lock = threading.Lock()

    def start(self, before: ServingHead, after: ServingHead) -> None:
        """Watches `after`, if it is an edit of `before`; a rollback is never watched."""
        if after.digest == before.digest:
            return
        edited = after.head.parent == before.digest
        with self._lock:
            self._shadow = Shadow(before) if edited else None

    def observe(
        self,
        live: LiveHead,
        serving: ServingHead,
        features: npt.NDArray[np.float32],
        decided: Evaluation,
    ) -> None:
        """Counts a decision as `Shadow.observe` does; at the bar, rolls back in a thread."""
        shadow = self._shadow
        if shadow is None or serving.head.parent != shadow.candidate.digest:
            return
        shadow.observe(serving, features, decided)
        n_outside, n_windows = shadow.outside
        if n_windows < MIN_WINDOWS:  # of the first ones a single change would be above most bars
            return
        if lowest_share(n_outside, n_windows) <= self.bar:
            return
        with self._lock:
            if self._shadow is not shadow:
                return  # another thread saw it first, or another head is live
            self._shadow = None
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
        follow = True
        try:
            self._bundle.rollback(before, expect=digest)
        except EdgesplitError as error:
            if self._is_gone(digest):  # somebody published since: theirs is followed, not ours
                self.rolled_back = earlier
                return
            follow = False
            self.rolled_back += f"; in this runtime only: {error}"
        _log.warning("%s", self.rolled_back)
        try:
            if live.serving.digest == digest:
                live.swap(None if follow else before)  # HEAD: others may have published by now
        except EdgesplitError as error:
            self.rolled_back += f"; it goes on serving: {error}"
            _log.warning("%s goes on serving: %s", digest[:12], error)

    def _is_gone(self, digest: str) -> bool:
        """Whether the bundle names another head than this by now."""
        try:
            return self._bundle.live != digest
        except EdgesplitError:
            return False
