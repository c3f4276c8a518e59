"""Run the parts, each in a subprocess, and write the result after every part.

    python -m benchmarks.gpu.run                       # all parts
    python -m benchmarks.gpu.run --parts cuda,swaps    # some; results of other parts are kept

A part that fails, hangs or crashes does not stop the others.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks.gpu.parts import PARTS, TOTAL_S, Part, find_parts

__all__ = ["Result", "run_part", "run_parts"]

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "hardware"
WORK = ROOT / "build" / "gpu"
NOTES = WORK / "prepare.json"
LANE = "gpu"


class Result:
    """The result file of this machine, written after every part."""

    def __init__(self, folder: Path, machine: str, kind: str, commit: str) -> None:
        self.path = _find_file(folder, machine)
        old = _read(self.path)
        same = old.get("lane") == LANE and old.get("commit") == commit
        self._head = {
            "machine": machine,
            "kind": kind,
            "commit": commit,
            "date": datetime.now(timezone.utc).date().isoformat(),
            "lane": LANE,
        }
        self._ran: dict[str, Any] = dict(old["what_ran"]) if same else {}
        self._not_run: dict[str, str] = {}

    def add(self, name: str, answer: dict[str, Any]) -> None:
        """Add a part's answer: its figures, or the reason why it did not run."""
        self._ran.pop(name, None)
        self._not_run.pop(name, None)
        if "figures" in answer:
            self._ran[name] = answer["figures"]
        if "not_run" in answer:
            self._not_run[name] = answer["not_run"]
        self.write()

    def to_json(self) -> dict[str, Any]:
        """Return the content of the file."""
        tests = {"passed": 0, "failed": 0, "skipped": 0}
        equal = of = 0
        for figures in self._ran.values():
            for ok in figures.get("checks", {}).values():
                tests["passed" if ok else "failed"] += 1
            for outcome, count in figures.get("tests", {}).items():
                tests[outcome] += count
            decisions = figures.get("decisions", {})
            equal, of = equal + decisions.get("equal", 0), of + decisions.get("of", 0)
        known = {*self._ran, *self._not_run}
        not_reached = {p.name: "it was not reached" for p in PARTS if p.name not in known}
        not_run = {**self._not_run, **not_reached}
        tests["skipped"] += len(set(not_run) - set(self._ran))
        return {
            **self._head,
            "what_ran": self._ran,
            "not_run": not_run,
            "tests": tests,
            "decisions": {"equal": equal, "of": of},
        }

    def write(self) -> None:
        """Write the file atomically, because the machine may be lost at any moment."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(self.to_json(), indent=1, ensure_ascii=False) + "\n")
        part.replace(self.path)


def run_parts(parts: list[Part], result: Result, total_s: float = TOTAL_S) -> None:
    """Run parts within a time limit, and print a line with the outcome of each."""
    end = time.monotonic() + total_s
    for part in parts:
        left = end - time.monotonic()
        if left < 5:
            answer: dict[str, Any] = {"not_run": f"no time was left of {total_s:g} s"}
        else:
            answer = run_part(part, min(part.limit_s, left))
        result.add(part.name, answer)
        print(f"{part.name}: {_say(answer)}", flush=True)


def run_part(part: Part, limit_s: float, module: str = "benchmarks.gpu.measure") -> dict[str, Any]:
    """Run a part in a subprocess; return `figures`, or `not_run` with the reason, or both.

    Both are returned if the part crashed after it had measured something.
    """
    WORK.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "EDGESPLIT_CACHE": str(_private(WORK / "cache"))}
    environment["PYTHONPATH"] = os.pathsep.join(
        filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""), str(WORK / "site")))
    )
    with tempfile.TemporaryDirectory(prefix="gpu-") as folder:
        answer, log = Path(folder) / "answer.json", Path(folder) / "log"
        command = [sys.executable, "-m", module, *part.words, "--to", str(answer)]
        start = time.monotonic()
        with log.open("wb") as file:
            child = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=file, stderr=file, start_new_session=True
            )
            try:
                code = child.wait(limit_s)
                ended = (
                    f"its process ended with {'signal' if code < 0 else 'exit code'} {abs(code)}"
                )
            except subprocess.TimeoutExpired:
                _kill(child)
                code, ended = 1, f"it took longer than {limit_s:.0f} s"
        found = _read(answer)
        seconds = round(time.monotonic() - start, 1)
        if "figures" in found:
            found["figures"]["seconds"] = seconds
        if code and "not_run" not in found:
            said = log.read_text(errors="replace").strip().splitlines()[-3:]
            found["not_run"] = f"{ended}: {' | '.join(said)[-400:] or 'it said nothing'}"
            found.setdefault("figures", {"seconds": seconds})
            found["figures"].setdefault("checks", {})["it ends by itself"] = False
    return found or {"not_run": "it ended without an answer"}


def _kill(child: subprocess.Popen[bytes]) -> None:
    """Kill a part's process group: the process and all processes that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, 9)
    child.wait()


def _private(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content


def _find_file(folder: Path, machine: str) -> Path:
    """Return the machine's file, but never a file of another lane on the same machine."""
    slug = "-".join(re.findall("[a-z0-9]+", machine.lower()))
    path = folder / f"{slug}.json"
    return path if _read(path).get("lane", LANE) == LANE else folder / f"{slug}-{LANE}.json"


def _say(answer: dict[str, Any]) -> str:
    figures = answer.get("figures", {})
    failed = [name for name, ok in figures.get("checks", {}).items() if not ok]
    failed += ["pytest"] if figures.get("tests", {}).get("failed") else []
    if "not_run" in answer:
        return f"{'FAILED' if failed else 'not run'}, {answer['not_run']}"
    what = [f"{key} {figures[key]}" for key in ("ms", "cosine", "swaps") if key in figures]
    if "decisions" in figures:
        what.append("decisions {equal} of {of}".format(**figures["decisions"]))
    return ", ".join([f"FAILED: {'; '.join(failed)}" if failed else "ok", *what])


def find_commit() -> str:
    """Return the commit of the checkout, or of the unpacked files."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=12", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        carried = ROOT / "COMMIT"
        return carried.read_text().strip() if carried.exists() else "unknown"
    return done.stdout.strip()


def _name_machine(device: dict[str, Any]) -> tuple[str, str]:
    """Return the machine's name and kind from the answer of the part `device`."""
    figures = device.get("figures", {})
    summary = re.sub(r"\(\w+\)", "", figures.get("summary") or platform.machine())
    gpu = figures.get("gpu")
    if gpu:
        return f"{gpu}, {summary}", "GPU"
    return summary, f"{platform.machine()} without a GPU"


def main() -> None:
    """Run the parts; the exit code is 1 if a check failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--parts", default="", help="names or their beginnings, as in cuda,swaps")
    parser.add_argument("--seconds", type=float, default=TOTAL_S, help="limit of all parts")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the result")
    asked = parser.parse_args()
    try:
        parts = find_parts(asked.parts)
    except ValueError as error:
        parser.error(str(error))
    start = time.monotonic()
    device = run_part(Part("device", 60), 60)
    result = Result(asked.results, *_name_machine(device), find_commit())
    result.add("device", device)
    print(f"device: {_say(device)}", flush=True)
    parts = [part for part in parts if part.name != "device"]
    for what, reason in _read(NOTES).get("missing", {}).items():
        result.add(f"install {what}", {"not_run": reason})
    run_parts(parts, result, asked.seconds - (time.monotonic() - start))
    content = result.to_json()
    passed, failed, skipped = content["tests"].values()
    print(f"{passed} checks passed, {failed} failed, {skipped} parts not run: {result.path}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
