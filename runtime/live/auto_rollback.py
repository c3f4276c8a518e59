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
    """Scores the previous head as a shadow of an edit. Safe from several threads."""

    def __init__(self, bundle: Bundle, max_share: float) -> None:
        """Set the share of windows, 0..1, that an edit may change outside its splits."""
        self.max_share = max_share
        self.last_rollback = ""
        """Heads and reason of the last rollback; empty without one."""
        self._bundle = bundle
        self._watched: tuple[Shadow, str] | None = None
        """The head before an edit, and the edit's digest."""
        self._rolled_back = ""
        """Digest of the edit that was rolled back last; it may be made live again."""
        self._lock = threading.Lock()

    def watch(self, before: ServingHead, after: ServingHead) -> None:
        """Watch `after` if one edit or several lead to it from `before`.

        A rollback is never watched, nor is an edit that was rolled back and made live again.
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
        except EdgesplitError:  # an ancestor is damaged
            return False

    def observe(
        self,
        live: LiveHead,
        serving: ServingHead,
        features: Float32,
        decided: Evaluation,
    ) -> None:
        """Count decisions as `Shadow.observe` does; above `max_share`, roll back in a thread."""
        watched = self._watched
        if watched is None or serving.digest != watched[1]:
            return
        shadow, _ = watched
        shadow.observe(serving, features, decided)
        n_outside, n_windows = shadow.outside
        # In the first windows, a single change would exceed most shares.
        if n_windows < MIN_WINDOWS or lowest_share(n_outside, n_windows) <= self.max_share:
            return
        with self._lock:
            if self._watched is not watched:
                return  # another thread rolled back first, or another head is live
            self._watched = None
        before = shadow.candidate.digest
        changed = f"{n_outside} of {n_windows} windows outside its splits"
        reason = (
            f"{serving.digest[:12]} was rolled back to {before[:12]}: it changed "
            f"{changed}, significantly more than {self.max_share:.2%}"
        )
        # A rollback writes to the disk, which would block the thread that predicts.
        threading.Thread(
            target=self._roll_back,
            args=(live, serving.digest, before, reason, changed),
            name="edgesplit-rollback",
            daemon=True,
        ).start()

    def _roll_back(
        self, live: LiveHead, digest: str, before: str, reason: str, changed: str
    ) -> None:
        # Set before HEAD changes: the stream reads it at the swap.
        earlier, self.last_rollback = self.last_rollback, reason
        follow, self._rolled_back = True, digest
        try:
            action = f"automatic rollback to {before[:12]}: {digest[:12]} changed {changed}"
            self._bundle.rollback(before, expect=digest, action=action)
        except EdgesplitError as error:
            if self._is_replaced(digest):  # another head was published meanwhile, and is followed
                self.last_rollback = earlier
                return
            follow = False
            self.last_rollback += f"; in this runtime only: {error}"
        try:
            if live.serving.digest == digest:
                live.swap(None if follow else before)  # None: HEAD, which may have changed again
            _log.warning("%s", self.last_rollback)
        except EdgesplitError as error:
            self.last_rollback = earlier
            _log.error("%s keeps serving, because the rollback failed: %s", digest[:12], error)

    def _is_replaced(self, digest: str) -> bool:
        """Return True if HEAD now names another head."""
        try:
            return self._bundle.live != digest
        except EdgesplitError:
            return False
