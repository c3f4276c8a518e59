"""Run the tests that are too long for `make test`; started by hand as `make soak`.

Writes benchmarks/results/soak.json with commit, machine and date, which documents quote.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.harness.results import ROOT, write_result
from benchmarks.harness.workers import run_module
from benchmarks.soak.stream import resident_mib, stream
from edgesplit._types import Float32
from edgesplit.demo import unpack_demo
from edgesplit.heads.head import Head
from edgesplit.runtime import Runtime


def random_trees(examples: int) -> dict[str, Any]:
    """Check the laws of label trees, on many more trees than CI draws."""
    environment = {**os.environ, "EDGESPLIT_EXAMPLES": str(examples)}
    start = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "tests/laws/test_properties.py"]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
    seconds = round(time.monotonic() - start, 1)
    return {"examples_per_law": examples, "passed": done.returncode == 0, "seconds": seconds}


def swaps(count: int) -> dict[str, Any]:
    """Swap two heads of the demo bundle while two threads decide a feature."""
    with tempfile.TemporaryDirectory() as folder:
        bundle = unpack_demo(Path(folder))
        edit = bundle.split_class("pushing", into=["left", "right"])
        digests = (edit.before.digest, bundle.publish(edit).digest)
        feature = _feature_of(edit.before, "pushing something")
        with Runtime(bundle) as runtime:
            expected = {}
            for digest in digests:
                runtime.swap_head(digest)
                expected[digest] = runtime.decide(feature).label
            stop, counts, mixed = threading.Event(), [0, 0], [0, 0]

            def decide(thread: int) -> None:
                while not stop.is_set():
                    prediction = runtime.decide(feature)
                    counts[thread] += 1
                    mixed[thread] += prediction.label != expected[prediction.head_digest]

            threads = [threading.Thread(target=decide, args=(index,)) for index in range(2)]
            for thread in threads:
                thread.start()
            times, memory_mib = [], []
            try:
                for index in range(count):
                    if index % max(1, count // 10) == 0:
                        memory_mib.append(resident_mib())
                    start = time.perf_counter()
                    runtime.swap_head(digests[index % 2])
                    times.append(1000 * (time.perf_counter() - start))
            finally:
                stop.set()
                for thread in threads:
                    thread.join()
    return {
        "swaps": count,
        "median_ms": round(float(np.median(times)), 3),
        "p99_ms": round(float(np.percentile(times, 99)), 3),
        "decisions_meanwhile": sum(counts),
        "mixed": sum(mixed),
        "resident_mib_by_tenth": memory_mib,
    }


def fuzz(seconds: float) -> dict[str, Any] | str:
    """Read mutated head files for `seconds`; needs atheris."""
    if find_spec("atheris") is None:
        return "not run: atheris is not installed"
    code, last = run_module("benchmarks.soak.fuzz_head", "--seconds", str(seconds), check=False)
    if code:
        return {"passed": False, "finding": "build/fuzz_head", "exit_code": code}
    return {"passed": True, **json.loads(last)}


def _feature_of(head: Head, label: str) -> Float32:
    """Return a feature that the head decides as this class: its row, scaled up."""
    row = head.weight[head.tree.find(label)]
    feature: Float32 = 30 * row / np.linalg.norm(row)
    if head.classify(feature) != [label]:
        raise click.ClickException(f"No feature was found for {label!r}.")
    return feature


@click.command()
@click.option("--examples", default=1000, show_default=True)
@click.option("--swaps", "n_swaps", default=10000, show_default=True)
@click.option("--stream-seconds", default=3600, show_default=True)
@click.option("--fuzz-seconds", default=300.0, show_default=True)
def main(examples: int, n_swaps: int, stream_seconds: int, fuzz_seconds: float) -> None:
    """Run the long tests and write their result."""
    content = {
        "random_trees": random_trees(examples),
        "swaps": swaps(n_swaps),
        "stream": [stream(stream_seconds, live=live) for live in (False, True)],
        "fuzz_head": fuzz(fuzz_seconds),
    }
    click.echo(write_result("soak", content).read_text())


if __name__ == "__main__":
    main()
