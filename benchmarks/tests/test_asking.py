"""The shipped line for answers is the fitted one, and the tables have all sets."""

import pytest

from benchmarks.harness.results import read_result
from edgesplit.edits.estimate import ANSWERED_INTERCEPT, PER_ANSWERED_SEPARATION


def test_the_line_after_answers_is_the_one_that_fits_best() -> None:
    fitted = read_result("asking")["expected"]["all sets"]["line"]
    assert fitted == pytest.approx([ANSWERED_INTERCEPT, PER_ANSWERED_SEPARATION], abs=0.05)


def test_answers_cost_nothing_on_any_set() -> None:
    lines = read_result("asking")["table"]
    by = {(line["data"], line["way"], line["per"]): line["generality"] for line in lines}
    sets = {line["data"] for line in lines}
    assert len(sets) == 8
    for data in sets:
        # Of SHREC's fingers texts alone get as much right: half a point is between two draws.
        assert by[data, "chosen clips", 2] >= by[data, "text alone", 0] - 0.005
    better = [
        data for data in sets if by[data, "chosen clips", 2] > by[data, "text alone", 0] + 0.005
    ]
    assert {data.split(",")[0] for data in better} == {
        "Motion-Split",
        "spar-sides",
        "shrec-direction",
    }
