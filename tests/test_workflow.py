"""The workflow and the container files: what can be checked of them without running them."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
WORKFLOW = ROOT / ".github" / "workflows" / "test.yml"
CONTAINERS = sorted((ROOT / "containers").glob("*.Containerfile"))


@pytest.fixture(scope="module")
def jobs() -> dict[str, Any]:
    content = yaml.safe_load(WORKFLOW.read_text())
    assert set(content[True]) == {"push", "pull_request"}  # YAML reads `on` as true
    assert content["permissions"] == {"contents": "read"}
    found: dict[str, Any] = content["jobs"]
    return found


def test_every_python_meets_the_oldest_and_the_newest_onnxruntime(jobs: dict[str, Any]) -> None:
    matrix = jobs["pythons"]["strategy"]["matrix"]
    assert matrix["python"] == ["3.10", "3.11", "3.12", "3.13"]
    assert 'requires-python = ">=3.10"' in (ROOT / "pyproject.toml").read_text()
    pinned = re.search(r"onnxruntime(==.+)", (ROOT / "tests" / "oldest.txt").read_text())
    assert pinned is not None
    assert matrix["onnxruntime"] == [pinned[1], pinned[1].replace("==", ">=")]


def test_a_job_names_only_what_there_is(jobs: dict[str, Any]) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for job in jobs.values():
        assert job["timeout-minutes"] <= 90
        known = {f"matrix.{name}" for name in job.get("strategy", {}).get("matrix", {})}
        assert set(re.findall(r"\$\{\{ (matrix\.\w+) \}\}", str(job["steps"]))) == known
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            assert re.fullmatch(r"actions/[\w-]+@v\d+", step.get("uses", "actions/x@v1"))
            assert set(re.findall(r"make ([\w-]+)", step.get("run", ""))) <= targets


@pytest.mark.parametrize("path", CONTAINERS, ids=lambda path: path.stem)
def test_a_container_runs_as_a_user_and_keeps_edits(path: Path) -> None:
    text = path.read_text()
    assert "USER 10001" in text
    assert 'VOLUME ["/cache", "/bundle"]' in text
    assert re.search(r"^ARG BASE=[\w-]+:[\w.-]+$", text, re.MULTILINE)
    jetson = "jetpack" in path.stem
    assert ("--system-site-packages" in text) == jetson  # for JetPack's TensorRT
    assert ("Not built and not run yet" in text) == jetson
