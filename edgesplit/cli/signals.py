"""What a signal does while a command runs."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["handle_signals"]

Handler = Callable[[int, "FrameType | None"], object]


@contextmanager
def handle_signals(handler: Handler, *numbers: int) -> Iterator[None]:
    """Let a function handle these signals, given the number and the frame."""
    before = [signal.signal(number, handler) for number in numbers]
    try:
        yield
    finally:
        for number, old in zip(numbers, before, strict=True):
            signal.signal(number, old)
