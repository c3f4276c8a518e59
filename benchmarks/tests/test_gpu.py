"""`make gpu` continues after any failure of a part, and keeps its results."""

import json
import subprocess
import sys
import tarfile
from importlib import import_module
from pathlib import Path

import pytest

from benchmarks.gpu import pack, prepare, run
from benchmarks.gpu.measure import answer
from benchmarks.gpu.parts import PARTS, TOTAL_S, Part, find_parts
from edgesplit.runtime.backends import cuda

HEAD = ("machine", "kind", "commit", "date", "lane")

PART = """
import json, os, sys, time
kind, to = sys.argv[1], sys.argv[-1]
if kind in ("good", "half"):
    open(to, "w").write(json.dumps({"figures": {"ms": 1.5, "checks": {"it is right": True}}}))
if kind == "half":
    os.kill(os.getpid(), 11)
if kind == "crash":
    print("libnvinfer: no device"); sys.stdout.flush(); os.abort()
if kind == "hang":
    time.sleep(60)
"""


@pytest.fixture
def part_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "made_part.py").write_text(PART)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(run, "WORK", tmp_path / "work")
    return "made_part"


def test_a_part_answers(part_module: str) -> None:
    found = run.run_part(Part("good", 20), 20, part_module)
    assert found["figures"]["ms"] == 1.5
    assert "not_run" not in found


@pytest.mark.parametrize(
    ("kind", "limit_s", "reason"),
    [
        ("crash", 20, r"ended with signal 6: libnvinfer: no device"),
        ("hang", 1, r"took longer than 1 s"),
        ("silent", 20, r"without an answer"),
    ],
)
def test_a_part_that_ends_badly_is_named(
    part_module: str, kind: str, limit_s: float, reason: str
) -> None:
    found = run.run_part(Part(kind, limit_s), limit_s, part_module)
    assert reason in found["not_run"]


def test_what_a_dead_part_had_measured_stays(part_module: str) -> None:
    found = run.run_part(Part("half", 20), 20, part_module)
    assert found["figures"]["ms"] == 1.5
    assert found["figures"]["checks"] == {"it is right": True, "it ends by itself": False}
    assert "signal 11" in found["not_run"]


def result(folder: Path, commit: str = "abc") -> run.Result:
    return run.Result(folder, "H200 (made)", "GPU", commit)


def test_the_file_is_written_after_every_part(tmp_path: Path) -> None:
    made = result(tmp_path)
    checks = {"one": True, "two": False}
    decisions = {"equal": 51, "of": 52}
    made.add("cuda demo fp16", {"figures": {"checks": checks, "decisions": decisions}})
    content = json.loads((tmp_path / "h200-made.json").read_text())
    assert content["decisions"] == decisions
    assert content["tests"] == {"passed": 1, "failed": 1, "skipped": len(PARTS) - 1}
    assert content["not_run"]["bench"] == "it was not reached"


def test_an_earlier_run_of_the_same_commit_stays(tmp_path: Path) -> None:
    result(tmp_path).add("device", {"figures": {"gpu": "H200"}})
    again = result(tmp_path)
    again.add("bench", {"not_run": "no time"})
    assert set(again.to_json()["what_ran"]) == {"device"}
    other = result(tmp_path, "def")
    other.add("bench", {"not_run": "no time"})
    assert other.to_json()["what_ran"] == {}


def test_another_lanes_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "h200-made.json").write_text('{"lane": "arm"}')
    made = result(tmp_path)
    made.add("device", {"figures": {}})
    assert made.path.name == "h200-made-gpu.json"
    assert (tmp_path / "h200-made.json").read_text() == '{"lane": "arm"}'


def test_no_part_starts_without_time(tmp_path: Path) -> None:
    made = result(tmp_path)
    run.run_parts(find_parts("cuda"), made, total_s=0)
    assert made.to_json()["not_run"]["cuda demo fp32"] == "no time was left of 0 s"


def test_parts_are_named_by_their_beginnings() -> None:
    assert [part.name for part in find_parts("swaps, bench")][-1] == "bench"
    assert find_parts("") == list(PARTS)
    with pytest.raises(ValueError, match="no part 'cudo'"):
        find_parts("cudo")


def test_no_part_may_take_more_than_a_quarter_of_the_time() -> None:
    assert max(part.limit_s for part in PARTS) <= TOTAL_S / 4


def test_a_machine_without_a_gpu_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "_NODES", ("/dev/none",))
    for name in ("cuda demo fp32", "tensorrt vit int8", "swaps ort-tensorrt"):
        assert "no CUDA device" in answer(name.split())["not_run"]


def test_a_part_that_raises_is_a_failed_check() -> None:
    found = answer(["cpu", "no-model", "fp99"])
    assert found["figures"]["checks"] == {"it runs": False}


@pytest.mark.parametrize("module", ["parts", "prepare", "run", "pack"])
def test_bare_python_is_enough_to_start(module: str) -> None:
    code = f"import sys; sys.modules.update(numpy=None, click=None, onnx=None); import {module}"
    code = code.replace(f"import {module}", f"import benchmarks.gpu.{module}")
    subprocess.run([sys.executable, "-c", code], check=True, cwd=run.ROOT)


def test_what_cannot_be_installed_is_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "SITE", tmp_path / "site")
    reason = prepare._install(sys.executable, "no-such-package==1.0", tmp_path)
    assert "no-such-package" in reason


def test_parcels_hold_all_and_come_together_again(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    contents = {"small-1-py3-none-any.whl": b"s" * 1000, "large-1-py3-none-any.whl": b"l" * 10**8}
    for name, data in contents.items():
        (wheels / name).write_bytes(data)
    parcels = pack.pack(wheels, tmp_path / "parcels")
    assert len(parcels) == 3
    assert all(parcel.stat().st_size <= 60e6 for parcel in parcels)
    there = tmp_path / "there"
    with tarfile.open(parcels[0]) as first:
        names = first.getnames()
    assert {"COMMIT", "Makefile", "edgesplit/export", "wheels/small-1-py3-none-any.whl"} < {*names}
    for parcel in parcels[1:]:
        with tarfile.open(parcel) as tar:
            tar.extractall(there, filter="data")
    (whole,) = pack.join(there / "wheels")
    assert whole.read_bytes() == contents[whole.name]
    assert len(list((there / "wheels").iterdir())) == 1


def test_a_missing_piece_is_named(tmp_path: Path) -> None:
    (tmp_path / "large.whl.piece-1-of-3").write_bytes(b"")
    with pytest.raises(ValueError, match=r"Piece 2, 3 of large\.whl is missing"):
        pack.join(tmp_path)


def test_committed_results_are_of_one_form() -> None:
    for file in sorted((run.RESULTS).glob("*.json")):
        content = json.loads(file.read_text())
        if content["lane"] != "gpu":
            continue
        assert [*content] == [*HEAD, "what_ran", "not_run", "tests", "decisions"]
        assert {*content["what_ran"], *content["not_run"]} >= {part.name for part in PARTS}
        assert all(content["not_run"].values())


def test_every_part_has_its_function() -> None:
    kinds = import_module("benchmarks.gpu.measure").KINDS
    compared = {"cpu", "cuda", "tensorrt", "ort-tensorrt"}
    assert {part.words[0] for part in PARTS} == {*kinds, *compared}
