"""Make a table like the paper's Table 2: rule, generality, locality, mean, with published rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks.ssv2_split.evaluate import Row
from edgesplit._data import nan_to_null
from edgesplit.heads.metrics import Score

__all__ = ["Line", "Published", "published_for", "render", "summarise"]

ONE_CLIP = "1 clip each"


@dataclass(frozen=True)
class Published:
    """A line of the paper, in percent, taken from summaries of the paper."""

    benchmark: str
    way: str
    shots: str
    generality: float
    locality_paper: float

    @property
    def mean(self) -> float:
        """The mean of generality and locality."""
        return (self.generality + self.locality_paper) / 2


SSV2, FINEGYM = "SSv2-A, MVD ViT-S", "FineGym-A, MVD ViT-S"
PUBLISHED = (
    Published(SSV2, "CLIP gate", "", 27.6, 100.0),
    Published(SSV2, "FG-CLIP gate", "", 30.9, 100.0),
    Published(SSV2, "VideoPrism gate", "", 28.2, 100.0),
    Published(SSV2, "retrieval", "", 45.0, 98.9),
    Published(SSV2, "alignment", "", 46.3, 98.9),
    Published(SSV2, "whole model, coarse init", ONE_CLIP, 33.6, 0.0),
    Published(SSV2, "new rows, coarse init", ONE_CLIP, 48.4, 98.4),
    Published(SSV2, "new rows, alignment init", ONE_CLIP, 52.8, 98.2),
    Published(FINEGYM, "CLIP gate", "", 12.1, 100.0),
    Published(FINEGYM, "FG-CLIP gate", "", 19.4, 100.0),
    Published(FINEGYM, "VideoPrism gate", "", 21.7, 100.0),
    Published(FINEGYM, "alignment", "", 34.2, 97.8),
)


def published_for(data: str, half: str) -> tuple[Published, ...]:
    """Return the published lines of a benchmark, by its folder's name; none for B halves."""
    names = {"ssv2": SSV2, "finegym": FINEGYM}
    wanted = next((v for k, v in names.items() if data.casefold().startswith(k)), None)
    return tuple(line for line in PUBLISHED if half == "A" and line.benchmark == wanted)


@dataclass(frozen=True)
class Line:
    """The figures of a way of splitting: means over categories of means over seeds, in 0..1."""

    way: str
    n_shots: int
    generality: float
    locality_paper: float
    mean: float
    """Mean of generality and the paper's locality."""
    in_group: float
    locality: float
    seeds_sd: float
    """Standard deviation of generality over seeds; NaN with fewer than two."""
    n_categories: int
    """Number of categories with a generality."""
    n_refused: int

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object; NaN becomes null."""
        return nan_to_null(asdict(self))


def summarise(rows: Sequence[Row]) -> list[Line]:
    """Return one line for each way and number of shots, in order of appearance."""
    return [
        _line(*key, [row for row in rows if (row.way, row.n_shots) == key])
        for key in dict.fromkeys((row.way, row.n_shots) for row in rows)
    ]


def _line(way: str, n_shots: int, rows: Sequence[Row]) -> Line:
    scored = [(row, row.score) for row in rows if row.score is not None]
    names = ("generality", "locality_paper", "in_group", "locality")
    means = {name: _over_categories(scored, name) for name in names}
    seeds = sorted({row.seed for row, _ in scored})
    by_seed = [_over_categories([p for p in scored if p[0].seed == s], "generality") for s in seeds]
    return Line(
        way=way,
        n_shots=n_shots,
        mean=(means["generality"] + means["locality_paper"]) / 2,
        seeds_sd=float(np.std(by_seed, ddof=1)) if len(by_seed) > 1 else math.nan,
        n_categories=len({r.category for r, s in scored if not math.isnan(s.generality)}),
        n_refused=len({row.category for row in rows if row.score is None}),
        **means,
    )


def _over_categories(scored: Sequence[tuple[Row, Score]], name: str) -> float:
    values: dict[str, list[float]] = {}
    for row, score in scored:
        values.setdefault(row.category, []).append(getattr(score, name))
    return _mean(_mean(part) for part in values.values())


def _mean(values: Iterable[float]) -> float:
    """Return the mean without NaN, the value of categories without clips."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def render(title: str, lines: Sequence[Line], published: Sequence[Published]) -> Table:
    """Return the table; published figures are in separate, marked rows."""
    table = Table(title=title, title_justify="left")
    table.add_column("rule")
    table.add_column("labelled")
    for heading in ("generality", "locality (paper)", "mean", "locality (unmasked)"):
        table.add_column(heading, justify="right")
    table.add_column("categories", justify="right")
    table.add_row("measured", style="bold")
    for line in lines:
        spread = "" if math.isnan(line.seeds_sd) else f" ± {100 * line.seeds_sd:.1f}"
        table.add_row(
            line.way,
            _shots(line.n_shots),
            _percent(line.generality) + spread,
            _percent(line.locality_paper),
            _percent(line.mean),
            _percent(line.locality),
            str(line.n_categories),
        )
    for number, figure in enumerate(published):
        if number == 0:
            table.add_section()
            table.add_row(f"published, {figure.benchmark}", style="bold")
        table.add_row(
            figure.way,
            figure.shots,
            f"{figure.generality:.1f}",
            f"{figure.locality_paper:.1f}",
            f"{figure.mean:.1f}",
            style="dim",
        )
    return table


def _shots(n: int) -> str:
    return "" if n == 0 else ONE_CLIP if n == 1 else f"{n} clips each"


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f}"
