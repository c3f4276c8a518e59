"""The measured distance between torch and the exported pair, and the bar it must stay under."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import torch
from onnx import numpy_helper
from torch import Tensor, nn

from edgesplit.backbone.identity import inline
from edgesplit.errors import ExportError
from edgesplit.export.graph.cut import Cut, find_cut
from edgesplit.export.graph.parity import (
    FP32_TOLERANCE,
    Parity,
    check_parity,
    measure_parity,
    random_clips,
)
from edgesplit.export.graph.trace import export_backbone, normalize_clips
from edgesplit.heads.head import Head
from edgesplit.video.preprocessing import Preprocessing

pytestmark = pytest.mark.torch

PREPROCESSING = Preprocessing(frames=4, height=16, width=16, mean=(0.5,) * 3, std=(0.25,) * 3)
GOOD = Parity(features=1e-6, logits=2e-6, top1_agreement=1.0, n_clips=4, n_winners=2)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv3d(3, 8, 3)
        self.head = nn.Linear(8, 5)

    def forward(self, clips: Tensor) -> object:
        return self.head(self.stem(clips).relu().mean((2, 3, 4)))


@pytest.fixture(scope="module")
def pair() -> tuple[Cut, bytes, bytes]:
    torch.manual_seed(0)
    clips = torch.from_numpy(random_clips(PREPROCESSING.clip_shape)[-1])
    cut = find_cut(Model(), normalize_clips(clips, PREPROCESSING))
    head = Head.from_arrays(cut.weight, cut.bias, [f"class {i}" for i in range(cut.n_classes)])
    return cut, inline(export_backbone(cut, PREPROCESSING)), head.to_bytes()


def _measure(cut: Cut, backbone: bytes, head: bytes) -> Parity:
    return measure_parity(
        cut,
        backbone=backbone,
        head=head,
        batches=random_clips(PREPROCESSING.clip_shape),
        preprocessing=PREPROCESSING,
    )


def test_faithful_export_is_far_below_the_bar(pair: tuple[Cut, bytes, bytes]) -> None:
    parity = _measure(*pair)
    # float32 has 24 bits, 6e-8; sums of a few hundred products lose a digit or so
    assert parity.features < FP32_TOLERANCE / 10
    assert parity.logits < FP32_TOLERANCE / 10
    assert parity.top1_agreement == 1.0
    assert parity.n_clips == 5
    check_parity(parity)


def test_one_percent_off_in_one_weight_tensor_is_caught(pair: tuple[Cut, bytes, bytes]) -> None:
    cut, backbone, head = pair
    model = onnx.load_from_string(backbone)
    for tensor in model.graph.initializer:
        weights = numpy_helper.to_array(tensor)
        if weights.ndim == 5 and weights.size > 3:
            tensor.CopyFrom(numpy_helper.from_array(weights * np.float32(1.01), tensor.name))
    parity = _measure(cut, model.SerializeToString(), head)
    # relu(1.01 w x + b) is at most 1 % off, and more than a tenth of that where b does not rule
    assert 1e-3 < parity.features < 2e-2
    with pytest.raises(
        ExportError, match=r"on 5 clips: features differ by [\d.e-]+ of the largest"
    ):
        check_parity(parity)


def test_other_normalization_is_caught(pair: tuple[Cut, bytes, bytes]) -> None:
    cut, backbone, head = pair
    parity = measure_parity(
        cut,
        backbone=backbone,
        head=head,
        batches=random_clips(PREPROCESSING.clip_shape),
        preprocessing=replace(PREPROCESSING, mean=(0.45,) * 3),
    )
    with pytest.raises(ExportError, match="does not agree with torch"):
        check_parity(parity)


@pytest.mark.parametrize(
    "parity",
    [
        replace(GOOD, features=2e-4),
        replace(GOOD, logits=2e-4),
        replace(GOOD, logits=float("nan")),
    ],
    ids=["features", "logits", "nan"],
)
def test_each_number_is_judged(parity: Parity) -> None:
    check_parity(GOOD)
    with pytest.raises(ExportError, match=r"allowed 1e-04\); both choose the same class on 100%"):
        check_parity(parity)


def test_bar_can_be_another() -> None:
    check_parity(replace(GOOD, logits=5e-3), tolerance=1e-2)


def test_random_clips_are_the_same_every_time_and_in_range() -> None:
    first, second = random_clips((3, 4, 20, 12)), random_clips((3, 4, 20, 12))
    assert [batch.shape for batch in first] == [(1, 3, 4, 20, 12), (4, 3, 4, 20, 12)]
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == np.float32
        assert 0 <= one.min() < one.max() <= 1


def test_parity_of_nothing_is_an_error(pair: tuple[Cut, bytes, bytes]) -> None:
    cut, backbone, head = pair
    with pytest.raises(ValueError, match="at least one batch"):
        measure_parity(cut, backbone=backbone, head=head, batches=[], preprocessing=PREPROCESSING)
