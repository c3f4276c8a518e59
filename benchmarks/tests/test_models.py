"""The measured architectures can be exported, at reduced size."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("transformers")

from benchmarks.speed.models import Subject, measure, save_folder, save_mvd
from edgesplit.export.graph.parity import FP32_TOLERANCE
from edgesplit.export.models import mvd
from edgesplit.export.models.mvd import Architecture

pytestmark = pytest.mark.torch

SIZES: dict[str, Any] = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "image_size": 32,
    "num_frames": 4,
    "processor": {"size": {"shortest_edge": 40}, "crop_size": 32},
}
SUBJECTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "MVD": save_mvd,
    "VideoMAE": partial(save_folder, family="VideoMAE", patch_size=8, **SIZES),
    "TimeSformer": partial(save_folder, family="Timesformer", patch_size=8, **SIZES),
    "ViViT": partial(save_folder, family="Vivit", tubelet_size=[2, 8, 8], **SIZES),
}


@pytest.mark.parametrize("name", SUBJECTS)
def test_architecture_exports_with_parity_and_the_same_winners(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run the code of `benchmarks.speed.models` at reduced size."""
    tiny = Architecture(dim=48, depth=2, heads=4, frames=4, size=32, patch=8)
    monkeypatch.setitem(mvd.ARCHITECTURES, "vit-small", tiny)
    row = measure(Subject(name, SUBJECTS[name]))
    assert row["head"] == ("head" if name == "MVD" else "classifier")
    assert row["features"] == 48
    for batch in ("1", "4"):
        parity = row["parity"][batch]
        assert max(parity["features"], parity["logits"]) <= FP32_TOLERANCE
        assert parity["top1_agreement"] == 1
        assert parity["classes_that_win"] >= 5  # agreement on one class would say little
