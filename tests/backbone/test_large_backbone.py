"""Above 2 GB the weights lie beside the graph: the same function, and just as surely verified."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor, nn

from edgesplit.backbone import identity as backbone_module
from edgesplit.backbone.backends import OrtBackend
from edgesplit.backbone.identity import LargeBackbone, inline
from edgesplit.bundle.bundle import Bundle, open_bundle
from edgesplit.errors import BundleError, ExportError
from edgesplit.export import export_model
from edgesplit.runtime import Runtime, add_variant
from edgesplit.runtime.bench.sandbox import copied_bundle
from edgesplit.video.preprocessing import Preprocessing

pytestmark = pytest.mark.torch

SHAPE = Preprocessing(frames=2, height=8, width=8)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv3d(3, 16, 3, padding=1)
        self.wide = nn.Linear(16, 64)
        self.head = nn.Linear(64, 5)

    def forward(self, clips: Tensor) -> Tensor:
        logits: Tensor = self.head(self.wide(self.stem(clips).relu().mean((2, 3, 4))).relu())
        return logits


def export(folder: Path) -> Bundle:
    torch.manual_seed(0)
    export_model(Model(), labels=list("abcde"), output=folder, preprocessing=SHAPE)
    return open_bundle(folder)


@pytest.fixture
def small(tmp_path: Path) -> Bundle:
    return export(tmp_path / "small.bundle")


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    monkeypatch.setattr(backbone_module, "LARGEST_BYTES", 4000)
    return export(tmp_path / "large.bundle")


def test_features_are_those_of_one_file_bit_for_bit(small: Bundle, large: Bundle) -> None:
    assert isinstance(large.backbone(), LargeBackbone)
    assert isinstance(small.backbone(), bytes)
    clips = np.random.default_rng(0).random((3, *SHAPE.clip_shape), np.float32)
    one, two = OrtBackend(small.backbone()), OrtBackend(large.backbone())
    for clip in clips:
        assert np.array_equal(one.run(clip[None]), two.run(clip[None]))
    with Runtime(large) as runtime:
        assert np.array_equal(runtime.extract(clips[0]), one.run(clips[:1])[0])
    assert (large.path / "backbone.data").stat().st_size > 4000
    assert large.verify() == []


def test_same_weights_have_the_same_identity_wherever_they_were_exported(
    large: Bundle, tmp_path: Path
) -> None:
    again = export(tmp_path / "again.bundle")
    assert again.feature_space == large.feature_space
    copy = open_bundle(shutil.copytree(large.path, tmp_path / "copy"))
    assert copy.verify() == []


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-64])


def lengthen(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"\0")


@pytest.mark.parametrize("damage", [flip, cut, lengthen, Path.unlink])
def test_damaged_weights_are_found_before_anything_runs(
    large: Bundle, damage: Callable[[Path], None]
) -> None:
    damage(large.path / "backbone.data")
    (problem,) = large.verify()
    assert "backbone.data" in problem
    with pytest.raises(BundleError, match=r"backbone\.data.*Restore both from a copy"):
        Runtime(large)


def test_weights_of_another_export_are_found(large: Bundle, tmp_path: Path) -> None:
    torch.manual_seed(1)
    export_model(Model(), labels=list("abcde"), output=tmp_path / "other", preprocessing=SHAPE)
    shutil.copy(tmp_path / "other" / "backbone.data", large.path / "backbone.data")
    with pytest.raises(BundleError, match="is not the backbone"):
        large.backbone()


def test_graph_that_points_outside_of_the_weights_is_refused(large: Bundle) -> None:
    whole = large.backbone()
    assert isinstance(whole, LargeBackbone)
    with pytest.raises(BundleError, match=r"does not have"):
        LargeBackbone(whole.graph, whole.weights[:100]).tensors()
    elsewhere = whole.graph.replace(b"backbone.data", b"/etc/password")
    with pytest.raises(BundleError, match=r"does not have"):
        LargeBackbone(elsewhere, whole.weights).tensors()


def test_a_copy_to_measure_edits_on_links_both_files(large: Bundle) -> None:
    with copied_bundle(large.path) as copy:
        assert (copy.path / "backbone.data").is_symlink()
        assert (copy.path / "backbone.onnx").is_symlink()
        assert copy.verify() == []


def test_what_takes_one_file_refuses_it_with_the_next_step(large: Bundle) -> None:
    with pytest.raises(ExportError, match=r"0\.00 GB.*Run this backbone in fp32 with ONNX Runtime"):
        inline(large.backbone())
    clips = np.zeros((10, *SHAPE.clip_shape), np.float32)
    with pytest.raises(ExportError, match="one ONNX file"):
        add_variant(large, "fp16", clips=clips)
