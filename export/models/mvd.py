"""MVD's video transformer (Masked Video Distillation), for its authors' fine-tuned checkpoints.

The weights have the same names as in VideoMAE, so no key distinguishes the two models, and one
loaded as the other runs with wrong results. Two differences from Hugging Face's VideoMAE are not in
the file: MVD's position table is separable in time, width and height (VideoMAE has one sequence of
positions), and every layer norm has an epsilon of 1e-6.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgesplit.errors import ExportError
from edgesplit.export.models.checkpoint import count_classes, load_weights, read_weights
from edgesplit.export.models.classifier import Classifier, found_in, square_clips

__all__ = ["ARCHITECTURES", "Architecture", "VideoTransformer", "load_mvd", "position_table"]

_EPSILON = 1e-6


@dataclass(frozen=True, slots=True)
class Architecture:
    """The sizes of a video transformer; the defaults are ViT-Small's."""

    dim: int = 384
    depth: int = 12
    heads: int = 6
    frames: int = 16
    size: int = 224
    """Height and width in pixels."""
    patch: int = 16
    tubelet: int = 2
    """Number of frames in one token."""

    @property
    def grid(self) -> tuple[int, int, int]:
        """The numbers of tokens along time, height and width."""
        side = self.size // self.patch
        return self.frames // self.tubelet, side, side


ARCHITECTURES = {"vit-small": Architecture(), "vit-base": Architecture(dim=768, heads=12)}


def load_mvd(name: str, *, checkpoint: Path | None) -> Classifier:
    """Return one of MVD's fine-tuned classifiers with its authors' weights.

    Args:
        name: A key of `ARCHITECTURES`.
        checkpoint: The authors' file, `{"model" or "module": state dict}`; its head gives the
            number of classes.

    Raises:
        ExportError: The architecture is unknown, or the checkpoint does not fit it.
    """
    if name not in ARCHITECTURES:
        raise ExportError(f"There is no mvd:{name}. Give mvd:{' or mvd:'.join(ARCHITECTURES)}.")
    if checkpoint is None:
        raise ExportError(f"mvd:{name} comes without weights: give --checkpoint.")
    weights = read_weights(checkpoint)
    n_classes = count_classes(weights, "head.weight")
    if n_classes is None:
        raise ExportError(
            f"{checkpoint} has no head.weight among its {len(weights)} weights: it is a "
            "pre-trained model, not a classifier. Use the fine-tuned checkpoint."
        )
    architecture = ARCHITECTURES[name]
    model = VideoTransformer(architecture, n_classes=n_classes)
    load_weights(model, weights, origin=str(checkpoint))
    size = architecture.size  # the authors scale with OpenCV, which does not antialias
    clips = square_clips(frames=architecture.frames, size=size, resize=size)
    return Classifier(model.eval(), settings=found_in(f"mvd:{name}", clips))


class VideoTransformer(nn.Module):
    """A transformer from normalised clips `(N, 3, T, H, W)` to logits `(N, C)`."""

    pos_embed: Tensor

    def __init__(self, architecture: Architecture, *, n_classes: int) -> None:
        super().__init__()
        dim = architecture.dim
        kernel = (architecture.tubelet, architecture.patch, architecture.patch)
        self.patch_embed = nn.Sequential(
            OrderedDict(proj=nn.Conv3d(3, dim, kernel, stride=kernel), flatten=nn.Flatten(2))
        )
        self.register_buffer(  # not in the authors' files
            "pos_embed", position_table(dim, architecture.grid)[None], persistent=False
        )
        self.blocks = nn.ModuleList(
            _Block(dim, architecture.heads) for _ in range(architecture.depth)
        )
        self.fc_norm = nn.LayerNorm(dim, eps=_EPSILON)
        self.head = nn.Linear(dim, n_classes)

    def forward(self, clips: Tensor) -> Tensor:
        """Return the logits."""
        tokens = self.patch_embed(clips).transpose(1, 2) + self.pos_embed
        for block in self.blocks:
            tokens = block(tokens)
        logits: Tensor = self.head(self.fc_norm(tokens.mean(1)))
        return logits


def position_table(dim: int, grid: tuple[int, int, int]) -> Tensor:
    """Return the position embeddings of all tokens, `(T * H * W, dim)` float32, time slowest.

    The first quarter of the channels encodes time; the rest encodes width, then height, in equal
    parts. Each part holds the sines of its position over rising wavelengths, then the cosines.
    """
    time, height, width = (torch.arange(n, dtype=torch.float64) for n in grid)
    spatial = dim // 4 * 3 // 2
    times, rows, columns = torch.meshgrid(time, height, width, indexing="ij")
    of_time = _waves(times.flatten(), dim // 4)
    of_height, of_width = (_waves(places.flatten(), spatial) for places in (rows, columns))
    return torch.cat([of_time, of_width, of_height], dim=1).float()


def _waves(positions: Tensor, channels: int) -> Tensor:
    exponents = torch.arange(channels // 2, dtype=torch.float64) / (channels / 2)
    angles = positions[:, None] / 10000**exponents
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class _Block(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=_EPSILON)
        self.attn = _Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=_EPSILON)
        self.mlp = nn.Sequential(
            OrderedDict(fc1=nn.Linear(dim, 4 * dim), act=nn.GELU(), fc2=nn.Linear(4 * dim, dim))
        )

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attn(self.norm1(tokens))
        mixed: Tensor = tokens + self.mlp(self.norm2(tokens))
        return mixed


class _Attention(nn.Module):
    """Self-attention whose keys have no bias: it would shift all scores of a row equally."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(dim))
        self.v_bias = nn.Parameter(torch.zeros(dim))
        self.proj = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        projected = functional.linear(tokens, self.qkv.weight, bias)
        n_clips, n_tokens, dim = tokens.shape
        split = projected.reshape(n_clips, n_tokens, 3, self.heads, dim // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        joined: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return joined
