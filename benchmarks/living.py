"""Contenders that live: each in a process of its own, at work only when it is asked."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from benchmarks.results import ROOT

__all__ = ["living", "serve"]


def serve(run: Callable[[], Any]) -> None:
    """In the process: runs as often as each line of stdin says, and tells the milliseconds."""
    run()
    print("ready", flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            start = time.perf_counter()
            run()
            times.append(1e3 * (time.perf_counter() - start))
        print(json.dumps(times), flush=True)


@contextmanager
def living(module: str, *arguments: str) -> Iterator[Callable[[int], list[float]]]:
    """A process that `serve`s; calling it gives the milliseconds of so many runs.

    Raises:
        ClickException: it did not start.
    """
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        given, answers = child.stdin, child.stdout
        if answers.readline().strip() != "ready":
            raise click.ClickException(f"{module} {' '.join(arguments)} did not start")

        def ask(runs: int) -> list[float]:
            given.write(f"{runs}\n")
            given.flush()
            times: list[float] = json.loads(answers.readline())
            return times

        yield ask
        given.close()
