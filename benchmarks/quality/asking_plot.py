"""Draw the picture of docs/method.md: generality by number of answers for each subcategory."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from benchmarks.harness.results import ROOT

__all__ = ["draw"]

PANELS = {
    "spar-sides": "SPAR, left or right",
    "shrec-fingers": "SHREC'17, fingers",
    "shrec-direction": "SHREC'17, directions",
    "Motion-Split, test seeds": "Motion-Split, test seeds",
}
CURVES = {
    "chosen clips": ("#1b6ca8", "chosen clips"),
    "random clips": ("#d1495b", "random clips, same rows"),
    "paper's low-shot": ("#8d6a9f", "paper's low-shot rule, chosen clips"),
}
TEXT, PROBE, FLAT = "text alone", "probe", "#555555"


def draw(lines: Sequence[dict[str, Any]]) -> Path:
    """Write docs/asking.svg; return its path."""
    plt.rcParams.update({"svg.hashsalt": "edgesplit", "font.size": 9})
    figure, axes = plt.subplots(1, len(PANELS), figsize=(13, 3.6), sharey=True)
    for panel, (data, title) in zip(axes, PANELS.items(), strict=True):
        mine = [line for line in lines if line["data"] == data]
        by = {(line["way"], line["per"]): line for line in mine}
        for way, (colour, name) in CURVES.items():
            points = [by[way, per] for per in (1, 2, 3)]
            points = points if way == "paper's low-shot" else [by[TEXT, 0], *points]
            x = [point["per"] for point in points]
            y = [100 * point["generality"] for point in points]
            low = [100 * (p["generality"] + p["interval"][0]) for p in points]
            high = [100 * (p["generality"] + p["interval"][1]) for p in points]
            panel.plot(x, y, "o-", color=colour, label=name, markersize=4)
            panel.fill_between(x, low, high, color=colour, alpha=0.12, linewidth=0)
        probe = 100 * by[PROBE, 0]["generality"]
        panel.axhline(probe, color=FLAT, linestyle="--", linewidth=1, label="probe, all labels")
        panel.set(title=title, xlabel="answers for each subcategory", xticks=(0, 1, 2, 3))
        panel.grid(alpha=0.25)
    axes[0].set_ylabel("generality, %")
    axes[-1].legend(loc="lower right", fontsize=7)
    figure.tight_layout()
    path = ROOT / "docs" / "asking.svg"
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    return path
