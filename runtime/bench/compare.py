"""Slower, faster or the same? By ratios alone, with intervals.

Two sides that can both run now do so in turns: each turn starts both anew, as two processes of the
same program differ by some percent for as long as they live, and lets them take blocks in the
order a b b a, on one core. A turn gives one ratio; the interval of their median is made of order
statistics, so nothing is assumed of how ratios scatter.

An earlier record cannot be had in turns. Its times are taken in units of the reference kernel, as
the new ones are; that is less exact, so more has to differ before anything is said.
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
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edgesplit.bundle.bundle import open_bundle
from edgesplit.errors import EdgesplitError
from edgesplit.runtime.bench.latency import make_video
from edgesplit.runtime.bench.record import SCHEMA, figures_of
from edgesplit.runtime.bench.sandbox import find_splits
from edgesplit.runtime.bench.timing import Job, order_interval

__all__ = [
    "EARLIER_LIMIT",
    "LIMIT",
    "QUICK_BLOCKS",
    "QUICK_BLOCK_S",
    "Comparison",
    "Side",
    "Verdict",
    "compare_earlier",
    "compare_now",
    "compare_sides",
    "judge",
    "judge_blocks",
    "sides_of",
]

LIMIT = 0.03
"""Sides in turns: the whole interval has to lie beyond it. See benchmarks/bench_comparison.py."""

EARLIER_LIMIT = 0.15
"""An earlier record, by the reference."""

MACHINE_LIMIT = 0.10
"""The reference itself: beyond it the machine is said to have changed."""

BUSY = 0.10
"""When other work takes more of the machine than this, an earlier record says nothing: the
reference runs on one core, and what runs on several suffers more than it."""

MIN_BLOCKS = 5
"""Fewer give no interval at 95 %."""

TURNS = 12
_BLOCKS = 4
_BLOCK_S = 0.1
QUICK_BLOCKS = 2
QUICK_BLOCK_S = 0.05
_REST_S = 0.03
"""Before a block: threads of the other side that wait by spinning have gone to sleep then."""

_ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
"""Of numpy's, as of ONNX Runtime's, on one core."""

Word = Literal["slower", "faster", "same", "unclear"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How long something takes beside what it is compared with."""

    name: str
    ratio: float
    """Above 1: it takes longer."""
    low: float
    high: float
    """The interval at 95 %."""
    word: Word


@dataclass(frozen=True, slots=True)
class Comparison:
    """All verdicts of two sides."""

    of: str
    against: str
    how: str
    limit: float
    verdicts: tuple[Verdict, ...]
    machine: str = ""
    """How the machine, or what was measured, has changed, in words; empty when nothing has, or
    both ran now."""

    @property
    def slower(self) -> bool:
        """Whether anything is."""
        return any(one.word == "slower" for one in self.verdicts)

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {"schema": SCHEMA, "slower": self.slower, **asdict(self)}


@dataclass(frozen=True, slots=True)
class Side:
    """What is run for one side of a comparison."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]


def judge(name: str, ratios: Sequence[float], *, limit: float = LIMIT) -> Verdict:
    """The verdict of ratios, new to old, that are independent of each other."""
    low, high = order_interval(ratios)
    word = _word(low, high, limit) if len(ratios) > MIN_BLOCKS else "unclear"
    return Verdict(name, statistics.median(ratios), low, high, word)


def judge_blocks(
    name: str, new: Sequence[float], old: Sequence[float], *, limit: float = EARLIER_LIMIT
) -> Verdict:
    """The verdict of blocks that were not measured in pairs.

    The ratio is the median of all new blocks to all old ones (Hodges and Lehmann), the interval
    the one that belongs to the rank test (Moses).
    """
    quotients = np.sort(np.divide.outer(np.asarray(new, float), np.asarray(old, float)).ravel())
    m, n = len(new), len(old)
    outside = m * n / 2 - 1.96 * np.sqrt(m * n * (m + n + 1) / 12)
    cut = max(0, int(np.floor(outside)) - 1)  # of the smallest that stays, counted from 0
    low, high = float(quotients[cut]), float(quotients[-1 - cut])
    word = _word(low, high, limit) if min(m, n) >= MIN_BLOCKS else "unclear"
    return Verdict(name, float(np.median(quotients)), low, high, word)


def _word(low: float, high: float, limit: float) -> Word:
    if low > 1 + limit:
        return "slower"
    if high < 1 / (1 + limit):
        return "faster"
    return "same" if high <= 1 + limit and low >= 1 / (1 + limit) else "unclear"


def compare_earlier(record: Mapping[str, Any], earlier: Mapping[str, Any]) -> Comparison:
    """A record beside an earlier one, each time in units of the reference of its block.

    Raises:
        EdgesplitError: they have no figure in common.
    """
    old = {one.name: one for one in figures_of(earlier)}
    both = [(one, old[one.name]) for one in figures_of(record) if one.name in old]
    if not both:
        raise EdgesplitError("The records have no figure in common. Ask the same questions.")
    verdicts = tuple(
        judge_blocks(
            new.name,
            [value / base for value, base in new.blocks],
            [value / base for value, base in before.blocks],
        )
        for new, before in both
    )
    if max(record["others"] or 0, earlier["others"] or 0) > BUSY:
        verdicts = tuple(replace(one, word="unclear") for one in verdicts)
    return Comparison(
        of=str(record["made"]),
        against=str(earlier["made"]),
        how="in units of the reference",
        limit=EARLIER_LIMIT,
        verdicts=verdicts,
        machine=_machine(record, earlier),
    )


_ALIKE = {
    ("bundle", "feature_space"): "another backbone",
    ("bundle", "classes"): "another number of classes",
    ("bundle", "clip_shape"): "another shape of clips",
    ("asked", "backend"): "another backend",
    ("asked", "variant"): "another variant",
    ("asked", "clip"): "another video",
}


def _machine(record: Mapping[str, Any], earlier: Mapping[str, Any]) -> str:
    now, then = record["reference"], earlier["reference"]
    said = []
    if now["what"] != then["what"]:
        said.append("the reference is another computation")
    else:
        change = now["ms"] / then["ms"]
        if not 1 / (1 + MACHINE_LIMIT) <= change <= 1 + MACHINE_LIMIT:
            said.append(f"the reference takes {change:.2f} times what it took")
    for when, one in (("now", record), ("then", earlier)):
        if (one["others"] or 0) > BUSY:
            said.append(f"other work took {one['others']:.0%} of it {when}, so nothing is said")
    for name in ("processor", "cores", "kernel", "versions"):
        if record["device"].get(name) != earlier["device"].get(name):
            said.append(f"{name} differ" if name in ("cores", "versions") else f"{name} differs")
    for (part, name), words in _ALIKE.items():
        if record[part].get(name) != earlier[part].get(name):
            said.append(words)
    return "; ".join(said)


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
    return Comparison(this.name, other.name, "in turns", LIMIT, verdicts)


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
