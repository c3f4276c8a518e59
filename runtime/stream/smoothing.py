"""Average the features of recent windows, and decide them again after a head swap."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from edgesplit._types import Float32
from edgesplit.runtime.live.runtime import Runtime
from edgesplit.runtime.stream.events import Decision, Rescored

__all__ = ["RecentFeatures"]


class RecentFeatures:
    """The last features of a stream. They do not depend on the head, so a swap keeps them valid.

    Logits are linear in the feature, so the mean of several features gives the mean logits at every
    level of the label tree. For one thread at a time.
    """

    def __init__(self, *, smooth: int = 1, n_windows: int = 0) -> None:
        """Start empty.

        Args:
            smooth: number of windows to average for a decision, at least 1.
            n_windows: number of decided windows to keep for `rescore`.
        """
        if smooth < 1 or n_windows < 0:
            raise ValueError(f"smooth must be from 1, n_windows from 0: {smooth}, {n_windows}")
        self._features: deque[Float32] = deque(maxlen=smooth)
        self._decided: deque[tuple[Decision, Float32]] = deque(maxlen=n_windows)
        self._segment = 0

    def add(self, feature: Float32, segment: int) -> Float32:
        """Return the mean of this and the previous features in the segment, `(dim,)` float32."""
        if segment != self._segment:
            self._features.clear()
            self._segment = segment
        self._features.append(feature)
        return np.asarray(np.mean(self._features, axis=0, dtype=np.float64), np.float32)

    def remember(self, decision: Decision, mean: Float32) -> None:
        """Keep a decision and its `(dim,)` float32 mean feature."""
        self._decided.append((decision, mean))

    def rescore(self, runtime: Runtime) -> Iterator[Rescored]:
        """Decide the kept windows again with the live head, oldest first.

        Raises:
            BackendError: the head failed.
        """
        if not self._decided:
            return
        decided, means = zip(*self._decided, strict=True)
        predictions = runtime.decide_all(means)
        self._decided.clear()  # the next swap is compared with these new predictions
        for decision, mean, prediction in zip(decided, means, predictions, strict=True):
            self._decided.append((replace(decision, prediction=prediction), mean))
        for decision, prediction in zip(decided, predictions, strict=True):
            yield Rescored(
                number=decision.number,
                start=decision.start,
                end=decision.end,
                changed=prediction.label != decision.prediction.label,
                prediction=prediction,
            )
