"""Backends: from a batch of clips to a batch of features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from edgesplit._types import Float32
from edgesplit.backbone.identity import Backbone
from edgesplit.backbone.session import open_session
from edgesplit.errors import BackendError

__all__ = ["Backend", "FunctionBackend", "OrtBackend"]

CLOSED = "The backend is closed. Open a new one."


class Backend(Protocol):
    """Runs the backbone. Several threads may call `run` at once."""

    def run(self, clips: Float32) -> Float32:
        """Return features `(batch, dim)` float32 of clips `(batch, *clip_shape)` float32 in 0..1.

        The result is an array of its own, which later runs do not change.

        Raises:
            BackendError: the run failed; the backend stays usable.
        """
        ...

    def close(self) -> None:
        """Free the backend's memory; it cannot run afterwards. Safe to call twice."""
        ...


class OrtBackend:
    """Runs a backbone by ONNX Runtime. `run` is safe from several threads."""

    def __init__(
        self,
        backbone: Backbone,
        *,
        threads: int = 0,
        providers: Sequence[str] = ("CPUExecutionProvider",),
        optimize: bool = True,
    ) -> None:
        """Open a session.

        Args:
            backbone: ONNX bytes, input `clip`, output `features`.
            threads: threads inside an operator; 0 lets ONNX Runtime take all cores.
            providers: ONNX Runtime's execution providers, the preferred one first.
            optimize: let ONNX Runtime rewrite the graph; not on a CPU for float16 (`to_fp16`).

        Raises:
            BackendError: ONNX Runtime refuses the model or cannot start a provider.
            MissingExtraError: ONNX Runtime is not installed.
        """
        self._session: Any = open_session(
            backbone, threads=threads, providers=providers, optimize=optimize
        )
        self.providers: tuple[str, ...] = tuple(self._session.get_providers())
        """The execution providers that started, the preferred one first."""

    def run(self, clips: Float32) -> Float32:
        """See `Backend.run`."""
        session = self._session
        if session is None:
            raise BackendError(CLOSED)
        try:
            (features,) = session.run(["features"], {"clip": clips})
        except Exception as error:  # ONNX Runtime's exceptions have no common base of their own
            raise BackendError(f"The backbone failed on clips of {clips.shape}: {error}") from error
        return np.asarray(features, np.float32)

    def close(self) -> None:
        """See `Backend.close`; a run that is under way ends undisturbed."""
        self._session = None


class FunctionBackend:
    """Runs a function, for tests and for backbones of your own."""

    def __init__(self, function: Callable[[Float32], Float32]) -> None:
        """Take a function from clips `(batch, *clip_shape)` to features `(batch, dim)`."""
        self._function: Callable[[Float32], Float32] | None = function

    def run(self, clips: Float32) -> Float32:
        """See `Backend.run`."""
        function = self._function
        if function is None:
            raise BackendError(CLOSED)
        return np.asarray(function(clips), np.float32)

    def close(self) -> None:
        """See `Backend.close`."""
        self._function = None
