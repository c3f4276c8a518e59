"""Decide windows with the live head, and report swaps, rollbacks and shadow heads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from edgesplit.runtime.live.runtime import Runtime
from edgesplit.runtime.stream.accounting import FrameAccounting
from edgesplit.runtime.stream.events import Decision, Event, Refused, RolledBack, Shadowed, Swapped
from edgesplit.runtime.stream.smoothing import RecentFeatures
from edgesplit.runtime.stream.windows import Window

__all__ = ["Decider"]

SHADOW_EVERY = 100
"""Number of windows from one report on a shadow head to the next."""


class Decider:
    """Decides windows, and tracks which head decided the last one. For one thread."""

    def __init__(
        self,
        runtime: Runtime,
        recent: RecentFeatures,
        accounting: FrameAccounting,
        clock: Callable[[], float],
    ) -> None:
        """Start with the runtime's current heads.

        Args:
            runtime: the runtime that predicts.
            recent: the features of the previous windows.
            accounting: counts the windows that were predicted.
            clock: the clock that `Window.arrived` is read from.
        """
        self._runtime, self._recent = runtime, recent
        self._accounting, self._clock = accounting, clock
        self.head_digest = runtime.head_digest
        """Digest of the last head that was reported."""
        self._refusal, self._rolled_back = runtime.refusal, runtime.rolled_back
        self._n_unreported = 0  # windows since the last report on a shadow head

    def decide(self, window: Window) -> Iterator[Event]:
        """Decide a window; yield the swap before it, the decision, and the shadow's report.

        Raises:
            BackendError: if the backbone or the head fails.
        """
        start = time.perf_counter()
        try:
            feature = self._runtime.extract(window.clip)
            backbone_ms = 1000 * (time.perf_counter() - start)
            mean = self._recent.add(feature, window.segment)
            prediction = self._runtime.decide(mean, backbone_ms=backbone_ms)
        except BaseException:
            self._accounting.end_window(window.frames, "unfinished")
            raise
        self._accounting.end_window(window.frames, "used")
        yield from self._report_swap(prediction.head_digest)
        decision = Decision(
            number=window.number,
            segment=window.segment,
            start=window.start,
            end=window.end,
            wall=window.wall,
            lag_ms=1000 * (self._clock() - window.arrived),
            prediction=prediction,
        )
        self._recent.remember(decision, mean)
        yield decision
        self._n_unreported += 1
        if self._n_unreported >= SHADOW_EVERY:
            yield from self.report_shadow()

    def report_shadow(self) -> Iterator[Event]:
        """Report on the shadow head, if one exists and a window came since the last report."""
        report = self._runtime.shadow_report()
        if report is not None and self._n_unreported:
            self._n_unreported = 0
            yield Shadowed(report=report)

    def report_heads(self) -> Iterator[Event]:
        """Report a swap or a refused head while no window comes."""
        yield from self._report_swap(self._runtime.head_digest)
        if (reason := self._runtime.refusal) != self._refusal:
            self._refusal = reason
            if reason:
                yield Refused(reason=reason)

    def _report_swap(self, digest: str) -> Iterator[Event]:
        if digest == self.head_digest:
            return
        before, self.head_digest = self.head_digest, digest
        if (reason := self._runtime.rolled_back) != self._rolled_back:
            self._rolled_back = reason
            yield RolledBack(reason=reason)
        yield Swapped(before=before, after=digest)
        yield from self._recent.rescore(self._runtime)
