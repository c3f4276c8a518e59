"""Compare a variant or an engine with the fp32 backbone, on clips.

Both are made with the user's unlabelled clips, compared with the fp32 backbone, and kept in the
cache only if they agree. "Form" below means a variant or an engine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from edgesplit._types import Float32
from edgesplit.backbone.backends import Backend
from edgesplit.backbone.difference import relative_difference, row_cosines, row_distances
from edgesplit.bundle.bundle import Bundle
from edgesplit.errors import BackendError, VariantError
from edgesplit.heads.head import Head
from edgesplit.video.clips import Clip, load_clip

__all__ = [
    "MIN_CLIPS",
    "Agreement",
    "Clips",
    "Progress",
    "Tolerance",
    "check_agreement",
    "check_clips",
    "compare_backends",
    "compare_features",
    "read_clips",
    "share_clips",
]

Clips: TypeAlias = "Sequence[Clip] | Float32"
Progress = Callable[[str], None]

MIN_CLIPS = 10
"""With fewer clips neither the int8 ranges nor the comparison are reliable."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Difference between a form of a backbone and the fp32 backbone, on clips."""

    cosine: float
    """Lowest cosine between the two features of a clip."""
    distance: float
    """Largest distance between the two features of a clip, relative to the length of fp32's."""
    logits: float
    """Largest difference of a logit of the live head, relative to the largest logit."""
    decisions: float
    """Share of clips for which the live head decides the same class, 0..1."""
    n_clips: int


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Limits of an `Agreement`: minimum cosine and decisions, maximum distance and logits."""

    cosine: float
    distance: float = math.inf
    logits: float = math.inf
    decisions: float = 0.0
    advice: str = ""
    """The next step when a limit is exceeded."""


def compare_features(wanted: Float32, got: Float32, head: Head) -> Agreement:
    """Compare features `(clips, dim)` with those of the fp32 backbone for the same clips."""
    before, after = head.evaluate(wanted), head.evaluate(got)
    return Agreement(
        cosine=float(row_cosines(got, wanted).min()),
        distance=float(row_distances(got, wanted).max()),
        logits=relative_difference(after.logits, before.logits),
        decisions=float((before.class_index == after.class_index).mean()),
        n_clips=len(wanted),
    )


def compare_backends(
    full: Backend, other: Backend, *, head: Head, clips: Iterable[Float32]
) -> Agreement:
    """Run two backbones clip by clip and compare their features.

    Raises:
        BackendError: one of them fails.
        ValueError: there are no clips.
    """
    pairs = [(full.run(clip[None])[0], other.run(clip[None])[0]) for clip in clips]
    if not pairs:
        raise ValueError("no clips to compare on")
    wanted, got = (np.stack(side) for side in zip(*pairs, strict=True))
    return compare_features(wanted, got, head)


def check_agreement(
    agreement: Agreement, tolerance: Tolerance, what: str, error: type[BackendError]
) -> None:
    """Raise an error with the figures if an agreement is outside the tolerance.

    Args:
        agreement: the result of the comparison.
        tolerance: the limits.
        what: name of the form, as in `int8 variant`.
        error: the class to raise.

    Raises:
        BackendError: an `error`.
    """
    at_least = (
        ("lowest feature cosine", agreement.cosine, tolerance.cosine),
        ("share of equal decisions", agreement.decisions, tolerance.decisions),
    )
    at_most = (
        ("largest relative feature distance", agreement.distance, tolerance.distance),
        ("largest relative logit difference", agreement.logits, tolerance.logits),
    )
    # A comparison with NaN is false, so features that are not finite are refused, too.
    if all(x >= limit for _, x, limit in at_least) and all(x <= limit for _, x, limit in at_most):
        return
    figures = [f"{name} {x:.5f} (at least {limit})" for name, x, limit in at_least if limit]
    figures += [
        f"{name} {x:.2g} (at most {limit:.2g})" for name, x, limit in at_most if limit < math.inf
    ]
    raise error(
        f"The {what} does not agree with the fp32 backbone and was discarded: on "
        f"{agreement.n_clips} clips {', '.join(figures)}. {tolerance.advice}"
    )


def check_clips(clips: Clips) -> None:
    """Raise VariantError if there are fewer than MIN_CLIPS clips."""
    if len(clips) < MIN_CLIPS:
        raise VariantError(
            f"{len(clips)} clips are too few: calibration and comparison need at least "
            f"{MIN_CLIPS}, and 100 or more to detect one wrong answer in a hundred. Give videos "
            "like those that the device sees; they need no labels."
        )


def share_clips(clips: Clips, name: str) -> tuple[Clips, Clips]:
    """Return the clips that ranges are measured on, and those that are compared.

    int8 measures ranges on every other clip and compares the rest, so it is never compared on clips
    that its ranges come from. fp16 uses all clips for both: its ranges only decide which operators
    stay in float32, and more clips make them more complete. Other forms have no ranges.
    """
    if name == "int8":
        return clips[::2], clips[1::2]
    return (clips if name == "fp16" else ()), clips


def read_clips(bundle: Bundle, clips: Clips, what: str, progress: Progress) -> Iterator[Float32]:
    """Read clips one at a time; report `what` and the clip's number to `progress`.

    Raises:
        ClipError: a video cannot be read.
        ValueError: the shape of a clip is not the bundle's.
    """
    for number, clip in enumerate(clips, 1):
        progress(f"{what}, clip {number} of {len(clips)}")
        yield load_clip(clip, bundle.preprocessing)
