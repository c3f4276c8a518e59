"""The backbone that the benchmark trains: a small 3-D CNN that ends in one linear head.

edgesplit export benchmarks.motion_split.model:factory --checkpoint DIR/checkpoint.pt
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

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


class Classifier(nn.Module):
    """Clips ``[B, 3, T, H, W]``, float32, normalised with ``MEAN`` and ``STD``, to logits."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        previous = 3
        for channels, kernel, stride in _LAYERS:
            depth, height, width = kernel
            padding = (depth // 2, height // 2, width // 2)
            layers += [
                nn.Conv3d(previous, channels, kernel, stride, padding, bias=False),
                nn.BatchNorm3d(channels),
                nn.ReLU(),
            ]
            previous = channels
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(FEATURE_DIM, n_classes)

    def features(self, clips: Tensor) -> Tensor:
        """``[B, FEATURE_DIM]``: what the head sees."""
        pooled: Tensor = self.body(clips).mean(dim=(2, 3, 4))
        return pooled

    def forward(self, clips: Tensor) -> Tensor:
        """``[B, n_classes]`` logits."""
        logits: Tensor = self.head(self.features(clips))
        return logits


def factory(n_classes: int) -> Classifier:
    """An untrained model; ``checkpoint.pt`` is its plain state dict."""
    return Classifier(n_classes).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload,no-any-return]


def normalise(clips: Tensor) -> Tensor:
    """``[B, 3, T, H, W]`` in 0..1 to what the model was trained on. Export folds this in."""
    mean, std = (torch.tensor(value).view(1, 3, 1, 1, 1) for value in (MEAN, STD))
    return (clips - mean) / std


def from_uint8(frames: Tensor) -> Tensor:
    """``[B, T, H, W, 3]`` uint8 to ``[B, 3, T, H, W]`` float32 in 0..1, channels last."""
    return frames.permute(0, 4, 1, 2, 3).float() / 255


def normalised_batches(frames: npt.NDArray[np.uint8], size: int = 256) -> Iterator[Tensor]:
    """Clips ``(n, T, H, W, 3)`` uint8, some at a time, as the model takes them."""
    for start in range(0, len(frames), size):
        yield normalise(from_uint8(torch.from_numpy(np.array(frames[start : start + size]))))
