"""Attention is found in what torch's exporter really writes, and fused it computes the same."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
from torch import Tensor, nn

from edgesplit.backbone.attention import fuse_attention
from edgesplit.backbone.backends import OrtBackend
from edgesplit.backbone.identity import inline
from edgesplit.export.graph.cut import find_cut
from edgesplit.export.graph.trace import export_backbone
from edgesplit.video.preprocessing import Preprocessing

pytestmark = pytest.mark.torch

TINY = {
    "image_size": 32,
    "patch_size": 16,
    "num_frames": 4,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "initializer_range": 0.2,
    "num_labels": 5,
}


class Logits(nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        import transformers

        config = getattr(transformers, f"{name}Config")(**TINY)
        self.model = getattr(transformers, f"{name}ForVideoClassification")(config)

    def forward(self, clips: Tensor) -> Tensor:
        logits: Tensor = self.model(pixel_values=clips).logits
        return logits


class Packed(nn.Module):
    """Three pre-norm layers whose query, key and value come from one product."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv3d(3, 32, (2, 8, 8), (2, 8, 8))
        self.blocks = nn.Sequential(*(PackedBlock() for _ in range(3)))
        self.head = nn.Linear(32, 5)

    def forward(self, clips: Tensor) -> Tensor:
        tokens = self.stem(clips).flatten(2).transpose(1, 2)
        logits: Tensor = self.head(self.blocks(tokens).mean(dim=1))
        return logits


class PackedBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.before = nn.LayerNorm(32)
        self.mix = nn.Linear(32, 96)
        self.join = nn.Linear(32, 32)

    def forward(self, tokens: Tensor) -> Tensor:
        mixed = self.mix(self.before(tokens)).view(*tokens.shape[:2], 3, 4, 8)
        query, key, value = mixed.permute(2, 0, 3, 1, 4).unbind(0)
        seen = nn.functional.scaled_dot_product_attention(query, key, value)
        joined: Tensor = tokens + self.join(seen.transpose(1, 2).flatten(2))
        return joined


CASES: dict[str, tuple[Callable[[], nn.Module], dict[str, Any], int]] = {
    "packed": (Packed, {"frames": 4, "height": 32, "width": 32}, 3),
    "VideoMAE": (
        lambda: Logits("VideoMAE"),
        {"frames": 4, "height": 32, "width": 32, "layout": "ntchw"},
        2,
    ),
    "TimeSformer": (
        lambda: Logits("Timesformer"),
        {"frames": 4, "height": 32, "width": 32, "layout": "ntchw"},
        4,  # over time and over space
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_all_attention_is_fused(case: str) -> None:
    make, shape, n_attention = CASES[case]
    preprocessing = Preprocessing(**shape)
    torch.manual_seed(0)
    model = make().eval()
    clips = np.random.default_rng(0).random((3, *preprocessing.clip_shape), np.float32)
    backbone = inline(export_backbone(find_cut(model, torch.from_numpy(clips)), preprocessing))
    fused = fuse_attention(backbone).data
    kinds = [node.op_type for node in onnx.load_model_from_string(fused).graph.node]
    assert kinds.count("MultiHeadAttention") == n_attention
    assert "Softmax" not in kinds
    wanted, got = OrtBackend(backbone).run(clips), OrtBackend(fused).run(clips)
    np.testing.assert_allclose(got, wanted, atol=1e-5 * float(np.abs(wanted).max()))
