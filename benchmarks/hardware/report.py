"""Make the table of docs/hardware.md: a row for each result in benchmarks/results/hardware/.

A result is one JSON file with `machine`, `kind`, `commit`, `date`, `lane` (texts), `what_ran` (a
text, or an entry for each part), `not_run` (`{name: reason}`), `tests` (`{passed, failed,
skipped}`), and `same_bytes` and `decisions` (`{equal, of}`), if those were compared. Commit,
machine and date may be under `made`, where `write_result` puts them.
"""

import json
import re
from pathlib import Path
from typing import Any

from benchmarks.harness.results import FOLDER

RESULTS = FOLDER / "hardware"

NOT_AT_HAND = {
    "Jetson Orin": "orin",
    "Jetson Thor": "thor",
    "machine with an NVIDIA GPU": "^gpu|cuda",
}
"""Kinds that have a row even without a result, and the text that identifies their results."""


def read_results(folder: Path = RESULTS) -> list[dict[str, Any]]:
    """Return the results of all machines, in the order of their file names."""
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return [{**content.get("made", {}), **content} for content in found]


def make_table(results: list[dict[str, Any]]) -> str:
    """Return a table with a row for each result, then a row for each kind without a result."""
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
    for kind, pattern in NOT_AT_HAND.items():
        if not any(re.search(pattern, _describe(result), re.I) for result in results):
            rows.append([kind, "—", "**nothing**", "—", "—", "—", "everything: none was at hand"])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def read_table() -> str:
    """Return the table of the committed results."""
    return make_table(read_results())


def _describe(result: dict[str, Any]) -> str:
    return f"{result['kind']}, {result['machine']}"


def _row(result: dict[str, Any]) -> list[str]:
    ran, tests = result["what_ran"], result["tests"]
    reasons: dict[str, list[str]] = {}
    for name, reason in result["not_run"].items():
        reasons.setdefault(reason.partition(" (")[0], []).append(name)
    missing = "; ".join(f"{_some(names)}: {reason}" for reason, names in reasons.items())
    return [
        result["kind"],
        f"{result['machine']}, {result['date']}, {result['commit']}, `{result['lane']}`",
        ran if isinstance(ran, str) else ", ".join(ran),
        ", ".join(f"{tests[name]} {name}" for name in ("passed", "failed", "skipped")),
        _share(result.get("same_bytes")),
        _share(result.get("decisions")),
        missing or "—",
    ]


def _some(names: list[str]) -> str:
    """Return all of a few names, or the first three of many."""
    return ", ".join(names if len(names) < 5 else [*names[:3], f"{len(names) - 3} more"])


def _share(count: dict[str, int] | None) -> str:
    return f"{count['equal']} of {count['of']}" if count and count["of"] else "—"
