"""Does the first edit on a device take longer than the second?

    python -m benchmarks.speed.first_edit

Runs `edgesplit edit` twice in separate processes, each time with words that are not cached; the
first time with an empty cache, as after an export. The demo's bundle is edited as shipped, with the
embeddings of its labels, and without that file, like older bundles. Target: 1.3 times the second
edit. This module does not assert it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.harness.results import ROOT, write_timing
from edgesplit.bundle.label_texts import LABEL_TEXTS_FILE
from edgesplit.demo import ASSETS, BUNDLE

WORDS = ("leftwards,rightwards", "in northern direction,in southern direction")
WAYS = {"with the labels' embeddings": True, "without": False}


def edit(bundle: Path, cache: Path, into: str) -> float:
    """Run an edit in a new process; return its seconds."""
    command = [sys.executable, "-m", "edgesplit", "edit", "--bundle", str(bundle)]
    command += ["--class", "pushing", "--into", into, "--dry-run", "--accept-doubt"]
    start = time.perf_counter()
    subprocess.run(
        command, env=os.environ | {"EDGESPLIT_CACHE": str(cache)}, check=True, capture_output=True
    )
    return time.perf_counter() - start


def measure(folder: Path, *, with_labels: bool, swap: bool) -> tuple[float, float]:
    """Return the seconds of the first and of the second edit."""
    shutil.copytree(ASSETS / BUNDLE, folder / BUNDLE)
    if not with_labels:
        (folder / BUNDLE / LABEL_TEXTS_FILE).unlink()
    first, second = WORDS[::-1] if swap else WORDS
    bundle, cache = folder / BUNDLE, folder / "cache"
    return edit(bundle, cache, first), edit(bundle, cache, second)


@click.command()
@click.option("--rounds", default=8, show_default=True)
def main(rounds: int) -> None:
    """Measure, print, and write the machine's result."""
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for number in track(range(rounds), description="edits"):
        for way, with_labels in WAYS.items():
            with tempfile.TemporaryDirectory() as folder:
                pair = measure(Path(folder), with_labels=with_labels, swap=bool(number % 2))
            found[way].append(pair)
    rows: list[dict[str, Any]] = []
    table = Table("bundle", "first, s", "second, s", "ratio", box=None)
    for way, pairs in found.items():
        first, second = np.median(np.array(pairs), axis=0)
        ratio = float(np.median([one / other for one, other in pairs]))
        rows.append(
            {
                "bundle": way,
                "first_s": round(float(first), 3),
                "second_s": round(float(second), 3),
                "ratio": round(ratio, 2),
            }
        )
        table.add_row(*map(str, rows[-1].values()))
    Console().print(table)
    click.echo(write_timing("first_edit", {"rounds": rounds, "rows": rows}).relative_to(ROOT))


if __name__ == "__main__":
    main()
