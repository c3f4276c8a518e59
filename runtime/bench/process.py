"""Child processes that talk in lines, and say what happened when they die."""

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
"""How long a process that has closed its output may take to end."""


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
        """Send a line; if the process has died, the next `read` says so."""
        with suppress(BrokenPipeError):
            self._input.write(f"{line}\n")
            self._input.flush()

    def read(self) -> str:
        """Return the next line, stripped.

        Raises:
            EdgesplitError: the process has ended; with its exit code and the last line of its
                standard error.
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
        raise EdgesplitError(f"{self._name} could not be measured ({end}). It said: {last[0]}")

    def wait_for(self, line: str) -> None:
        """Skip lines, such as a library may print, up to this one. Raises as `read`."""
        while self.read() != line:
            pass

    def read_rest(self) -> list[str]:
        """Return the lines that are left, when the process has ended by itself."""
        return self._output.read().splitlines()


@contextmanager
def start_process(
    name: str, command: Sequence[str], environment: Mapping[str, str] | None = None
) -> Iterator[LineProcess]:
    """Start a process that is killed at the end of the `with` block.

    Args:
        name: what messages call it.
        command: the program and its arguments.
        environment: its environment variables; `own_environment` by default.
    """
    # Python looks for modules in the current folder first, so that is an empty one.
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
            child.kill()  # does nothing when it has ended
            with suppress(OSError):  # a line that it never took
                child.stdin.close()


def own_environment() -> dict[str, str]:
    """Return this process's environment, with which Python imports what this process imports."""
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    return {**os.environ, "PYTHONPATH": path}
