"""A/B test of two bundles or environments: is one slower, faster or the same?

Both sides run in turns. Each turn starts both anew, because two processes of the same program
differ by some percent for as long as they live, and lets them take blocks in the order a b b a, on
one core. A turn gives one ratio. The interval of the ratios' median comes from order statistics,
so no distribution is assumed.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from edgesplit.bundle.bundle import open_bundle
from edgesplit.errors import EdgesplitError
from edgesplit.runtime.bench.latency import make_video
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
"""A side is slower if the whole interval lies above 1 + LIMIT. Checked by
`python -m benchmarks.speed.comparison`."""

_MIN_TURNS = 6
"""Fewer turns give no interval at 95 %."""

TURNS = 12
_BLOCKS = 4
_BLOCK_S = 0.1
QUICK_BLOCKS = 2
QUICK_BLOCK_S = 0.05
_REST_S = 0.03
"""Pause before a block, in which the other side's spinning threads go to sleep."""

_ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
"""Environment variables that give numpy one thread, as ONNX Runtime has on one core."""

Word = Literal["slower", "faster", "same", "unclear"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The ratio of two sides' times for one thing."""

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
        """A JSON object."""
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
    """The bundle here, and what it is compared with: another bundle, another Python, or both.

    Args:
        job: what is measured here.
        bundle: the other bundle; the same by default.
        python: the other environment's folder or interpreter; this one by default.
        clip: the video that both read.

    Raises:
        EdgesplitError: there is no such interpreter.
    """
    mine = open_bundle(job.bundle)
    try:
        ((label, into),) = find_splits(mine, 1)
        split = json.dumps([label, *into])
        if bundle is not None:
            open_bundle(bundle).split_class(label, into=into, accept_doubt=True)
    except EdgesplitError:
        split = ""  # no edit is compared
    source = Path(__file__).with_name("worker.py").read_text(encoding="utf-8")
    here = os.pathsep.join(entry or os.getcwd() for entry in sys.path)

    def side(path: Path, executable: str, environment: Mapping[str, str]) -> Side:
        asked = (str(path.resolve()), str(clip.resolve()), job.kind, job.recipe or "", split)
        return Side(str(path), (executable, "-c", source, *asked), environment)

    own = {**os.environ, **_ONE_THREAD, "PYTHONPATH": here}
    this = side(job.bundle, sys.executable, own)
    if python is None:
        return this, side(bundle or job.bundle, sys.executable, own)
    executable = python / "bin" / "python" if python.is_dir() else python
    if not executable.is_file():
        raise EdgesplitError(f"There is no Python at {executable}. Name an environment's folder.")
    clean = {key: value for key, value in own.items() if key != "PYTHONPATH"}
    other = side(bundle or job.bundle, str(executable.absolute()), clean)
    return this, Side(f"{other.name} in {python}", other.command, other.environment)


def compare_now(
    job: Job,
    *,
    bundle: Path | None = None,
    python: Path | None = None,
    on_turn: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Runs a bundle here in turns with another bundle, another environment, or both.

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
    on_turn: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Runs both sides in turns.

    Args:
        this: what is judged.
        other: what it is judged by.
        turns: how often both are started anew.
        blocks: of each side in a turn.
        block_s: of each thing that is timed in a block, in seconds.
        on_turn: gets the turns done and all.

    Raises:
        EdgesplitError: a side does not start, or fails.
    """
    ratios: dict[str, list[float]] = {}
    for turn in range(turns):
        if on_turn is not None:
            on_turn(turn, turns)
        with ExitStack() as stack:
            order = (this, other) if turn % 2 else (other, this)
            asks = [stack.enter_context(_process(side)) for side in order]
            mine, its = asks if turn % 2 else reversed(asks)
            found: dict[str, list[float]] = {}
            for block in range(blocks):
                pair: dict[int, Mapping[str, float]] = {}
                for ask in (mine, its) if (turn + block) % 2 else (its, mine):
                    time.sleep(_REST_S)
                    pair[id(ask)] = ask(block_s)
                own, others = pair[id(mine)], pair[id(its)]
                if own.keys() != others.keys():
                    raise EdgesplitError(
                        f"{this.name} and {other.name} measure other things. Compare with an "
                        "environment of about the same edgesplit."
                    )
                for name, value in own.items():
                    found.setdefault(name, []).append(value / others[name])
        for name, values in found.items():
            ratios.setdefault(name, []).append(statistics.median(values))
    verdicts = tuple(judge(name, values) for name, values in ratios.items())
    return Comparison(this.name, other.name, LIMIT, verdicts)


@contextmanager
def _process(side: Side) -> Iterator[Callable[[float], Mapping[str, float]]]:
    """A side at work; calling it gives what a block of so many seconds measured."""
    # Of an empty folder: where it is started, Python looks for modules first.
    with (
        tempfile.TemporaryDirectory(prefix="edgesplit-") as folder,
        (Path(folder) / "said").open("w+") as said,
        subprocess.Popen(
            side.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            cwd=folder,
            env=dict(side.environment),
        ) as child,
    ):
        assert child.stdin is not None
        assert child.stdout is not None
        given, answers = child.stdin, child.stdout

        def read() -> str:
            line = answers.readline()
            if not line:
                said.seek(0)
                last = said.read().strip().splitlines()[-1:] or ["nothing"]
                with suppress(subprocess.TimeoutExpired):
                    child.wait(5)  # it closed its output: it is about to end
                child.kill()
                code = child.wait()
                end = f"signal {-code}" if code < 0 else f"exit code {code}"
                raise EdgesplitError(
                    f"{side.name} could not be measured ({end}). It said: {last[0]}"
                )
            return line.strip()

        def ask(seconds: float) -> Mapping[str, float]:
            with suppress(BrokenPipeError):  # it has died: reading says of what
                given.write(f"{seconds}\n")
                given.flush()
            answer: Mapping[str, float] = json.loads(read())
            return answer

        try:
            while read() != "ready":
                pass  # what a library prints
            yield ask
        finally:
            child.kill()
            with suppress(OSError):  # a line that it never took
                given.close()
