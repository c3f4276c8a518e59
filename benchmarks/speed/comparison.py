"""Does `edgesplit bench` find a slow-down of a tenth, and is it quiet where there is none?

    python -m benchmarks.speed.comparison      # ten minutes

The demo bundle in turns with itself, twenty times: every verdict but `slower` and `faster` is
right. Then with a side whose predictions and edits wait for a tenth of what they took.
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
    """The same side, a tenth slower where `SLOWED` says."""
    executable, flag, source, *asked = side.command
    return replace(side, command=(executable, flag, PLANT + source, *asked))


def row(verdict: Verdict) -> dict[str, Any]:
    """A verdict as it is kept."""
    plain = asdict(verdict)
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in plain.items()}


def in_turns(this: Side, other: Side) -> list[dict[str, Any]]:
    """The verdicts of one comparison, as quick as `bench --quick` makes it."""
    found = compare_sides(this, other, blocks=QUICK_BLOCKS, block_s=QUICK_BLOCK_S)
    return [row(verdict) for verdict in found.verdicts]


def counted(rows: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """How often each verdict was given, by what was timed."""
    names = dict.fromkeys(one["name"] for one in rows)
    return {
        name: dict(Counter(one["word"] for one in rows if one["name"] == name)) for name in names
    }


def save(found: dict[str, list[dict[str, Any]]]) -> None:
    """Writes what there is so far: the whole takes long, and may be stopped."""
    content = {
        "limit": LIMIT,
        "slowed": list(SLOWED),
        **{f"{kind}_verdicts": counted(rows) for kind, rows in found.items()},
        **found,
    }
    write_result("comparison", content)


def read_table() -> str:
    """What the committed result says, as docs/bench.md has it."""
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
