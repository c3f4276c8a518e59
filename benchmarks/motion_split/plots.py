"""Draw the pictures of Motion-Split: gain and cost of splits, clips needed, expected accuracy."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.harness.results import ROOT
from benchmarks.motion_split.classes import CATEGORIES
from edgesplit.edits.rules import DEFAULT_RULE, RULES
from edgesplit.heads.labels import COMPOSITIONS

mpl.rcParams["svg.hashsalt"] = "edgesplit"  # the same rows give the same file

PICTURE = ROOT / "docs" / "motion_split.svg"
KINDS = {
    "left": "direction",
    "clockwise": "rotation",
    "into": "relation",
    "out of": "relation",
    "so that it falls over": "outcome",
    "slowly": "speed",
    "a little": "amount",
    "partly": "amount",
    "closer to": "distance",
}
"""Kind of a category's modifiers, by its first modifier."""

Row = dict[str, Any]
WAYS: tuple[tuple[str, str, bool, str], ...] = (
    ("retrieval", "flat", False, "retrieval (paper)"),
    ("alignment-mlp", "flat", False, "alignment-mlp (paper)"),
    (DEFAULT_RULE, "gated", False, "default, no clips"),
    (DEFAULT_RULE, "gated", True, "default"),
)


def draw(grid: Row, shots: Row) -> Path:
    """Draw the page; return its path."""
    figure, axes = plt.subplots(3, 2, figsize=(12, 14.5), constrained_layout=True)
    rows = grid["rows"]
    _trade(axes[0, 0], rows)
    _clips(axes[0, 1], grid["curve"])
    _shots(axes[1, 0], shots)
    _expected(axes[1, 1], rows)
    _kinds(axes[2, 0], rows)
    _categories(axes[2, 1], rows)
    figure.savefig(PICTURE, metadata={"Date": None})
    plt.close(figure)
    return PICTURE


def _is(row: Row, rule: str, composition: str, *, clips: bool) -> bool:
    return (row["rule"], row["composition"], row["n_clips"] > 0) == (rule, composition, clips)


def _mean(rows: Iterable[Row], value: Callable[[Row], float]) -> float:
    return float(np.mean([value(row) for row in rows]))


def _trade(axes: Axes, rows: Sequence[Row]) -> None:
    """Plot generality against locality, as the paper counts it."""
    markers = dict(zip(RULES, "osD^", strict=True))
    colours = dict(zip(COMPOSITIONS, ("tab:blue", "tab:orange"), strict=True))
    for rule in RULES:
        for composition in COMPOSITIONS:
            for clips in (True, False):
                chosen = [row for row in rows if _is(row, rule, composition, clips=clips)]
                if chosen:
                    axes.scatter(
                        100 * _mean(chosen, lambda row: row["locality_paper"]),
                        100 * _mean(chosen, lambda row: row["generality"]),
                        marker=markers[rule],
                        s=70,
                        facecolor=colours[composition] if clips else "none",
                        edgecolor=colours[composition],
                        label=f"{rule}, {composition}, {'centred' if clips else 'no clips'}",
                    )
    axes.set_xlabel("locality (paper), %")
    axes.set_ylabel("generality, %")
    axes.set_title("Gain and cost of a split (mean over splits)")
    axes.legend(fontsize=7)


def _clips(axes: Axes, curve: Sequence[Row]) -> None:
    """Plot generality by the number of unlabelled clips, one line per kind of backbone."""
    for family in sorted({row["family"] for row in curve}):
        mine = [row for row in curve if row["family"] == family]
        counts = sorted({row["n_clips"] for row in mine})
        means = [
            100 * _mean((row for row in mine if row["n_clips"] == n), lambda row: row["generality"])
            for n in counts
        ]
        axes.plot(counts, means, marker="o", label=family)
    axes.set_xlabel("unlabelled clips of all classes")
    axes.set_ylabel("generality, %")
    axes.set_title("How many unlabelled clips the default split wants")
    axes.legend()


def _shots(axes: Axes, shots: Row) -> None:
    """Plot generality by the number of labelled clips."""
    lines = shots["tables"]["test"]
    names = {"alignment": "started from the default's rows", "copies": "started from copies"}
    counts = sorted({line["clips"] for line in lines})
    places = {n: place for place, n in enumerate(counts)}
    for start, name in names.items():
        mine = [line for line in lines if line["start"] == start]
        axes.plot(
            [places[line["clips"]] for line in mine],
            [100 * line["generality"] for line in mine],
            marker="o",
            label=name,
        )
    axes.set_xticks([*places.values()], [str(n) for n in counts])
    axes.set_xlabel("labelled clips of each subcategory")
    axes.set_ylabel("generality, %")
    axes.set_title("What a few labelled clips add (test seeds)")
    axes.legend()


def _expected(axes: Axes, rows: Sequence[Row]) -> None:
    """Plot expected against real accuracy inside the split."""
    default = [row for row in rows if _is(row, DEFAULT_RULE, "gated", clips=True)]
    for seeds, colour in (("dev", "tab:gray"), ("test", "tab:blue")):
        mine = [row for row in default if row["seeds"] == seeds and row["expected"]]
        for asks, marker in ((False, "o"), (True, "x")):
            some = [row for row in mine if row["asks"] == asks]
            axes.scatter(
                [100 * row["expected"] for row in some],
                [100 * row["in_group"] for row in some],
                color=colour,
                marker=marker,
                s=18,
                label=f"{seeds} seeds" + (", wants --accept-doubt" if asks else ""),
            )
    axes.plot([20, 100], [20, 100], color="black", linewidth=0.7)
    axes.set_xlabel("expected by the edit, %")
    axes.set_ylabel("right among the subcategories, %")
    axes.set_title("What the edit expects of itself, and what happens")
    axes.legend(fontsize=8)


def _kinds(axes: Axes, rows: Sequence[Row]) -> None:
    """Plot generality by the kind of modifiers."""
    kind_of = {category.coarse: KINDS[next(iter(category.parameters))] for category in CATEGORIES}
    kinds = [*dict.fromkeys(kind_of.values())]
    width = 0.8 / len(WAYS)
    for place, (rule, composition, clips, name) in enumerate(WAYS):
        chosen = [row for row in rows if _is(row, rule, composition, clips=clips)]
        means = [
            100
            * _mean(
                (row for row in chosen if kind_of[row["category"]] == kind),
                lambda row: row["generality"],
            )
            for kind in kinds
        ]
        axes.bar(np.arange(len(kinds)) + (place - 1.5) * width, means, width, label=name)
    chance = [
        100
        * _mean(
            (row for row in rows if kind_of[row["category"]] == kind),
            lambda row: 1 / row["n_subcategories"],
        )
        for kind in kinds
    ]
    axes.scatter(
        range(len(kinds)), chance, color="black", marker="_", s=900, zorder=3, label="guessing"
    )
    axes.set_xticks(range(len(kinds)), kinds, fontsize=9)
    axes.set_ylabel("generality, %")
    axes.set_title("By what the subcategories differ in")
    axes.legend(fontsize=8, markerscale=0.4)


def _categories(axes: Axes, rows: Sequence[Row]) -> None:
    """Plot every category with and without clips, best first."""

    def means(*, clips: bool) -> dict[str, float]:
        found: dict[str, list[float]] = {}
        for row in rows:
            if _is(row, DEFAULT_RULE, "gated", clips=clips):
                found.setdefault(row["category"], []).append(100 * row["generality"])
        return {category: float(np.mean(values)) for category, values in found.items()}

    centred, plain = means(clips=True), means(clips=False)
    chance = {row["category"]: 100 / row["n_subcategories"] for row in rows}
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
