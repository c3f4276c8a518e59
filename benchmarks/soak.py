"""The long counts that do not fit into `make test`; run by hand as `make soak`.

Writes benchmarks/results/soak.json with commit, machine and date. Documents quote it with these.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.results import ROOT, write_result
from edgesplit.demo import BUNDLE, unpack_demo
from edgesplit.runtime import Runtime


def random_trees(examples: int) -> dict[str, Any]:
    """The laws of label trees, on many more trees than CI draws."""
    environment = {**os.environ, "EDGESPLIT_EXAMPLES": str(examples)}
    start = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "tests/test_properties.py"]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
    seconds = round(time.monotonic() - start, 1)
    return {"examples_per_law": examples, "passed": done.returncode == 0, "seconds": seconds}


def swaps(count: int) -> dict[str, Any]:
    """Swaps between two heads of the demo bundle while the clips' features keep coming."""
    with tempfile.TemporaryDirectory() as folder:
        bundle = unpack_demo(Path(folder))
        edit = bundle.split_class("pushing", into=["left", "right"])
        digests = (edit.before.digest, bundle.publish(edit).digest)
        with Runtime(Path(folder) / BUNDLE) as runtime:
            feature = np.random.default_rng(0).standard_normal(bundle.dim).astype(np.float32)
            times, mixed, memory_kb = [], 0, []
            for index in range(count):
                start = time.perf_counter()
                digest = runtime.swap_head(digests[index % 2])
                times.append(1000 * (time.perf_counter() - start))
                mixed += runtime.decide(feature).head_digest != digest
                if index % (count // 10) == 0:
                    memory_kb.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return {
        "swaps": count,
        "median_ms": round(float(np.median(times)), 3),
        "p99_ms": round(float(np.percentile(times, 99)), 3),
        "mixed": mixed,
        "peak_memory_kb_by_tenth": memory_kb,
    }


@click.command()
@click.option("--examples", default=3000, show_default=True)
@click.option("--swaps", "n_swaps", default=5000, show_default=True)
def main(examples: int, n_swaps: int) -> None:
    """Run the long counts and write their result."""
    content = {
        "random_trees": random_trees(examples),
        "swaps": swaps(n_swaps),
    }
    click.echo(write_result("soak", content).read_text())


if __name__ == "__main__":
    main()
