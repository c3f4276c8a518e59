"""`make arm`: run the device side on an emulated ARM core, and compare its answers with x86.

    python -m benchmarks.hardware.arm        # Debian, as root; at most 40 minutes

The README's install line, `edgesplit demo`, `doctor` and edits run with the newest versions, the
tests with JetPack 6's (tests/oldest.txt). The core is emulated, so times do not apply to a Jetson.
Writes benchmarks/results/hardware/arm-emulated.json.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import click

from benchmarks.harness.results import name_machine, write_result
from tests.arm.userland import CPU, ROOT, Userland, UserlandError, check_host

SUITE = (
    ("tests/laws",),
    (
        "tests/heads",
        "tests/storage",
        "tests/video",
        "tests/backbone",
        "tests/bundle",
        "tests/test_errors.py",
        "tests/test_threads.py",
    ),
    (
        "tests/edits",
        "tests/cli/test_commands.py",
        "tests/cli/test_demo.py",
        "tests/runtime/test_arm_cores.py",
        "tests/runtime/test_backends.py",
        "tests/runtime/test_doctor.py",
        "tests/runtime/test_jetson.py",
        "tests/runtime/test_run.py",
        "tests/runtime/test_runtime.py",
        "tests/runtime/test_shadow.py",
        "tests/runtime/test_variants.py",
        "tests/runtime/test_windows.py",
    ),
)
"""Tests of each process; the processes run in parallel to the other steps."""

LEFT_OUT = ("tests/bundle/test_users.py",)
"""Skipped tests: ten command-line processes in sequence, which take minutes each."""

PYTEST = ("python3", "-m", "pytest", "-p", "no:cacheprovider", "-q")
SAME_BYTES = "tests.laws.test_same_bytes"
VENV = {"PATH": "/venv/bin:/usr/bin", "PYTHONPATH": ""}
FAST = {"EDGESPLIT_EXAMPLES": "20", "EDGESPLIT_ROUNDS": "5"}
NOT_RUN = {
    "TensorRT, CUDA": "no GPU in the emulator",
    "tegrastats, power modes, cameras": "no NVIDIA kernel",
    "speed": "QEMU's times say nothing",
    "ARM's weak memory order": "QEMU runs threads in x86's order",
    "tests of bench, streams, crashes, users and export": "they time, or need torch",
}


class Lane:
    """The steps and their seconds. A failed step is recorded, and the next one runs."""

    def __init__(self, userland: Userland) -> None:
        self.userland = userland
        self.seconds: dict[str, float] = {}
        self.failed: list[str] = []

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step, and print its name and seconds."""
        click.echo(f"-- {name}")
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 1)
        click.echo(f"-- {name}: {self.seconds[name]:.0f} s")

    def call(self, *command: str, capture: bool = False) -> str:
        """Run a command in the installed environment; return its output if captured."""
        done = self.userland.run(command, VENV, capture=capture)
        if done.returncode:
            self.failed.append(" ".join(command))
        return done.stdout or ""


@click.command()
def main() -> None:
    """Run the lane and write its result."""
    lane = Lane(Userland(ROOT))
    try:
        check_host()
        with lane.step("set-up"):
            lane.userland.prepare()
            shutil.rmtree(ROOT / "root" / ".cache" / "edgesplit", ignore_errors=True)
    except UserlandError as error:
        raise click.ClickException(str(error)) from None
    running = start_suite(lane)
    with lane.step("install"):
        installed = install(lane)
    with lane.step("demo"):
        lane.call("edgesplit", "demo", "/demo", "--overwrite")
        lane.call("edgesplit", "doctor")
    with lane.step("edits and decisions"):
        digests, decisions = compare_answers(lane)
    with lane.step("rest of the tests"):
        tests, pinned = finish_suite(lane, running)
    bytes_ = {name: pinned[name] + digests[name] for name in ("equal", "of")}
    content = {
        "machine": f"{CPU} of QEMU on {name_machine()}",
        "kind": "ARM, emulated",
        "lane": "make arm",
        "what_ran": (
            f"install ({len(installed)} packages, without a compiler), demo, doctor, edits, "
            "and a part of the tests with JetPack 6's ONNX Runtime and numpy"
        ),
        "not_run": NOT_RUN,
        "tests": tests,
        "same_bytes": bytes_,
        "decisions": decisions,
        "failed": lane.failed,
        "seconds": lane.seconds,
        "suite": [file for part in SUITE for file in part],
        "installed": installed,
    }
    click.echo(write_result("hardware/arm-emulated", content))
    wrong = bytes_["equal"] < bytes_["of"] or decisions["equal"] < decisions["of"]
    if lane.failed or tests["failed"] or wrong:
        raise click.ClickException(f"Some steps failed: {', '.join(lane.failed) or 'see above'}")


def install(lane: Lane) -> dict[str, str]:
    """Run the README's install line in a new environment; return versions by package."""
    lane.call("/usr/bin/python3", "-m", "venv", "--clear", "/venv")
    lane.call("/venv/bin/pip", "install", "-q", ".[cpu]")
    said = lane.call("/venv/bin/pip", "list", "--format=json", capture=True)
    return {one["name"]: one["version"] for one in json.loads(said or "[]")}


def compare_answers(lane: Lane) -> tuple[dict[str, int], dict[str, int]]:
    """Count the heads and the decisions that are equal on both machines."""
    module = ("-m", "benchmarks.hardware.answers")
    there = json.loads(lane.call("/venv/bin/python", *module, capture=True) or "{}")
    done = subprocess.run([sys.executable, *module], check=True, stdout=subprocess.PIPE, text=True)
    here = json.loads(done.stdout)
    digests = count_equal(there.get("digests", {}), here["digests"])
    decided = [
        count_equal(
            dict(enumerate(there.get("decisions", {}).get(name, []))), dict(enumerate(labels))
        )
        for name, labels in here["decisions"].items()
    ]
    return digests, {name: sum(count[name] for count in decided) for name in ("equal", "of")}


def count_equal(there: Mapping[Any, str], here: Mapping[Any, str]) -> dict[str, int]:
    """Count the entries of `here`, and how many of them are equal in `there`."""
    return {"equal": sum(there.get(key) == value for key, value in here.items()), "of": len(here)}


def start_suite(lane: Lane) -> list[tuple[subprocess.Popen[str], Path]]:
    """Start the processes that run the tests; return each with its report's path without suffix."""
    running = []
    for place, files in enumerate(SUITE):
        name = f"tmp/suite-{place}"
        command = [*PYTEST, f"--junitxml=/{name}.xml", *(f"--ignore={file}" for file in LEFT_OUT)]
        shell = f"exec {' '.join([*command, *files])} > /{name}.txt 2>&1"
        running.append((lane.userland.start(["sh", "-c", shell], FAST), lane.userland.root / name))
    return running


def finish_suite(
    lane: Lane, running: list[tuple[subprocess.Popen[str], Path]]
) -> tuple[dict[str, int], dict[str, int]]:
    """Wait for the tests; return counts of all, and of those that compare bytes with x86."""
    for process, report in running:
        if process.wait() not in (0, 1):  # else pytest itself came to its end
            lane.failed.append(f"pytest, with status {process.returncode}")
        click.echo(report.with_suffix(".txt").read_text())
    reports = (report.with_suffix(".xml") for _, report in running)
    return count_tests([report for report in reports if report.is_file()])


def count_tests(reports: list[Path]) -> tuple[dict[str, int], dict[str, int]]:
    """Count all tests in JUnit files, and those of test_same_bytes.py."""
    tests = {"passed": 0, "failed": 0, "skipped": 0}
    pinned = {"equal": 0, "of": 0}
    for report in reports:
        for case in ElementTree.parse(report).iter("testcase"):
            kinds = {child.tag for child in case}
            outcome = "failed" if kinds & {"failure", "error"} else "passed"
            outcome = "skipped" if "skipped" in kinds else outcome
            tests[outcome] += 1
            if case.get("classname") == SAME_BYTES and outcome != "skipped":
                pinned["of"] += 1
                pinned["equal"] += outcome == "passed"
    return tests, pinned


if __name__ == "__main__":
    main()
