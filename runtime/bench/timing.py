"""How things are timed: in blocks, each beside a reference kernel that never changes.

A machine gets slower and faster by itself. A block holds many times of one thing and, from just
before them, the time of the reference; what compares across runs is the ratio of the two.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgesplit._types import BackendName, VariantName
from edgesplit.bundle.bundle import Bundle, open_bundle
from edgesplit.errors import EdgesplitError
from edgesplit.runtime.backends.select import OpenedBackend, open_backend

__all__ = [
    "REFERENCE",
    "Answer",
    "Effort",
    "Figure",
    "Job",
    "Say",
    "Usage",
    "order_interval",
    "sample",
    "time_reference",
]

REFERENCE = "integer product of two 112 x 112 matrices, numpy, one thread"
"""Integers: no BLAS with threads and ways of its own."""

_MATRIX = np.random.default_rng(0).integers(0, 100, (112, 112)).astype(np.int32)
_REFERENCES = 5

BLOCKS = 15

_SIZES = {
    "classes": (10, 32, 100, 320, 1_000, 3_200, 10_000),
    "features": (96, 192, 384, 768, 1_536),
    "splits": (1, 3, 10, 30, 100),
    "nesting": (1, 2, 4, 8),
    "history": (10, 100, 1_000),
}

Say = Callable[[str], None]
"""Told what is measured now."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    quick: bool
    seconds: float
    """Of warm predictions; of each kind, where swaps are compared with none."""
    repeats: int
    """Of what takes a process, or has to be set up anew each time."""
    block_s: float
    """Of each block of small things."""
    sizes: Mapping[str, tuple[int, ...]]
    """What grows, and how far."""

    @staticmethod
    def usual(*, quick: bool, seconds: float | None = None) -> Effort:
        """What is measured by default: a minute of predictions, or, quick, five seconds."""
        if quick:
            sizes = {**_SIZES, "classes": _SIZES["classes"][:-2]}
            return Effort(True, seconds or 5.0, 5, 0.01, sizes)
        return Effort(False, seconds or 60.0, 10, 0.1, _SIZES)


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be measured."""

    bundle: Path
    effort: Effort
    kind: BackendName = "auto"
    recipe: VariantName | None = None
    clip: Path | None = None
    """A video; one is made where there is none."""
    scratch: Path | None = None
    """A folder for copies, which whoever gives it removes: a question may be killed."""

    def open(self) -> tuple[Bundle, OpenedBackend]:
        """The bundle and what runs its backbone."""
        bundle = open_bundle(self.bundle)
        return bundle, open_backend(bundle, self.kind, variant=self.recipe)


@dataclass(frozen=True, slots=True)
class Figure:
    """Times of one thing."""

    name: str
    """As in `latency.prediction`."""
    n: int
    p50: float
    """Milliseconds, as all that follow."""
    p90: float
    p95: float
    p99: float
    blocks: tuple[tuple[float, float], ...]
    """Of each block the lower quartile, what it takes while nothing else is in its way, and the
    reference's."""

    @classmethod
    def of(
        cls, name: str, blocks: Sequence[Sequence[float]], references: Sequence[float]
    ) -> Figure:
        """A figure of blocks of times, and the reference's time of each."""
        times = np.concatenate([np.asarray(block, float) for block in blocks])
        p50, p90, p95, p99 = (float(q) for q in np.percentile(times, (50, 90, 95, 99)))
        quartiles = (sorted(block)[len(block) // 4] for block in blocks)
        pairs = tuple(zip(quartiles, references, strict=True))
        return cls(name, len(times), p50, p90, p95, p99, pairs)

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `from_json` is the inverse."""
        plain = {name: getattr(self, name) for name in ("name", "n", "p50", "p90", "p95", "p99")}
        return {
            name: round(value, 6) if isinstance(value, float) else value
            for name, value in plain.items()
        } | {"blocks": [[round(one, 6) for one in block] for block in self.blocks]}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Figure:
        """The inverse of `to_json`.

        Raises:
            EdgesplitError: it is no figure.
        """
        try:
            p50, p90, p95, p99 = (float(content[p]) for p in ("p50", "p90", "p95", "p99"))
            blocks = tuple((float(value), float(base)) for value, base in content["blocks"])
            if not blocks or min(map(min, blocks)) <= 0:
                raise ValueError("blocks that took no time")
            return cls(str(content["name"]), int(content["n"]), p50, p90, p95, p99, blocks)
        except (KeyError, TypeError, ValueError) as error:
            raise EdgesplitError(f"This is not a figure of `edgesplit bench`: {content}") from error


@dataclass(frozen=True, slots=True)
class Answer:
    """What one question gave."""

    figures: tuple[Figure, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    """JSON: counts, and what was measured on."""

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {"figures": [one.to_json() for one in self.figures], "facts": dict(self.facts)}


@dataclass(frozen=True, slots=True)
class Usage:
    """Seconds of all cores since the machine started."""

    taken: float
    capacity: float
    ours: float
    """What this process and those that it has waited for have taken."""

    @classmethod
    def now(cls, root: Path = Path("/")) -> Usage | None:
        """By `/proc/stat`; None where there is none."""
        try:
            fields = (root / "proc/stat").read_text().split("\n", 1)[0].split()[1:9]
            ticks = [int(one) / os.sysconf("SC_CLK_TCK") for one in fields]
        except (OSError, ValueError):
            return None
        idle = sum(ticks[3:5])  # waiting for a disk is idle, too
        return cls(sum(ticks) - idle, sum(ticks), sum(os.times()[:4]))

    def others(self, before: Usage) -> float:
        """The share of the machine, 0..1, that other work has taken since `before`."""
        taken = self.taken - before.taken - (self.ours - before.ours)
        return max(0.0, taken / max(self.capacity - before.capacity, 1e-9))


def time_reference() -> float:
    """Milliseconds of the reference kernel, now."""
    times = []
    for _ in range(_REFERENCES):
        start = time.perf_counter()
        _MATRIX @ _MATRIX
        times.append(1e3 * (time.perf_counter() - start))
    return sorted(times)[_REFERENCES // 4]


def sample(
    measure: Callable[[], Mapping[str, float]],
    *,
    seconds: float,
    blocks: int = BLOCKS,
    warm_up: int = 1,
) -> tuple[Figure, ...]:
    """Figures of what a call measures, in blocks that together last so long.

    Args:
        measure: gives milliseconds by name; it is called at least once in a block.
        seconds: of all blocks, the reference's time not counted.
        blocks: how many.
        warm_up: calls that do not count.
    """
    for _ in range(warm_up):
        measure()
    found: list[list[Mapping[str, float]]] = []
    references = []
    for _ in range(blocks):
        references.append(time_reference())
        end = time.perf_counter() + seconds / blocks
        block = [measure()]
        while time.perf_counter() < end:
            block.append(measure())
        found.append(block)
    return tuple(
        Figure.of(name, [[one[name] for one in block] for block in found], references)
        for name in found[0][0]
    )


def order_interval(values: npt.ArrayLike, quantile: float = 0.5) -> tuple[float, float]:
    """The order statistics that hold a quantile in 95 % of cases, for independent values.

    With too few values for that they are the least and the largest.
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
