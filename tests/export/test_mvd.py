"""MVD: what its checkpoints do not say, and that they load as their authors wrote them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("transformers")

import torch
from torch import Tensor, nn

from edgesplit.errors import ExportError
from edgesplit.export.models import load_classifier, mvd
from edgesplit.export.models.mvd import (
    ARCHITECTURES,
    Architecture,
    VideoTransformer,
    position_table,
)

pytestmark = pytest.mark.torch

TINY = Architecture(dim=32, depth=2, heads=4, frames=4, size=32, patch=8)
N_CLASSES = 5

# ViT-Small's checkpoint as the authors' code writes it: name and shape, N the block.
AUTHORS = {
    "patch_embed.proj.weight": (384, 3, 2, 16, 16),
    "patch_embed.proj.bias": (384,),
    **{
        f"blocks.{block}.{name}": shape
        for block in range(12)
        for name, shape in {
            "norm1.weight": (384,),
            "norm1.bias": (384,),
            "attn.q_bias": (384,),
            "attn.v_bias": (384,),
            "attn.qkv.weight": (1152, 384),
            "attn.proj.weight": (384, 384),
            "attn.proj.bias": (384,),
            "norm2.weight": (384,),
            "norm2.bias": (384,),
            "mlp.fc1.weight": (1536, 384),
            "mlp.fc1.bias": (1536,),
            "mlp.fc2.weight": (384, 1536),
            "mlp.fc2.bias": (384,),
        }.items()
    },
    "fc_norm.weight": (384,),
    "fc_norm.bias": (384,),
    "head.weight": (174, 384),
    "head.bias": (174,),
}


def authors_weights() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) / 50 for name, shape in AUTHORS.items()}


@pytest.mark.parametrize("wrap", ["model", "module"])
def test_authors_checkpoint_loads_without_a_missing_or_unknown_key(
    wrap: str, tmp_path: Path
) -> None:
    weights = authors_weights()
    arguments = argparse.Namespace(model="vit_small_patch16_224", nb_classes=174)
    torch.save({wrap: weights, "epoch": 29, "args": arguments}, tmp_path / "mvd.pth")
    classifier = load_classifier("mvd:vit-small", checkpoint=tmp_path / "mvd.pth")
    loaded = classifier.model.state_dict()
    assert loaded.keys() == weights.keys()
    for name, values in weights.items():
        torch.testing.assert_close(loaded[name], values, rtol=0, atol=0)
    clip = classifier.settle(labels=["x"] * 174, sampling="uniform").preprocessing
    assert clip.clip_shape == (3, 16, 224, 224)
    assert (clip.layout, clip.resize, clip.mean[0], clip.std[0]) == ("ncthw", 224, 0.485, 0.229)
    assert clip.interpolation == "no-antialias"


def check_positions(table: Tensor) -> None:
    """Four values worked out by hand for 384 channels of 8x14x14 tokens.

    96 channels say the time (48 sines, 48 cosines), then 144 the width, 144 the height.
    """
    assert table.shape == (8 * 14 * 14, 384)
    tokens = table.reshape(8, 14, 14, 384)
    assert float(tokens[1, 0, 0, 0]) == pytest.approx(0.841471)  # time 1: sin(1)
    assert float(tokens[5, 2, 9, 50]) == pytest.approx(-0.965127)  # time: cos(5 / 10000^(2/48))
    assert float(tokens[0, 0, 3, 97]) == pytest.approx(0.481026)  # width: sin(3 / 10000^(1/72))
    assert float(tokens[0, 1, 0, 240]) == pytest.approx(0.841471)  # height 1: sin(1)


def videomae_table(n_tokens: int, dim: int) -> Tensor:
    from transformers.models.videomae import modeling_videomae as theirs

    table: Tensor = theirs.get_sinusoid_encoding_table(n_tokens, dim)  # type: ignore[no-untyped-call]
    return table[0]


def test_positions_are_separable_in_time_width_and_height() -> None:
    check_positions(position_table(384, (8, 14, 14)))
    check_positions(VideoTransformer(ARCHITECTURES["vit-small"], n_classes=2).pos_embed[0])


def test_videomaes_table_is_another() -> None:
    other = videomae_table(8 * 14 * 14, 384)
    with pytest.raises(AssertionError):
        check_positions(other)
    ours = position_table(384, (8, 14, 14))
    # read in two forks of the authors' code: the tables are 1.27 apart, relative to their norm
    assert float((other - ours).norm() / ours.norm()) == pytest.approx(1.27, abs=0.01)


def test_every_layer_norm_has_mvds_epsilon() -> None:
    model = VideoTransformer(TINY, n_classes=N_CLASSES)
    norms = {name: part for name, part in model.named_modules() if isinstance(part, nn.LayerNorm)}
    assert set(norms) == {"fc_norm", *(f"blocks.{i}.norm{j}" for i in (0, 1) for j in (1, 2))}
    assert {norm.eps for norm in norms.values()} == {1e-6}


def tiny_model() -> VideoTransformer:
    torch.manual_seed(0)
    model = VideoTransformer(TINY, n_classes=N_CLASSES).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    return model


def as_videomae(weights: Mapping[str, Tensor]) -> Any:
    """Hugging Face's VideoMAE with an MVD's weights; its positions and epsilons stay its own."""
    from transformers import VideoMAEConfig, VideoMAEForVideoClassification

    config = VideoMAEConfig(
        hidden_size=TINY.dim,
        num_hidden_layers=TINY.depth,
        num_attention_heads=TINY.heads,
        intermediate_size=4 * TINY.dim,
        num_frames=TINY.frames,
        image_size=TINY.size,
        patch_size=TINY.patch,
        id2label=dict(enumerate("abcde")),
    )
    names = {
        "patch_embed.proj": "videomae.embeddings.patch_embeddings.projection",
        "norm1": "layernorm_before",
        "norm2": "layernorm_after",
        "attn.proj": "attention.output.dense",
        "attn.q_bias": "attention.attention.query.bias",
        "attn.v_bias": "attention.attention.value.bias",
        "mlp.fc1": "intermediate.dense",
        "mlp.fc2": "output.dense",
        "head.": "classifier.",
        "blocks.": "videomae.encoder.layer.",
    }
    renamed = {}
    for name, values in weights.items():
        for ours, theirs in names.items():
            name = name.replace(ours, theirs)
        if name.endswith("attn.qkv.weight"):
            for part, rows in zip(("query", "key", "value"), values.chunk(3), strict=True):
                renamed[name.replace("attn.qkv", f"attention.attention.{part}")] = rows
        else:
            renamed[name] = values
    model: Any = VideoMAEForVideoClassification(config)
    model.load_state_dict(renamed)
    return model.eval()


def test_only_positions_and_epsilons_tell_mvd_from_videomae() -> None:
    model, other = tiny_model(), as_videomae(tiny_model().state_dict())
    clips = torch.rand(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        wanted = model(clips)
        as_it_is = other(clips.transpose(1, 2)).logits
        other.videomae.embeddings.position_embeddings = position_table(32, TINY.grid)[None]
        for part in other.modules():
            if isinstance(part, nn.LayerNorm):
                part.eps = 1e-6
        as_mvd = other(clips.transpose(1, 2)).logits
    # float32: sums of up to 128 products in another order
    torch.testing.assert_close(as_mvd, wanted, rtol=1e-4, atol=1e-5)
    # and the wrong table is no rounding error
    assert float((as_it_is - wanted).abs().max() / wanted.abs().max()) > 0.05


def test_epsilon_shows_where_little_varies() -> None:
    model = tiny_model()
    with torch.inference_mode():
        for parameter in model.patch_embed.parameters():
            parameter.mul_(1e-3)
        model.pos_embed.mul_(1e-3)
        clips = torch.rand(1, 3, 4, 32, 32)
        wanted = model(clips)
        for part in model.modules():
            if isinstance(part, nn.LayerNorm):
                part.eps = 1e-12
        difference = (model(clips) - wanted).abs().max() / wanted.abs().max()
    assert float(difference) > 0.01


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes `mvd:vit-small` so small that a test may run it."""
    monkeypatch.setitem(mvd.ARCHITECTURES, "vit-small", TINY)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda w: {k: v for k, v in w.items() if "head" not in k},
            r"no head\.weight among its 30",
        ),
        (
            lambda w: {k: v for k, v in w.items() if "q_bias" not in k},
            r"2 of 32 weights are missin",
        ),
        (lambda w: {**w, "pos_embed": torch.ones(1)}, r"0 of 32 .*1 are unknown \(pos_embed\)"),
        (lambda w: {**w, "norm.weight": w["fc_norm.weight"]}, r"1 are unknown \(norm\.weight\)"),
        (lambda w: {**w, "fc_norm.bias": torch.ones(48)}, r"size mismatch for fc_norm\.bias"),
    ],
    ids=["pretrained_only", "no_biases", "learned_positions", "no_mean_pooling", "other_size"],
)
def test_checkpoints_of_something_else_are_refused(
    change: Any, message: str, tmp_path: Path
) -> None:
    torch.save({"model": change(tiny_model().state_dict())}, tmp_path / "other.pth")
    with pytest.raises(ExportError, match=message):
        load_classifier("mvd:vit-small", checkpoint=tmp_path / "other.pth")


def test_a_pickle_that_is_not_plain_weights_is_refused(tmp_path: Path) -> None:
    torch.save({"model": tiny_model()}, tmp_path / "whole.pth")
    with pytest.raises(ExportError, match=r"not a file of plain weights .*could run code"):
        load_classifier("mvd:vit-small", checkpoint=tmp_path / "whole.pth")


def test_without_a_checkpoint_it_asks_for_one() -> None:
    with pytest.raises(ExportError, match=r"comes without weights: give --checkpoint"):
        load_classifier("mvd:vit-small")


def test_sizes_follow_the_architecture() -> None:
    model = VideoTransformer(replace(TINY, depth=1), n_classes=3)
    clips = torch.zeros(2, 3, TINY.frames, TINY.size, TINY.size)
    assert model(clips).shape == (2, 3)
    assert np.prod(TINY.grid) == model.pos_embed.shape[1] == 32
