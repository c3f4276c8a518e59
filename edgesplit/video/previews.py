"""Previews of videos: strips of small pictures side by side, which a page can animate.

They show the complete picture, not only the part that the backbone gets.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgesplit._types import UInt8
from edgesplit.errors import ClipError
from edgesplit.video.clips import read_pictures, scale_frame, upright_size
from edgesplit.video.container import failure_reason, open_video
from edgesplit.video.preprocessing import Preprocessing

if TYPE_CHECKING:
    import av

__all__ = ["Preview", "read_preview", "read_seconds"]

HEIGHT, FRAMES = 160, 8
WIDEST = 2 * HEIGHT
"""Largest width of a picture; a wider picture gets a smaller height and is not distorted."""
MAX_BYTES = 48_000
"""Largest size of a strip: with twelve strips in base64, a page has less than a megabyte."""
_QUALITIES = (4, 7, 12, 20, 31)
"""JPEG quantizers, the finest first."""


@dataclass(frozen=True, slots=True)
class Preview:
    """Small pictures that are spread evenly over a video."""

    jpeg: bytes
    """The pictures side by side, in order."""
    height: int
    width: int
    """Width of one picture."""
    frames: int
    """Number of pictures."""


def read_preview(path: Path) -> Preview:
    """Return a strip of pictures of a video file.

    Raises:
        ClipError: as `read_clip`.
    """
    shape = Preprocessing(frames=FRAMES, height=HEIGHT, width=HEIGHT, interpolation="area")

    def scale(frame: av.VideoFrame, wanted: Preprocessing) -> UInt8:
        height, width = upright_size(frame)
        factor = min(HEIGHT / height, WIDEST / width)
        # Even sizes, as JPEG halves its colours; the narrowest picture has 2 pixels.
        tall, wide = (max(round(size * factor / 2), 1) * 2 for size in (height, width))
        return scale_frame(frame, replace(wanted, height=tall, width=wide))

    pictures = read_pictures(path, shape, scale=scale)
    height, width = pictures[0].shape[:2]
    # The size may change within a stream.
    same = [picture for picture in pictures if picture.shape[:2] == (height, width)]
    return Preview(_encode(path, np.concatenate(same, axis=1)), height, width, len(same))


def read_seconds(path: Path) -> float | None:
    """Return the duration in a video file's header, in seconds; None if it has none.

    Raises:
        ClipError: as `open_video`.
    """
    container, stream = open_video(path)
    with container:
        if stream.duration and stream.time_base:
            return float(stream.duration * stream.time_base)
        return container.duration / 1_000_000 if container.duration else None


def _encode(path: Path, picture: UInt8) -> bytes:
    """Return the picture as JPEG, in the finest quality that fits into `MAX_BYTES`."""
    import av

    data = b""
    for quality in _QUALITIES:
        codec = av.CodecContext.create("mjpeg", "w")
        codec.height, codec.width = picture.shape[:2]
        codec.pix_fmt = "yuvj420p"
        codec.time_base = Fraction(1, 25)
        codec.options = {"qmin": str(quality), "qmax": str(quality)}
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        try:
            packets = [*codec.encode(frame.reformat(format="yuvj420p")), *codec.encode(None)]
        except av.FFmpegError as error:
            raise ClipError(f"{path} has no preview ({failure_reason(error)}).") from error
        data = b"".join(bytes(packet) for packet in packets)
        if len(data) <= MAX_BYTES:
            break
    return data
