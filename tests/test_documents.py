"""Tables in documents are those of the committed results."""

from collections.abc import Callable

import pytest

from benchmarks import bench_speed
from benchmarks.peers import edit_to_live
from benchmarks.results import ROOT


@pytest.mark.parametrize(
    ("document", "table"),
    [("models.md", bench_speed.read_table), ("peers.md", edit_to_live.read_table)],
)
def test_table_is_the_results(document: str, table: Callable[[], str]) -> None:
    assert table() in (ROOT / "docs" / document).read_text()
