"""The features of recent windows: decided over together, and once more after a swap."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from edgesplit._types import Float32
from edgesplit.runtime.live.runtime import Runtime
from edgesplit.runtime.stream.events import Decision, Rescored

__all__ = ["Recent"]


class Recent:
    """A ring of features. A feature does not depend on the head, so a swap spoils none.

    Scores are linear in the feature at every level of the label tree, so a decision on the mean of
    several averages each level before the walk. For one thread at a time.
    """

    def __init__(self, *, smooth: int = 1, n_windows: int = 0) -> None:
        """Starts empty.

        Args:
            smooth: how many windows a decision is made over, from 1.
            n_windows: how many can be decided once more.
        """
        if smooth < 1 or n_windows < 0:
            raise ValueError(f"smooth must be from 1, n_windows from 0: {smooth}, {n_windows}")
        self._features: deque[Float32] = deque(maxlen=smooth)
        self._decided: deque[tuple[Decision, Float32]] = deque(maxlen=n_windows)
        self._segment = 0

    def add(self, feature: Float32, segment: int) -> Float32:
        """The mean of this `(dim,)` float32 feature and those before it in its segment."""
        if segment != self._segment:
            self._features.clear()
            self._segment = segment
        self._features.append(feature)
        return np.asarray(np.mean(self._features, axis=0, dtype=np.float64), np.float32)

    def remember(self, decision: Decision, mean: Float32) -> None:
        """Keeps a decision, and the `(dim,)` float32 mean that it was made on."""
        self._decided.append((decision, mean))

    def rescore(self, runtime: Runtime) -> Iterator[Rescored]:
        """What the head that serves now makes of the windows kept, the oldest first.

        Raises:
            BackendError: the head failed.
        """
        if not self._decided:
            return
        told, means = zip(*self._decided, strict=True)
        predictions = runtime.decide_all(means)
        self._decided.clear()  # what is told now is what the next swap is compared with
        self._decided.extend(
            (replace(decision, prediction=prediction), mean)
            for decision, prediction, mean in zip(told, predictions, means, strict=True)
        )
        for decision, prediction in zip(told, predictions, strict=True):
            yield Rescored(
                number=decision.number,
                start=decision.start,
                end=decision.end,
                changed=prediction.label != decision.prediction.label,
                prediction=prediction,
            )
