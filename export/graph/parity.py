"""Measure the differences between the exported pair of ONNX files and torch.

    torch:     normalised clips -> model -> logits
    exported:  clips in 0..1 -> backbone.onnx -> features -> head.onnx -> logits   (ONNX Runtime)

Differences are relative to the largest value: float32 sums in another order differ by about 1e-6 of
it, and a wrong operator by far more than the tolerance.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from edgesplit._types import Float32
from edgesplit.backbone.backends import OrtBackend
from edgesplit.backbone.identity import Backbone
from edgesplit.backbone.session import open_session
from edgesplit.errors import ExportError
from edgesplit.export.graph.cut import Cut
from edgesplit.export.graph.tail import relative_difference
from edgesplit.export.graph.trace import normalize_clips
from edgesplit.video.preprocessing import Preprocessing

__all__ = ["FP32_TOLERANCE", "Parity", "check_parity", "measure_parity", "random_clips"]

FP32_TOLERANCE = 1e-4
"""Largest relative difference of features and of logits that float32 rounding can cause."""


@dataclass(frozen=True, slots=True)
class Parity:
    """The measured differences: max |exported - torch| / max |torch| over all clips."""

    features: float
    logits: float
    top1_agreement: float
    """Share of clips, 0..1, for which both choose the same class."""
    n_clips: int
    n_winners: int
    """Number of different classes that torch chooses; agreement on one class proves little."""


def measure_parity(
    cut: Cut,
    *,
    backbone: Backbone,
    head: bytes,
    batches: Iterable[Float32],
    preprocessing: Preprocessing,
) -> Parity:
    """Return the differences between torch and the exported pair in ONNX Runtime on the CPU.

    Args:
        cut: The torch side.
        backbone: ONNX bytes, `clip` to `features`.
        head: ONNX bytes, `features` to `logits`.
        batches: Clips `(N, …)` float32 in 0..1, with any and varying N.
        preprocessing: The preprocessing that is part of the backbone.

    Raises:
        BackendError: ONNX Runtime refuses a part, or fails while running the backbone.
        ValueError: No batches.
    """
    backend, head_session = OrtBackend(backbone), open_session(head, threads=0)
    by_torch: list[tuple[Tensor, Tensor]] = []
    exported: list[tuple[Tensor, Tensor]] = []
    for batch in batches:
        by_torch.append(cut.run(normalize_clips(torch.from_numpy(batch), preprocessing)))
        rows = backend.run(batch)
        (scores,) = head_session.run(["logits"], {"features": rows})
        exported.append((torch.from_numpy(rows), torch.from_numpy(scores)))
    if not by_torch:
        raise ValueError("parity needs at least one batch of clips")
    wanted_features, wanted_logits = map(torch.cat, zip(*by_torch, strict=True))
    features, logits = map(torch.cat, zip(*exported, strict=True))
    winners = wanted_logits.argmax(1)
    return Parity(
        features=relative_difference(features, wanted_features),
        logits=relative_difference(logits, wanted_logits),
        top1_agreement=float((logits.argmax(1) == winners).double().mean()),
        n_clips=len(winners),
        n_winners=len(set(winners.tolist())),
    )


def check_parity(parity: Parity, *, tolerance: float = FP32_TOLERANCE) -> None:
    """Raise ExportError if the export differs from torch by more than rounding.

    Top-1 agreement is reported but not checked: within the tolerance only ties can differ.

    Raises:
        ExportError: a difference is above `tolerance` or not a number.
    """
    if parity.features <= tolerance and parity.logits <= tolerance:  # False for NaN
        return
    raise ExportError(
        f"The exported model does not agree with torch on {parity.n_clips} clips: features differ "
        f"by {parity.features:.1e} of the largest, logits by {parity.logits:.1e} (allowed "
        f"{tolerance:.0e}); both choose the same class on {parity.top1_agreement:.0%}. "
        "Nothing was written. Check for layers that still behave as in training, operations that "
        "mix the clips of a batch, and custom operations."
    )


def random_clips(clip_shape: Sequence[int]) -> list[Float32]:
    """Return seeded clips in 0..1: a batch of 1 and a batch of 4, to test the free batch axis.

    Full-range noise alone would test only the responses to noise, so every clip has its own
    brightness, contrast and coarse blocks of equal value.
    """
    rng = np.random.default_rng(0)
    return [_random_batch(rng, n_clips, clip_shape) for n_clips in (1, 4)]


def _random_batch(rng: np.random.Generator, n_clips: int, clip_shape: Sequence[int]) -> Float32:
    *outer, height, width = clip_shape
    blocks = rng.random((n_clips, *outer, -(-height // 8), -(-width // 8)), np.float32)
    coarse = blocks.repeat(8, -2).repeat(8, -1)[..., :height, :width]
    noise = rng.random((n_clips, *clip_shape), np.float32)
    share, low, high = rng.random((3, n_clips, *[1] * len(clip_shape)), np.float32)
    mixed: Float32 = low + (high - low) * (share * coarse + (1 - share) * noise)
    return mixed
