"""The backbones that the benchmark trains, a CNN and a transformer, each with a linear head.

edgesplit export benchmarks.motion_split.model:cnn --checkpoint DIR/checkpoint.pt
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.motion_split.classes import Family
from edgesplit._types import UInt8

N_FRAMES = 8
SIZE = 40
FEATURE_DIM = 128
MEAN = (0.47, 0.44, 0.40)
STD = (0.23, 0.22, 0.22)

_CUBE = (3, 3, 3)
# (channels, kernel, stride) over (time, height, width). The stem looks at single frames; time is
# kept at full rate until the picture is small, since motion is what the classes differ in.
_LAYERS = (
    (24, (1, 5, 5), (1, 2, 2)),
    (48, _CUBE, (1, 2, 2)),
    (96, _CUBE, (2, 2, 2)),
    (128, _CUBE, (2, 2, 2)),
    (128, _CUBE, (1, 1, 1)),
    (FEATURE_DIM, _CUBE, (1, 1, 1)),
)
_STEM = (
    (32, (1, 5, 5), (1, 2, 2)),
    (64, _CUBE, (2, 2, 2)),
    (FEATURE_DIM, (1, 3, 3), (1, 2, 2)),
)
_TOKENS, _DEPTH, _ATTENTION_HEADS = 100, 3, 4


class Classifier(nn.Module):
    """A classifier of clips ``[B, 3, T, H, W]``, float32, normalised with ``MEAN`` and ``STD``."""

    head: nn.Linear

    def features(self, clips: Tensor) -> Tensor:
        """Return the features ``[B, FEATURE_DIM]`` of clips."""
        raise NotImplementedError

    def forward(self, clips: Tensor) -> Tensor:
        """Return the logits ``[B, n_classes]``."""
        logits: Tensor = self.head(self.features(clips))
        return logits


class Cnn(Classifier):
    """A CNN of six 3-D convolutions and the mean over time and space."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.body = _convolutions(_LAYERS)
        self.head = nn.Linear(FEATURE_DIM, n_classes)

    def features(self, clips: Tensor) -> Tensor:
        """Return the features ``[B, FEATURE_DIM]`` of clips."""
        pooled: Tensor = self.body(clips).mean(dim=(2, 3, 4))
        return pooled


class Transformer(Classifier):
    """Three pre-norm transformer layers over 4 x 5 x 5 tokens, made by three convolutions."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.stem = _convolutions(_STEM)
        self.position = nn.Parameter(0.02 * torch.randn(1, _TOKENS, FEATURE_DIM))
        self.blocks = nn.Sequential(*(Block() for _ in range(_DEPTH)))
        self.norm = nn.LayerNorm(FEATURE_DIM)
        self.head = nn.Linear(FEATURE_DIM, n_classes)

    def features(self, clips: Tensor) -> Tensor:
        """Return the features ``[B, FEATURE_DIM]`` of clips."""
        tokens = self.stem(clips).flatten(2).transpose(1, 2) + self.position
        pooled: Tensor = self.norm(self.blocks(tokens)).mean(dim=1)
        return pooled


class Block(nn.Module):
    """One transformer layer."""

    def __init__(self) -> None:
        super().__init__()
        self.before = nn.LayerNorm(FEATURE_DIM)
        self.mix = nn.Linear(FEATURE_DIM, 3 * FEATURE_DIM)
        self.join = nn.Linear(FEATURE_DIM, FEATURE_DIM)
        self.feed = nn.Sequential(
            nn.LayerNorm(FEATURE_DIM),
            nn.Linear(FEATURE_DIM, 2 * FEATURE_DIM),
            nn.GELU(),
            nn.Linear(2 * FEATURE_DIM, FEATURE_DIM),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens ``[B, tokens, FEATURE_DIM]``, of the same shape as the input."""
        n_clips, n_tokens, _ = tokens.shape
        shape = (n_clips, n_tokens, 3, _ATTENTION_HEADS, FEATURE_DIM // _ATTENTION_HEADS)
        mixed = self.mix(self.before(tokens)).view(shape)
        query, key, value = mixed.permute(2, 0, 3, 1, 4).unbind(0)
        seen = nn.functional.scaled_dot_product_attention(query, key, value)
        tokens = tokens + self.join(seen.transpose(1, 2).flatten(2))
        result: Tensor = tokens + self.feed(tokens)
        return result


def _convolutions(
    layers: Sequence[tuple[int, tuple[int, int, int], tuple[int, int, int]]],
) -> nn.Sequential:
    made: list[nn.Module] = []
    previous = 3
    for channels, kernel, stride in layers:
        depth, height, width = kernel
        padding = (depth // 2, height // 2, width // 2)
        made += [
            nn.Conv3d(previous, channels, kernel, stride, padding, bias=False),
            nn.BatchNorm3d(channels),
            nn.ReLU(),
        ]
        previous = channels
    return nn.Sequential(*made)


def cnn(n_classes: int) -> Classifier:
    """Return an untrained CNN; ``checkpoint.pt`` is its plain state dict."""
    return Cnn(n_classes).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload,no-any-return]


def transformer(n_classes: int) -> Classifier:
    """Return an untrained transformer; ``checkpoint.pt`` is its plain state dict."""
    return Transformer(n_classes).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload,no-any-return]


FACTORIES: dict[Family, Callable[[int], Classifier]] = {"cnn": cnn, "transformer": transformer}


def normalise(clips: Tensor) -> Tensor:
    """Normalise clips ``[B, 3, T, H, W]`` in 0..1 as in training. Export makes this part of it."""
    mean, std = (torch.tensor(value).view(1, 3, 1, 1, 1) for value in (MEAN, STD))
    return (clips - mean) / std


def from_uint8(frames: Tensor) -> Tensor:
    """Convert ``[B, T, H, W, 3]`` uint8 to ``[B, 3, T, H, W]`` float32 in 0..1, channels last."""
    return frames.permute(0, 4, 1, 2, 3).float() / 255


def normalised_batches(frames: UInt8, size: int = 256) -> Iterator[Tensor]:
    """Yield batches of clips ``(n, T, H, W, 3)`` uint8, normalised for the model."""
    for start in range(0, len(frames), size):
        yield normalise(from_uint8(torch.from_numpy(np.array(frames[start : start + size]))))
