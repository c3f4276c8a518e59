"""The parts of `make gpu` that need a GPU, run on the CPU instead."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu import measure, swaps
from edgesplit.backbone.backends import OrtBackend
from edgesplit.backbone.session import import_onnxruntime
from edgesplit.runtime.backends import cuda, engines, select
from tests.fake_gpu import FakeTensorRT


@pytest.fixture(autouse=True)
def made_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGESPLIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(measure, "WORK", tmp_path)
    monkeypatch.setattr(measure, "TIMED_S", 0.0)
    monkeypatch.setattr(measure, "MIN_RUNS", 2)
    monkeypatch.setattr(swaps, "SECONDS", 0.5)
    found = cuda.Device(gpu="Orin sm87", cuda="12.6")
    for module in (cuda, select):
        monkeypatch.setattr(module, "find_device", lambda: found)
    for module in (engines, select):
        monkeypatch.setattr(module, "TensorRT", FakeTensorRT)
    monkeypatch.setattr(engines, "EngineBackend", OrtBackend)  # a made plan is its ONNX
    names = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(import_onnxruntime(), "get_available_providers", lambda: names)
    providers = dict.fromkeys(select._PROVIDERS, ("CPUExecutionProvider",))
    monkeypatch.setattr(select, "_PROVIDERS", providers)


def run(name: str) -> dict[str, Any]:
    found = measure.answer(name.split())
    assert "not_run" not in found, found
    figures: dict[str, Any] = found["figures"]
    assert all(figures["checks"].values()), figures
    return figures


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_engines_are_built_and_compared(precision: str) -> None:
    figures = run(f"tensorrt vit {precision}")
    assert figures["tensorrt"] == "tensorrt 10.3.0"
    assert figures["decisions"]["of"] == 48
    assert figures["built_agreement"]["n_clips"] == 1 + 8  # batches of 1 and of 8
    assert figures["ms"] > 0


@pytest.mark.parametrize("part", ["cuda vit fp32", "ort-tensorrt vit int8"])
def test_providers_run_variants(part: str) -> None:
    assert run(part)["runs_on"].startswith("ONNX Runtime, ")


@pytest.mark.parametrize("backend", ["cuda", "tensorrt"])
def test_heads_are_swapped_under_load(backend: str) -> None:
    figures = run(f"swaps {backend}")
    assert figures["dropped"] == 0
    assert figures["swaps"] > 1


def test_a_provider_that_does_not_start_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "_PROVIDERS", {"ort-tensorrt": ("TensorrtExecutionProvider",)})
    found = measure.answer(["ort-tensorrt", "vit", "fp32"])
    assert "TensorrtExecutionProvider" in found["not_run"]
    assert "figures" not in found


def test_a_provider_that_is_there_and_fails_is_a_failed_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(select, "_PROVIDERS", {"cuda": ("CUDAExecutionProvider",)})
    found = measure.answer(["cuda", "vit", "fp32"])
    assert found["figures"]["checks"] == {"it runs": False}
