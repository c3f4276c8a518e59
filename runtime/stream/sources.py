"""Open and read the source of a stream: a file, a URL, a camera or standard input.

An open source is a `Feed`: frames with timestamps. FFmpeg decodes them and numpy scales them. Both
release Python's global lock, so other threads run meanwhile.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from edgesplit.errors import ClipError
from edgesplit.runtime.stream.windows import Frame
from edgesplit.video.clips import scale_frame
from edgesplit.video.container import (
    FORMATS,
    choose_stream,
    failure_reason,
    open_video,
    opening_reason,
)
from edgesplit.video.preprocessing import Preprocessing

if TYPE_CHECKING:
    import av

__all__ = ["Feed", "Source", "open_feed", "parse_source"]

SourceKind = Literal["file", "url", "device", "pipe"]

PROTOCOLS = {
    "http": "http,https,httpproxy,tcp,tls",
    "https": "http,https,httpproxy,tcp,tls",
    "rtsp": "rtsp,rtp,udp,tcp",
    "rtsps": "rtsp,rtsps,rtp,udp,tcp,tls",
    "rtmp": "rtmp,tcp",
    "srt": "srt,udp",
    "tcp": "tcp",
    "udp": "udp",
    "rtp": "rtp,udp",
}
"""Protocols that FFmpeg may use for a URL, by its scheme. None includes `file`, because a remote
playlist must not read local files."""

MAX_RATE = 500
"""Highest stated frame rate that is accepted; live cameras stay below it."""

FORMATS_WITHOUT_TIMES = ("h264", "hevc", "m4v", "mjpeg", "mpjpeg")
"""Formats without timestamps. FFmpeg numbers their frames at a guessed rate."""

MAX_UNREADABLE = 100
"""Unreadable packets in a row after which the rest of a source is skipped."""


@dataclass(frozen=True, slots=True)
class Source:
    """A source of video that is not open yet."""

    target: str
    """Path or URL; it may contain a password."""
    kind: SourceKind
    name: str
    """Target without its password, for messages and logs."""
    live: bool | None
    """True if it continues while nobody reads it. None if that is known only once it is open,
    because a URL may be a file."""
    playlist: bool = False
    """True if it may be an HLS playlist, which makes FFmpeg contact the hosts that it names."""

    @property
    def returns(self) -> bool:
        """True if it can be opened again after a failure."""
        return self.kind in ("url", "device")


class Feed(Protocol):
    """The frames of an open source. One thread opens, iterates and closes it."""

    rate: float | None
    """Frames per second that the source states; None if it states none."""
    live: bool
    """True if the source continues while nobody reads it."""
    damaged: int
    """Number of packets that did not decode, or that are or contain a picture marked as corrupt."""

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames up to the end of the source.

        Raises:
            ClipError: if reading fails.
        """
        ...

    def close(self) -> None:
        """Close the source."""
        ...


def parse_source(text: str, *, live: bool | None = None, playlist: bool = False) -> Source:
    """Return the source that a text names: `-` for standard input, a URL, a device or a file.

    Args:
        text: the source as given to `--source`.
        live: True if the source continues while nobody reads it; by default true for cameras and
            URLs of streams.
        playlist: True if an http or https URL may be an HLS playlist. Its server then chooses the
            hosts that this machine contacts, including this machine and its network.

    Raises:
        ClipError: if the scheme of a URL is not supported, or cannot have a playlist.
    """
    if playlist and not re.match(r"https?://", text, re.IGNORECASE):
        raise ClipError("Only http:// and https:// sources can be playlists. Omit --playlist.")
    if text == "-":
        return Source("pipe:0", "pipe", "standard input", live or False)
    if match := re.match(r"([a-zA-Z][a-zA-Z0-9+.-]*)://", text):
        scheme = match[1].lower()
        if scheme not in PROTOCOLS:
            known = ", ".join(PROTOCOLS)
            raise ClipError(
                f"{scheme}:// is not supported. Give a file, a camera, or one of {known}."
            )
        if live is None and not scheme.startswith("http"):
            live = True
        return Source(text, "url", _without_secrets(text), live, playlist)
    path, shown = Path(text), os.fsencode(text).decode(errors="backslashreplace")
    try:
        mode = path.stat().st_mode
    except OSError:
        mode = 0
    if stat.S_ISCHR(mode) or re.fullmatch(r"/dev/video\d+", text):
        return Source(text, "device", shown, True if live is None else live)
    if stat.S_ISFIFO(mode):
        return Source(text, "pipe", shown, live or False)
    return Source(text, "file", shown, live or False)


_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[\w.-]+)(:\d{1,5})?")


def _without_secrets(url: str) -> str:
    """Return scheme, host and port of a URL, and nothing that may be a secret.

    Cameras and servers take passwords and keys before the host, in the path, the query and the
    fragment. A password with a slash in it looks like a host and a path: then the host is left out.
    """
    scheme, _, rest = url.partition("://")
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    behind = rest[len(authority) :]
    _, at, host = authority.rpartition("@")
    if not _ADDRESS.fullmatch(host) or (":" in authority and not at and "@" in behind):
        host = "***"
    return f"{scheme}://{at and '***@'}{host}{'' if behind in ('', '/') else '/…'}"


def open_feed(source: Source, preprocessing: Preprocessing, *, timeout_s: float) -> Feed:
    """Open a source.

    Args:
        source: the source.
        preprocessing: the scaling of its frames.
        timeout_s: seconds that a network may be silent; cameras and pipes have no limit.

    Raises:
        ClipError: if it cannot be opened.
    """
    import av

    if source.kind == "file":
        return _AvFeed(source, *open_video(Path(source.target)), preprocessing)
    target, form, options = _how_to_open(source)
    try:
        container = av.open(target, format=form, container_options=options, timeout=timeout_s)
    except (av.FFmpegError, ValueError) as error:
        # Not "from error": FFmpeg's message has the URL with its password.
        raise ClipError(
            f"{source.name} cannot be opened ({opening_reason(error)}). {_advice(source)}"
        ) from None
    return _AvFeed(source, container, choose_stream(container, source.name), preprocessing)


def _how_to_open(source: Source) -> tuple[str, str | None, dict[str, str]]:
    """Return FFmpeg's target, its format if it must be given, and FFmpeg's options."""
    target, formats = source.target, list(FORMATS)
    if source.kind == "device":
        return target, "v4l2", {}
    if source.kind == "pipe":
        protocols = "pipe" if target == "pipe:0" else "file"
        target = target if target == "pipe:0" else f"file:{target}"
    else:
        scheme = target.partition(":")[0].lower()
        protocols = PROTOCOLS[scheme]
        formats += ["rtsp", "rtp"] if scheme in ("rtsp", "rtsps", "rtp") else []
        if source.playlist:
            protocols, formats = f"{protocols},crypto", [*formats, "hls"]
    options = {"protocol_whitelist": protocols, "format_whitelist": ",".join(formats)}
    if target.lower().startswith("rtsp"):
        options["rtsp_flags"] = "prefer_tcp"  # over UDP, one lost packet damages many pictures
    return target, None, options


def _advice(source: Source) -> str:
    if source.kind == "device":
        last = " Opening is retried until --give-up." if source.live else ""
        return f"Check that the camera is connected and not used by another program.{last}"
    if source.kind == "pipe":
        return "Pipe MPEG-TS or Matroska; an MP4 file must be given by its name."
    playlist = " An http or https playlist needs --playlist." if not source.playlist else ""
    return f"Check the address, and that the camera is switched on.{playlist}"


class _AvFeed:
    """A `Feed` of an FFmpeg container."""

    def __init__(
        self,
        source: Source,
        container: av.container.InputContainer,
        stream: av.VideoStream,
        preprocessing: Preprocessing,
    ) -> None:
        self._name, self._preprocessing = source.name, preprocessing
        self._container, self._stream = container, stream
        rate = stream.average_rate or stream.guessed_rate
        # For a source without a rate, FFmpeg reports the rate of its clock.
        self.rate = float(rate) if rate and rate <= MAX_RATE else None
        self.damaged = 0
        endless = source.live is None and container.duration is None and container.size < 0
        self.live = source.live or endless
        self._by_arrival = self.live and container.format.name in FORMATS_WITHOUT_TIMES
        # Decoding several frames in parallel is fastest, but delays a live picture by as many.
        stream.thread_type = "SLICE" if self.live else "AUTO"

    def __iter__(self) -> Iterator[Frame]:
        import av

        for packet in self._packets():
            try:
                frames = packet.decode() if packet else self._stream.codec_context.decode(None)
            except av.FFmpegError:
                self.damaged += 1
                continue
            marked = bool(packet and packet.is_corrupt) or any(one.is_corrupt for one in frames)
            self.damaged += marked
            for frame in frames:
                yield self._frame(frame)

    def _packets(self) -> Iterator[av.Packet[av.VideoStream] | None]:
        """Yield all packets, then None, for which the decoder returns its remaining frames.

        Raises:
            ClipError: after the None, if reading failed.
        """
        import av

        in_a_row = 0
        failure: Exception | None = None
        while in_a_row < MAX_UNREADABLE:
            try:
                for packet in self._container.demux(self._stream):
                    in_a_row = 0
                    if packet.size:
                        yield packet
                break
            except av.error.InvalidDataError:  # later packets may be readable
                in_a_row += 1
                self.damaged += 1
            except av.FFmpegError as error:
                failure = error
                break
        yield None
        if failure is not None:
            reason = failure_reason(failure)
            raise ClipError(
                f"Reading {self._name} failed ({reason})."
            ) from None  # the message of FFmpeg has the URL

    def _frame(self, frame: av.VideoFrame) -> Frame:
        # Use the stream's time base: the last frames of a decoder have none.
        base = self._stream.time_base
        arrived = time.monotonic()
        seconds = None if frame.pts is None or base is None else float(frame.pts * base)
        return Frame(
            seconds=arrived if self._by_arrival else seconds,
            arrived=arrived,
            wall=time.time(),
            scale=lambda: scale_frame(frame, self._preprocessing),
        )

    def close(self) -> None:
        """Close the container."""
        self._container.close()
