"""Roll back an edit that changes too many answers outside its splits."""

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

__all__ = ["AutoRollback"]

_log = logging.getLogger(__name__)


class AutoRollback:
    """Scores the head before an edit as a shadow of the edit. Safe from several threads."""

    def __init__(self, bundle: Bundle, max_share: float) -> None:
        """Take the share of windows, 0..1, that an edit may change outside its splits."""
        self.max_share = max_share
        self.last_rollback = ""
        """What was rolled back last, and why; empty if nothing was."""
        self._bundle = bundle
        self._watched: tuple[Shadow, str] | None = None
        """The head before an edit, and the edit's digest."""
        self._rolled_back = ""
        """Digest of the edit that was rolled back last; it may be made live again."""
        self._lock = threading.Lock()

    def watch(self, before: ServingHead, after: ServingHead) -> None:
        """Watch `after`, if it is an edit of `before`, or an edit of such an edit.

        A rollback is never watched, nor an edit that is made live again after it was rolled back.
        """
        if after.digest == before.digest:
            return
        watched = after.digest != self._rolled_back and self._is_edit(after.head, before.digest)
        with self._lock:
            self._watched = (Shadow(before), after.digest) if watched else None

    def _is_edit(self, head: Head, before: str) -> bool:
        """Return True if one edit or several lead from `before` to `head`."""
        try:
            chain = itertools.chain([head], self._bundle.heads.ancestors(head))
            return any(edited.parent == before for edited in chain)
        except EdgesplitError:  # a damaged head in between
            return False

    def observe(
        self,
        live: LiveHead,
        serving: ServingHead,
        features: Float32,
        decided: Evaluation,
    ) -> None:
        """Count decisions as `Shadow.observe` does; roll back in a thread above `max_share`."""
        watched = self._watched
        if watched is None or serving.digest != watched[1]:
            return
        shadow, _ = watched
        shadow.observe(serving, features, decided)
        n_outside, n_windows = shadow.outside
        # A single change in the first windows would exceed most shares.
        if n_windows < MIN_WINDOWS or lowest_share(n_outside, n_windows) <= self.max_share:
            return
        with self._lock:
            if self._watched is not watched:
                return  # another thread was first, or another head is live
            self._watched = None
        before = shadow.candidate.digest
        reason = (
            f"{serving.digest[:12]} was rolled back to {before[:12]}: it changed {n_outside} of "
            f"{n_windows} windows outside its splits, which is surely above {self.max_share:.2%}"
        )
        # Not on the thread that predicts: a rollback writes to the disk.
        threading.Thread(
            target=self._roll_back,
            args=(live, serving.digest, before, reason),
            name="edgesplit-rollback",
            daemon=True,
        ).start()

    def _roll_back(self, live: LiveHead, digest: str, before: str, reason: str) -> None:
        earlier, self.last_rollback = self.last_rollback, reason  # read once HEAD is followed
        follow, self._rolled_back = True, digest
        try:
            self._bundle.rollback(before, expect=digest)
        except EdgesplitError as error:
            if self._is_replaced(digest):  # another head was published since, and is followed
                self.last_rollback = earlier
                return
            follow = False
            self.last_rollback += f"; in this runtime only: {error}"
        try:
            if live.serving.digest == digest:
                live.swap(None if follow else before)  # None: HEAD, which may be newer by now
            _log.warning("%s", self.last_rollback)
        except EdgesplitError as error:
            self.last_rollback = earlier
            _log.error("%s goes on serving, as it cannot be rolled back: %s", digest[:12], error)

    def _is_replaced(self, digest: str) -> bool:
        """Return True if HEAD names another head by now."""
        try:
            return self._bundle.live != digest
        except EdgesplitError:
            return False
