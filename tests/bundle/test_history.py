"""The log: what happened, what was only tried, and which head was live at some moment."""

import hashlib
import itertools
import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesplit.bundle.bundle import Bundle
from edgesplit.bundle.history import LOG, Version, live_at, new_version, read_history
from edgesplit.cli.bundle import parse_moment
from edgesplit.errors import BundleError


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


def version(name: str, time: str, before: str = "") -> Version:
    """Of heads whose digests are a letter each, 64 times."""
    return Version(64 * name, f"2026-11-22T{time}:00.000Z", "edit", 64 * before)


DAY = (version("a", "09:00"), version("b", "12:30", "a"), version("a", "15:00", "b"))


@pytest.mark.parametrize(
    ("moment", "live"),
    [
        ("2026-11-22T08:59:59", []),
        ("2026-11-22T09:00", ["09:00"]),
        ("2026-11-22T12:29:59", ["09:00"]),
        ("2026-11-22T12:30", ["12:30"]),
        ("2026-11-22T14:03", ["12:30"]),
        ("2026-11-22T15:00", ["15:00"]),
        ("2031-01-01T00:00", ["15:00"]),
    ],
)
def test_which_head_was_live_at_a_moment(moment: str, live: list[str]) -> None:
    assert [found.time[11:16] for found in live_at(DAY, at(moment))] == live


def test_a_moment_may_be_in_any_time_zone() -> None:
    local = datetime(2026, 11, 22, 15, 3, tzinfo=timezone(timedelta(hours=1)))
    assert [found.digest for found in live_at(DAY, local)] == ["b" * 64]


@pytest.mark.parametrize(
    ("moment", "live"),
    [
        ("2026-11-22T13:00", "bc"),
        ("1970-01-01T00:03", "c"),
        ("1970-01-01T00:01", "b"),
        ("2026-11-22T10:00", "ac"),
    ],
)
def test_a_clock_that_went_back_leaves_several(moment: str, live: str) -> None:
    # a device booted without the time, published, then learned the time
    booted = Version("c" * 64, "1970-01-01T00:02:00.000Z", "edit", "b" * 64)
    history = (*DAY[:2], booted, version("d", "15:00", "c"))
    assert "".join(found.digest[0] for found in live_at(history, at(moment))) == live


@given(st.lists(st.integers(0, 100), min_size=1, max_size=8), st.integers(-5, 120))
def test_a_moment_after_the_first_has_a_live_head(minutes: list[int], moment: int) -> None:
    start = at("2026-11-22T00:00")
    times = [start + timedelta(minutes=minute) for minute in minutes]
    history = [
        Version(str(index), time.isoformat(), "edit", "") for index, time in enumerate(times)
    ]
    found = live_at(history, start + timedelta(minutes=moment))
    if moment >= minutes[0]:
        assert found
    if minutes == sorted(minutes):
        wanted = [index for index, minute in enumerate(minutes) if minute <= moment][-1:]
        assert [int(one.digest) for one in found] == wanted


def test_a_line_without_a_time_counts_as_the_earliest() -> None:
    history = (Version("a" * 64, "some time", "edit", ""), *DAY)
    assert [found.digest for found in live_at(history, at("2000-01-01"))] == ["a" * 64]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-22", at("2026-11-22")),
        ("2026-11-22 14:03", at("2026-11-22T14:03")),
        ("2026-11-22T14:03:05.250Z", at("2026-11-22T14:03:05.250")),
        ("2026-11-22t14:03+02:00", at("2026-11-22T12:03")),
    ],
)
def test_a_moment_is_written_as_people_do(text: str, moment: datetime) -> None:
    assert parse_moment(text) == moment


@pytest.mark.parametrize("text", ["14:03", "00:00", "23:59:59", "04:00-05:00"])
def test_a_time_alone_is_the_last_that_has_passed(text: str) -> None:
    now = datetime.now(timezone.utc)
    moment = parse_moment(text)
    assert now - timedelta(days=1) <= moment <= now + timedelta(seconds=5)
    if "-" not in text:
        assert f"{moment:%H:%M:%S}".startswith(text)


@pytest.mark.parametrize("text", ["", "noon", "25:00", "2026-13-01", "14.03", "1763820180"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_moment(text)


def test_new_versions_say_when_they_went_live() -> None:
    before = datetime.now(timezone.utc)
    made = new_version("a", before="b", action="edit")
    assert before - timedelta(milliseconds=1) <= made.moment <= datetime.now(timezone.utc)


# Reading


def write(folder: Path, *lines: object) -> None:
    text = "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)
    (folder / LOG).write_text(text)


def line(**change: object) -> str:
    fields = {"time": "x", "from": "", "to": "a" * 64, "action": "x", "pruned": []}
    return json.dumps(fields | change)


def test_versions_survive_writing_and_reading(tmp_path: Path) -> None:
    gone = ("c" * 64, "d" * 64)
    pruned = Version("a" * 64, "2026-11-22T16:00:00.000Z", "prune 2 heads", "a" * 64, gone)
    history = (*DAY, pruned)
    write(tmp_path, *(one.to_json() for one in history))
    assert read_history(tmp_path, "a" * 64) == history
    assert "pruned" not in DAY[0].to_json()


def test_attempts_are_not_history(tmp_path: Path) -> None:
    tried = version("e", "10:00", "a")
    again = version("f", "10:01", "a")
    write(tmp_path, DAY[0].to_json(), tried.to_json(), again.to_json(), DAY[1].to_json())
    assert read_history(tmp_path, "b" * 64) == DAY[:2]
    assert read_history(tmp_path, None) == (DAY[0], tried, again, DAY[1])


@pytest.mark.parametrize(
    "line",
    [
        '{"time": "x", "from": "", "to": ',
        "[]",
        "null",
        "17",
        line(time=3),
        line(pruned="all"),
        line(pruned=[1]),
        "[" * 100_000,
        line(to="a"),
        line(to="../" * 21 + "x"),
        line(to="A" * 64),
        line(to="a" * 64 + "\n"),
        line(to=""),
        line(**{"from": "a"}),
        line(pruned=["../../backup"]),
        line(pruned=["a" * 64, ""]),
    ],
)
def test_lines_that_are_none_are_passed_over(tmp_path: Path, line: str) -> None:
    write(tmp_path, DAY[0].to_json(), line, DAY[1].to_json())
    assert read_history(tmp_path, "b" * 64) == DAY[:2]


def test_an_empty_log_is_named(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(BundleError, match=r"log.jsonl holds no entry"):
        read_history(tmp_path, "a")


# The chain


def test_each_line_holds_the_hash_of_the_one_before(busy: Bundle) -> None:
    lines = (busy.path / "log.jsonl").read_bytes().splitlines()
    for before, line in itertools.pairwise(lines):
        assert json.loads(line)["chain"] == hashlib.sha256(before).hexdigest()
    assert "chain" not in json.loads(lines[0])


Lines = list[bytes]


@pytest.mark.parametrize(
    "edit",
    [
        lambda lines: [*lines[:2], lines[2].replace(b"something", b"nothing"), *lines[3:]],
        lambda lines: [*lines[:2], *lines[3:]],
        lambda lines: [*lines[:1], lines[2], lines[1], *lines[3:]],
        lambda lines: [*lines[:2], lines[1], *lines[2:]],
        lambda lines: [*lines, re.sub(rb', "chain": "\w+"', b"", lines[-1])],
    ],
    ids=["changed", "removed", "moved", "added", "added without a chain"],
)
def test_an_edited_log_is_noticed(busy: Bundle, edit: Callable[[Lines], Lines]) -> None:
    path = busy.path / "log.jsonl"
    lines = path.read_bytes().splitlines()
    assert edit(lines) != lines
    path.write_bytes(b"\n".join(edit(lines)) + b"\n")
    assert any("log.jsonl was edited" in problem for problem in busy.verify())


def test_lines_that_a_crash_left_do_not_break_the_chain(busy: Bundle) -> None:
    with (busy.path / "log.jsonl").open("a") as log:
        log.write('{"time": "2026-')
    busy.publish(busy.rename_class("holding something", "keeping something"))
    assert busy.verify() == []
