"""Does `edgesplit bench` find a slow-down of a tenth, and report none without a slow-down?

    python -m benchmarks.speed.comparison      # ten minutes

The demo bundle is compared with itself, twenty times: every verdict except `slower` and `faster` is
right. Then it is compared with a side whose predictions and edits take a tenth longer.
"""

import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
from rich.progress import track

from benchmarks.harness.results import read_result, write_result
from edgesplit.demo import unpack_demo
from edgesplit.runtime.bench.compare import (
    LIMIT,
    QUICK_BLOCK_S,
    QUICK_BLOCKS,
    Side,
    Verdict,
    compare_sides,
    sides_of,
)
from edgesplit.runtime.bench.latency import make_video
from edgesplit.runtime.bench.timing import Effort, Job

SAME, PLANTED = 20, 5
SLOWED = ("prediction", "edit")

PLANT = """
import time as _time
import edgesplit.bundle.bundle as _bundle
import edgesplit.runtime.live.runtime as _runtime

def _slowed(call):
    def run(*arguments, **choices):
        start = _time.perf_counter()
        result = call(*arguments, **choices)
        end = start + 1.1 * (_time.perf_counter() - start)
        while _time.perf_counter() < end:
            pass
        return result
    return run

_runtime.Runtime.predict = _slowed(_runtime.Runtime.predict)
_bundle.Bundle.split_class = _slowed(_bundle.Bundle.split_class)
"""


def planted(side: Side) -> Side:
    """Return the same side, with the items in `SLOWED` a tenth slower."""
    executable, flag, source, *asked = side.command
    return replace(side, command=(executable, flag, PLANT + source, *asked))


def row(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as it is written to the result."""
    plain = asdict(verdict)
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in plain.items()}


def in_turns(this: Side, other: Side) -> list[dict[str, Any]]:
    """Return the verdicts of one comparison, with the settings of `bench --quick`."""
    found = compare_sides(this, other, blocks=QUICK_BLOCKS, block_s=QUICK_BLOCK_S)
    return [row(verdict) for verdict in found.verdicts]


def counted(rows: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Count the verdicts by timed item."""
    names = dict.fromkeys(one["name"] for one in rows)
    return {
        name: dict(Counter(one["word"] for one in rows if one["name"] == name)) for name in names
    }


def save(found: dict[str, list[dict[str, Any]]]) -> None:
    """Write the results so far, because the run is long and may be stopped."""
    content = {
        "limit": LIMIT,
        "slowed": list(SLOWED),
        **{f"{kind}_verdicts": counted(rows) for kind, rows in found.items()},
        **found,
    }
    write_result("comparison", content)


def read_table() -> str:
    """Return the table of docs/bench.md, from the committed result."""
    found = read_result("comparison")
    names = found["same_verdicts"]
    n_same, n_planted = (len(found[kind]) // len(names) for kind in ("same", "planted"))
    lines = [
        f"| | the same code, {n_same} times | a tenth slower, {n_planted} times |",
        "|---|---|---|",
    ]
    for name in names:
        planted = _listed(found["planted_verdicts"][name]) if name in SLOWED else "(not slowed)"
        lines.append(f"| {name} | {_listed(names[name])} | {planted} |")
    return "\n".join(
        [
            *lines,
            "",
            f"The demo bundle, `--quick`, {found['made']['machine']}, other work running beside "
            "([comparison.json](../benchmarks/results/comparison.json)).",
        ]
    )


def _listed(words: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {word}" for word, n in sorted(words.items(), key=lambda one: -one[1]))


@click.command()
@click.option("--same", default=SAME, show_default=True)
@click.option("--planted", "n_planted", default=PLANTED, show_default=True)
def main(same: int, n_planted: int) -> None:
    """Compare, and write comparison.json after each comparison."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = unpack_demo(folder)
        clip = folder / "made.mp4"
        make_video(clip, bundle.preprocessing)
        job = Job(bundle.path, Effort.usual(quick=True))
        this, other = sides_of(job, bundle=None, python=None, clip=clip)
        found: dict[str, list[dict[str, Any]]] = {"same": [], "planted": []}
        for _ in track(range(same), description="same"):
            found["same"] += in_turns(this, other)
            save(found)
        for _ in track(range(n_planted), description="planted"):
            found["planted"] += in_turns(planted(this), other)
            save(found)


if __name__ == "__main__":
    main()
