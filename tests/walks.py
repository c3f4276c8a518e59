"""Which modules a call walks through, in the order in which it first enters them.

    python -m tests.walks edit --class pushing --into left,right

prints the walk of a command, as JSON, after what the command prints.
"""

import json
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

__all__ = ["Walk", "trace"]


@dataclass
class Walk:
    """Calls of functions between edgesplit's modules; imports do not count."""

    entered: list[str] = field(default_factory=list)
    """Modules in the order of their first call, without the package's name."""
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often a module called into another one."""


def trace(call: Callable[[], Any]) -> Walk:
    """Runs a call, with the threads that it starts, and returns its walk."""
    walk = Walk()

    def watch(frame: FrameType, event: str, argument: object) -> None:
        if event != "call" or frame.f_code.co_name in ("<module>", "<lambda>", "__getattr__"):
            return
        module, caller = _module(frame), _module(frame.f_back)
        if not module or module == caller or _is_import(frame):
            return
        if module not in walk.entered:
            walk.entered.append(module)
        walk.calls[caller, module] += 1

    threading.setprofile(watch)
    sys.setprofile(watch)
    try:
        call()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return walk


def _module(frame: FrameType | None) -> str:
    name = str(frame.f_globals.get("__name__", "")) if frame else ""
    return name.removeprefix("edgesplit.") if name.startswith("edgesplit.") else ""


def _is_import(frame: FrameType) -> bool:
    """True for calls that a module makes while it is imported, and for decorators of classes."""
    above: FrameType | None = frame
    while above is not None:
        if above.f_code.co_name == "<module>" and _module(above):
            return True
        above = above.f_back
    return False


if __name__ == "__main__":
    from edgesplit.cli import main

    ends: list[SystemExit] = []

    def command() -> None:
        try:
            main(sys.argv[1:])
        except SystemExit as end:
            ends.append(end)

    entered = trace(command).entered
    sys.stdout.write(f"{json.dumps(entered)}\n")
    raise ends[0]
