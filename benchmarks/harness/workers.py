"""Child processes of the benchmarks: contenders that run on request, and single steps."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.harness.results import ROOT
from edgesplit.runtime.bench.process import LineProcess, start_process
from edgesplit.runtime.bench.timing import time_ms

__all__ = ["contender", "run_module", "serve", "tell", "worker"]


def tell(content: Any) -> None:
    """Write one line of JSON for the parent; called in the child."""
    print(json.dumps(content), flush=True)


def serve(run: Callable[[], Any]) -> None:
    """Read numbers of runs from stdin, and write their milliseconds; called in the child."""
    run()
    print("ready", flush=True)
    for line in sys.stdin:
        tell([time_ms(run) for _ in range(int(line))])


@contextmanager
def worker(module: str, *arguments: str) -> Iterator[LineProcess]:
    """Start a module of the benchmarks as a subprocess."""
    command = [sys.executable, "-m", module, *arguments]
    with start_process(f"{module} {' '.join(arguments)}", command) as process:
        yield process


@contextmanager
def contender(module: str, *arguments: str) -> Iterator[Callable[[int], list[float]]]:
    """Start a process that calls `serve`; yield a function from runs to their milliseconds.

    Raises:
        EdgesplitError: the process did not start.
    """
    with worker(module, *arguments) as process:
        process.wait_for("ready")

        def ask(runs: int) -> list[float]:
            process.write(str(runs))
            times: list[float] = json.loads(process.read())
            return times

        yield ask


def run_module(module: str, *arguments: str, check: bool = True) -> tuple[int, str]:
    """Run a module of the benchmarks; return its exit code and its last line."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=ROOT, check=check, stdout=subprocess.PIPE, text=True)
    return done.returncode, (done.stdout.splitlines() or [""])[-1]
