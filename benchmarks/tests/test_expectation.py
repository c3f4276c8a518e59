"""The shipped constants are the fitted ones, and the committed figures belong to them."""

import json
from typing import Any

import pytest

from benchmarks.harness.results import ROOT
from benchmarks.quality.expectation import SHIPPED, Case, Fit, leave_out

Lines = list[dict[str, Any]]


@pytest.fixture(scope="module")
def committed() -> dict[str, Lines]:
    text = (ROOT / "benchmarks" / "results" / "confidence.json").read_text()
    content: dict[str, Lines] = json.loads(text)
    return content


def test_constants_are_as_good_as_those_that_fit_best(committed: dict[str, Lines]) -> None:
    # Not the same: a change of the rule that moves the fit by a hair need not move every edit. The
    # line's terms go together, so what it says is compared, and not its coefficients.
    fitted, *shipped = committed["fits"]
    assert shipped[0]["tried_on"] == fitted["tried_on"]
    assert shipped[0]["rank_correlation"] >= fitted["rank_correlation"] - 0.01
    assert shipped[0]["error"] <= fitted["error"] + 0.005
    assert fitted["sure"] == SHIPPED.sure
    assert fitted["bound"] == pytest.approx(SHIPPED.bound, abs=0.05)
    assert fitted["trust_bound"] == pytest.approx(SHIPPED.trust_bound, abs=0.06)
    for line in shipped:  # what the pages say is of the constants as they are
        assert line["line"] == list(SHIPPED.line)
        assert line["bound"] == SHIPPED.bound


def case(data: str, spread: float) -> Case:
    """Return a split whose gain follows from the logarithm of its spread."""
    gain = 0.2 + 0.5 * spread
    return Case(
        data, "m", f"{data}{spread}", 2, "as known", 1.0, True, 2.718**spread, 0.7, 0.5, gain
    )


def test_a_set_is_judged_by_the_fit_of_the_others() -> None:
    cases = [case(data, k / 10) for data in "ab" for k in range(-4, 7)]
    cases += [case("c", k / 10) for k in range(-4, 7)]
    lines = leave_out(cases)
    assert set(lines) == {"a", "b", "c", "all"}
    assert lines["all"]["rank_correlation"] == pytest.approx(1)
    assert lines["c"]["error"] < 0.01


def test_nothing_is_expected_where_nothing_is_known() -> None:
    unknown = Case("a", "m", "c", 2, "German", 0.0, False, 1.0, 0.0, 0.0, 0.3)
    assert Fit(0.5, (1, 1, 1, 1), 0.2, 0.5).expect([unknown]) == [0]
