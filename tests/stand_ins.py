"""Small stand-ins for torchvision's video classifiers, which do not run here.

Each has the parts of the real one that an export could trip over, and the same names and kind of
head: residual blocks of 3-D, mixed and factored convolutions; S3D's separable inception blocks and
1x1x1 convolution before a mean; MViT's pooled attention with a class token and relative positions;
Swin's shifted windows with padding, a mask and a table of relative positions. They are written
from those descriptions, not from torchvision's source.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

CATEGORIES = ["abseiling", "air drumming", "answering questions"]


def conv_3d(wide: int, out: int, stride: int) -> nn.Module:
    return nn.Conv3d(wide, out, 3, stride, 1, bias=False)


def conv_2d(wide: int, out: int, stride: int) -> nn.Module:
    """In space only, as mc3_18 has it in its later layers."""
    return nn.Conv3d(wide, out, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False)


def conv_2_plus_1d(wide: int, out: int, stride: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv3d(wide, out, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False),
        nn.BatchNorm3d(out),
        nn.ReLU(inplace=True),
        nn.Conv3d(out, out, (3, 1, 1), (stride, 1, 1), (1, 0, 0), bias=False),
    )


class Residual(nn.Module):
    def __init__(self, conv: Any, wide: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(conv(wide, out, stride), nn.BatchNorm3d(out), nn.ReLU(True))
        self.conv2 = nn.Sequential(conv(out, out, 1), nn.BatchNorm3d(out))
        along_time = 1 if conv is conv_2d else stride
        self.downsample = nn.Sequential(
            nn.Conv3d(wide, out, 1, (along_time, stride, stride), bias=False), nn.BatchNorm3d(out)
        )

    def forward(self, clips: Tensor) -> Tensor:
        out: Tensor = self.conv2(self.conv1(clips))
        out += self.downsample(clips)
        return out.relu_()


class ResNet(nn.Module):
    def __init__(self, convs: list[Any], num_classes: int = 400) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv3d(3, 8, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False),
            nn.BatchNorm3d(8),
            nn.ReLU(inplace=True),
        )
        self.layer1 = Residual(convs[0], 8, 8, 1)
        self.layer2 = Residual(convs[1], 8, 16, 2)
        self.avgpool = nn.AdaptiveAvgPool3d((1, 1, 1))
        self.fc = nn.Linear(16, num_classes)

    def forward(self, clips: Tensor) -> Tensor:
        out = self.layer2(self.layer1(self.stem(clips)))
        logits: Tensor = self.fc(self.avgpool(out).flatten(1))
        return logits


def separable(wide: int, out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    pad = kernel // 2
    return nn.Sequential(
        nn.Conv3d(wide, out, (1, kernel, kernel), (1, stride, stride), (0, pad, pad), bias=False),
        nn.BatchNorm3d(out, eps=1e-3),
        nn.ReLU(inplace=True),
        nn.Conv3d(out, out, (kernel, 1, 1), (stride, 1, 1), (pad, 0, 0), bias=False),
        nn.BatchNorm3d(out, eps=1e-3),
        nn.ReLU(inplace=True),
    )


class Inception(nn.Module):
    def __init__(self, wide: int, out: int) -> None:
        super().__init__()
        self.branch0 = nn.Conv3d(wide, out, 1)
        self.branch1 = nn.Sequential(nn.Conv3d(wide, out, 1), separable(out, out, 3))
        self.branch3 = nn.Sequential(nn.MaxPool3d(3, 1, 1), nn.Conv3d(wide, out, 1))

    def forward(self, clips: Tensor) -> Tensor:
        return torch.cat([self.branch0(clips), self.branch1(clips), self.branch3(clips)], 1)


class S3D(nn.Module):
    def __init__(self, num_classes: int = 400) -> None:
        super().__init__()
        self.features = nn.Sequential(
            separable(3, 8, 7, 2),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
            Inception(8, 8),
            nn.MaxPool3d((2, 2, 2), (1, 1, 1)),
        )
        self.avgpool = nn.AvgPool3d((2, 3, 3), stride=1)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Conv3d(24, num_classes, 1))

    def forward(self, clips: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.avgpool(self.features(clips)))
        return logits.mean(dim=(2, 3, 4))


class PooledAttention(nn.Module):
    """Queries, keys and values pooled by strided depthwise convolutions; the class token is not."""

    def __init__(self, dim: int, heads: int, grid: tuple[int, int, int]) -> None:
        super().__init__()
        self.heads, self.grid = heads, grid
        width = dim // heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.pool = nn.ModuleList(
            nn.Conv3d(width, width, 3, (1, 2, 2), 1, groups=width, bias=False) for _ in range(3)
        )
        self.norm = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.relative = nn.Parameter(torch.randn(2 * grid[0] - 1, width) / 4)
        self.proj = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        n_clips, n_tokens, dim = tokens.shape
        split = self.qkv(tokens).reshape(n_clips, n_tokens, 3, self.heads, -1)
        query, key, value = (
            self._pooled(part, index)
            for index, part in enumerate(split.permute(2, 0, 3, 1, 4).unbind())
        )
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
        scores = scores + self._by_time(query, scores)
        mixed = scores.softmax(-1) @ value
        mixed[:, :, 1:] += query[:, :, 1:]  # the residual leaves the class token out
        joined: Tensor = self.proj(mixed.transpose(1, 2).reshape(n_clips, -1, dim))
        return joined

    def _pooled(self, part: Tensor, index: int) -> Tensor:
        n_clips, heads, _, width = part.shape
        first, rest = part[:, :, :1], part[:, :, 1:]
        places = rest.reshape(n_clips * heads, *self.grid, width).permute(0, 4, 1, 2, 3)
        pooled = self.pool[index](places).reshape(n_clips, heads, width, -1).transpose(2, 3)
        normed: Tensor = self.norm[index](torch.cat([first, pooled], 2))
        return normed

    def _by_time(self, query: Tensor, scores: Tensor) -> Tensor:
        frames = self.grid[0]
        distance = torch.arange(frames)[:, None] - torch.arange(frames)[None, :] + frames - 1
        rows = query[:, :, 1:].reshape(*query.shape[:2], frames, -1, query.shape[-1])
        by_frame = torch.einsum("bhtpc,tsc->bhtps", rows, self.relative[distance])
        spread = by_frame.repeat_interleave(rows.shape[3], dim=-1).flatten(2, 3)
        added = torch.zeros_like(scores)
        added[:, :, 1:, 1:] = spread
        return added


class MViT(nn.Module):
    def __init__(self, num_classes: int = 400) -> None:
        super().__init__()
        self.grid = (4, 8, 8)
        self.conv_proj = nn.Conv3d(3, 16, (3, 7, 7), (2, 4, 4), (1, 3, 3))
        self.class_token = nn.Parameter(torch.randn(16) / 4)
        self.norm1 = nn.LayerNorm(16)
        self.attn = PooledAttention(16, 2, self.grid)
        self.pool_skip = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))
        self.norm2 = nn.LayerNorm(16)
        self.mlp = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 24))
        self.project = nn.Linear(16, 24)
        self.norm = nn.LayerNorm(24)
        self.head = nn.Sequential(nn.Dropout(0.5, inplace=True), nn.Linear(24, num_classes))

    def forward(self, clips: Tensor) -> Tensor:
        tokens = self.conv_proj(clips).flatten(2).transpose(1, 2)
        first = self.class_token.expand(tokens.size(0), -1).unsqueeze(1)
        tokens = torch.cat((first, tokens), dim=1)
        attended = self.attn(self.norm1(tokens))
        places = tokens[:, 1:].transpose(1, 2).reshape(-1, 16, *self.grid)
        skipped = self.pool_skip(places).flatten(2).transpose(1, 2)
        tokens = torch.cat((tokens[:, :1], skipped), 1) + attended
        normed = self.norm2(tokens)
        tokens = self.project(normed) + self.mlp(normed)
        logits: Tensor = self.head(self.norm(tokens)[:, 0])
        return logits


class ShiftedWindows(nn.Module):
    """Attention inside windows of 2x4x4 places, after a cyclic shift; frames are padded to fit."""

    window = (2, 4, 4)

    def __init__(self, dim: int, heads: int, *, shifted: bool) -> None:
        super().__init__()
        self.heads = heads
        self.shift = tuple(size // 2 for size in self.window) if shifted else (0, 0, 0)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        spans = [2 * size - 1 for size in self.window]
        self.relative_position_bias_table = nn.Parameter(
            torch.randn(spans[0] * spans[1] * spans[2], heads) / 4
        )
        places = torch.stack(
            torch.meshgrid(*(torch.arange(size) for size in self.window), indexing="ij")
        ).flatten(1)
        apart = places[:, :, None] - places[:, None, :]
        apart = apart + torch.tensor(self.window)[:, None, None] - 1
        index = (apart[0] * spans[1] + apart[1]) * spans[2] + apart[2]
        self.register_buffer("relative_position_index", index)

    def forward(self, places: Tensor) -> Tensor:
        n_clips, *real, dim = places.shape
        missing = [-size % window for size, window in zip(real, self.window, strict=True)]
        padded = functional.pad(places, (0, 0, 0, missing[2], 0, missing[1], 0, missing[0]))
        sizes = padded.shape[1:4]
        if any(self.shift):
            padded = torch.roll(padded, tuple(-by for by in self.shift), (1, 2, 3))
        windows = self._split(padded)
        volume = windows.shape[1]
        qkv = self.qkv(windows).reshape(-1, volume, 3, self.heads, dim // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind()
        scores = (query * (dim // self.heads) ** -0.5) @ key.transpose(-2, -1)
        index: Any = self.relative_position_index
        bias = self.relative_position_bias_table[index.flatten()].view(volume, volume, -1)
        scores = scores + bias.permute(2, 0, 1).unsqueeze(0)
        if any(self.shift):
            mask = self._mask(padded.new_zeros(sizes))
            scores = scores.view(n_clips, -1, self.heads, volume, volume) + mask[None, :, None]
            scores = scores.view(-1, self.heads, volume, volume)
        mixed = (scores.softmax(-1) @ value).transpose(1, 2).reshape(-1, volume, dim)
        counts = [size // window for size, window in zip(sizes, self.window, strict=True)]
        joined = self.proj(mixed).view(n_clips, *counts, *self.window, dim)
        joined = joined.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(n_clips, *sizes, dim)
        if any(self.shift):
            joined = torch.roll(joined, self.shift, (1, 2, 3))
        kept: Tensor = joined[:, : real[0], : real[1], : real[2]]
        return kept.contiguous()

    def _split(self, places: Tensor) -> Tensor:
        n_clips, frames, height, width, dim = places.shape
        t, h, w = self.window
        windows = places.view(n_clips, frames // t, t, height // h, h, width // w, w, dim)
        return windows.permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(-1, t * h * w, dim)

    def _mask(self, regions: Tensor) -> Tensor:
        """Hides places from each other that only the cyclic shift brought together."""
        cuts = [
            ((0, -window), (-window, -shift), (-shift, None))
            for window, shift in zip(self.window, self.shift, strict=True)
        ]
        count = 0
        for t in cuts[0]:
            for h in cuts[1]:
                for w in cuts[2]:
                    regions[t[0] : t[1], h[0] : h[1], w[0] : w[1]] = count
                    count += 1
        windows = self._split(regions[None, ..., None]).squeeze(-1)
        apart = windows.unsqueeze(1) - windows.unsqueeze(2)
        return apart.masked_fill(apart != 0, -100.0).masked_fill(apart == 0, 0.0)


class Swin(nn.Module):
    def __init__(self, num_classes: int = 400) -> None:
        super().__init__()
        self.patch_embed = nn.Conv3d(3, 16, (2, 4, 4), (2, 4, 4))
        self.blocks = nn.ModuleList(
            nn.ModuleList(
                [
                    nn.LayerNorm(16),
                    ShiftedWindows(16, 2, shifted=shifted),
                    nn.LayerNorm(16),
                    nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16)),
                ]
            )
            for shifted in (False, True)
        )
        self.merge = nn.Linear(64, 32, bias=False)
        self.norm = nn.LayerNorm(32)
        self.avgpool = nn.AdaptiveAvgPool3d(1)
        self.head = nn.Linear(32, num_classes)

    def forward(self, clips: Tensor) -> Tensor:
        places = self.patch_embed(clips).permute(0, 2, 3, 4, 1)
        for block in self.blocks:
            assert isinstance(block, nn.ModuleList)
            norm1, attention, norm2, mlp = block
            places = places + attention(norm1(places))
            places = places + mlp(norm2(places))
        corners = [places[:, :, y::2, x::2] for x in (0, 1) for y in (0, 1)]
        merged = self.norm(self.merge(torch.cat(corners, -1)))
        pooled = self.avgpool(merged.permute(0, 4, 1, 2, 3))
        logits: Tensor = self.head(torch.flatten(pooled, 1))
        return logits


BUILDERS: dict[str, Any] = {
    "r3d_18": lambda **options: ResNet([conv_3d, conv_3d], **options),
    "mc3_18": lambda **options: ResNet([conv_3d, conv_2d], **options),
    "r2plus1d_18": lambda **options: ResNet([conv_2_plus_1d, conv_2_plus_1d], **options),
    "s3d": S3D,
    "mvit_v2_s": MViT,
    "swin3d_t": Swin,
}


def fake_torchvision() -> dict[str, Any]:
    """Returns modules for `sys.modules`, with the calls that edgesplit makes and no others.

    As in torchvision, a builder takes keywords only, and its own weights say how many classes.
    """

    def builder(name: str) -> Any:
        def build(*, weights: Any = None, progress: bool = True, **options: Any) -> nn.Module:
            if weights is not None:
                options["num_classes"] = len(weights.meta["categories"])
            torch.manual_seed(0)
            return BUILDERS[name](**options)  # type: ignore[no-any-return]

        return build

    video = SimpleNamespace(**{name: builder(name) for name in BUILDERS})
    default = SimpleNamespace(meta={"categories": CATEGORIES})
    models = SimpleNamespace(
        video=video, get_model_weights=lambda name: SimpleNamespace(DEFAULT=default)
    )
    return {
        "torchvision": SimpleNamespace(models=models),
        "torchvision.models": models,
        "torchvision.models.video": video,
    }
