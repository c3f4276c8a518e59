"""What a signal does while a command runs."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["handle_signals"]


@contextmanager
def handle_signals(handler: Any, *numbers: int) -> Iterator[None]:
    """Let a function handle these signals, as `signal.signal` does."""
    before = [signal.signal(number, handler) for number in numbers]
    try:
        yield
    finally:
        for number, old in zip(numbers, before, strict=True):
            signal.signal(number, old)
