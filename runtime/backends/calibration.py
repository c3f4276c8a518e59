"""The clips that a variant or an engine is made and judged with: a user's, unlabelled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from edgesplit._types import Float32
from edgesplit.bundle.bundle import Bundle
from edgesplit.errors import VariantError
from edgesplit.video.clips import read_clip

__all__ = ["MIN_JUDGING_CLIPS", "Clips", "Progress", "check_clips", "read_clips"]

Clips: TypeAlias = "Sequence[str | Path | Float32] | Float32"
"""Video files, or clips as the backbone takes them: float32 in 0..1, `preprocessing.clip_shape`."""
Progress = Callable[[str], None]

MIN_JUDGING_CLIPS = 10
"""Fewer say too little, of the ranges of values as of the answers."""


def check_clips(clips: Clips) -> None:
    """Whether there are enough of them.

    Raises:
        VariantError: there are not; with the numbers.
    """
    if len(clips) < MIN_JUDGING_CLIPS:
        raise VariantError(
            f"{len(clips)} clips are too few to calibrate and judge with: {MIN_JUDGING_CLIPS} at "
            "least, 100 or more to see one wrong answer in a hundred. Give videos like those that "
            "the device sees; no labels are needed."
        )


def read_clips(bundle: Bundle, clips: Clips, what: str, progress: Progress) -> Iterator[Float32]:
    """The clips, read one at a time; `progress` is told what is done with which.

    Raises:
        ClipError: a video cannot be read.
        ValueError: a clip has another shape than the bundle's.
    """
    for number, clip in enumerate(clips, 1):
        progress(f"{what}, clip {number} of {len(clips)}")
        if isinstance(clip, (str, Path)):
            yield read_clip(clip, bundle.preprocessing)
        else:
            if clip.shape != (shape := bundle.preprocessing.clip_shape):
                raise ValueError(f"a clip has shape {clip.shape}, want {shape}")
            yield np.asarray(clip, np.float32)
