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
    """A runner of the backbone. Several threads may call `run` at once."""

    def run(self, clips: Float32) -> Float32:
        """Return features `(batch, dim)` float32 of clips `(batch, *clip_shape)` float32 in 0..1.

        The result is a new array, which later runs do not change.

        Raises:
            BackendError: the run failed; the backend stays usable.
        """
        ...

    def close(self) -> None:
        """Free the backend's memory; later runs raise. Safe to call twice."""
        ...


class OrtBackend:
    """A backend that runs ONNX Runtime. `run` is safe from several threads."""

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
            threads: threads inside an operator; 0 lets ONNX Runtime use all cores.
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
        """Execution providers that started, the preferred one first."""

    def run(self, clips: Float32) -> Float32:
        """See `Backend.run`."""
        session = self._session
        if session is None:
            raise BackendError(CLOSED)
        try:
            (features,) = session.run(["features"], {"clip": clips})
            return np.asarray(features, np.float32)
        except Exception as error:  # ONNX Runtime's exceptions have no common base class
            reason = " ".join(str(error).split())
            raise BackendError(
                f"The backbone failed on clips of {clips.shape}: {reason}"
            ) from error

    def close(self) -> None:
        """See `Backend.close`; a run that has started finishes normally."""
        self._session = None


class FunctionBackend:
    """A backend that calls a function, for tests and custom backbones."""

    def __init__(self, function: Callable[[Float32], Float32]) -> None:
        """Set the function from clips `(batch, *clip_shape)` to features `(batch, dim)`."""
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
