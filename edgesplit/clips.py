"""From a video file to the clip that a backbone takes.

Decoding is PyAV's (FFmpeg), and scaling, where it is not done as in training; which frames, which
size and which layout is the bundle's `Preprocessing`. Pictures are turned as the video says they
are shown. Mean and standard deviation are folded into the backbone, so a clip is float32 in 0..1.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from edgesplit.errors import ClipError
from edgesplit.preprocessing import Preprocessing, sample_frames, scaled_size
from edgesplit.resize import resize_picture

if TYPE_CHECKING:
    import av

__all__ = [
    "VIDEO_SUFFIXES",
    "VideoClip",
    "check_decodable",
    "find_videos",
    "open_video",
    "read_clip",
    "read_video",
    "scale_frame",
    "stack_clip",
]

Pixels = npt.NDArray[np.uint8]

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


@dataclass(frozen=True, slots=True, eq=False)
class VideoClip:
    """A clip, and whether the video was long enough for it."""

    pixels: npt.NDArray[np.float32]
    """Of shape `preprocessing.clip_shape`, in 0..1."""
    n_repeated: int
    """Frames of the clip that repeat the one before, as the video has too few."""


def read_clip(path: str | Path, preprocessing: Preprocessing) -> npt.NDArray[np.float32]:
    """One clip from a video file, float32 in 0..1, of shape `preprocessing.clip_shape`.

    Raises:
        ClipError: the file is missing, not a video, or holds no frame.
    """
    return read_video(path, preprocessing).pixels


def read_video(path: str | Path, preprocessing: Preprocessing) -> VideoClip:
    """As `read_clip`, and says of a video that is shorter than the clip that it is."""
    path = Path(path)
    expected = _count_packets(path)
    frames, n_frames = _decode(path, preprocessing, expected)
    if n_frames != expected:
        # Some packets gave no picture: sample again from the frames that there really are.
        frames, n_frames = _decode(path, preprocessing, n_frames)
    indices = sample_frames(n_frames, preprocessing)
    clip = stack_clip([frames[index] for index in indices], preprocessing)
    return VideoClip(clip, n_repeated=len(indices) - len(set(indices)))


def stack_clip(pictures: Sequence[Pixels], preprocessing: Preprocessing) -> npt.NDArray[np.float32]:
    """The clip of pictures that `scale_frame` made: float32 in 0..1, `preprocessing.clip_shape`."""
    order = (3, 0, 1, 2) if preprocessing.layout == "ncthw" else (0, 3, 1, 2)
    clip = np.ascontiguousarray(np.stack(pictures).transpose(order), np.float32)
    clip /= 255
    return clip


def _count_packets(path: Path) -> int:
    """Number of video packets up to the end or the first damage, without decoding."""
    import av

    count = 0
    with open_video(path) as container, contextlib.suppress(av.FFmpegError):
        for packet in container.demux(container.streams.video[0]):
            count += packet.size > 0
    return count


def _decode(
    path: Path, preprocessing: Preprocessing, n_frames: int
) -> tuple[dict[int, Pixels], int]:
    """The frames to sample from a video of `n_frames`, and how many frames it really has."""
    import av

    wanted: Collection[int] = set(sample_frames(n_frames, preprocessing)) if n_frames else ()
    frames: dict[int, Pixels] = {}
    count = 0
    with open_video(path) as container:
        try:
            for count, frame in enumerate(container.decode(video=0), start=1):
                if count - 1 in wanted:
                    frames[count - 1] = scale_frame(frame, preprocessing)
        except av.FFmpegError as error:
            if not count:
                raise ClipError(f"{path} cannot be decoded: {error.strerror}.") from error
    if not count:
        raise ClipError(f"{path} holds no video frame. Check that the file is complete.")
    return frames, count


def scale_frame(frame: av.VideoFrame, preprocessing: Preprocessing) -> Pixels:
    """The frame upright, scaled and cropped: `(height, width, 3)` uint8."""
    turn = _read_turn(frame)
    stored = frame.height, frame.width
    height, width = scaled_size(*turn.size(*stored), preprocessing)
    top, left = (height - preprocessing.height) // 2, (width - preprocessing.width) // 2
    kind = preprocessing.interpolation
    rows, columns = slice(top, top + preprocessing.height), slice(left, left + preprocessing.width)
    if preprocessing.as_trained:
        picture = turn.apply(_to_pixels(_reformat(frame, format="rgb24")))
        return resize_picture(picture, height, width, rows=rows, columns=columns, resampling=kind)
    lines, pixels = turn.size(height, width)
    small = _reformat(frame, width=pixels, height=lines, format="rgb24", interpolation=kind.upper())
    return turn.apply(_to_pixels(small))[rows, columns]


def _reformat(frame: av.VideoFrame, **options: Any) -> av.VideoFrame:
    """As the frame's own `reformat`, which prepares FFmpeg's scaler anew for every frame.

    That takes longer than scaling a small picture. One is kept for each thread; it prepares itself
    again when sizes or formats change.
    """
    from av.video.reformatter import VideoReformatter

    if not hasattr(_kept, "reformatter"):
        _kept.reformatter = VideoReformatter()
    return cast("av.VideoFrame", _kept.reformatter.reformat(frame, **options))


_kept = threading.local()


def _to_pixels(frame: av.VideoFrame) -> Pixels:
    return frame.to_ndarray().astype(np.uint8, copy=False)


class _Turn(NamedTuple):
    """How a stored picture becomes upright: its axes are exchanged, then lines are reversed."""

    swap: bool = False
    reverse_rows: bool = False
    reverse_columns: bool = False

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the other one: of the upright picture or the stored one."""
        return (width, height) if self.swap else (height, width)

    def apply(self, picture: Pixels) -> Pixels:
        """A view of the picture, upright."""
        turned = picture.swapaxes(0, 1) if self.swap else picture
        return turned[:: -1 if self.reverse_rows else 1, :: -1 if self.reverse_columns else 1]


def _read_turn(frame: av.VideoFrame) -> _Turn:
    """What the video's display matrix says: a phone stores pictures as its sensor lies."""
    from av.sidedata.sidedata import SideDataContainer

    # `frame.side_data` would keep the frame, and its megabytes, until a garbage collection.
    found: Any = SideDataContainer(frame).get("DISPLAYMATRIX")  # type: ignore[call-arg]
    if found is None:
        return _Turn()
    matrix = np.frombuffer(found, np.int32)  # in the machine's byte order
    # Shown at x = a * column + c * row, y = b * column + d * row.
    a, b, c, d = (int(value) for value in matrix[[0, 1, 3, 4]])
    if abs(a) + abs(d) < abs(b) + abs(c):
        return _Turn(swap=True, reverse_rows=b < 0, reverse_columns=c < 0)
    return _Turn(reverse_rows=d < 0, reverse_columns=a < 0)


def open_video(path: Path) -> av.container.InputContainer:
    """The file, opened; it has a video stream that can be decoded, and fetches no other file.

    Raises:
        ClipError: it is missing, empty or no video.
    """
    import av

    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        raise ClipError(
            f"{path} {what}. Give a video file; `edgesplit run` takes URLs and cameras."
        )
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
    check_decodable(container, str(path))
    return container


def check_decodable(container: av.container.InputContainer, name: str) -> None:
    """Closes and refuses a container without video, or whose codec is unknown.

    Raises:
        ClipError: it is refused, by its name.
    """
    if not container.streams.video:
        container.close()
        raise ClipError(f"{name} has no video stream. Give a source with pictures.")
    if container.streams.video[0].codec_context is None:  # PyAV before 18 crashes on decoding it
        container.close()
        raise ClipError(f"{name} holds video of a codec that this FFmpeg does not know.")
