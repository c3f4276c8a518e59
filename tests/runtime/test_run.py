"""`edgesplit run`: what it prints, how it ends, and a network that comes and goes."""

import json
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from edgesplit.bundle.bundle import Bundle
from edgesplit.cli import main
from edgesplit.demo import unpack_demo
from tests.cameras import Camera
from tests.videos import encode, waves

COMMAND = (sys.executable, "-m", "edgesplit", "run", "--window", "1")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return unpack_demo(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds at 12 frames a second: 19 windows of a second, half a second apart."""
    return encode(tmp_path_factory.mktemp("video") / "a.ts", waves(120, 48, 64))


def run(demo: Bundle, *arguments: str | Path) -> Result:
    texts = [str(argument) for argument in arguments]
    return CliRunner().invoke(main, ["run", "--bundle", str(demo.path), *texts])


def started(demo: Bundle, *arguments: str, **pipes: Any) -> subprocess.Popen[str]:
    command = [*COMMAND, "--bundle", str(demo.path), "--json", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **pipes)


def events_of(text: str) -> list[dict[str, Any]]:
    """The events among the lines: older clicks test with both outputs in one."""
    return [json.loads(line) for line in text.splitlines() if line.startswith('{"event"')]


def decisions_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if "[head " in line]


def check_account(end: dict[str, Any]) -> dict[str, Any]:
    assert end["event"] == "end"
    n: dict[str, Any] = end["accounting"]
    assert n["frames"] == n["used"] + n["unsampled"] + n["late"] + n["unfinished"]
    assert n["windows"] == n["predicted"] + n["dropped"]
    assert n["pending"] == n["waiting"] == 0
    return n


# What it prints


def test_json_lines_of_a_file(demo: Bundle, video: Path) -> None:
    result = run(demo, "--source", video, "--window", "1", "--json")
    assert result.exit_code == 0
    start, *windows, end = events_of(result.output)
    assert (start["event"], start["source"], start["policy"]) == ("start", str(video), "block")
    assert [window["number"] for window in windows] == list(range(19))
    assert windows[-1]["end"] == 10
    assert windows[0]["path"][-1]["label"] == windows[0]["label"]
    assert windows[0]["wall"].endswith("+00:00")
    assert check_account(end)["frames"] == 120


def test_people_see_changes_and_the_account(demo: Bundle, video: Path) -> None:
    changes = run(demo, "--source", video, "--window", "1")
    every = run(demo, "--source", video, "--window", "1", "--every")
    assert len(decisions_of(every.output)) == 19
    labels = [line.split("  ")[1].rsplit(" ", 1)[0] for line in decisions_of(every.output)]
    n_changes = 1 + sum(one != other for one, other in pairwise(labels))
    assert len(decisions_of(changes.output)) == n_changes
    assert "frames   120 = " in changes.output
    assert "windows  19 = 19 predicted + 0 dropped" in changes.output


def test_the_start_says_what_runs_the_backbone_and_why(demo: Bundle, video: Path) -> None:
    told = run(demo, "--source", video, "--window", "2", "--json")
    start = events_of(told.output)[0]
    assert start["event"] == "start"
    assert start["backend"] == "ONNX Runtime, CPUExecutionProvider"
    assert start["backend_why"] == [
        {"backend": "tensorrt", "reason": "no engine in the cache"},
        {"backend": "cuda", "reason": "no CUDA device"},
    ]
    asked = run(demo, "--source", video, "--window", "2", "--backend", "cpu")
    assert "ONNX Runtime, CPUExecutionProvider\n" in asked.output


def test_window_is_asked_for(demo: Bundle, video: Path) -> None:
    result = run(demo, "--source", video)
    assert result.exit_code == 1
    assert "--window" in result.output


@pytest.mark.parametrize("source", ["nothing.mp4", "gopher://x", "http://u:geheim@127.0.0.1:1/a"])
def test_source_that_cannot_be_read_ends_with_its_error(demo: Bundle, source: str) -> None:
    result = run(demo, "--source", source, "--window", "1", "--json")
    assert result.exit_code == 1
    assert '{"error": ' in result.output
    assert "geheim" not in result.output


def test_source_that_is_short_says_so(demo: Bundle, video: Path) -> None:
    result = run(demo, "--source", video, "--window", "11")
    assert result.exit_code == 0
    assert "shorter than one window" in result.output


# As a process


def test_standard_input_gives_the_same_windows(demo: Bundle, video: Path) -> None:
    with video.open("rb") as piped, started(demo, "--source", "-", stdin=piped) as process:
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    alone = run(demo, "--source", video, "--window", "1", "--json")
    wanted, found = events_of(alone.output), events_of(out)
    assert [(one.get("start"), one.get("path")) for one in found[1:-1]] == [
        (one.get("start"), one.get("path")) for one in wanted[1:-1]
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_signal_ends_it_with_the_account(demo: Bundle, video: Path, number: int) -> None:
    with started(demo, "--source", "-", "--live", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.buffer.write(video.read_bytes())  # type: ignore[attr-defined]
        process.stdin.flush()  # and stays open: the stream does not end
        first = process.stdout.readline()
        process.send_signal(number)
        events = events_of(first + process.stdout.read())
        assert process.wait(timeout=60) == 0
    assert events[-1]["reason"] == "stopped"
    check_account(events[-1])


def test_second_signal_ends_it_at_once() -> None:
    # A program that ends itself only after an hour, with the handlers of `run` around it.
    # A signal may come while it prints, or just before it sleeps: so no `print` in the handler,
    # which Python refuses inside another one, and no long sleep.
    program = (
        "import os, time\n"
        "from edgesplit.cli.run import _signals_call\n"
        "with _signals_call(lambda: os.write(1, b'stopping\\n')):\n"
        "    os.write(1, b'ready\\n')\n"
        "    for _ in range(36_000):\n"
        "        time.sleep(0.1)\n"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.stdout.readline() == "stopping\n"
        process.terminate()
        assert process.wait(timeout=60) == -signal.SIGTERM


@pytest.mark.parametrize("form", ["--json", "--every"])
def test_reader_that_has_enough_ends_it_quietly(demo: Bundle, video: Path, form: str) -> None:
    command = [*COMMAND, "--bundle", str(demo.path), form, "--source", "-"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        content = video.read_bytes()
        process.stdin.write(content[: len(content) // 2])
        process.stdin.flush()
        process.stdout.readline()
        process.stdout.close()
        process.stdin.write(content[len(content) // 2 :])
        process.stdin.close()
        talk = process.stderr.read()
        assert process.wait(timeout=60) == 0
    assert b"Traceback" not in talk
    assert b"Exception ignored" not in talk


def watched(process: subprocess.Popen[str], enough: str) -> list[dict[str, Any]]:
    """All events; the process is terminated at the first of that kind after a gap, or at a gap."""
    assert process.stdout is not None
    events: list[dict[str, Any]] = []
    ended = False
    for line in process.stdout:
        events.append(json.loads(line))
        if not ended and events[-1]["event"] == enough and _has_gap(events):
            ended = True
            process.terminate()
    assert process.wait(timeout=60) == 0
    return events


def _has_gap(events: list[dict[str, Any]]) -> bool:
    return any(event["event"] == "gap" for event in events)


@pytest.mark.parametrize("protocol", ["http", "rtsp"])
def test_network_that_breaks_off_is_opened_again(demo: Bundle, video: Path, protocol: Any) -> None:
    # Takes two seconds: the shortest pauses before an attempt.
    with (
        Camera(video.read_bytes()).online(protocol) as url,
        started(demo, "--source", url, stderr=subprocess.PIPE) as process,
    ):
        events = watched(process, "window")
        assert process.stderr is not None
        talk = process.stderr.read()
    kinds = [event["event"] for event in events]
    assert kinds[0] == "start"
    assert kinds.count("reconnect") == 2
    assert kinds.index("reconnect") < kinds.index("gap")
    assert events[-2]["segment"] == 1
    assert events[0]["policy"] == "latest"
    assert events[0]["source"] == f"{protocol}://***@{url.partition('@')[2].partition('/')[0]}/…"
    n = check_account(events[-1])
    assert n["reconnects"] == 2
    assert n["lost_s"] > 0
    for secret in ("geheim", "verborgen"):
        assert secret not in json.dumps(events) + talk


@pytest.mark.parametrize("protocol", ["http", "rtsp"])
def test_network_that_falls_silent_is_opened_again(
    demo: Bundle, video: Path, protocol: Any
) -> None:
    # Takes two seconds, too. Visitors after the second get all there is, and then nothing.
    with (
        Camera(video.read_bytes(), visits=2).online(protocol) as url,
        started(demo, "--source", url, "--stall", "0.5", "--give-up", "60") as process,
    ):
        events = watched(process, "gap")
    kinds = [event["event"] for event in events]
    assert kinds.index("stalled") < kinds.index("reconnect") < kinds.index("gap")
    check_account(events[-1])


def test_camera_that_is_not_there_is_waited_for_until_that_is_too_long(demo: Bundle) -> None:
    begun = time.monotonic()
    result = run(demo, "--source", "/dev/video97", "--window", "1", "--give-up", "0.2", "--json")
    assert time.monotonic() - begun >= 0.2
    assert result.exit_code == 1
    assert "longer than --give-up" in result.output
    kinds = [event["event"] for event in events_of(result.output)]
    assert kinds[0] == "reconnect"
    assert kinds[-1] == "end"
    assert "retried until --give-up" in events_of(result.output)[0]["reason"]


def test_a_shadow_file_that_is_missing_is_said_to_be(demo: Bundle, video: Path) -> None:
    result = run(demo, "--source", video, "--window", "1", "--shadow", "missing.onnx")
    assert result.exit_code == 1
    assert "Cannot read missing.onnx" in result.output
    result = run(demo, "--source", video, "--window", "1", "--shadow", "missing")
    assert "No head of" in result.output
