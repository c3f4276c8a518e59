"""Child processes that read and write lines, and report how they ended."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from edgesplit.errors import EdgesplitError

__all__ = ["LineProcess", "own_environment", "start_process"]

_END_S = 5.0
"""Seconds that a process may take to end after it closed its output."""


class LineProcess:
    """A running process that reads lines and writes lines; for one thread."""

    def __init__(self, name: str, child: subprocess.Popen[str], errors: IO[str]) -> None:
        assert child.stdin is not None
        assert child.stdout is not None
        self._name, self._child, self._errors = name, child, errors
        self._input, self._output = child.stdin, child.stdout

    @property
    def running(self) -> bool:
        """True until the process has ended."""
        return self._child.poll() is None

    def write(self, line: str) -> None:
        """Send a line. If the process has ended, the next `read` raises."""
        with suppress(BrokenPipeError):
            self._input.write(f"{line}\n")
            self._input.flush()

    def read(self) -> str:
        """Return the next line, stripped.

        Raises:
            EdgesplitError: the process has ended. The message holds its exit code and the last
                line of its standard error.
        """
        line = self._output.readline()
        if line:
            return line.strip()
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(_END_S)
        self._child.kill()
        code = self._child.wait()
        end = f"signal {-code}" if code < 0 else f"exit code {code}"
        self._errors.seek(0)
        last = self._errors.read().strip().splitlines()[-1:] or ["nothing"]
        raise EdgesplitError(f"{self._name} could not be measured ({end}). Last error: {last[0]}")

    def wait_for(self, line: str) -> None:
        """Skip lines that a library may print, up to this line. Raises as `read` does."""
        while self.read() != line:
            pass

    def read_rest(self) -> list[str]:
        """Wait until the process closes its output; return the remaining lines."""
        return self._output.read().splitlines()


@contextmanager
def start_process(
    name: str, command: Sequence[str], environment: Mapping[str, str] | None = None
) -> Iterator[LineProcess]:
    """Start a process that is killed at the end of the `with` block.

    Args:
        name: name of the process in messages.
        command: the program and its arguments.
        environment: its environment variables; by default `own_environment()`.
    """
    # Python looks for modules in the current folder first, so the folder must be empty.
    with (
        tempfile.TemporaryDirectory(prefix="edgesplit-") as folder,
        (Path(folder) / "errors").open("w+") as errors,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=folder,
            env=dict(own_environment() if environment is None else environment),
        ) as child,
    ):
        assert child.stdin is not None
        try:
            yield LineProcess(name, child, errors)
        finally:
            child.kill()  # does nothing if it has ended
            with suppress(OSError):  # raised if a line was never read
                child.stdin.close()


def own_environment() -> dict[str, str]:
    """Return this process's environment, with PYTHONPATH set to the same import path."""
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    return {**os.environ, "PYTHONPATH": path}
