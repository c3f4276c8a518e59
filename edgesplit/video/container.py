"""Video containers: the formats that are opened, and the stream that is decoded."""

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
    # Sound: opened only to say that it holds no video.
    *("aac", "ac3", "aiff", "amr", "caf", "eac3", "flac", "mp3", "wav"),
)
"""FFmpeg's names of the formats that are opened, whatever a file is called. Each holds its pictures
itself. Formats that name other files (playlists, lists of parts, SDP, picture sequences) are not
among them: with those a video could make FFmpeg read files, ask hosts, or wait for ever."""

MAX_PIXELS = 8192 * 8192
"""The largest picture, in pixels, before and after scaling."""

_PROBED_PACKETS = 1000
"""How many packets of all video streams are read to see which of them have any."""


def open_video(path: Path) -> tuple[av.container.InputContainer, av.VideoStream]:
    """Open a file, and no other; return it and its video stream, which can be decoded.

    Raises:
        ClipError: it is missing, empty or no video.
    """
    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        raise ClipError(
            f"{path} {what}. Give a video file; URLs and cameras are for `edgesplit run --source`."
        )
    if path.stat().st_size == 0:
        raise ClipError(f"{path} is empty (0 bytes). Record or copy it again.")
    container = _open_file(path)
    empty = _find_empty(container)
    if empty is not None:  # packets were read: begin again
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
    """Return the indices of video streams without a packet; None where there is no choice."""
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
    """Return FFmpeg's reason, without the path or URL that it would add."""
    import av

    if isinstance(error, av.error.ExitError):
        return "no answer in time"
    return str(getattr(error, "strerror", None) or type(error).__name__)


def opening_reason(error: Exception) -> str:
    """Return why a source cannot be opened; it may have a format that is not read."""
    import av

    invalid = isinstance(error, av.error.ArgumentError)  # FFmpeg's name for it
    more = "; perhaps a single picture or a playlist, which are not read"
    return f"{failure_reason(error)}{more if invalid else ''}"


def choose_stream(
    container: av.container.InputContainer, name: str, *, empty: Collection[int] = ()
) -> av.VideoStream:
    """Return the video stream that the `ffmpeg` program would take; close a container without one.

    That is the one with the most pixels, where being marked as default counts as five million
    more, and the first of equals. Cover art is no video.

    Args:
        container: the file or source, opened.
        name: of it, for errors.
        empty: indices of streams that have no packet, which `ffmpeg` takes last.

    Raises:
        ClipError: there is no video, or its codec is unknown or its picture too large.
    """
    streams = _candidates(container)
    streams = [stream for stream in streams if stream.index not in empty] or streams
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


def _candidates(container: av.container.InputContainer) -> list[av.VideoStream]:
    from av.stream import Disposition

    return [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]


def _n_pixels(stream: av.VideoStream) -> int:
    """Return the number of pixels in a picture; 0 when the codec is unknown."""
    codec: Any = stream.codec_context  # typed as if it were never None
    return 0 if codec is None else codec.width * codec.height


def _preference(stream: av.VideoStream) -> int:
    """Return the rank in the `ffmpeg` program: the default counts five million pixels more."""
    from av.stream import Disposition

    return _n_pixels(stream) + 5_000_000 * bool(stream.disposition & Disposition.default)
