"""What a source means, and that what is damaged in it is counted and what is secret stays so."""

import os
import threading
import traceback
from pathlib import Path

import numpy as np
import pytest

from edgesplit.errors import ClipError
from edgesplit.runtime.stream.sources import Source, open_feed, parse_source
from edgesplit.video.preprocessing import Preprocessing
from tests.videos import encode, waves
from tests.web import serving

PREPROCESSING = Preprocessing(4, 12, 16)


def read(source: Source) -> tuple[int, int, bool]:
    """Frames, damaged packets, and whether the source is live; up to its end or where it breaks."""
    feed = open_feed(source, PREPROCESSING, timeout_s=5)
    n_frames = 0
    try:
        for _ in feed:
            n_frames += 1
    except ClipError:
        pass
    finally:
        feed.close()
    return n_frames, feed.damaged, feed.live


# What a source means


@pytest.mark.parametrize(
    ("text", "kind", "live", "returns"),
    [
        ("-", "pipe", False, False),
        ("clip.mp4", "file", False, False),
        ("/dev/video0", "device", True, True),
        ("rtsp://camera/1", "url", True, True),
        ("udp://0.0.0.0:5000", "url", True, True),
        ("http://camera/video", "url", None, True),
        ("10:30.mp4", "file", False, False),
    ],
)
def test_source_is_told_by_its_name(text: str, kind: str, live: bool | None, returns: bool) -> None:
    source = parse_source(text)
    assert (source.kind, source.live, source.returns) == (kind, live, returns)
    assert parse_source(text, live=True).live is True
    assert parse_source(text, live=False).live is False


@pytest.mark.parametrize("url", ["file:///etc/passwd", "concat:///a|b", "data://x", "lavfi://x"])
def test_urls_of_other_kinds_are_refused(url: str) -> None:
    with pytest.raises(ClipError, match=r"is not supported\. Give a file, a camera, or one of"):
        parse_source(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://camera", "rtsp://camera"),
        ("rtsp://camera/1", "rtsp://camera/…"),
        ("udp://[ff02::1]:5000", "udp://[ff02::1]:5000"),
        ("rtsp://user:pw@camera:554/1", "rtsp://***@camera:554/…"),
        ("rtsp://user:p@w@camera/1", "rtsp://***@camera/…"),
        ("rtsp://user:p/w?s#c@r@camera/1", "rtsp://***/…"),
        ("rtsp://user:12/34@camera/1", "rtsp://***/…"),
        ("rtsp://pw@camera/1", "rtsp://***@camera/…"),
        ("http://camera/1?user=a&password=pw", "http://camera/…"),
        ("http://camera/1?password=p@w", "http://camera/…"),
        ("rtsp://cam/stream?user=admin&password=a@bcdef", "rtsp://cam/…"),
        ("srt://host:9000?passphrase=secret&x=@tail", "srt://***/…"),
        ("rtsp://cam:554/user=admin&password=hunter2&channel=1", "rtsp://cam:554/…"),
        ("http://cam/live#token=hunter2", "http://cam/…"),
        ("rtmp://cam/app/streamkey", "rtmp://cam/…"),
    ],
)
def test_name_of_a_source_holds_no_password(url: str, shown: str) -> None:
    assert parse_source(url).name == shown


def test_what_cannot_be_opened_is_named_without_its_password() -> None:
    source = parse_source("http://user:geheim@127.0.0.1:1/video")
    with pytest.raises(ClipError, match=r"cannot be opened \(Connection refused\)") as caught:
        open_feed(source, PREPROCESSING, timeout_s=5)
    told = "".join(traceback.format_exception(caught.value))
    assert "geheim" not in told


@pytest.mark.parametrize(
    ("source", "match"),
    [
        ("/dev/video97", "camera is connected"),
        ("nothing.mp4", "does not exist"),
    ],
)
def test_what_is_not_there_says_what_to_do(source: str, match: str) -> None:
    with pytest.raises(ClipError, match=match):
        open_feed(parse_source(source), PREPROCESSING, timeout_s=5)


# Reading


@pytest.mark.parametrize(
    ("suffix", "length", "live"), [("ts", False, True), ("ts", True, False), ("mp4", True, False)]
)
def test_url_is_live_unless_it_is_of_a_file(
    tmp_path: Path, suffix: str, length: bool, live: bool
) -> None:
    content = encode(tmp_path / f"a.{suffix}", waves(30, 48, 64)).read_bytes()
    with serving({"/video": content}, length=length) as (address, _):
        n_frames, _, found = read(parse_source(f"{address}/video"))
    assert (n_frames, found) == (30, live)  # also the frames that a decoder holds back at the end


@pytest.mark.parametrize("live", [False, True])
def test_frames_of_a_live_format_without_timestamps_are_timed_by_arrival(
    tmp_path: Path, live: bool
) -> None:
    path = encode(tmp_path / "a.h264", waves(30, 48, 64))
    feed = open_feed(parse_source(str(path), live=live), PREPROCESSING, timeout_s=5)
    frames = list(feed)
    feed.close()
    assert len(frames) == 30
    assert all((frame.seconds == frame.arrived) is live for frame in frames)


def test_playlist_from_the_network_reads_no_file(tmp_path: Path) -> None:
    video = encode(tmp_path / "a.ts", waves(12, 48, 64))
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{video}\n#EXT-X-ENDLIST\n"
    with serving({"/a.m3u8": playlist.encode()}) as (address, asked), pytest.raises(ClipError):
        open_feed(parse_source(f"{address}/a.m3u8"), PREPROCESSING, timeout_s=5)
    assert asked == ["/a.m3u8"]


def damaged(path: Path, *, keep: int = 4000) -> Path:
    """Overwrites every eleventh hundred bytes, after the first and before the last few kB."""
    content = bytearray(path.read_bytes())
    noise = np.random.default_rng(0)
    for start in range(keep, len(content) - keep, 1100):
        content[start : start + 100] = noise.bytes(100)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("suffix", ["ts", "mkv", "mp4"])
def test_damage_is_counted_and_the_rest_is_read(tmp_path: Path, suffix: str) -> None:
    path = encode(tmp_path / f"a.{suffix}", waves(240, 48, 64, grain=20.0))
    whole, none, _ = read(parse_source(str(path)))
    assert (whole, none) == (240, 0)
    # At the end the tables of MP4 and Matroska lie: they stay.
    n_frames, n_damaged, _ = read(parse_source(str(damaged(path, keep=8000))))
    assert n_damaged > 0
    assert 0 < n_frames < 240


def test_pipe_is_read(tmp_path: Path) -> None:
    content = encode(tmp_path / "a.ts", waves(30, 48, 64)).read_bytes()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_bytes, args=(content,))
    writer.start()
    source = parse_source(str(fifo))
    assert source.kind == "pipe"
    assert read(source)[0] == 30
    writer.join()
