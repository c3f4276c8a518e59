"""The differences between the exported pair and torch.

    torch:     normalised clips -> model -> logits
    exported:  clips in 0..1 -> backbone.onnx -> features -> head.onnx -> logits   (ONNX Runtime)

Differences are relative to the largest value: float32 sums in another order differ by some 1e-6 of
it, a wrong operator by far more than the tolerance.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from edgesplit._types import Float32
from edgesplit.backbone.identity import Backbone
from edgesplit.backbone.session import open_session
from edgesplit.errors import ExportError
from edgesplit.export.graph.cut import Cut
from edgesplit.export.graph.trace import normalize_clips
from edgesplit.video.preprocessing import Preprocessing

if TYPE_CHECKING:
    import onnxruntime

__all__ = [
    "FP32_TOLERANCE",
    "Parity",
    "check_parity",
    "measure_parity",
    "random_clips",
    "run_session",
]

FP32_TOLERANCE = 1e-4
"""Largest relative difference of features and of logits that float32 rounding explains."""

_TINY = float(np.finfo(np.float32).tiny)  # keeps 0 / 0 at 0


@dataclass(frozen=True, slots=True)
class Parity:
    """The measured differences: max |exported - torch| / max |torch| over all clips."""

    features: float
    logits: float
    top1_agreement: float
    """Fraction of clips, `[0, 1]`, where the same class wins."""
    n_clips: int
    n_winners: int
    """How many different classes win in torch: agreement on one class says little."""


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
        preprocessing: The one folded into the backbone.

    Raises:
        BackendError: ONNX Runtime refuses a part.
        ExportError: ONNX Runtime fails while running one.
        ValueError: No batches.
    """
    backbone_session, head_session = (open_session(model, threads=0) for model in (backbone, head))
    torch_side: list[tuple[Float32, Float32]] = []
    exported: list[tuple[Float32, Float32]] = []
    for batch in batches:
        features, logits = cut.run(normalize_clips(torch.from_numpy(batch), preprocessing))
        torch_side.append((features.numpy(), logits.numpy()))
        values = run_session(backbone_session, clip=batch)
        exported.append((values, run_session(head_session, features=values)))
    if not torch_side:
        raise ValueError("parity needs at least one batch of clips")
    wanted_features, wanted_logits = _stack(torch_side)
    features_found, logits_found = _stack(exported)
    winners = wanted_logits.argmax(1)
    return Parity(
        features=_relative(features_found, wanted_features),
        logits=_relative(logits_found, wanted_logits),
        top1_agreement=float((logits_found.argmax(1) == winners).mean()),
        n_clips=len(winners),
        n_winners=len(np.unique(winners)),
    )


def check_parity(parity: Parity, *, tolerance: float = FP32_TOLERANCE) -> None:
    """Raise ExportError if the export differs from torch by more than rounding.

    Top-1 agreement is reported and not checked: within the tolerance it can only differ on a tie.

    Raises:
        ExportError: a difference is above `tolerance` or not a number.
    """
    if parity.features <= tolerance and parity.logits <= tolerance:  # False for NaN
        return
    raise ExportError(
        f"The exported model does not agree with torch on {parity.n_clips} clips: features differ "
        f"by {parity.features:.1e} of the largest, logits by {parity.logits:.1e} (allowed "
        f"{tolerance:.0e}), the same class wins on {parity.top1_agreement:.0%}. "
        "Nothing was written. Usual causes: a layer that still behaves as in training, something "
        "that mixes the clips of a batch, a custom operation."
    )


def random_clips(clip_shape: Sequence[int]) -> list[Float32]:
    """Return seeded clips in 0..1, a batch of 1 and one of 4: the free batch axis is tried too.

    Noise of full range alone would excite only what responds to noise; every clip gets its own
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


def run_session(session: onnxruntime.InferenceSession, **inputs: Float32) -> Float32:
    """Return the first output.

    Raises:
        ExportError: ONNX Runtime fails on these inputs.
    """
    try:
        output: Float32 = session.run([session.get_outputs()[0].name], inputs)[0]
    except Exception as error:  # its exceptions have no common base of their own
        shapes = ", ".join(f"{name} {array.shape}" for name, array in inputs.items())
        raise ExportError(
            f"ONNX Runtime cannot run the exported model on {shapes}: {error}"
        ) from error
    return output


def _stack(results: list[tuple[Float32, Float32]]) -> tuple[Float32, Float32]:
    features, logits = zip(*results, strict=True)
    return np.concatenate(features), np.concatenate(logits)


def _relative(values: Float32, reference: Float32) -> float:
    largest = float(np.abs(values - reference).max())
    return largest / max(float(np.abs(reference).max()), _TINY)
