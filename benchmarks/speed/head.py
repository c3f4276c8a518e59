"""What do splits cost in the head?

    python -m benchmarks.speed.head

Heads of one size with different numbers of splits decide one feature in ONNX Runtime, on one
thread. All are measured in one run, in turns and in a new order every round, and compared with the
unsplit head of the same round, so that a busy machine affects all of them equally.

Targets: 27 splits within 3 times and 100 within 4 times the unsplit head's run, a session in under
2 ms at the median, and a graph that does not grow with the number of splits. This module does not
assert them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import click
import numpy as np
import onnx
from rich.console import Console
from rich.table import Table

from benchmarks.harness.results import ROOT, write_timing
from benchmarks.speed.made_heads import make_head
from edgesplit._types import Float32, Float64
from edgesplit.backbone.session import open_session
from edgesplit.runtime.bench.timing import time_ms

N_ROOTS, DIM = 119, 384
RUNS = 200
"""Runs in a block; their mean is one measurement."""
SESSIONS = 3
"""Sessions of each head that are made in a round; the median is one measurement."""
WARM_UP = 20

OUTPUTS = ["logits", "probabilities", "class_index"]


@dataclass(eq=False)
class Variant:
    """A head with a number of splits, and its measurements, one per round."""

    name: str
    splits: int
    depth: int
    data: bytes
    run_us: list[float] = field(default_factory=list)
    session_ms: list[float] = field(default_factory=list)

    @property
    def graph_nodes(self) -> int:
        """Number of operators in the file's graph, before ONNX Runtime fuses any."""
        return len(onnx.load_from_string(self.data).graph.node)


def variants() -> list[Variant]:
    """Return the heads to compare, the unsplit head first."""
    rows = [(0, 0), (1, 1), (27, 1), (100, 1), (27, 3)]
    return [
        Variant(
            name=f"{splits} splits" + (f", {depth} deep" if depth > 1 else ""),
            splits=splits,
            depth=depth,
            data=make_head(N_ROOTS, DIM, n_splits=splits, depth=depth).to_bytes(),
        )
        for splits, depth in rows
    ]


def measure(heads: list[Variant], rounds: int) -> None:
    """Append one measurement per round to every head."""
    rng = np.random.default_rng(0)
    feature = rng.standard_normal((1, DIM), np.float32)
    runs = [_runner(head.data, feature) for head in heads]
    for _ in range(rounds):
        for place in rng.permutation(len(heads)):
            head, run = heads[place], runs[place]
            make = partial(open_session, head.data, threads=1, optimize=False)
            head.session_ms.append(float(np.median([time_ms(make) for _ in range(SESSIONS)])))
            time_ms(run, WARM_UP)  # making sessions has emptied the caches
            head.run_us.append(1e3 * time_ms(run, RUNS))


def _runner(data: bytes, feature: Float32) -> Callable[[], object]:
    session = open_session(data, threads=1, optimize=False)
    return partial(session.run, OUTPUTS, {"features": feature})


def summary(head: Variant, unsplit: Variant) -> dict[str, Any]:
    """Return a row of the result: medians over the rounds, with quartiles."""
    ratios = np.divide(head.run_us, unsplit.run_us)
    return {
        "name": head.name,
        "splits": head.splits,
        "depth": head.depth,
        "run_us": _quartiles(head.run_us),
        "run_ratio": _quartiles(ratios),
        "session_ms": _quartiles(head.session_ms),
        "graph_nodes": head.graph_nodes,
        "file_bytes": len(head.data),
    }


def _quartiles(values: Sequence[float] | Float64) -> dict[str, float]:
    low, median, high = (round(float(q), 3) for q in np.percentile(values, [25, 50, 75]))
    return {"median": median, "q1": low, "q3": high}


def targets(rows: list[dict[str, Any]]) -> dict[str, bool]:
    """Return True by target if it was met."""
    by_shape = {(row["splits"], row["depth"]): row for row in rows}
    few, many = by_shape[27, 1], by_shape[100, 1]
    return {
        "27 splits within 3 times the unsplit run": few["run_ratio"]["median"] <= 3,
        "100 splits within 4 times the unsplit run": many["run_ratio"]["median"] <= 4,
        "every session in under 2 ms": all(row["session_ms"]["median"] < 2 for row in rows),
        "100 splits take as many graph nodes as 1": (
            by_shape[1, 1]["graph_nodes"] == many["graph_nodes"]
        ),
    }


def show(rows: list[dict[str, Any]], met: dict[str, bool]) -> None:
    """Print the result as a table."""
    table = Table(box=None)
    for heading in ("head", "run us", "times unsplit", "session ms", "graph nodes", "kB"):
        table.add_column(heading, justify="left" if heading == "head" else "right")
    for row in rows:
        ratio = row["run_ratio"]
        table.add_row(
            row["name"],
            f"{row['run_us']['median']:.1f}",
            f"{ratio['median']:.2f} ({ratio['q1']:.2f} to {ratio['q3']:.2f})",
            f"{row['session_ms']['median']:.2f}",
            str(row["graph_nodes"]),
            f"{row['file_bytes'] / 1000:.0f}",
        )
    console = Console()
    console.print(table)
    for target, reached in met.items():
        console.print(f"{'met' if reached else 'MISSED'}: {target}", highlight=False)


@click.command()
@click.option("--rounds", default=200, show_default=True, type=click.IntRange(min=1))
def main(rounds: int) -> None:
    """Measure heads with and without splits side by side, and write the machine's result."""
    heads = variants()
    measure(heads, rounds)
    rows = [summary(head, heads[0]) for head in heads]
    met = targets(rows)
    content = {
        "head": f"{N_ROOTS} x {DIM}, splits into two, gated; one feature, one thread",
        "rounds": rounds,
        "runs_per_round": RUNS,
        "heads": rows,
        "targets_met": met,
    }
    show(rows, met)
    print(write_timing("head", content).relative_to(ROOT))


if __name__ == "__main__":
    main()
