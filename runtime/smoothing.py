"""The decision over several windows."""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

__all__ = ["Smoother"]

Floats = npt.NDArray[np.float32]


class Smoother:
    """The mean of the last features.

    Scores are linear in the feature at every level of the label tree, so a decision on the mean
    averages each level before the walk. A feature does not depend on the head, so a swap changes
    nothing here; a gap begins anew.
    """

    def __init__(self, n: int) -> None:
        """Args: n: how many windows a decision is made over, from 1."""
        if n < 1:
            raise ValueError(f"smoothing wants a whole number from 1, got {n}")
        self._features: deque[Floats] = deque(maxlen=n)
        self._segment = 0

    def add(self, feature: Floats, segment: int) -> Floats:
        """The mean of this `(dim,)` float32 feature and those before it in its segment."""
        if segment != self._segment:
            self._features.clear()
            self._segment = segment
        self._features.append(feature)
        return np.asarray(np.mean(self._features, axis=0, dtype=np.float64), np.float32)
