"""Make the blocks of README.md: results in one table, and what an edit costs, in two sentences."""

from typing import Any

from benchmarks.harness.results import read_result, read_timings
from benchmarks.harness.summary import fill_in

__all__ = ["costs_block", "results_block"]

SETS = {
    "spar-sides": "real motion, SPAR: left or right arm",
    "shrec-fingers": "real motion, SHREC'17: one finger or the whole hand",
    "shrec-direction": "real motion, SHREC'17: directions",
    "Motion-Split, test seeds": "rendered video, Motion-Split: all kinds",
}
HEADER = ("clips of the new classes that are decided right", "splits", "the paper's rule")
MORE = ("from text alone", "two answers each", "all clips labelled")
PAPERS = ("alignment-mlp", "flat", False)
DEFAULT = ("alignment", "gated", True)

TEXT = """
*The paper's rule* is `alignment-mlp`, flat; it changes other answers. *All clips labelled* is a
linear probe in the same gated form. Where text is good already, answers may cost a little. In these
{splits} splits, edgesplit changed {flips} decisions on clips of other classes.
(`python -m benchmarks.quality.asking`, `python -m benchmarks.real.grid`,
`python -m benchmarks.motion_split.grid`)
"""

COSTS = """
With VideoMAE-S (174 classes, on {machine}), a new head serves {edit:.2f} s after a program asks for
a split, and {typed:.1f} s after `edgesplit edit` is typed. Fusing and reloading the whole model
takes {fuse:.1f} s, exporting it again with a script {export:.0f} s. A device receives {sent:.2f} MB
instead of {whole:.0f} MB (`python -m benchmarks.speed.edit_to_live`). With {swaps:,} swaps at ten a
second under a camera of {fps:.0f} frames a second, no window of {windows:,} was lost, none was
reported twice, none mixed two heads (`python -m benchmarks.soak.swap`).
"""


def results_block() -> str:
    """Return the table of results, and how to read it."""
    lines: list[tuple[str, ...]] = [HEADER + MORE, ("---",) * 6]
    n_splits = n_flips = 0
    for data, name in SETS.items():
        paper, default = _grid(data, PAPERS), _grid(data, DEFAULT)
        text, two = _asked(data, "text alone", 0), _asked(data, "chosen clips", 2)
        probe = _asked(data, "probe", 0)
        n_splits += default["splits"]
        n_flips += default["churn"]
        found = (paper["generality"], text, f"**{two:.0%}**", probe)
        cells = [one if isinstance(one, str) else f"{one:.0%}" for one in found]
        lines.append((name, str(default["splits"]), *cells))
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{table}\n\n{fill_in(TEXT, splits=n_splits, flips=n_flips)}"


def costs_block() -> str:
    """Return what an edit costs on the machine that was measured last, and what swaps cost."""
    found = max(read_timings("edit_to_live"), key=lambda one: str(one["made"]["date"]))
    seconds = {row["way"]: row["edit_to_live_s"] for row in found["rows"]}
    swap = read_result("swap")
    if any(swap[fault] for fault in ("lost", "twice", "mixed")):
        raise ValueError("swap.json has lost, doubled or mixed windows: change the sentence")
    return fill_in(
        COSTS,
        edit=seconds["edgesplit"],
        typed=seconds["edgesplit, typed"],
        machine=found["made"]["machine"],
        fuse=seconds["fuse + reload"],
        export=seconds["torch re-export, a script"],
        sent=found["rows"][0]["payload_bytes"] / 1e6,
        whole=found["backbone_bytes"] / 1e6,
        swaps=swap["swaps"],
        fps=swap["fps"],
        windows=swap["windows"],
    )


def _asked(data: str, way: str, per: int) -> float:
    lines = read_result("asking")["table"]
    return next(
        float(line["generality"])
        for line in lines
        if line["data"] == data and line["way"] == way and (line["per"] == per or way == "probe")
    )


def _grid(data: str, way: tuple[str, str, bool]) -> dict[str, Any]:
    if data in read_result("real")["tables"]:
        lines = read_result("real")["tables"][data]["ways"]
        lines = [line for line in lines if line["known"] == "labels"]
    else:
        lines = read_result("motion_split")["tables"]["test"]
    found: dict[str, Any] = next(
        line for line in lines if (line["rule"], line["composition"], line["clips"]) == way
    )
    return found
