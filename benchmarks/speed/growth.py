"""How do head and edit costs grow with classes, feature size, splits, nesting and history?

    python -m benchmarks.speed.growth      # a minute

Heads have synthetic labels and random rows. The history grows on a copy of the demo's bundle. Each
cost is a median. It grows as a power of the number of classes, fitted by a line through logarithms.
"""

import itertools
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.harness.results import ROOT, read_result, write_result
from benchmarks.speed.made_heads import INTO, TARGET, make_head
from edgesplit.bundle.bundle import Bundle
from edgesplit.bundle.history import LOG, new_version
from edgesplit.demo import unpack_demo
from edgesplit.edits.split import split_class
from edgesplit.heads.head import Head
from edgesplit.runtime.bench.sandbox import own_cache
from edgesplit.runtime.bench.timing import time_ms
from edgesplit.runtime.live.live_head import ServingHead

DIM = 384
N_CLASSES = 174
SIZES = {
    "classes": (10, 32, 100, 320, 1_000, 3_200, 10_000),
    "features": (96, 192, 384, 768, 1_536),
    "splits": (1, 3, 10, 30, 100),
    "nesting": (1, 2, 4, 8),
    "history": (10, 100, 1_000),
}
COSTS = ("run_ms", "session_ms", "edit_ms", "read_ms", "publish_ms")
"""Costs of one feature's decision, of opening a head, of an edit with cached texts, of reading the
history and of publishing."""
RUNS = 20
"""Number of decisions that are timed together."""
SECONDS = 0.5
"""Seconds that each cost is measured."""
MIN_TIMES = 5

Row = dict[str, Any]


def median_ms(measure: Callable[[], float], seconds: float) -> float:
    """Call `measure` for `seconds`; return the median of its results."""
    measure()  # fills the caches
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < MIN_TIMES or time.perf_counter() < end:
        times.append(measure())
    return round(float(np.median(times)), 6)


def exponent(rows: list[Row], cost: str) -> float:
    """Return the power of the number of classes with which a cost grows."""
    costs = {row["size"]: row[cost] for row in rows if row["against"] == "classes"}
    slope, _ = np.polyfit(np.log([*costs]), np.log([*costs.values()]), 1)
    return round(float(slope), 3)


def make_heads() -> Iterator[tuple[str, int, Head]]:
    """Yield the name of the growing quantity, its value, and the head."""
    for size in SIZES["classes"]:
        yield "classes", size, make_head(size, DIM)
    for size in SIZES["features"]:
        yield "features", size, make_head(N_CLASSES, size)
    for size in SIZES["splits"]:
        yield "splits", size, make_head(N_CLASSES, DIM, n_splits=size)
    for size in SIZES["nesting"]:
        yield "nesting", size, make_head(N_CLASSES, DIM, n_splits=size, depth=size)


def measure_head(head: Head, seconds: float) -> dict[str, float]:
    """Return milliseconds of a decision, of opening the head and of an edit."""
    serving = ServingHead(head)
    feature = np.random.default_rng(0).standard_normal((1, head.dim), np.float32)

    def edit() -> None:
        split_class(head, TARGET, into=INTO, accept_doubt=True).head.to_bytes()

    return {
        "run_ms": median_ms(lambda: time_ms(lambda: serving.evaluate(feature), RUNS), seconds),
        "session_ms": median_ms(lambda: ServingHead(head).build_ms, seconds),
        "edit_ms": median_ms(lambda: time_ms(edit), seconds),
    }


def measure_history(bundle: Bundle, n_edits: int, seconds: float) -> dict[str, float]:
    """Return milliseconds of reading a history of `n_edits` edits, and of publishing to it."""
    label = bundle.head().tree[0].label
    turn = itertools.count()
    lengthen(bundle, n_edits)

    def publish() -> float:
        edit = bundle.rename_class(bundle.head().tree[0].label, f"{label} {next(turn) % 2 + 1}")
        lengthen(bundle, n_edits)  # as long as before: publishing adds to it
        return time_ms(lambda: bundle.publish(edit))

    return {
        "read_ms": median_ms(lambda: time_ms(bundle.history), seconds),
        "publish_ms": median_ms(publish, seconds),
    }


def lengthen(bundle: Bundle, n_edits: int) -> None:
    """Extend the log to `n_edits` edits that alternate two heads; the live head does not change."""
    live, other = bundle.live, "0" * 64
    before = live
    lines = []
    for digest in itertools.islice(itertools.cycle((other, live)), 2 * (n_edits // 2)):
        version = new_version(digest, before=before, action="split pushing into left, right")
        lines.append(json.dumps(version.to_json()))
        before = digest
    (bundle.path / LOG).write_text("".join(f"{line}\n" for line in lines))


def measure(seconds: float) -> list[Row]:
    """Return a row of costs for each size."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, own_cache(Path(folder) / "cache"):
        for axis, size, head in make_heads():
            rows.append({"against": axis, "size": size, **measure_head(head, seconds)})
            print(rows[-1], flush=True)
        for size in SIZES["history"]:
            bundle = unpack_demo(Path(folder) / str(size))
            costs = measure_history(bundle, size, seconds)
            rows.append({"against": "history", "size": size, **costs})
            print(rows[-1], flush=True)
    return rows


def read_sentence() -> str:
    """Return the sentence of docs/bench.md, from the committed result."""
    found = read_result("growth")
    powers = found["exponent_of_classes"]
    largest = max(row["size"] for row in found["rows"] if row["against"] == "classes")
    return (
        "How head and edit grow is measured by `python -m benchmarks.speed.growth` "
        f"([growth.json](../benchmarks/results/growth.json), {found['made']['machine']}): up to "
        f"{largest:,} classes one feature's cost grows with power {powers['run_ms']:.2f} of their "
        f"number, opening a head with {powers['session_ms']:.2f}, an edit with "
        f"{powers['edit_ms']:.2f}."
    )


@click.command()
@click.option("--seconds", default=SECONDS, show_default=True, help="For each cost.")
def main(seconds: float) -> None:
    """Measure, print, and write growth.json."""
    rows = measure(seconds)
    powers = {cost: exponent(rows, cost) for cost in COSTS[:3]}
    table = Table("against", "size", *COSTS, box=None)
    for row in rows:
        costs = (f"{row[cost]:.3g}" if cost in row else "" for cost in COSTS)
        table.add_row(row["against"], f"{row['size']:,}", *costs)
    Console().print(table)
    content = {"classes": N_CLASSES, "features": DIM, "exponent_of_classes": powers, "rows": rows}
    click.echo(write_result("growth", content).relative_to(ROOT))


if __name__ == "__main__":
    main()
