"""The pictures of the grid: what a split gains and costs, how many clips it wants, and more."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.motion_split.grid import Row
from benchmarks.results import ROOT
from edgesplit.rules import DEFAULT_RULE, RULES

mpl.rcParams["svg.hashsalt"] = "edgesplit"  # the same rows give the same file

PICTURE = ROOT / "docs" / "motion_split.svg"


def draw(rows: Sequence[Row], curve: Sequence[Row]) -> list[Path]:
    """Draws the page of four pictures."""
    figure, axes = plt.subplots(2, 2, figsize=(12, 10), constrained_layout=True)
    _trade(axes[0, 0], rows)
    _clips(axes[0, 1], curve)
    _expected(axes[1, 0], rows)
    _categories(axes[1, 1], rows)
    figure.savefig(PICTURE, metadata={"Date": None})
    plt.close(figure)
    return [PICTURE]


def _default(row: Row, *, clips: bool = True) -> bool:
    return (row.rule, row.composition, row.n_clips > 0) == (DEFAULT_RULE, "gated", clips)


def _trade(axes: Axes, rows: Sequence[Row]) -> None:
    """Generality against decisions that flip elsewhere."""
    markers = dict(zip(RULES, "osD^v", strict=False))
    for rule in RULES:
        for composition, colour in (("gated", "tab:blue"), ("flat", "tab:orange")):
            for clips in (True, False):
                chosen = [
                    row.score
                    for row in rows
                    if (row.rule, row.composition, row.n_clips > 0) == (rule, composition, clips)
                ]
                if chosen:
                    axes.scatter(
                        1e4 * np.mean([score.churn / score.n_other for score in chosen]),
                        100 * np.mean([score.generality for score in chosen]),
                        marker=markers[rule],
                        s=70,
                        facecolor=colour if clips else "none",
                        edgecolor=colour,
                        label=f"{rule}, {composition}, {'centred' if clips else 'no clips'}",
                    )
    axes.set_xlabel("decisions flipped outside the split, of 10,000")
    axes.set_ylabel("generality, %")
    axes.set_title("Gain and cost of a split (mean over splits)")
    axes.legend(fontsize=7)


def _clips(axes: Axes, curve: Sequence[Row]) -> None:
    """Generality by the number of unlabelled clips, one line per kind of backbone."""
    for family in sorted({row.family for row in curve}):
        mine = [row for row in curve if row.family == family]
        counts = sorted({row.n_clips for row in mine})
        means = [
            100 * np.mean([row.score.generality for row in mine if row.n_clips == count])
            for count in counts
        ]
        axes.plot(counts, means, marker="o", label=family)
    axes.set_xlabel("unlabelled clips of all classes")
    axes.set_ylabel("generality, %")
    axes.set_title("How many unlabelled clips the default split wants")
    axes.legend()


def _expected(axes: Axes, rows: Sequence[Row]) -> None:
    """Expected against real accuracy inside the split."""
    for seeds, colour in (("dev", "tab:gray"), ("test", "tab:blue")):
        mine = [row for row in rows if _default(row) and row.seeds == seeds and row.expected]
        axes.scatter(
            [100 * (row.expected or 0) for row in mine],
            [100 * row.score.in_group for row in mine],
            color=colour,
            s=18,
            label=f"{seeds} seeds",
        )
    axes.plot([20, 100], [20, 100], color="black", linewidth=0.7)
    axes.set_xlabel("expected by the edit, %")
    axes.set_ylabel("right among the subcategories, %")
    axes.set_title("What the edit expects of itself, and what happens")
    axes.legend()


def _categories(axes: Axes, rows: Sequence[Row]) -> None:
    """Every category with and without clips, best first."""

    def means(*, clips: bool) -> dict[str, float]:
        found: dict[str, list[float]] = {}
        for row in rows:
            if _default(row, clips=clips):
                found.setdefault(row.category, []).append(100 * row.score.generality)
        return {category: float(np.mean(values)) for category, values in found.items()}

    centred, plain = means(clips=True), means(clips=False)
    chance = {row.category: 100 / row.n_subcategories for row in rows}
    order = sorted(centred, key=lambda category: centred[category])
    places = np.arange(len(order))
    axes.barh(places, [centred[c] for c in order], color="tab:blue", label="centred")
    axes.scatter([plain[c] for c in order], places, color="black", s=12, zorder=3, label="no clips")
    axes.scatter(
        [chance[c] for c in order], places, color="tab:red", marker="|", zorder=3, label="guessing"
    )
    axes.set_yticks(places, order, fontsize=7)
    axes.set_xlabel("generality, %")
    axes.set_title(f"By category ({DEFAULT_RULE}, gated)")
    axes.legend(fontsize=7, loc="lower right")
