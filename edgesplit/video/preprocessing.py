"""Preprocessing from a video to a clip, as decided by the training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from edgesplit.errors import BundleError
from edgesplit.limits import CLIP_VALUES, FRAME_SIDE, FRAMES, STRIDE

__all__ = [
    "INTERPOLATIONS",
    "LAYOUTS",
    "Interpolation",
    "Layout",
    "Preprocessing",
    "Sampling",
    "sample_frames",
    "scaled_size",
]

Layout = Literal["ncthw", "ntchw"]
Sampling = Literal["uniform", "dense"]
Interpolation = Literal["antialias", "antialias-bicubic", "no-antialias", "area"]
LAYOUTS: tuple[str, ...] = get_args(Layout)
INTERPOLATIONS: tuple[str, ...] = get_args(Interpolation)
_CHOICES = {"layout": LAYOUTS, "sampling": get_args(Sampling), "interpolation": INTERPOLATIONS}


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Sampling, scaling and layout of a clip; part of the feature space."""

    frames: int
    """Frames in a clip."""
    height: int
    width: int
    layout: Layout = "ncthw"
    """Axis order of a batch of clips: n batch, c colour (RGB), t time, h height, w width."""
    sampling: Sampling = "uniform"
    """Choice of frames. `uniform`: frames spread evenly over the complete video, repeated if it is
    shorter. `dense`: every `stride`-th frame from the middle of the video, the last one repeated.
    Frames are counted, not timed: a frame that is shown for a long time counts once."""
    stride: int = 1
    resize: int | None = None
    """Length of the short side in pixels before the centre is cropped; None to scale the complete
    frame to height x width."""
    interpolation: Interpolation = "antialias"
    """Scaling of frames. `antialias` is bilinear as in Pillow, torchvision and Hugging Face's
    processors, `antialias-bicubic` is their bicubic. `no-antialias` is bilinear as in OpenCV and
    torch's `interpolate` by default. `area` is FFmpeg's (swscale): faster for large frames, but not
    equal to training code in every pixel."""
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Mean, which is already folded into the backbone; recorded for information."""
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        for name in ("frames", "height", "width", "stride"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} must be a whole number from 1, got {value!r}")
        self._check_size()
        for name, choices in _CHOICES.items():
            got = getattr(self, name)
            if got not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, got {got!r}")
        if self.resize is not None:
            if not isinstance(self.resize, int):
                raise ValueError(f"resize must be a whole number or None, got {self.resize!r}")
            if self.resize < max(self.height, self.width):
                raise ValueError(
                    f"resize {self.resize} is smaller than the crop {self.height}x{self.width}"
                )
        object.__setattr__(self, "mean", _three("mean", self.mean, above=-math.inf))
        object.__setattr__(self, "std", _three("std", self.std, above=0.0))

    def _check_size(self) -> None:
        sides = {"height": self.height, "width": self.width, "frames": self.frames}
        for name, value in sides.items():
            most = FRAMES if name == "frames" else FRAME_SIDE
            if value > most:
                raise ValueError(f"{name} must be at most {most}, got {value}")
        if isinstance(self.resize, int) and self.resize > FRAME_SIDE:
            raise ValueError(f"resize must be at most {FRAME_SIDE}, got {self.resize}")
        values = 3 * self.frames * self.height * self.width
        if values > CLIP_VALUES:
            raise ValueError(f"a clip must have at most {CLIP_VALUES:,} values, got {values:,}")
        if self.stride > STRIDE:
            raise ValueError(f"stride must be at most {STRIDE}, got {self.stride}")

    @property
    def as_trained(self) -> bool:
        """True if frames are scaled as in training code, on red, green and blue."""
        return self.interpolation != "area"

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        """Shape of one clip, in the order of `layout` without n."""
        if self.layout == "ncthw":
            return (3, self.frames, self.height, self.width)
        return (self.frames, 3, self.height, self.width)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object; `from_json` is the inverse."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Preprocessing:
        """Return the preprocessing of a JSON object that `to_json` made.

        Raises:
            BundleError: a field is missing, unknown or has an impossible value.
        """
        known = {field.name for field in fields(cls)}
        if set(content) != known:
            odd = sorted(set(content) ^ known)
            raise BundleError(
                f"The bundle's preprocessing has missing or unknown fields: {odd}. Restore "
                "bundle.json from a copy."
            )
        try:
            return cls(**content)
        except (TypeError, ValueError, OverflowError) as error:
            raise BundleError(f"The bundle's preprocessing is not valid: {error}.") from error


def _three(name: str, values: Iterable[float], *, above: float) -> tuple[float, ...]:
    numbers = tuple(float(value) for value in values)
    if len(numbers) != 3 or not all(above < number < math.inf for number in numbers):
        raise ValueError(f"{name} must be three finite numbers above {above:g}, got {numbers}")
    return numbers


def sample_frames(n_frames: int, preprocessing: Preprocessing) -> list[int]:
    """Return the indices of the frames that make the clip of a video with `n_frames` frames."""
    wanted = preprocessing.frames
    if preprocessing.sampling == "uniform":
        # The middle of each of `wanted` equal parts, as in training.
        return [min(n_frames - 1, (2 * i + 1) * n_frames // (2 * wanted)) for i in range(wanted)]
    span = (wanted - 1) * preprocessing.stride + 1
    start = max(0, (n_frames - span) // 2)
    return [min(n_frames - 1, start + i * preprocessing.stride) for i in range(wanted)]


def scaled_size(height: int, width: int, preprocessing: Preprocessing) -> tuple[int, int]:
    """Return height and width of an upright frame when it is scaled, before the crop."""
    short, wanted = min(height, width), preprocessing.resize
    if wanted is None:
        return preprocessing.height, preprocessing.width
    if preprocessing.as_trained:  # training code cuts the long side
        return height * wanted // short, width * wanted // short
    return round(height * (wanted / short)), round(width * (wanted / short))
