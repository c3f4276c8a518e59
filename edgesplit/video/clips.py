"""From a video file to the clip that a backbone takes.

PyAV (FFmpeg) decodes, and scales if `resize` does not; the bundle's `Preprocessing` gives frames,
size and layout. Pictures are rotated as the video's metadata requires. Mean and standard deviation
are folded into the backbone, so a clip is float32 in 0..1.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

import numpy as np

from edgesplit._types import Float32, UInt8
from edgesplit.errors import ClipError
from edgesplit.video.container import MAX_PIXELS, failure_reason, open_video
from edgesplit.video.preprocessing import Preprocessing, sample_frames, scaled_size
from edgesplit.video.resize import resize_picture

if TYPE_CHECKING:
    import av

__all__ = [
    "VIDEO_SUFFIXES",
    "Clip",
    "VideoClip",
    "count_packets",
    "decode_video",
    "find_videos",
    "load_clip",
    "read_clip",
    "read_pictures",
    "read_video",
    "scale_frame",
    "stack_clip",
    "upright_size",
]

Clip: TypeAlias = "str | Path | Float32"
"""A video file, or a clip for the backbone: float32 in 0..1, `preprocessing.clip_shape`."""

Scale: TypeAlias = "Callable[[av.VideoFrame, Preprocessing], UInt8]"
"""A function such as `scale_frame`."""

VIDEO_SUFFIXES = frozenset((".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".ts", ".webm"))


def find_videos(folder: Path) -> list[Path]:
    """Return the video files in a folder and its sub-folders, found by suffix, sorted.

    Raises:
        ClipError: there is no video.
    """
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES)
    if not found:
        suffixes = ", ".join(sorted(VIDEO_SUFFIXES))
        raise ClipError(f"{folder} holds no video ({suffixes}). Name a folder of videos.")
    return found


@dataclass(frozen=True, slots=True, eq=False)
class VideoClip:
    """A clip, and the number of its repeated frames."""

    pixels: Float32
    """A clip of shape `preprocessing.clip_shape`, in 0..1."""
    n_repeated: int
    """Number of frames that repeat the previous one, because the video has too few frames."""


def read_clip(path: str | Path, preprocessing: Preprocessing) -> Float32:
    """Return one clip of a video file, float32 in 0..1, of shape `preprocessing.clip_shape`.

    Raises:
        ClipError: the file is missing, not a video, or holds no frame.
    """
    return read_video(path, preprocessing).pixels


def load_clip(clip: Clip, preprocessing: Preprocessing) -> Float32:
    """Return the clip of a video file, as `read_clip` does, or the clip that was given.

    Raises:
        ClipError: as `read_clip`.
        ValueError: the given clip has another shape than `preprocessing.clip_shape`.
    """
    if isinstance(clip, (str, Path)):
        return read_clip(clip, preprocessing)
    if clip.shape != preprocessing.clip_shape:
        raise ValueError(f"a clip has shape {clip.shape}, not {preprocessing.clip_shape}")
    return np.asarray(clip, np.float32)


def read_video(path: str | Path, preprocessing: Preprocessing) -> VideoClip:
    """Return the clip, and its number of repeated frames if the video is short; see `read_clip`."""
    pictures = read_pictures(Path(path), preprocessing)
    n_repeated = sum(picture is before for before, picture in pairwise(pictures))
    return VideoClip(stack_clip(pictures, preprocessing), n_repeated)


def stack_clip(pictures: Sequence[UInt8], preprocessing: Preprocessing) -> Float32:
    """Return the clip of scaled pictures: float32 in 0..1, `preprocessing.clip_shape`."""
    order = (3, 0, 1, 2) if preprocessing.layout == "ncthw" else (0, 3, 1, 2)
    clip = np.ascontiguousarray(np.stack(pictures).transpose(order), np.float32)
    clip /= 255
    return clip


def count_packets(path: Path) -> int:
    """Return the number of video packets up to the end or the first damage, without decoding.

    Raises:
        ClipError: as `open_video`.
    """
    import av

    count = 0
    container, stream = open_video(path)
    with container, contextlib.suppress(av.FFmpegError):
        for packet in container.demux(stream):
            count += packet.size > 0
    return count


def decode_video(path: Path) -> Iterator[av.VideoFrame]:
    """Yield the pictures of a video file, up to its end or to damage that stops the decoder.

    Raises:
        ClipError: as `open_video`, or there is no picture.
    """
    import av

    container, stream = open_video(path)
    found = False
    with container:
        try:
            for frame in container.decode(stream):
                found = True
                yield frame
        except av.FFmpegError as error:
            if not found:
                raise ClipError(f"{path} cannot be decoded: {failure_reason(error)}.") from error
    if not found:
        raise ClipError(f"{path} holds no video frame. Check that the file is complete.")


def scale_frame(frame: av.VideoFrame, preprocessing: Preprocessing) -> UInt8:
    """Return the frame upright, scaled and cropped: `(height, width, 3)` uint8.

    Colours are converted by the frame's tags (BT.601 or BT.709, limited or full range).

    Raises:
        ClipError: the frame cannot be scaled; the text names the size, the caller adds the file.
    """
    import av

    turn = _read_turn(frame)
    height, width = scaled_size(*turn.size(frame.height, frame.width), preprocessing)
    if height * width > MAX_PIXELS:
        raise _scaling_error(frame, height, width, "more than 8192x8192 pixels")
    top, left = (height - preprocessing.height) // 2, (width - preprocessing.width) // 2
    kind = preprocessing.interpolation
    rows, columns = slice(top, top + preprocessing.height), slice(left, left + preprocessing.width)
    try:
        if preprocessing.as_trained:
            full = turn.apply(_to_pixels(_reformat(frame, format="rgb24")))
            return resize_picture(full, height, width, rows=rows, columns=columns, resampling=kind)
        lines, pixels = turn.size(height, width)
        size = {"height": lines, "width": pixels}
        small = _reformat(frame, **size, format="rgb24", interpolation=kind.upper())
    except av.FFmpegError as error:
        raise _scaling_error(frame, height, width, failure_reason(error)) from error
    return turn.apply(_to_pixels(small))[rows, columns]


def upright_size(frame: av.VideoFrame) -> tuple[int, int]:
    """Return height and width of a frame, rotated as the video's metadata requires."""
    return _read_turn(frame).size(frame.height, frame.width)


def read_pictures(
    path: Path, preprocessing: Preprocessing, *, scale: Scale = scale_frame
) -> list[UInt8]:
    """Return the scaled pictures of a clip, in order; pictures of a short video repeat.

    Args:
        path: the video file.
        preprocessing: sampling and scaling of the frames.
        scale: called once for each used frame; `edgesplit bench` passes a timed function.

    Raises:
        ClipError: as `read_clip`, or a frame cannot be scaled.
    """
    expected = count_packets(path)
    pictures, n_frames = _decode_pictures(path, preprocessing, expected, scale)
    if n_frames != expected:
        # Some packets gave no picture: sample again from the frames that exist.
        pictures, n_frames = _decode_pictures(path, preprocessing, n_frames, scale)
    indices = sample_frames(n_frames, preprocessing)
    if not pictures.keys() >= set(indices):
        raise ClipError(
            f"{path} gave fewer frames when it was read again. Try again when the file is complete."
        )
    return [pictures[index] for index in indices]


def _decode_pictures(
    path: Path, preprocessing: Preprocessing, n_frames: int, scale: Scale
) -> tuple[dict[int, UInt8], int]:
    """Return the sampled pictures of a video of `n_frames`, and its true number of frames."""
    wanted: Collection[int] = set(sample_frames(n_frames, preprocessing)) if n_frames else ()
    pictures: dict[int, UInt8] = {}
    count = 0
    for count, frame in enumerate(decode_video(path), start=1):
        if count - 1 in wanted:
            try:
                pictures[count - 1] = scale(frame, preprocessing)
            except ClipError as error:
                raise ClipError(f"{path}: {error}") from error
    return pictures, count


def _scaling_error(frame: av.VideoFrame, height: int, width: int, reason: str) -> ClipError:
    return ClipError(
        f"A picture of {frame.width}x{frame.height} ({frame.format.name}) cannot be scaled to "
        f"{width}x{height} ({reason}). Convert the video, or crop it to the usual proportions."
    )


def _reformat(frame: av.VideoFrame, **options: Any) -> av.VideoFrame:
    """Convert a frame with a scaler that each thread keeps.

    The `reformat` of a frame prepares FFmpeg's scaler again for every frame, which takes longer
    than scaling a small picture. A kept scaler prepares itself again only if sizes, formats or
    colours change.
    """
    from av.video.reformatter import ColorPrimaries, ColorTrc, VideoReformatter

    if not hasattr(_kept, "reformatter"):
        _kept.reformatter = VideoReformatter()
    # These tags change no pixel. The scaler of PyAV 17 refuses a picture with unknown tags; PyAV 18
    # does not need them.
    frame.color_trc = ColorTrc.UNSPECIFIED
    frame.color_primaries = ColorPrimaries.UNSPECIFIED
    return cast("av.VideoFrame", _kept.reformatter.reformat(frame, **options))


_kept = threading.local()


def _to_pixels(frame: av.VideoFrame) -> UInt8:
    return frame.to_ndarray().astype(np.uint8, copy=False)


class _Turn(NamedTuple):
    """Rotation of a stored picture: its axes are exchanged, then lines are reversed."""

    swap: bool = False
    reverse_rows: bool = False
    reverse_columns: bool = False

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of the upright picture from the stored picture, or vice versa."""
        return (width, height) if self.swap else (height, width)

    def apply(self, picture: UInt8) -> UInt8:
        """Return a view of the picture, upright."""
        turned = picture.swapaxes(0, 1) if self.swap else picture
        return turned[:: -1 if self.reverse_rows else 1, :: -1 if self.reverse_columns else 1]


def _read_turn(frame: av.VideoFrame) -> _Turn:
    """Return the rotation in the video's display matrix, as written by phones."""
    from av.sidedata.sidedata import SideDataContainer

    # `frame.side_data` would keep the frame in memory until a garbage collection.
    found: Any = SideDataContainer(frame).get("DISPLAYMATRIX")  # type: ignore[call-arg]
    if found is None:
        return _Turn()
    matrix = np.frombuffer(found, np.int32)  # in the machine's byte order
    # Shown at x = a * column + c * row, y = b * column + d * row.
    a, b, c, d = (int(value) for value in matrix[[0, 1, 3, 4]])
    if abs(a) + abs(d) < abs(b) + abs(c):
        return _Turn(swap=True, reverse_rows=b < 0, reverse_columns=c < 0)
    return _Turn(reverse_rows=d < 0, reverse_columns=a < 0)
