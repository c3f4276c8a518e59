"""Write and read committed results, with commit, machine, date and versions."""

import json
import re
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgesplit.runtime.device.record import describe_device

PACKAGES = ("numpy", "onnx", "onnxruntime")
ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks" / "results"


def write_result(name: str, content: dict[str, Any]) -> Path:
    """Write `results/<name>.json`: origin and date, then `content`."""
    return save_result(FOLDER / f"{name}.json", content)


def write_timing(name: str, content: dict[str, Any]) -> Path:
    """Write `results/<name>/<machine>.json`, for results that differ between machines."""
    words = re.findall("[a-z0-9]+", name_machine().lower())
    return save_result(FOLDER / name / f"{'-'.join(words)}.json", content)


def read_result(name: str) -> dict[str, Any]:
    """Return the committed content of `write_result`."""
    content: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return content


def read_timings(name: str) -> list[dict[str, Any]]:
    """Return the committed contents of `write_timing`, in the order of machine names."""
    return [json.loads(path.read_text()) for path in sorted((FOLDER / name).glob("*.json"))]


def name_machine(summary: str | None = None) -> str:
    """Return the name of this machine, or of a device summary, without trade marks."""
    return re.sub(r"\(\w+\)", "", summary or describe_device().summary)


def save_result(path: Path, content: dict[str, Any]) -> Path:
    """Write a result to any file, in the same form."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_dump({"made": _made(), **content}, "") + "\n")
    return path


def _dump(value: Any, indent: str) -> str:
    """Return JSON with each list item on a separate line, for readable diffs."""
    deeper = indent + " "
    if isinstance(value, dict) and value:
        items = (f"{json.dumps(key)}: {_dump(item, deeper)}" for key, item in value.items())
        return "{\n" + ",\n".join(deeper + item for item in items) + f"\n{indent}}}"
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(deeper + json.dumps(item) for item in value) + f"\n{indent}]"
    return json.dumps(value)


def _made() -> dict[str, str]:
    commit = _git("describe", "--always", "--abbrev=12")
    # What the run before this one wrote does not count.
    if _git("status", "--porcelain", "-uno", "--", ".", ":!benchmarks/results", ":!docs"):
        commit += "-dirty"
    device = describe_device()
    return {
        "commit": commit,
        "date": datetime.now(timezone.utc).date().isoformat(),
        "machine": name_machine(device.summary),
        "python": device.python,
        **{package: device.versions[package] for package in PACKAGES},
    }


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.strip()
