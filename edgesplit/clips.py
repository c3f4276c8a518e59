"""From a video file to the clip that a backbone takes.

Decoding and scaling are PyAV's (FFmpeg); which frames, which size and which layout is the
bundle's `Preprocessing`. Mean and standard deviation are folded into the backbone, so a clip is
float32 in 0..1.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edgesplit.errors import ClipError
from edgesplit.preprocessing import Preprocessing, sample_frames

if TYPE_CHECKING:
    import av

__all__ = ["VIDEO_SUFFIXES", "find_videos", "read_clip"]

VIDEO_SUFFIXES = frozenset((".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".ts", ".webm"))


def find_videos(folder: Path) -> list[Path]:
    """The video files in a folder and below it, by their suffix, sorted.

    Raises:
        ClipError: there is none.
    """
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES)
    if not found:
        raise ClipError(f"{folder} holds no video ({', '.join(sorted(VIDEO_SUFFIXES))}).")
    return found


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
    """Number of video packets up to the end or the first damage, without decoding."""
    import av

    count = 0
    with _open(path) as container, contextlib.suppress(av.FFmpegError):
        for packet in container.demux(container.streams.video[0]):
            count += packet.size > 0
    return count


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
    kind = preprocessing.interpolation.upper()
    small = frame.reformat(width, height, format="rgb24", interpolation=kind).to_ndarray()
    top, left = (height - preprocessing.height) // 2, (width - preprocessing.width) // 2
    crop = small[top : top + preprocessing.height, left : left + preprocessing.width]
    return crop.astype(np.uint8, copy=False)


def _open(path: Path) -> av.container.InputContainer:
    import av

    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        raise ClipError(f"{path} {what}. Give a video file; cameras and URLs are not read yet.")
    if path.stat().st_size == 0:
        raise ClipError(f"{path} is empty (0 bytes). Record or copy it again.")
    try:
        # A playlist with a video's name must not make FFmpeg fetch what it lists.
        # "file:" keeps a name like 10:30.mp4 from being read as a protocol.
        container = av.open(f"file:{path}", options={"protocol_whitelist": "file"})
    except (av.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ClipError(
            f"{path} is not a video that FFmpeg can open ({reason}). Convert or copy it."
        ) from error
    if not container.streams.video:
        container.close()
        raise ClipError(f"{path} has no video stream. Give a file with pictures.")
    if container.streams.video[0].codec_context is None:  # PyAV before 18 crashes on decoding it
        container.close()
        raise ClipError(f"{path} holds video of a codec that this FFmpeg does not know.")
    return container
