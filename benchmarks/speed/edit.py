"""How long does an edit take once its texts are embedded?

    python -m benchmarks.speed.edit

Heads of random rows with realistic labels, and unlabelled clips; the text encoder is the real one,
and its cache is warm. Targets: 20 ms for 174 classes of 384 features, 500 ms for 10,000 of 768.
This module does not assert them.
"""

import time
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.harness.results import ROOT, write_timing
from benchmarks.speed.made_heads import INTO, TARGET, make_labels
from edgesplit.edits.split import split_class
from edgesplit.heads.head import Head
from edgesplit.heads.statistics import Statistics

SIZES = ((58, 128), (174, 384), (1_000, 384), (10_000, 768))


def measure(n: int, dim: int, rounds: int) -> dict[str, Any]:
    """Return the median milliseconds of the edit and of writing the new head."""
    rng = np.random.default_rng(0)
    names = make_labels(n)
    weight = rng.standard_normal((n, dim)).astype(np.float32)
    owner = np.arange(4096) % n
    owner[:40] = n - 1
    features = weight[owner] + rng.standard_normal((len(owner), dim), np.float32)
    head = Head.from_arrays(weight, np.zeros(n), names, feature_space="f" * 64)
    statistics = Statistics.from_features(head, features)
    edits, writes = [], []
    for _ in range(rounds + 1):
        fresh = Head.from_arrays(weight, np.zeros(n), names, feature_space="f" * 64)
        fresh.to_bytes()  # as the bundle's head has been, when it was read
        start = time.perf_counter()
        edit = split_class(fresh, TARGET, into=INTO, statistics=statistics, accept_doubt=True)
        middle = time.perf_counter()
        edit.head.to_bytes()
        edits.append(1e3 * (middle - start))
        writes.append(1e3 * (time.perf_counter() - middle))
    return {
        "classes": n,
        "features": dim,
        "edit_ms": round(float(np.median(edits[1:])), 1),  # the first one embeds the texts
        "write_ms": round(float(np.median(writes[1:])), 1),
    }


@click.command()
@click.option("--rounds", default=15, show_default=True)
def main(rounds: int) -> None:
    """Measure, print, and write the machine's result."""
    rows = [measure(n, dim, rounds) for n, dim in track(SIZES, description="editing")]
    table = Table("classes", "features", "edit ms", "write ms", box=None)
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)
    click.echo(write_timing("edit", {"rounds": rounds, "rows": rows}).relative_to(ROOT))


if __name__ == "__main__":
    main()
