"""torchvision's own models, where it is installed and fits this torch; small clips."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import torch

from edgesplit.export.bundle import export_model
from edgesplit.export.graph.parity import FP32_TOLERANCE
from edgesplit.export.models import load_classifier
from edgesplit.export.models.torchvision import MODELS


def _import_video() -> Any:
    try:
        return import_module("torchvision.models.video")
    except (ImportError, RuntimeError, OSError):  # absent, or built for another torch
        return None


video = _import_video()
pytestmark = [
    pytest.mark.torch,
    pytest.mark.skipif(video is None, reason="torchvision is absent, or of another torch"),
]


@pytest.mark.parametrize(
    ("name", "frames", "size"),
    [
        ("r3d_18", 8, 48),
        ("mc3_18", 8, 48),
        ("r2plus1d_18", 8, 48),
        ("s3d", 16, 224),
        ("swin3d_t", 4, 64),
    ],
)
def test_torchvisions_own_model_exports_with_parity(
    name: str, frames: int, size: int, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    checkpoint = tmp_path / "weights.pt"
    torch.save(getattr(video, name)(num_classes=5).state_dict(), checkpoint)
    classifier = load_classifier(f"torchvision:{name}", checkpoint=checkpoint)
    choices = classifier.settle(
        labels=list("abcde"), sampling="uniform", frames=frames, height=size, width=size, resize=256
    )
    report = export_model(
        classifier.model,
        labels=choices.labels,
        output=tmp_path / "lab.bundle",
        preprocessing=choices.preprocessing,
    )
    assert report.head_layer == MODELS[name].head
    assert max(report.parity.features, report.parity.logits) <= FP32_TOLERANCE
