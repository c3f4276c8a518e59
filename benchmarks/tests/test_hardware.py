"""The table of machines has a row for each result, which names the parts that did not run."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.hardware.arm import SUITE, count_equal, count_tests
from benchmarks.hardware.report import NOT_AT_HAND, make_table, read_results
from benchmarks.harness.results import ROOT

RESULT: dict[str, Any] = {
    "machine": "a board",
    "kind": "Jetson Orin",
    "commit": "abc123",
    "date": "2026-01-02",
    "lane": "make test",
    "what_ran": "everything",
    "not_run": {"cameras": "none there", "Thor": "another board"},
    "tests": {"passed": 7, "failed": 1, "skipped": 2},
    "same_bytes": {"equal": 3, "of": 4},
    "decisions": {"equal": 0, "of": 0},
}


def test_each_result_is_a_row_and_says_what_did_not_run() -> None:
    row = make_table([RESULT]).splitlines()[2]
    assert row == (
        "| Jetson Orin | a board, 2026-01-02, abc123, `make test` | everything "
        "| 7 passed, 1 failed, 2 skipped | 3 of 4 | — | cameras: none there; Thor: another board |"
    )


def test_parts_are_named_and_what_fails_for_one_reason_is_told_once() -> None:
    missing = {f"cuda {n}": "no CUDA device (none of /dev/nvidia0)" for n in range(7)}
    result = {**RESULT, "what_ran": {"cpu": {"ms": 3}, "swaps": {}}, "not_run": missing}
    del result["same_bytes"]
    row = make_table([result]).splitlines()[2]
    assert "| cpu, swaps |" in row
    assert row.endswith("| — | — | cuda 0, cuda 1, cuda 2, 4 more: no CUDA device |")


def test_kinds_without_a_result_say_that_nothing_ran() -> None:
    assert make_table([]).count("**nothing**") == len(NOT_AT_HAND)
    assert make_table([{**RESULT, "kind": "x86_64 without a GPU"}]).count("**nothing**") == 3
    assert make_table([RESULT, {**RESULT, "kind": "GPU"}]).count("**nothing**") == 1


def test_commit_machine_and_date_may_stand_under_made(tmp_path: Path) -> None:
    made = {name: RESULT[name] for name in ("machine", "commit", "date")}
    rest = {name: value for name, value in RESULT.items() if name not in made}
    (tmp_path / "one.json").write_text(json.dumps({"made": made, **rest}))
    (tmp_path / "two.json").write_text(json.dumps(RESULT))
    first, second = read_results(tmp_path)
    assert make_table([first]) == make_table([second])


def test_committed_results_hold_what_the_table_reads() -> None:
    results = read_results()
    assert results
    for result in results:
        assert RESULT.keys() - {"same_bytes"} <= result.keys()
        assert make_table([result])


def test_tests_are_counted_from_junit_files(tmp_path: Path) -> None:
    pinned = 'classname="tests.laws.test_same_bytes"'
    report = tmp_path / "report.xml"
    report.write_text(
        "<testsuites><testsuite>"
        f'<testcase {pinned} name="a"/>'
        f'<testcase {pinned} name="b"><failure/></testcase>'
        f'<testcase {pinned} name="c"><skipped/></testcase>'
        '<testcase classname="tests.x" name="d"><error/></testcase>'
        "</testsuite></testsuites>"
    )
    tests, same = count_tests([report, report])
    assert tests == {"passed": 2, "failed": 4, "skipped": 2}
    assert same == {"equal": 2, "of": 4}


@pytest.mark.parametrize(
    ("there", "equal"), [({"a": "1", "b": "2"}, 2), ({"a": "1", "b": "3", "c": "4"}, 1), ({}, 0)]
)
def test_what_is_missing_there_is_not_equal(there: dict[str, str], equal: int) -> None:
    assert count_equal(there, {"a": "1", "b": "2"}) == {"equal": equal, "of": 2}


def test_the_suite_names_files_that_are_there_once() -> None:
    files = [name for part in SUITE for name in part]
    assert len(set(files)) == len(files)
    assert all((ROOT / name).exists() for name in files)
    assert "tests/laws" in files  # with the tests of same bytes
