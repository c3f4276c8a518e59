"""Opens and reads the source of a stream: a file, a URL, a camera or standard input.

An open source is a `Feed`: frames with timestamps. FFmpeg decodes and numpy scales them, both
without Python's lock, so that other threads run meanwhile.
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
"""Protocols that FFmpeg may use for a URL, by its scheme. None has `file`, since a playlist from
elsewhere must not read files."""

MAX_RATE = 500
"""Highest frame rate that is believed; no camera that is watched live has more."""

FORMATS_WITHOUT_TIMES = ("h264", "hevc", "m4v", "mjpeg", "mpjpeg")
"""Formats without timestamps. FFmpeg numbers their frames, at a rate that it guesses."""

MAX_UNREADABLE = 100
"""Packets in a row that cannot be read, after which the rest of a source is given up."""


@dataclass(frozen=True, slots=True)
class Source:
    """A source of video that is not open yet."""

    target: str
    """A path or URL; it may hold a password."""
    kind: SourceKind
    name: str
    """The target without its password, to be shown and logged."""
    live: bool | None
    """True if it goes on while nobody reads it. None: known once it is open (a URL may be of a
    file)."""
    playlist: bool = False
    """True if it may be an HLS playlist, which makes FFmpeg ask the hosts that it names."""

    @property
    def returns(self) -> bool:
        """True if it can be opened again after it broke off."""
        return self.kind in ("url", "device")


class Feed(Protocol):
    """The frames of an open source. One thread opens, iterates and closes it."""

    rate: float | None
    """Frame rate per second that the source states; None when it states none."""
    live: bool
    """True if the source goes on while nobody reads it."""
    damaged: int
    """Packets so far that did not decode, are marked as corrupt, or decode to such a picture."""

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames up to the end of the source.

        Raises:
            ClipError: if the source breaks off.
        """
        ...

    def close(self) -> None:
        """Close the source."""
        ...


def parse_source(text: str, *, live: bool | None = None, playlist: bool = False) -> Source:
    """Return the source that a text names: `-` for standard input, a URL, a device or a file.

    Args:
        text: the source as it is typed for `--source`.
        live: True if the source goes on while nobody reads it; by default URLs of streams and
            cameras do.
        playlist: True if an http or https URL may be of an HLS playlist. Its server then chooses
            which hosts this machine asks, and may choose this machine or its network.

    Raises:
        ClipError: if a URL has a scheme that is not read, or cannot be that of a playlist.
    """
    if playlist and not re.match(r"https?://", text, re.IGNORECASE):
        raise ClipError("Only http:// and https:// sources are read as playlists.")
    if text == "-":
        return Source("pipe:0", "pipe", "standard input", live or False)
    if match := re.match(r"([a-zA-Z][a-zA-Z0-9+.-]*)://", text):
        scheme = match[1].lower()
        if scheme not in PROTOCOLS:
            known = ", ".join(PROTOCOLS)
            raise ClipError(f"{scheme}:// is not read. Give a file, a camera, or one of {known}.")
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


def _without_secrets(url: str) -> str:
    """Return the URL without its password, and without its query, where cameras take theirs.

    `urlsplit` would take a password with a slash in it for host and path.
    """
    scheme, _, rest = url.partition("://")
    user, at, host = rest.rpartition("@")
    shown = f"{re.split('[:/?#]', user)[0]}:***@" if at else ""
    address, query, _ = host.partition("?")
    return f"{scheme}://{shown}{address}{query and '?***'}"


def open_feed(source: Source, preprocessing: Preprocessing, *, timeout_s: float) -> Feed:
    """Open a source.

    Args:
        source: the source.
        preprocessing: says how its frames are scaled.
        timeout_s: seconds that a network may be silent; there is no limit for cameras and pipes.

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
        raise ClipError(
            f"{source.name} cannot be opened ({opening_reason(error)}). {_advice(source)}"
        ) from error
    return _AvFeed(source, container, choose_stream(container, source.name), preprocessing)


def _how_to_open(source: Source) -> tuple[str, str | None, dict[str, str]]:
    """Return what FFmpeg opens, its format if FFmpeg must be given that, and FFmpeg's options."""
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
        options["rtsp_flags"] = "prefer_tcp"  # over UDP, one lost packet tears many pictures
    return target, None, options


def _advice(source: Source) -> str:
    if source.kind == "device":
        last = " It is tried again until --give-up." if source.live else ""
        return f"Is the camera plugged in, and not used by another program?{last}"
    if source.kind == "pipe":
        return "Pipe MPEG-TS or Matroska; an MP4 file must be given by its name."
    playlist = " An http or https playlist needs --playlist." if not source.playlist else ""
    return f"Check the address, and that the camera is on.{playlist}"


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
        # Of a source without a rate, FFmpeg takes the clock's ticks for frames.
        self.rate = float(rate) if rate and rate <= MAX_RATE else None
        self.damaged = 0
        endless = source.live is None and container.duration is None and container.size < 0
        self.live = source.live or endless
        self._by_arrival = self.live and container.format.name in FORMATS_WITHOUT_TIMES
        # Decoding several frames at once is fastest, but makes a live picture late by as many.
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
        """Yield all packets, then None, at which the decoder returns the frames it still holds.

        Raises:
            ClipError: if the source broke off, after the None.
        """
        import av

        in_a_row = 0
        broke: Exception | None = None
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
                broke = error
                break
        yield None
        if broke is not None:
            raise ClipError(f"{self._name} broke off ({failure_reason(broke)}).") from broke

    def _frame(self, frame: av.VideoFrame) -> Frame:
        # The stream's time base: the frames that a decoder still holds at the end have none.
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
