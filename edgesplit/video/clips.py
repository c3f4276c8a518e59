"""From a video file to the clip that a backbone takes.

Decoding is PyAV's (FFmpeg), and scaling, where it is not done as in training; which frames, which
size and which layout is the bundle's `Preprocessing`. Pictures are turned as the video says they
are shown. Mean and standard deviation are folded into the backbone, so a clip is float32 in 0..1.
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
from edgesplit.video.preprocessing import Preprocessing, sample_frames, scaled_size
from edgesplit.video.resize import resize_picture

if TYPE_CHECKING:
    import av

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "VIDEO_SUFFIXES",
    "VideoClip",
    "choose_stream",
    "count_packets",
    "decode_video",
    "failure_reason",
    "find_videos",
    "open_video",
    "opening_reason",
    "read_clip",
    "read_pictures",
    "read_video",
    "scale_frame",
    "stack_clip",
]

Scale: TypeAlias = "Callable[[av.VideoFrame, Preprocessing], UInt8]"
"""As `scale_frame`."""

VIDEO_SUFFIXES = frozenset((".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".ts", ".webm"))

FORMATS = (
    # Files of video.
    *("asf", "avi", "flv", "gif", "ivf", "live_flv", "matroska", "mov", "mpeg", "mpegts", "mxf"),
    *("nut", "ogg"),
    # Video without a container, as cameras and programs write it to a pipe.
    *("h264", "hevc", "m4v", "mjpeg", "mpegvideo", "mpjpeg", "obu", "yuv4mpegpipe"),
    # Sound, to say that there is no video in it.
    *("aac", "flac", "mp3", "wav"),
)
"""FFmpeg's names of the formats that are opened, whatever a file is called. Each holds its pictures
itself. Formats that name other files (playlists, lists of parts, SDP, picture sequences) are not
among them: with those a video could make FFmpeg read files, ask hosts, or wait for ever."""

MAX_PIXELS = 8192 * 8192
"""Of a picture, as it is stored and as it is scaled."""


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

    pixels: Float32
    """Of shape `preprocessing.clip_shape`, in 0..1."""
    n_repeated: int
    """Frames of the clip that repeat the one before, as the video has too few."""


def read_clip(path: str | Path, preprocessing: Preprocessing) -> Float32:
    """One clip from a video file, float32 in 0..1, of shape `preprocessing.clip_shape`.

    Raises:
        ClipError: the file is missing, not a video, or holds no frame.
    """
    return read_video(path, preprocessing).pixels


def read_video(path: str | Path, preprocessing: Preprocessing) -> VideoClip:
    """As `read_clip`, and says of a video that is shorter than the clip that it is."""
    pictures = read_pictures(Path(path), preprocessing)
    n_repeated = sum(picture is before for before, picture in pairwise(pictures))
    return VideoClip(stack_clip(pictures, preprocessing), n_repeated)


def stack_clip(pictures: Sequence[UInt8], preprocessing: Preprocessing) -> Float32:
    """The clip of pictures that `scale_frame` made: float32 in 0..1, `preprocessing.clip_shape`."""
    order = (3, 0, 1, 2) if preprocessing.layout == "ncthw" else (0, 3, 1, 2)
    clip = np.ascontiguousarray(np.stack(pictures).transpose(order), np.float32)
    clip /= 255
    return clip


def count_packets(path: Path) -> int:
    """Number of video packets up to the end or the first damage, without decoding.

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
    """The pictures of a video file, up to its end or to damage that nothing can be read behind.

    Raises:
        ClipError: as `open_video`, or there is not one picture.
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
                raise ClipError(f"{path} cannot be decoded: {error.strerror}.") from error
    if not found:
        raise ClipError(f"{path} holds no video frame. Check that the file is complete.")


def scale_frame(frame: av.VideoFrame, preprocessing: Preprocessing) -> UInt8:
    """The frame upright, scaled and cropped: `(height, width, 3)` uint8.

    Colours are converted as the frame's tags say (BT.601 or BT.709, limited or full range).

    Raises:
        ClipError: it cannot be scaled; the text names the size, the caller adds the file.
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
            whole = turn.apply(_to_pixels(_reformat(frame, format="rgb24")))
            return resize_picture(whole, height, width, rows=rows, columns=columns, resampling=kind)
        lines, pixels = turn.size(height, width)
        size = {"height": lines, "width": pixels}
        small = _reformat(frame, **size, format="rgb24", interpolation=kind.upper())
    except av.FFmpegError as error:
        raise _scaling_error(frame, height, width, failure_reason(error)) from error
    return turn.apply(_to_pixels(small))[rows, columns]


def read_pictures(
    path: Path, preprocessing: Preprocessing, *, scale: Scale = scale_frame
) -> list[UInt8]:
    """Return the scaled pictures that make a clip, in order; a short video's repeat.

    Args:
        path: the video file.
        preprocessing: which frames, and how they are scaled.
        scale: called once for each frame that is used; `edgesplit bench` passes one that is timed.

    Raises:
        ClipError: as `read_clip`, or a frame cannot be scaled.
    """
    expected = count_packets(path)
    pictures, n_frames = _decode_pictures(path, preprocessing, expected, scale)
    if n_frames != expected:
        # Some packets gave no picture: sample again from the frames that there really are.
        pictures, n_frames = _decode_pictures(path, preprocessing, n_frames, scale)
    indices = sample_frames(n_frames, preprocessing)
    if not pictures.keys() >= set(indices):
        raise ClipError(f"{path} gave fewer frames when it was read again. Is it being written?")
    return [pictures[index] for index in indices]


def _decode_pictures(
    path: Path, preprocessing: Preprocessing, n_frames: int, scale: Scale
) -> tuple[dict[int, UInt8], int]:
    """Return the pictures to sample from a video of `n_frames`, and how many frames it has."""
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
    """As the frame's own `reformat`, which prepares FFmpeg's scaler anew for every frame.

    That takes longer than scaling a small picture. One is kept for each thread; it prepares itself
    again when sizes, formats or colours change.
    """
    from av.video.reformatter import ColorPrimaries, ColorTrc, VideoReformatter

    if not hasattr(_kept, "reformatter"):
        _kept.reformatter = VideoReformatter()
    # They change no pixel here. PyAV 17 lets the scaler refuse a picture whose tags it does not
    # know; PyAV 18 does without them, too.
    frame.color_trc = ColorTrc.UNSPECIFIED
    frame.color_primaries = ColorPrimaries.UNSPECIFIED
    return cast("av.VideoFrame", _kept.reformatter.reformat(frame, **options))


_kept = threading.local()


def _to_pixels(frame: av.VideoFrame) -> UInt8:
    return frame.to_ndarray().astype(np.uint8, copy=False)


class _Turn(NamedTuple):
    """How a stored picture becomes upright: its axes are exchanged, then lines are reversed."""

    swap: bool = False
    reverse_rows: bool = False
    reverse_columns: bool = False

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the other one: of the upright picture or the stored one."""
        return (width, height) if self.swap else (height, width)

    def apply(self, picture: UInt8) -> UInt8:
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


def open_video(path: Path) -> tuple[av.container.InputContainer, av.VideoStream]:
    """The file, opened, and its video stream, which can be decoded. No other file is opened.

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
    # `container_options`: with `options`, PyAV 17 frees memory that it never got (MPEG, FLV).
    options = {"protocol_whitelist": "file", "format_whitelist": ",".join(FORMATS)}
    try:
        # "file:" keeps a name like 10:30.mp4 from being read as a protocol.
        container = av.open(f"file:{path}", container_options=options)
    except (av.FFmpegError, ValueError) as error:
        raise ClipError(
            f"{path} is not a video that FFmpeg can open ({opening_reason(error)}). "
            "Convert or copy it."
        ) from error
    return container, choose_stream(container, str(path))


def failure_reason(error: Exception) -> str:
    """What FFmpeg says, without the path or URL that it would add."""
    import av

    if isinstance(error, av.error.ExitError):
        return "no answer in time"
    return str(getattr(error, "strerror", None) or type(error).__name__)


def opening_reason(error: Exception) -> str:
    """As `failure_reason`, of what cannot be opened: it may be of a format that is not read."""
    import av

    invalid = isinstance(error, av.error.ArgumentError)  # FFmpeg's name for it
    more = "; playlists and single pictures are not read" if invalid else ""
    return f"{failure_reason(error)}{more}"


def choose_stream(container: av.container.InputContainer, name: str) -> av.VideoStream:
    """The video stream that the `ffmpeg` program would take; closes a container without one.

    That is the one marked as default, or else the one of the largest picture, or else the first.
    Cover art is no video.

    Raises:
        ClipError: there is no video, or its codec is unknown or its picture too large.
    """
    from av.stream import Disposition

    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    try:
        if not streams:
            raise ClipError(f"{name} has no video stream. Give a source with pictures.")
        stream = max(streams, key=_preference)
        if stream.codec_context is None:  # PyAV before 18 crashes on decoding it
            raise ClipError(f"{name} holds video of a codec that this FFmpeg does not know.")
        if _n_pixels(stream) > MAX_PIXELS:
            size = f"{stream.codec_context.width}x{stream.codec_context.height}"
            raise ClipError(
                f"{name} has pictures of {size}; 8192x8192 pixels are the most. Scale it down."
            )
    except ClipError:
        container.close()
        raise
    # The size may change on the way; the decoder refuses what is larger.
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    return stream


def _n_pixels(stream: av.VideoStream) -> int:
    """Of a picture; 0 when the codec is unknown."""
    codec: Any = stream.codec_context  # typed as if it were never None
    return 0 if codec is None else codec.width * codec.height


def _preference(stream: av.VideoStream) -> int:
    """As the `ffmpeg` program reckons: being the default is worth five million pixels."""
    from av.stream import Disposition

    return _n_pixels(stream) + 5_000_000 * bool(stream.disposition & Disposition.default)
