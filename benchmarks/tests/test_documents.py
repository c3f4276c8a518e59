"""The documents quote the committed results."""

import pytest

pytest.importorskip("torch")  # that some of the benchmarks import

from benchmarks.harness.documents import documents, fill
from benchmarks.harness.results import FOLDER, read_timings
from benchmarks.motion_split.report import markdown

pytestmark = pytest.mark.torch


def test_documents_quote_the_committed_results() -> None:
    stale = [path.name for path, text in documents().items() if path.read_text() != text]
    assert stale == [], "run make documents"


def test_motion_splits_tables_are_the_committed_results() -> None:
    path = FOLDER / "motion_split.md"
    assert path.read_text() == markdown(), "run python -m benchmarks.motion_split.report"


def test_a_block_has_one_place() -> None:
    document = "a\n<!-- b -->\nold\n<!-- /b -->\nc\n"
    assert fill(document, {"b": "new"}) == "a\n<!-- b -->\nnew\n<!-- /b -->\nc\n"
    for other in ("a", document + document, "<!-- b -->\n"):
        with pytest.raises(ValueError, match="no place for the block 'b', or several"):
            fill(other, {"b": "new"})


@pytest.mark.parametrize("name", ["edit_to_live", "speed", "two_graphs", "head", "edit"])
def test_timings_are_of_one_commit_and_machine_each(name: str) -> None:
    found = [content["made"] for content in read_timings(name)]
    assert len({made["machine"] for made in found}) == len(found) > 0
    assert all(made["commit"] for made in found)
