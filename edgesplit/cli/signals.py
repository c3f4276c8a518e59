"""Signal handlers while a command runs."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["handle_signals"]


@contextmanager
def handle_signals(handler: Any, *numbers: int) -> Iterator[None]:
    """Handle these signals with a function, then restore the previous handlers."""
    before = [signal.signal(number, handler) for number in numbers]
    try:
        yield
    finally:
        for number, old in zip(numbers, before, strict=True):
            signal.signal(number, old)
