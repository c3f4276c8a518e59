"""From a video file to the clip that a backbone takes.

Decoding and scaling are PyAV's (FFmpeg); which frames, which size and which layout is the
bundle's `Preprocessing`. Mean and standard deviation are folded into the backbone, so a clip is
float32 in 0..1.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from edgesplit.errors import BundleError, ClipError

if TYPE_CHECKING:
    import av

__all__ = ["Layout", "Preprocessing", "Sampling", "read_clip", "sample_frames"]

Layout = Literal["ncthw", "ntchw"]
Sampling = Literal["uniform", "dense"]


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How a video becomes a clip; part of the feature space."""

    frames: int
    """Frames in a clip."""
    height: int
    width: int
    layout: Layout = "ncthw"
    """Axis order of a batch of clips: n batch, c colour (RGB), t time, h height, w width."""
    sampling: Sampling = "uniform"
    """`uniform`: frames spread evenly over the whole video, repeated when it is shorter.
    `dense`: every `stride`-th frame from the middle of the video, the last one repeated."""
    stride: int = 1
    resize: int | None = None
    """Scale the short side to this many pixels, then crop the centre; None: scale the whole
    frame to height x width."""
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Already folded into the backbone; recorded for the reader."""
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        for name in ("frames", "height", "width", "stride"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number from 1, got {value!r}")
        for name, kind in (("layout", Layout), ("sampling", Sampling)):
            if getattr(self, name) not in get_args(kind):
                raise ValueError(
                    f"{name} must be one of {get_args(kind)}, got {getattr(self, name)!r}"
                )
        if self.resize is not None and self.resize < max(self.height, self.width):
            raise ValueError(
                f"resize {self.resize} is smaller than the crop {self.height}x{self.width}"
            )
        for name in ("mean", "std"):
            object.__setattr__(self, name, tuple(float(value) for value in getattr(self, name)))

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        """Shape of one clip, in the order of `layout` without n."""
        if self.layout == "ncthw":
            return (3, self.frames, self.height, self.width)
        return (self.frames, 3, self.height, self.width)

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `from_json` is the inverse."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Preprocessing:
        """The inverse of `to_json`.

        Raises:
            BundleError: a field is missing, unknown or has an impossible value.
        """
        known = {field.name for field in fields(cls)}
        if set(content) != known:
            odd = sorted(set(content) ^ known)
            raise BundleError(f"The bundle's preprocessing lacks or does not know {odd}.")
        try:
            return cls(**content)
        except (TypeError, ValueError) as error:
            raise BundleError(f"The bundle's preprocessing is not valid: {error}.") from error


def sample_frames(n_frames: int, preprocessing: Preprocessing) -> list[int]:
    """Indices of the frames that make the clip of a video with `n_frames` frames."""
    wanted = preprocessing.frames
    if preprocessing.sampling == "uniform":
        # The middle of each of `wanted` equal parts, as in training.
        return [min(n_frames - 1, (2 * i + 1) * n_frames // (2 * wanted)) for i in range(wanted)]
    span = (wanted - 1) * preprocessing.stride + 1
    start = max(0, (n_frames - span) // 2)
    return [min(n_frames - 1, start + i * preprocessing.stride) for i in range(wanted)]


def read_clip(path: str | Path, preprocessing: Preprocessing) -> npt.NDArray[np.float32]:
    """One clip from a video file, float32 in 0..1, of shape `preprocessing.clip_shape`.

    Raises:
        ClipError: the file is missing, not a video, or holds no frame.
    """
    path = Path(path)
    expected = _count_packets(path)
    frames, n_frames = _decode(path, preprocessing, expected)
    if n_frames != expected:
        # Some packets gave no picture: sample again from the frames that there really are.
        frames, n_frames = _decode(path, preprocessing, n_frames)
    clip = np.stack([frames[index] for index in sample_frames(n_frames, preprocessing)])
    order = (3, 0, 1, 2) if preprocessing.layout == "ncthw" else (0, 3, 1, 2)
    scaled = np.ascontiguousarray(clip.transpose(order), np.float32)
    scaled /= 255
    return scaled


def _count_packets(path: Path) -> int:
    """Number of video packets, without decoding."""
    with _open(path) as container:
        return sum(packet.size > 0 for packet in container.demux(container.streams.video[0]))


def _decode(
    path: Path, preprocessing: Preprocessing, n_frames: int
) -> tuple[dict[int, npt.NDArray[np.uint8]], int]:
    """The frames to sample from a video of `n_frames`, and how many frames it really has."""
    import av

    wanted: Collection[int] = set(sample_frames(n_frames, preprocessing)) if n_frames else ()
    frames: dict[int, npt.NDArray[np.uint8]] = {}
    count = 0
    with _open(path) as container:
        try:
            for count, frame in enumerate(container.decode(video=0), start=1):
                if count - 1 in wanted:
                    frames[count - 1] = _scale(frame, preprocessing)
        except av.FFmpegError as error:
            if not count:
                raise ClipError(f"{path} cannot be decoded: {error.strerror}.") from error
    if not count:
        raise ClipError(f"{path} holds no video frame. Check that the file is complete.")
    return frames, count


def _scale(frame: av.VideoFrame, preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
    height, width = preprocessing.height, preprocessing.width
    if preprocessing.resize is not None:
        scale = preprocessing.resize / min(frame.height, frame.width)
        height, width = round(frame.height * scale), round(frame.width * scale)
    small = frame.reformat(width, height, format="rgb24", interpolation="BILINEAR").to_ndarray()
    top, left = (height - preprocessing.height) // 2, (width - preprocessing.width) // 2
    crop = small[top : top + preprocessing.height, left : left + preprocessing.width]
    return crop.astype(np.uint8, copy=False)


def _open(path: Path) -> av.container.InputContainer:
    import av

    if not path.is_file():
        raise ClipError(f"There is no video {path}. Check the path.")
    if path.stat().st_size == 0:
        raise ClipError(f"{path} is empty (0 bytes). Record or copy it again.")
    try:
        container = av.open(str(path))
    except (av.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ClipError(f"{path} is not a video that FFmpeg can open: {reason}.") from error
    if not container.streams.video:
        container.close()
        raise ClipError(f"{path} has no video stream.")
    return container
