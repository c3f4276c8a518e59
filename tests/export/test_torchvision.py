"""torchvision's models, by small stand-ins of the same structure: torchvision does not run here."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import torch
from torch import nn

from edgesplit.bundle.bundle import open_bundle
from edgesplit.errors import ExportError, MissingExtraError
from edgesplit.export.bundle import export_model
from edgesplit.export.graph.parity import FP32_TOLERANCE
from edgesplit.export.models import load_classifier
from edgesplit.export.models.torchvision import MODELS
from tests.stand_ins import BUILDERS, CATEGORIES, fake_torchvision

pytestmark = pytest.mark.torch


@pytest.fixture
def torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, module in fake_torchvision().items():
        monkeypatch.setitem(sys.modules, name, module)


def save_checkpoint(name: str, path: Path, n_classes: int = 5) -> Path:
    torch.manual_seed(1)
    model = BUILDERS[name](num_classes=n_classes)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm3d):  # running statistics that are not the initial ones
            assert part.running_mean is not None
            assert part.running_var is not None
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
    torch.save(model.state_dict(), path)
    return path


@pytest.mark.usefixtures("torchvision")
@pytest.mark.parametrize("name", MODELS)
def test_stand_in_exports_with_parity(name: str, tmp_path: Path) -> None:
    checkpoint = save_checkpoint(name, tmp_path / "weights.pt")
    classifier = load_classifier(f"torchvision:{name}", checkpoint=checkpoint)
    choices = classifier.settle(  # small clips: the real ones are the table's, tested below
        labels=list("abcde"), sampling="uniform", frames=8, height=32, width=32, resize=40
    )
    report = export_model(
        classifier.model,
        labels=choices.labels,
        output=tmp_path / "lab.bundle",
        preprocessing=choices.preprocessing,
    )
    assert max(report.parity.features, report.parity.logits) <= FP32_TOLERANCE
    assert report.parity.top1_agreement == 1
    assert report.head_layer == MODELS[name].head
    assert report.averaged == (name == "s3d")
    head = open_bundle(tmp_path / "lab.bundle").head()
    trained = torch.load(checkpoint, weights_only=True)[f"{MODELS[name].head}.weight"]
    np.testing.assert_array_equal(head.weight, trained.reshape(5, -1).numpy())


@pytest.mark.usefixtures("torchvision")
@pytest.mark.parametrize(
    ("name", "clip_shape", "resize", "mean", "std"),
    [
        ("r3d_18", (3, 16, 112, 112), 128, 0.43216, 0.22803),
        ("mc3_18", (3, 16, 112, 112), 128, 0.43216, 0.22803),
        ("r2plus1d_18", (3, 16, 112, 112), 128, 0.43216, 0.22803),
        ("s3d", (3, 128, 224, 224), 256, 0.43216, 0.22803),
        ("mvit_v2_s", (3, 16, 224, 224), 256, 0.45, 0.225),
        ("swin3d_t", (3, 32, 224, 224), 256, 0.485, 0.229),
    ],
)
def test_clips_are_made_as_in_torchvisions_training(
    name: str, clip_shape: tuple[int, ...], resize: int, mean: float, std: float
) -> None:
    choices = load_classifier(f"torchvision:{name}").settle(sampling="dense", stride=2)
    clip = choices.preprocessing
    assert (clip.clip_shape, clip.resize, clip.layout) == (clip_shape, resize, "ncthw")
    assert clip.interpolation == "no-antialias"
    assert (clip.mean[0], clip.std[0]) == (mean, std)
    assert choices.labels == tuple(CATEGORIES)
    assert choices.origins["labels"] == choices.origins["mean"] == f"torchvision:{name}"


@pytest.mark.usefixtures("torchvision")
def test_checkpoint_says_the_number_of_classes_and_not_their_names(tmp_path: Path) -> None:
    checkpoint = save_checkpoint("r3d_18", tmp_path / "weights.pt", n_classes=7)
    classifier = load_classifier("torchvision:r3d_18", checkpoint=checkpoint)
    fc = classifier.model.get_submodule("fc")
    assert isinstance(fc, nn.Linear)
    assert fc.out_features == 7
    with pytest.raises(ExportError, match="The model has no class names"):
        classifier.settle(sampling="uniform")


@pytest.mark.usefixtures("torchvision")
def test_checkpoint_of_a_training_module_is_read(tmp_path: Path) -> None:
    checkpoint = save_checkpoint("r3d_18", tmp_path / "weights.pt", n_classes=7)
    state = {f"model.{name}": value for name, value in torch.load(checkpoint).items()}
    torch.save({"state_dict": state, "epoch": 3}, checkpoint)
    classifier = load_classifier("torchvision:r3d_18", checkpoint=checkpoint)
    assert classifier.model.get_submodule("fc").out_features == 7


@pytest.mark.usefixtures("torchvision")
def test_checkpoint_of_another_architecture_is_refused(tmp_path: Path) -> None:
    checkpoint = save_checkpoint("swin3d_t", tmp_path / "weights.pt")
    with pytest.raises(ExportError, match=r"has no fc\.weight, the head of torchvision:r3d_18"):
        load_classifier("torchvision:r3d_18", checkpoint=checkpoint)


def test_torchvision_that_does_not_import_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(MissingExtraError, match=r"torchvision cannot be imported.*pip install"):
        load_classifier("torchvision:r3d_18")


@pytest.mark.usefixtures("torchvision")
def test_builder_that_fails_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> nn.Module:
        raise OSError("no route to host")

    monkeypatch.setattr(sys.modules["torchvision.models"].video, "s3d", fail)
    with pytest.raises(ExportError, match="torchvision cannot build s3d: no route to host"):
        load_classifier("torchvision:s3d")
