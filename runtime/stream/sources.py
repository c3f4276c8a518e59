"""Opening and reading what a stream comes from: a file, a URL, a camera, standard input.

What comes of it is a `Feed`: frames with timestamps. Decoding and scaling are FFmpeg's and numpy's,
which leave Python's lock to others meanwhile.
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

Kind = Literal["file", "url", "device", "pipe"]

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
"""What FFmpeg may use for a URL. Never `file`: a playlist from elsewhere must not read files."""

MAX_RATE = 500
"""Frames a second; more than any camera gives that is watched live."""

UNTIMED = ("h264", "hevc", "m4v", "mjpeg", "mpjpeg")
"""Formats without timestamps: FFmpeg numbers their frames, at a rate it guesses."""

DAMAGES_IN_A_ROW = 100
"""After so many packets that cannot even be read, the rest of a source is given up."""


@dataclass(frozen=True, slots=True)
class Source:
    """What is read, and how."""

    target: str
    """A path or URL; it may hold a password."""
    kind: Kind
    name: str
    """To be shown and logged: without the password."""
    live: bool | None
    """Whether it goes on without us. None: known when it is open (a URL may be of a file)."""
    playlist: bool = False
    """Whether it may be an HLS playlist, which makes FFmpeg ask the hosts that it names."""

    @property
    def returns(self) -> bool:
        """Whether it can be opened again when it breaks off."""
        return self.kind in ("url", "device")


class Feed(Protocol):
    """Frames of an open source. Made, iterated and closed by one thread."""

    rate: float | None
    """Frames a second, as far as the source says."""
    live: bool
    damaged: int
    """Packets so far that did not decode, or that are marked as corrupt or make such a picture."""

    def __iter__(self) -> Iterator[Frame]:
        """The frames up to the end of the source.

        Raises:
            ClipError: the source broke off.
        """
        ...

    def close(self) -> None:
        """Lets go of the source."""
        ...


def parse_source(text: str, *, live: bool | None = None, playlist: bool = False) -> Source:
    """What `--source` means: `-` is standard input, then URLs, devices and files.

    Args:
        text: as it is typed.
        live: whether the source goes on without us; by default URLs of streams and cameras do.
        playlist: whether an http or https URL may be of an HLS playlist. Its server then chooses
            which hosts this machine asks, and may choose this machine or its network.

    Raises:
        ClipError: it is a URL of a kind that is not read, or no URL that can be a playlist.
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
    """The URL without password, and without its query, where cameras take theirs.

    Not by `urlsplit`: a password with a slash in it would be taken for host and path.
    """
    scheme, _, rest = url.partition("://")
    user, at, host = rest.rpartition("@")
    shown = f"{re.split('[:/?#]', user)[0]}:***@" if at else ""
    address, query, _ = host.partition("?")
    return f"{scheme}://{shown}{address}{query and '?***'}"


def open_feed(source: Source, preprocessing: Preprocessing, *, timeout_s: float) -> Feed:
    """Opens a source.

    Args:
        source: what to open.
        preprocessing: how its frames are scaled.
        timeout_s: how long a network may be silent; reading a camera or pipe cannot be bounded.

    Raises:
        ClipError: it cannot be opened.
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
    """What FFmpeg opens, the name of its format where it must be told, and its options."""
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
        return "Is the camera plugged in, and not used by another program?"
    if source.kind == "pipe":
        return "Pipe MPEG-TS or Matroska; an MP4 file must be given by its name."
    if source.target.lower().startswith("http") and not source.playlist:
        return "Check the address, and that the camera is on. An HLS playlist needs --playlist."
    return "Check the address, and that the camera is on."


class _AvFeed:
    """See `Feed`."""

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
        # Where nothing is known, FFmpeg takes the clock's ticks for frames.
        self.rate = float(rate) if rate and rate <= MAX_RATE else None
        self.damaged = 0
        self._broke: Exception | None = None
        if source.live is None:
            self.live = container.duration is None and container.size < 0
        else:
            self.live = source.live
        self._by_arrival = self.live and container.format.name in UNTIMED
        # Several frames at once is fastest, and makes a live picture late by as many.
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
        if self._broke is not None:
            raise ClipError(
                f"{self._name} broke off ({failure_reason(self._broke)})."
            ) from self._broke

    def _packets(self) -> Iterator[av.Packet[av.VideoStream] | None]:
        """All packets, then None: the decoder gives what it still holds."""
        import av

        in_a_row = 0
        while in_a_row < DAMAGES_IN_A_ROW:
            try:
                for packet in self._container.demux(self._stream):
                    in_a_row = 0
                    if packet.size:
                        yield packet
                break
            except av.error.InvalidDataError:  # what follows may be sound again
                in_a_row += 1
                self.damaged += 1
            except av.FFmpegError as error:
                self._broke = error
                break
        yield None

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
        """See `Feed.close`."""
        self._container.close()
