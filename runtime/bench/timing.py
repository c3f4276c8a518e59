"""Times in blocks, each with the time of a fixed reference kernel.

The speed of a machine varies. A block holds many times of one item, and the time that the reference
took just before them. Their ratio can be compared across machines and runs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgesplit._types import BackendName, VariantName
from edgesplit.bundle.bundle import Bundle, open_bundle
from edgesplit.runtime.backends.select import OpenedBackend, check_variant, open_backend

__all__ = [
    "REFERENCE",
    "Answer",
    "Effort",
    "Figure",
    "Job",
    "Progress",
    "Usage",
    "order_interval",
    "percentile_curve",
    "sample",
    "time_ms",
    "time_reference",
]

REFERENCE = "integer product of two 112 x 112 matrices, numpy, one thread"
"""A product of integers, which numpy computes without a BLAS library."""

_MATRIX = np.random.default_rng(0).integers(0, 100, (112, 112)).astype(np.int32)
_REFERENCES = 5

_BLOCKS = 15

Progress = Callable[[str], object]
"""Gets a few words about the current measurement."""


@dataclass(frozen=True, slots=True)
class Effort:
    """The length of a benchmark."""

    quick: bool
    seconds: float
    """Seconds that predictions are timed; `swap` takes this long with and without swaps each."""
    repeats: int
    """Number of repetitions of measurements that need a new process or a new setup."""

    @staticmethod
    def usual(*, quick: bool, seconds: float | None = None) -> Effort:
        """Return the default: a minute of predictions, or five seconds if `quick`."""
        if quick:
            return Effort(quick=True, seconds=seconds or 5.0, repeats=5)
        return Effort(quick=False, seconds=seconds or 60.0, repeats=10)


@dataclass(frozen=True, slots=True)
class Job:
    """The bundle to measure, and how to run it."""

    bundle: Path
    effort: Effort
    backend: BackendName = "auto"
    variant: VariantName | None = None
    clip: Path | None = None
    """Video to predict; by default a synthetic one."""
    scratch: Path | None = None
    """Folder for copies. The caller removes it, because a question may be killed."""

    def __post_init__(self) -> None:
        check_variant(self.backend, self.variant)

    def open(self) -> tuple[Bundle, OpenedBackend]:
        """Open the bundle and the backend that runs its backbone."""
        bundle = open_bundle(self.bundle)
        return bundle, open_backend(bundle, self.backend, variant=self.variant)


@dataclass(frozen=True, slots=True)
class Figure:
    """Percentiles of the times of one item, in milliseconds, rounded to nanoseconds."""

    name: str
    """Question and item, as in `latency.prediction`."""
    n: int
    p50: float
    p90: float
    p95: float
    p99: float
    blocks: tuple[tuple[float, float], ...]
    """Lower quartile of each block, which other work on the machine barely changes, and the time of
    the reference just before the block."""

    @classmethod
    def of(
        cls, name: str, blocks: Sequence[Sequence[float]], references: Sequence[float]
    ) -> Figure:
        """Return the figure of blocks of times and of the reference's time for each block."""
        times = np.concatenate([np.asarray(block, float) for block in blocks])
        p50, p90, p95, p99 = (round(float(q), 6) for q in np.percentile(times, (50, 90, 95, 99)))
        quartiles = (sorted(block)[len(block) // 4] for block in blocks)
        pairs = zip(quartiles, references, strict=True)
        rounded = tuple((round(time, 6), round(reference, 6)) for time, reference in pairs)
        return cls(name, len(times), p50, p90, p95, p99, rounded)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one question."""

    figures: tuple[Figure, ...]
    facts: dict[str, Any]
    """A JSON object: counts and conditions of the measurement."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Processor time in seconds, over all cores, since the machine started."""

    taken: float
    capacity: float
    ours: float
    """Time of this process and of the children that it has waited for."""

    @classmethod
    def now(cls, root: Path = Path("/")) -> Usage | None:
        """Read `/proc/stat`; return None if it cannot be read."""
        try:
            fields = (root / "proc/stat").read_text().split("\n", 1)[0].split()[1:9]
            ticks = [int(one) / os.sysconf("SC_CLK_TCK") for one in fields]
        except (OSError, ValueError):
            return None
        idle = sum(ticks[3:5])  # waiting for a disk is idle, too
        return cls(sum(ticks) - idle, sum(ticks), sum(os.times()[:4]))

    def others(self, before: Usage) -> float:
        """Return the share of the processor time, 0..1, that other work has used since `before`."""
        taken = self.taken - before.taken - (self.ours - before.ours)
        return max(0.0, taken / max(self.capacity - before.capacity, 1e-9))


def time_ms(call: Callable[[], object], runs: int = 1) -> float:
    """Return the milliseconds of one call, as the mean of `runs` calls in a row."""
    start = time.perf_counter()
    for _ in range(runs):
        call()
    return 1e3 * (time.perf_counter() - start) / runs


def time_reference() -> float:
    """Return the milliseconds that the reference kernel takes now."""
    times = sorted(time_ms(lambda: _MATRIX @ _MATRIX) for _ in range(_REFERENCES))
    return times[_REFERENCES // 4]


def sample(measure: Callable[[], Mapping[str, float]], *, seconds: float) -> tuple[Figure, ...]:
    """Call `measure` repeatedly in blocks; return the figures of the times that it returns.

    Args:
        measure: returns milliseconds by name; the caller has warmed it up. It is called at least
            once in each block.
        seconds: length of all blocks together, without the time of the reference.
    """
    found: list[list[Mapping[str, float]]] = []
    references = []
    for _ in range(_BLOCKS):
        references.append(time_reference())
        end = time.perf_counter() + seconds / _BLOCKS
        block = [measure()]
        while time.perf_counter() < end:
            block.append(measure())
        found.append(block)
    return tuple(
        Figure.of(name, [[one[name] for one in block] for block in found], references)
        for name in found[0][0]
    )


def order_interval(values: npt.ArrayLike, quantile: float = 0.5) -> tuple[float, float]:
    """Return the order statistics that enclose a quantile in 95 % of cases.

    Args:
        values: independent values; with too few, the smallest and the largest are returned.
        quantile: in 0..1; by default the median.
    """
    ordered = np.sort(np.asarray(values, float))
    n = len(ordered)
    # The number of values below the quantile is binomial.
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    k = np.arange(n + 1)
    log_odds = k * np.log(quantile) + (n - k) * np.log(1 - quantile)
    below = np.cumsum(np.exp(logs[n] - logs[k] - logs[n - k] + log_odds))
    low = int(np.searchsorted(below, 0.025, side="right"))  # P(fewer than `low` below) <= 2.5 %
    high = int(np.searchsorted(below, 0.975, side="left"))
    return float(ordered[max(low - 1, 0)]), float(ordered[min(high, n - 1)])


def percentile_curve(times: Sequence[float]) -> list[float]:
    """Return the 0th to the 100th percentile of times, in their unit."""
    return [round(float(value), 6) for value in np.percentile(times, range(101))]
