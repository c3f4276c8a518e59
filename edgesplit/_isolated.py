"""Run a function in a subprocess, so that a native crash cannot take the caller down.

TensorRT ends the process where other libraries raise an exception: on a machine without CUDA, or
for a plan that it cannot read. Serving and engine builds must survive that.
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

from edgesplit.errors import EdgesplitError, IsolatedProcessError

__all__ = ["LAST_LINES", "run_isolated"]

LAST_LINES = 5
"""Maximum number of output lines that the error of a dead process repeats."""

Result = TypeVar("Result")

# The child uses this process's module path and no other folder: Python would search the current
# folder first, and that may be an untrusted bundle with a tensorrt.py in it.
_START = "import sys; sys.path[:] = sys.argv[2:]; from edgesplit._isolated import _serve; "
_START += "_serve(sys.argv[1])"


def run_isolated(
    function: Callable[..., Result],
    *arguments: Any,
    every_s: float = 1.0,
    limit_s: float = math.inf,
    on_wait: Callable[[float, str], None] | None = None,
    advice: str = "",
) -> Result:
    """Call a function in a new process and return its result.

    Args:
        function: a function of a module that the subprocess can import. The function, its
            arguments and its result are pickled.
        arguments: its arguments.
        every_s: seconds between two calls of `on_wait`.
        limit_s: maximum seconds for the call, to within `every_s`.
        on_wait: called with the seconds since the start and the last line of the subprocess's
            output.
        advice: the next step, appended to the error of a process that died or hung.

    Raises:
        EdgesplitError: the function raised it.
        IsolatedProcessError: the function raised another exception, the process died, or it took
            too long.
    """
    name = f"{function.__module__}.{function.__qualname__}"
    with tempfile.TemporaryDirectory(prefix="edgesplit-") as temporary:
        folder = Path(temporary)
        output = folder / "output"
        (folder / "call").write_bytes(pickle.dumps((function, arguments)))
        with output.open("wb") as file:
            # The pipe closes when this process ends for any reason, and the child then exits.
            path = [entry or os.getcwd() for entry in sys.path]
            command = [sys.executable, "-c", _START, temporary, *path]
            pipe = subprocess.PIPE
            with subprocess.Popen(command, stdin=pipe, stdout=file, stderr=file) as process:
                try:
                    in_time = _wait(process, output, every_s, limit_s, on_wait)
                finally:
                    process.kill()  # does nothing when it has ended
        if not in_time or not (folder / "result").exists():
            code = process.returncode
            end = f"was killed (signal {-code})" if code < 0 else f"ended with exit code {code}"
            if not in_time:
                end = f"gave no answer in {limit_s:g} s and was killed"
            lines = " | ".join(_last_lines(output, LAST_LINES))
            parts = (f"Subprocess for `{name}` {end}.", lines and f"Last output: {lines}", advice)
            raise IsolatedProcessError(" ".join(filter(None, parts)), reason=f"its process {end}")
        error, result = pickle.loads((folder / "result").read_bytes())
    if error is not None:
        raise error
    done: Result = result
    return done


def _wait(
    process: subprocess.Popen[bytes],
    output: Path,
    every_s: float,
    limit_s: float,
    on_wait: Callable[[float, str], None] | None,
) -> bool:
    """Wait for a process; return True if it ended within the limit."""
    start = time.monotonic()
    while time.monotonic() - start < limit_s:
        try:
            process.wait(every_s)
            return True
        except subprocess.TimeoutExpired:
            if on_wait is not None:
                on_wait(time.monotonic() - start, *_last_lines(output, 1) or [""])
    return False


def _last_lines(output: Path, n_lines: int) -> list[str]:
    with output.open("rb") as file:
        file.seek(max(0, output.stat().st_size - 4096))
        lines = file.read().decode(errors="replace").splitlines()
    return [line.strip() for line in lines if line.strip()][-n_lines:]


def _serve(name: str) -> None:
    """Run the call in the subprocess."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")  # to stderr: the last output
    folder = Path(name)
    threading.Thread(target=_exit_with_caller, args=(folder,), daemon=True).start()
    function, arguments = pickle.loads((folder / "call").read_bytes())
    error: Exception | None = None
    result = None
    try:
        result = function(*arguments)
    except EdgesplitError as raised:
        error = raised
    except Exception as raised:  # a native library may raise anything
        text = f"{function.__qualname__} failed: {type(raised).__name__}: {raised}"
        error = IsolatedProcessError(text)
    part = folder / "part"
    part.write_bytes(pickle.dumps((error, result)))
    part.rename(folder / "result")  # atomic: the process may be killed while writing


def _exit_with_caller(folder: Path) -> None:
    os.read(0, 1)  # nothing is ever written: it returns when the caller has ended
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)
