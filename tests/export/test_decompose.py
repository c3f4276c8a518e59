"""Operators without an ONNX form: the exported backbone computes what torch does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgesplit.backbone.backends import OrtBackend
from edgesplit.errors import ExportError
from edgesplit.export.graph.cut import find_cut
from edgesplit.export.graph.decompose import Decomposed
from edgesplit.export.graph.trace import export_backbone
from edgesplit.video.preprocessing import Preprocessing

pytestmark = pytest.mark.torch

CLIPS = Preprocessing(frames=6, height=8, width=12, sampling="uniform")


class Model(nn.Module):
    """A stem, the operator, and a head that fits what comes out."""

    def __init__(self, operator: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv3d(3, 4, 3, padding=1)
        self.operator = operator
        with torch.no_grad():
            width = operator(self.stem(torch.rand(2, *CLIPS.clip_shape))).flatten(1).shape[1]
        self.head = nn.Linear(width, 5)

    def forward(self, clips: Tensor) -> Tensor:
        logits: Tensor = self.head(self.operator(self.stem(clips)).flatten(1))
        return logits


@pytest.mark.parametrize(
    "operator",
    [
        nn.AdaptiveAvgPool3d((4, 4, 4)),
        nn.AdaptiveAvgPool3d((3, 2, 3)),
        nn.AdaptiveAvgPool3d((None, 5, 1)),
        nn.AdaptiveMaxPool3d(4),
        lambda x: functional.adaptive_max_pool2d(x.mean(2), (3, 5)),
        lambda x: functional.interpolate(x, size=(4, 3, 5), mode="area"),
        lambda x: torch.cdist(x.mean((3, 4)), x.mean((2, 4))[..., :6]),
        lambda x: x.median(2).values,
    ],
    ids=["uneven", "even", "none", "max", "max 2d", "area", "cdist", "median"],
)
def test_operator_is_exported_as_others(operator: Callable[[Tensor], Tensor]) -> None:
    model = Model(operator).eval()
    cut = find_cut(model, torch.rand(2, *CLIPS.clip_shape))
    clips = torch.rand(3, *CLIPS.clip_shape)
    exported = OrtBackend(export_backbone(cut, CLIPS)).run(clips.numpy())
    wanted = cut.run(
        (clips - torch.tensor(CLIPS.mean)[:, None, None, None])
        / torch.tensor(CLIPS.std)[:, None, None, None]
    )[0]
    np.testing.assert_allclose(exported, wanted.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sizes", [(1, 1, 1), (2, 4, 6), (4, 3, 5), (6, 8, 12), (7, 9, 20)])
def test_bins_are_torchs(sizes: tuple[int, int, int]) -> None:
    inputs = torch.rand(2, 3, 6, 8, 12)
    for pool in (functional.adaptive_avg_pool3d, functional.adaptive_max_pool3d):
        wanted = pool(inputs, sizes)
        with Decomposed():
            found = pool(inputs, sizes)
        torch.testing.assert_close(found, wanted)


def test_operator_that_stays_is_named_with_its_module_and_line() -> None:
    class Spectrum(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            values: Tensor = torch.linalg.svdvals(inputs.mean((3, 4)))
            return values

    model = Model(Spectrum()).eval()
    cut = find_cut(model, torch.rand(2, *CLIPS.clip_shape))
    with pytest.raises(
        ExportError,
        match=r"no aten\._linalg_svd, which operator \(.*Spectrum\), at `.*svdvals.*runs\. ",
    ):
        export_backbone(cut, CLIPS)
