"""A call in a process of its own: what it crashes, it crashes alone.

TensorRT ends the process where other libraries raise: on a machine without CUDA, or on a plan that
it does not like. A device that serves must not die of that, nor an engine build of its probe.
"""

from __future__ import annotations

import logging
import math
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from edgesplit.errors import EdgesplitError, EngineError

__all__ = ["LAST_LINES", "run_apart"]

LAST_LINES = 5
"""Of what the process said before it died: the most that an error repeats."""

Result = TypeVar("Result")

# The child looks for modules where this process does, and nowhere else: Python would put the
# current folder first, which may be a bundle from elsewhere, with a tensorrt.py in it.
_START = "import sys; sys.path[:] = sys.argv[2:]; from edgesplit._isolated import _serve; "
_START += "_serve(sys.argv[1])"


def run_apart(
    function: Callable[..., Result],
    *arguments: Any,
    every_s: float = 1.0,
    limit_s: float = math.inf,
    on_wait: Callable[[float, str], None] | None = None,
) -> Result:
    """Calls a function in a new process and returns what it returns.

    Args:
        function: of a module that the other process can import; it, the arguments and the result
            are pickled.
        arguments: what it is called with.
        every_s: how often `on_wait` is called.
        limit_s: how long it may take, to within `every_s`.
        on_wait: gets the seconds that have passed and the last line that the process wrote to
            its standard error.

    Raises:
        EdgesplitError: the function raised it.
        EngineError: the function raised something else, the process died, or it took too long.
    """
    with tempfile.TemporaryDirectory(prefix="edgesplit-") as name:
        folder = Path(name)
        (folder / "call").write_bytes(pickle.dumps((function, arguments)))
        with (folder / "said").open("wb") as said:
            # It ends with this process, however that ends: its standard input closes then.
            path = [entry or os.getcwd() for entry in sys.path]
            command = [sys.executable, "-c", _START, name, *path]
            pipe = subprocess.PIPE
            with subprocess.Popen(command, stdin=pipe, stdout=said, stderr=said) as process:
                try:
                    in_time = _wait(process, folder / "said", every_s, limit_s, on_wait)
                finally:
                    process.kill()  # does nothing when it has ended
        if not in_time:
            raise EngineError(
                f"{function.__module__}.{function.__qualname__} gave no answer in {limit_s:g} s "
                "and was ended. If the machine is not busy, its driver hangs: restart it."
            )
        if not (folder / "result").exists():
            raise EngineError(_obituary(function, process.returncode, folder / "said"))
        error, result = pickle.loads((folder / "result").read_bytes())
    if error is not None:
        raise error
    done: Result = result
    return done


def _wait(
    process: subprocess.Popen[bytes],
    said: Path,
    every_s: float,
    limit_s: float,
    on_wait: Callable[[float, str], None] | None,
) -> bool:
    """Whether the process ended within the limit."""
    start = time.monotonic()
    while time.monotonic() - start < limit_s:
        try:
            process.wait(every_s)
            return True
        except subprocess.TimeoutExpired:
            if on_wait is not None:
                on_wait(time.monotonic() - start, *_last_lines(said, 1) or [""])
    return False


def _obituary(function: Callable[..., Any], code: int, said: Path) -> str:
    end = f"signal {-code}" if code < 0 else f"exit code {code}"
    lines = _last_lines(said, LAST_LINES)
    last = " Its last words: " + " | ".join(lines) if lines else ""
    return (
        f"The process that ran {function.__module__}.{function.__qualname__} died ({end}); nothing "
        f"was changed.{last} Check the driver, and that TensorRT and CUDA are made for each other."
    )


def _last_lines(said: Path, n_lines: int) -> list[str]:
    with said.open("rb") as file:
        file.seek(max(0, said.stat().st_size - 4096))
        lines = file.read().decode(errors="replace").splitlines()
    return [line.strip() for line in lines if line.strip()][-n_lines:]


def _serve(name: str) -> None:
    """What the other process does."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")  # to stderr: the last words
    folder = Path(name)
    threading.Thread(target=_end_with_the_caller, args=(folder,), daemon=True).start()
    function, arguments = pickle.loads((folder / "call").read_bytes())
    error: Exception | None = None
    result = None
    try:
        result = function(*arguments)
    except EdgesplitError as raised:
        error = raised
    except Exception as raised:  # whatever a native library lets through
        error = EngineError(f"{function.__qualname__} failed: {type(raised).__name__}: {raised}")
    part = folder / "part"
    part.write_bytes(pickle.dumps((error, result)))
    part.rename(folder / "result")  # whole or not at all: the process may be killed while writing


def _end_with_the_caller(folder: Path) -> None:
    os.read(0, 1)  # nobody writes: it returns when the caller is gone
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)
