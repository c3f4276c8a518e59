"""A head ready to serve: built, checked and warmed before anybody sees it."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt

from edgesplit.errors import BackendError
from edgesplit.head import Evaluation, Head
from edgesplit.sessions import open_session

__all__ = ["ServingHead"]

TOLERANCE = 1e-5
"""Of the largest logit: how far ONNX Runtime and numpy may differ on the warm-up features."""
N_WARM_UP = 4


class ServingHead:
    """A head and its ONNX Runtime session. Immutable; safe from several threads."""

    def __init__(self, head: Head) -> None:
        """Builds and warms the session, and checks it against numpy.

        Raises:
            BackendError: ONNX Runtime refuses the head, or computes something else than numpy.
        """
        start = time.perf_counter()
        self.head = head
        self.digest = head.digest
        # One thread: a head is microseconds of work, and it shares the cores with the backbone.
        self._session: Any = open_session(head.to_bytes(), threads=1, optimize=False)
        self._check()
        self.build_ms = 1000 * (time.perf_counter() - start)
        """How long building, checking and warming took."""

    def evaluate(self, features: npt.NDArray[np.float32]) -> Evaluation:
        """What the head says about `(batch, dim)` float32 features.

        Raises:
            BackendError: ONNX Runtime failed.
        """
        outputs = ["logits", "probabilities", "class_index"]
        try:
            return Evaluation(*self._session.run(outputs, {"features": features}))
        except Exception as error:  # ONNX Runtime's exceptions have no common base of their own
            raise BackendError(f"Head {self.digest[:12]} failed: {error}") from error

    def _check(self) -> None:
        features = np.random.default_rng(0).standard_normal((N_WARM_UP, self.head.dim), np.float32)
        got, wanted = self.evaluate(features), self.head.evaluate(features)
        difference = float(np.abs(got.logits - wanted.logits).max())
        largest = float(np.abs(wanted.logits).max())
        if not difference <= TOLERANCE * max(1.0, largest):
            raise BackendError(
                f"ONNX Runtime's logits of head {self.digest[:12]} differ from numpy's by "
                f"{difference:.2g} (largest logit {largest:.2g}). Update ONNX Runtime."
            )
