"""The table of docs/hardware.md: a row for each result in benchmarks/results/hardware/.

A result is one JSON file with `machine`, `kind`, `commit`, `date`, `lane` and `what_ran` (texts),
`not_run` (`{name: reason}`), `tests` (`{passed, failed, skipped}`), `same_bytes` and `decisions`
(`{equal, of}`). Commit, machine and date may stand under `made`, where `write_result` puts them.
"""

import json
from pathlib import Path
from typing import Any

from benchmarks.harness.results import FOLDER

RESULTS = FOLDER / "hardware"

NEVER_RUN = {
    "Jetson Orin": "none was at hand",
    "Jetson Thor": "none was at hand",
    "machine with CUDA": "no run of it is committed",
}
"""Kinds without a result yet, and why; a result goes by the last word of the name."""


def read_results(folder: Path = RESULTS) -> list[dict[str, Any]]:
    """The results of all machines, by the name of their files."""
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return [{**content.get("made", {}), **content} for content in found]


def make_table(results: list[dict[str, Any]]) -> str:
    """A row for each result, then one for each kind of machine that nothing ran on."""
    rows = [
        [
            "kind of machine",
            "ran on",
            "what ran",
            "tests",
            "same bytes",
            "same decisions",
            "not run",
        ],
        ["---"] * 7,
        *(_row(result) for result in results),
    ]
    kinds = " ".join(str(result["kind"]) for result in results).lower()
    for kind, reason in NEVER_RUN.items():
        if kind.split()[-1].lower() not in kinds:
            rows.append([kind, "—", "**nothing**", "—", "—", "—", f"everything: {reason}"])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def read_table() -> str:
    """The table of the committed results."""
    return make_table(read_results())


def _row(result: dict[str, Any]) -> list[str]:
    tests = result["tests"]
    counts = ", ".join(f"{tests[name]} {name}" for name in ("passed", "failed", "skipped"))
    missing = "; ".join(f"{name}: {reason}" for name, reason in result["not_run"].items())
    return [
        result["kind"],
        f"{result['machine']}, {result['date']}, {result['commit']}, `{result['lane']}`",
        result["what_ran"],
        counts,
        _share(result["same_bytes"]),
        _share(result["decisions"]),
        missing or "—",
    ]


def _share(count: dict[str, int]) -> str:
    return f"{count['equal']} of {count['of']}" if count["of"] else "—"
