"""A/B test of two bundles or environments: is one slower, faster or the same?

Both sides run in turns. Each turn starts two new processes, because two processes of the same
program differ by a few percent for as long as they live. They time blocks in the order a b b a, on
one core. A turn gives one ratio. The interval of the ratios' median comes from order statistics,
so no distribution is assumed.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from edgesplit.bundle.bundle import open_bundle
from edgesplit.errors import EdgesplitError
from edgesplit.runtime.bench.latency import make_video
from edgesplit.runtime.bench.process import LineProcess, own_environment, start_process
from edgesplit.runtime.bench.record import SCHEMA
from edgesplit.runtime.bench.sandbox import find_splits
from edgesplit.runtime.bench.timing import Job, order_interval

__all__ = [
    "LIMIT",
    "QUICK_BLOCKS",
    "QUICK_BLOCK_S",
    "Comparison",
    "Side",
    "Verdict",
    "compare_now",
    "compare_sides",
    "judge",
    "sides_of",
]

LIMIT = 0.03
"""A side is slower if the complete interval lies above 1 + LIMIT. Checked by
`python -m benchmarks.speed.comparison`."""

_MIN_TURNS = 6
"""Fewest turns that give a 95 % interval."""

TURNS = 12
_BLOCKS = 4
_BLOCK_S = 0.1
QUICK_BLOCKS = 2
QUICK_BLOCK_S = 0.05
_REST_S = 0.03
"""Pause before a block, in which the other side's spinning threads go to sleep."""

_ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
"""Environment variables that limit numpy to one thread, as ONNX Runtime is on one core."""

Word = Literal["slower", "faster", "same", "unclear"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The ratio of two sides' times for one measured item."""

    name: str
    ratio: float
    """Above 1: this side takes longer than the other."""
    low: float
    high: float
    """The 95 % interval of the ratio."""
    word: Word


@dataclass(frozen=True, slots=True)
class Comparison:
    """The verdicts of one side against another."""

    of: str
    against: str
    limit: float
    verdicts: tuple[Verdict, ...]

    @property
    def slower(self) -> bool:
        """True if anything is slower."""
        return any(one.word == "slower" for one in self.verdicts)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return {"schema": SCHEMA, "slower": self.slower, **asdict(self)}


@dataclass(frozen=True, slots=True)
class Side:
    """The process that one side of a comparison runs."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]


def judge(name: str, ratios: Sequence[float]) -> Verdict:
    """Return the verdict of independent ratios, one for each turn."""
    low, high = order_interval(ratios)
    word: Word = "unclear"
    if len(ratios) >= _MIN_TURNS:
        if low > 1 + LIMIT:
            word = "slower"
        elif high < 1 / (1 + LIMIT):
            word = "faster"
        elif high <= 1 + LIMIT and low >= 1 / (1 + LIMIT):
            word = "same"
    return Verdict(name, statistics.median(ratios), low, high, word)


def sides_of(
    job: Job, *, bundle: Path | None, python: Path | None, clip: Path
) -> tuple[Side, Side]:
    """Return this side and the other, which has another bundle, another Python, or both.

    Args:
        job: the job of this side.
        bundle: the other side's bundle; by default the same.
        python: the other side's environment or interpreter; by default this one.
        clip: the video that both sides read.

    Raises:
        EdgesplitError: the interpreter does not exist.
    """
    mine = open_bundle(job.bundle)
    try:
        ((label, into),) = find_splits(mine, 1)
        split = json.dumps([label, *into])
        if bundle is not None:
            open_bundle(bundle).split_class(label, into=into, accept_doubt=True)
    except EdgesplitError:
        split = ""  # without a split that both can make, edits are not compared
    source = Path(__file__).with_name("worker.py").read_text(encoding="utf-8")

    def side(name: str, path: Path, executable: str, environment: Mapping[str, str]) -> Side:
        asked = (str(path.resolve()), str(clip.resolve()), job.backend, job.variant or "", split)
        return Side(name, (executable, "-c", source, *asked), environment)

    own, compared = {**own_environment(), **_ONE_THREAD}, bundle or job.bundle
    this = side(str(job.bundle), job.bundle, sys.executable, own)
    if python is None:
        return this, side(str(compared), compared, sys.executable, own)
    executable = python / "bin" / "python" if python.is_dir() else python
    if not executable.is_file():
        raise EdgesplitError(f"There is no Python at {executable}. Give an environment's folder.")
    clean = {key: value for key, value in own.items() if key != "PYTHONPATH"}
    return this, side(f"{compared} in {python}", compared, str(executable.absolute()), clean)


def compare_now(
    job: Job,
    *,
    bundle: Path | None = None,
    python: Path | None = None,
    on_turn: Callable[[int, int], object] = lambda done, n: None,
) -> Comparison:
    """Compare this bundle and environment with another bundle, another environment, or both.

    Raises:
        EdgesplitError: a side does not start, or fails.
    """
    with tempfile.TemporaryDirectory(prefix="edgesplit-") as folder:
        clip = job.clip or Path(folder) / "made.mp4"
        if job.clip is None:
            make_video(clip, open_bundle(job.bundle).preprocessing)
        this, other = sides_of(job, bundle=bundle, python=python, clip=clip)
        blocks, block_s = _BLOCKS, _BLOCK_S
        if job.effort.quick:
            blocks, block_s = QUICK_BLOCKS, QUICK_BLOCK_S
        return compare_sides(this, other, blocks=blocks, block_s=block_s, on_turn=on_turn)


def compare_sides(
    this: Side,
    other: Side,
    *,
    turns: int = TURNS,
    blocks: int = _BLOCKS,
    block_s: float = _BLOCK_S,
    on_turn: Callable[[int, int], object] = lambda done, n: None,
) -> Comparison:
    """Run both sides in turns.

    Args:
        this: the side that the verdicts are about.
        other: the side that it is compared with.
        turns: number of turns; each starts new processes.
        blocks: number of blocks that each side measures in a turn.
        block_s: seconds that a block times each item.
        on_turn: gets the number of turns that are done, and of all turns.

    Raises:
        EdgesplitError: a side does not start, or fails.
    """
    ratios: dict[str, list[float]] = {}
    for turn in range(turns):
        on_turn(turn, turns)
        with ExitStack() as stack:
            order = (this, other) if turn % 2 else (other, this)
            workers = [
                stack.enter_context(start_process(side.name, side.command, side.environment))
                for side in order
            ]
            for worker in workers:
                worker.wait_for("ready")
            mine, theirs = workers if turn % 2 else reversed(workers)
            found: dict[str, list[float]] = {}
            for block in range(blocks):
                pair: dict[LineProcess, Mapping[str, float]] = {}
                for worker in (mine, theirs) if (turn + block) % 2 else (theirs, mine):
                    time.sleep(_REST_S)
                    worker.write(str(block_s))
                    pair[worker] = json.loads(worker.read())
                if pair[mine].keys() != pair[theirs].keys():
                    raise EdgesplitError(
                        f"{this.name} and {other.name} do not measure the same items. Compare "
                        "environments with similar versions of edgesplit."
                    )
                for name, value in pair[mine].items():
                    found.setdefault(name, []).append(value / pair[theirs][name])
        for name, values in found.items():
            ratios.setdefault(name, []).append(statistics.median(values))
    verdicts = tuple(judge(name, values) for name, values in ratios.items())
    return Comparison(this.name, other.name, LIMIT, verdicts)
