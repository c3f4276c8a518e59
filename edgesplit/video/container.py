"""Video containers: accepted formats, and the choice of the stream to decode."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgesplit.errors import ClipError

if TYPE_CHECKING:
    import av

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "choose_stream",
    "failure_reason",
    "open_video",
    "opening_reason",
]

FORMATS = (
    # Files of video.
    *("asf", "avi", "dhav", "dv", "flv", "gif", "ivf", "live_flv", "matroska", "mov", "mpeg"),
    *("mpegts", "mxf", "nut", "ogg", "rm", "wtv"),
    # Video without a container, as cameras and programs write it to a pipe.
    *("h264", "hevc", "m4v", "mjpeg", "mpegvideo", "mpjpeg", "obu", "yuv4mpegpipe"),
    # Sound: opened only for an error that there is no video.
    *("aac", "ac3", "aiff", "amr", "caf", "eac3", "flac", "mp3", "wav"),
)
"""FFmpeg's names of the accepted formats, whatever the file name. Each file contains its pictures.
Formats that refer to other files (playlists, lists of parts, SDP, picture sequences) are refused,
because such a file could make FFmpeg read other files, contact hosts, or wait forever."""

MAX_PIXELS = 8192 * 8192
"""Largest number of pixels of a picture, before and after scaling."""

_PROBED_PACKETS = 1000
"""Most packets that are read to find the video streams without packets."""


def open_video(path: Path) -> tuple[av.container.InputContainer, av.VideoStream]:
    """Open only this file; return it and a video stream that can be decoded.

    Raises:
        ClipError: the file is missing, empty or not a video.
    """
    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        raise ClipError(
            f"{path} {what}. Give a video file, or for `run --source` also a URL or a camera."
        )
    if path.stat().st_size == 0:
        raise ClipError(f"{path} is empty (0 bytes). Record or copy it again.")
    container = _open_file(path)
    empty = _find_empty(container)
    if empty is not None:  # packets were read, so open the file again
        container.close()
        container = _open_file(path)
    return container, choose_stream(container, str(path), empty=empty or frozenset())


def _open_file(path: Path) -> av.container.InputContainer:
    import av

    # `container_options`: passing `options` crashes PyAV 17 on MPEG and FLV.
    options = {"protocol_whitelist": "file", "format_whitelist": ",".join(FORMATS)}
    try:
        # "file:" keeps a name like 10:30.mp4 from being read as a protocol.
        return av.open(f"file:{path}", container_options=options)
    except (av.FFmpegError, ValueError) as error:
        raise ClipError(
            f"{path} is not a video that FFmpeg can open ({opening_reason(error)}). "
            "Convert or copy it."
        ) from error


def _find_empty(container: av.container.InputContainer) -> frozenset[int] | None:
    """Return the indices of video streams without a packet; None if there are fewer than two."""
    import av

    streams = _candidates(container)
    if len(streams) < 2:
        return None
    best, seen = max(streams, key=_preference).index, set[int]()
    with contextlib.suppress(av.FFmpegError):
        for packet in islice(container.demux(*streams), _PROBED_PACKETS):
            seen |= {packet.stream.index} if packet.size else set()
            if best in seen:
                break
    return frozenset(stream.index for stream in streams) - seen if seen else frozenset()


def failure_reason(error: Exception) -> str:
    """Return FFmpeg's reason, without the path or URL."""
    import av

    if isinstance(error, av.error.ExitError):
        return "no answer in time"
    return str(getattr(error, "strerror", None) or type(error).__name__)


def opening_reason(error: Exception) -> str:
    """Return why a source cannot be opened; its format may not be accepted."""
    import av

    invalid = isinstance(error, av.error.ArgumentError)  # FFmpeg's name for it
    more = "; perhaps a single picture or a playlist, which are not accepted"
    return f"{failure_reason(error)}{more if invalid else ''}"


def choose_stream(
    container: av.container.InputContainer, name: str, *, empty: Collection[int] = ()
) -> av.VideoStream:
    """Return the video stream that the `ffmpeg` program would choose; close a container without it.

    It is the stream with the most pixels, and the first of equals. The mark as default counts as
    five million pixels. Cover art is not a video.

    Args:
        container: the open file or source.
        name: name of the file or source, for errors.
        empty: indices of streams without a packet, which `ffmpeg` chooses last.

    Raises:
        ClipError: there is no video, its codec is unknown, or its picture is too large.
    """
    streams = _candidates(container)
    streams = [stream for stream in streams if stream.index not in empty] or streams
    try:
        if not streams:
            raise ClipError(f"{name} has no video stream. Give a source with video.")
        stream = max(streams, key=_preference)
        if stream.codec_context is None:  # PyAV before 18 crashes on decoding it
            raise ClipError(f"{name} has a video codec that this FFmpeg does not know. Convert it.")
        if _n_pixels(stream) > MAX_PIXELS:
            size = f"{stream.codec_context.width}x{stream.codec_context.height}"
            raise ClipError(
                f"{name} has pictures of {size}; the limit is 8192x8192 pixels. Scale it down."
            )
    except ClipError:
        container.close()
        raise
    # The size may change within the stream; the decoder refuses larger pictures.
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    return stream


def _candidates(container: av.container.InputContainer) -> list[av.VideoStream]:
    from av.stream import Disposition

    return [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]


def _n_pixels(stream: av.VideoStream) -> int:
    """Return the number of pixels in a picture; 0 when the codec is unknown."""
    codec: Any = stream.codec_context  # typed as if it were never None
    return 0 if codec is None else codec.width * codec.height


def _preference(stream: av.VideoStream) -> int:
    """Return the rank in the `ffmpeg` program: the default stream gets five million more pixels."""
    from av.stream import Disposition

    return _n_pixels(stream) + 5_000_000 * bool(stream.disposition & Disposition.default)
