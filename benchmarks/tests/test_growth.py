"""The growth of costs: the slope, and histories of the stated length."""

from pathlib import Path

import pytest

from benchmarks.speed import growth
from edgesplit.demo import unpack_demo


def test_growth_is_the_slope_of_the_logarithms() -> None:
    rows = [{"against": "classes", "size": n, "run_ms": 3 * n**0.7} for n in (10, 100, 1000)]
    other = {"against": "history", "size": 10, "read_ms": 1.0}
    assert growth.exponent([*rows, other], "run_ms") == pytest.approx(0.7)


def test_a_history_is_as_long_as_it_says(tmp_path: Path) -> None:
    bundle = unpack_demo(tmp_path)
    for n_edits in (10, 4):
        growth.lengthen(bundle, n_edits)
        assert len(bundle.history()) == n_edits
    assert bundle.head().digest == bundle.live


def test_every_size_has_its_costs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"classes": (10, 60), "features": (8,), "splits": (1,), "nesting": (2,)}
    monkeypatch.setattr(growth, "SIZES", {**sizes, "history": (10,)})
    rows = growth.measure(0.001)
    assert [(row["against"], row["size"]) for row in rows] == [
        ("classes", 10),
        ("classes", 60),
        ("features", 8),
        ("splits", 1),
        ("nesting", 2),
        ("history", 10),
    ]
    head, history = growth.COSTS[:3], growth.COSTS[3:]
    for row in rows:
        costs = history if row["against"] == "history" else head
        assert [*row][2:] == [*costs]
        assert all(row[cost] > 0 for cost in costs)
