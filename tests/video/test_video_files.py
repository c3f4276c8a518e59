"""Which stream of a file is the video, which colours it has, and what no file may do."""

import itertools
import os
import platform
import struct
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from av.stream import Disposition

from edgesplit._isolated import run_isolated
from edgesplit.errors import ClipError
from edgesplit.runtime.stream import parse_source
from edgesplit.runtime.stream.sources import open_feed
from edgesplit.video.clips import decode_video, read_clip, read_video, scale_frame
from edgesplit.video.container import MAX_PIXELS
from edgesplit.video.preprocessing import Preprocessing
from tests.videos import encode, waves
from tests.web import serving

PREPROCESSING = Preprocessing(2, 16, 16)
COLOURS = Path(__file__).parents[1] / "data" / "field" / "colour"
LEVELS = 3 if platform.machine() == "aarch64" else 2
"""FFmpeg converts colours in other steps on ARM (NEON), and rounds otherwise than on x86, where the
reference pictures were made."""
NAMES = ("untagged", "bt601-limited", "bt601-full", "bt709-limited", "bt709-full")


# Colours


def picture_of(name: str, interpolation: Any, size: int) -> npt.NDArray[np.uint8]:
    frame = next(decode_video(COLOURS / f"{name}.mp4"))
    return scale_frame(frame, Preprocessing(1, size, size, interpolation=interpolation))


@pytest.mark.parametrize("interpolation", ["no-antialias", "area", "antialias"])
@pytest.mark.parametrize(("before", "name"), list(itertools.permutations(NAMES, 2)))
def test_colours_are_ffmpegs_whatever_was_read_before(
    before: str, name: str, interpolation: Any
) -> None:
    picture_of(before, interpolation, 32)
    wanted = np.fromfile(COLOURS / f"{name}.rgb", np.uint8).reshape(32, 32, 3)
    found = picture_of(name, interpolation, 32)
    assert np.abs(found.astype(int) - wanted).max() <= LEVELS


def test_scaled_pictures_depend_on_nothing_but_the_file() -> None:
    jobs = [(name, kind) for kind in ("area", "antialias") for name in NAMES]

    def digest(job: tuple[str, str]) -> bytes:
        return picture_of(*job, 20).tobytes()

    def alone(job: tuple[str, str]) -> bytes:
        with ThreadPoolExecutor(1) as fresh:  # a scaler is kept for each thread
            return fresh.submit(digest, job).result()

    wanted = [alone(job) for job in jobs]
    with ThreadPoolExecutor(3) as several:
        for _ in range(5):
            order = np.random.default_rng(0).permutation(len(jobs))
            found = several.map(digest, [jobs[place] for place in order])
            assert list(found) == [wanted[place] for place in order]


def test_tags_that_change_no_pixel_are_not_refused() -> None:
    # PyAV 17 lets FFmpeg's scaler refuse a reserved primary.
    plain = picture_of("untagged", "area", 20)
    frame = next(decode_video(COLOURS / "untagged.mp4"))
    frame.color_primaries = frame.color_trc = 0
    tagged = scale_frame(frame, Preprocessing(1, 20, 20, interpolation="area"))
    np.testing.assert_array_equal(tagged, plain)


# Which stream


def grey(level: int, height: int = 48, width: int = 64) -> npt.NDArray[np.uint8]:
    return np.full((height, width, 3), level, np.uint8)


def write_streams(
    path: Path,
    *videos: tuple[str, Disposition, npt.NDArray[np.uint8]],
    sound: bool = False,
    without: int | None = None,
) -> Path:
    """A file with a stream of each (codec, disposition, picture), shown four times.

    The stream at the place `without` gets no picture.
    """
    with av.open(str(path), "w") as container:
        streams: list[Any] = []
        for codec, disposition, picture in videos:
            stream: Any = container.add_stream(codec, rate=Fraction(12))
            stream.height, stream.width = picture.shape[:2]
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            stream.disposition = disposition.value  # PyAV 17.0 takes no other
            streams.append(stream)
        if sound:
            audio: Any = container.add_stream("aac", rate=8000, layout="mono")
            silence = av.AudioFrame.from_ndarray(
                np.zeros((1, 4096), np.float32), format="fltp", layout="mono"
            )
            silence.sample_rate = 8000
            streams.append(audio)
            container.mux(audio.encode(silence))
        for place, (stream, (_, disposition, picture)) in enumerate(
            zip(streams, videos, strict=False)
        ):
            if place == without:
                continue
            for _ in range(1 if disposition & Disposition.attached_pic else 4):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        for place, stream in enumerate(streams):
            if place != without:
                container.mux(stream.encode(None))
    return path


def put_tags_first(path: Path) -> Path:
    """Moves an MP4 file's tags, and the cover in them, before its tracks, as some programs do.

    Its frames lie before its index, so no place in the file changes that the index names.
    """
    content = path.read_bytes()
    start = content.index(b"moov") - 4
    boxes, at = [], start + 8
    while at < len(content):
        (size,) = struct.unpack_from(">I", content, at)
        boxes.append(content[at : at + size])
        at += size
    boxes.sort(key=lambda box: [b"mvhd", b"udta"].index(box[4:8]) if box[4:8] != b"trak" else 2)
    path.write_bytes(content[: start + 8] + b"".join(boxes))
    return path


COVER = ("mjpeg", Disposition.attached_pic, grey(250, 96, 96))
DEFAULT, OTHER = Disposition.default, Disposition(0)


def level_of(path: Path) -> float:
    """The mean level of a video's clip, read from the file and as a stream."""
    clip = 255 * read_clip(path, PREPROCESSING)
    feed = open_feed(parse_source(str(path)), PREPROCESSING, timeout_s=5)
    pictures = [frame.scale() for frame in feed]
    assert feed.rate == 12
    feed.close()
    assert len(pictures) == 4
    assert abs(float(np.mean(pictures)) - float(clip.mean())) < 1
    return float(clip.mean())


def test_cover_art_is_not_the_video(tmp_path: Path) -> None:
    path = write_streams(tmp_path / "a.mp4", ("libx264", DEFAULT, grey(80)), COVER)
    with av.open(str(put_tags_first(path))) as container:
        assert container.streams.video[0].disposition & Disposition.attached_pic
    assert level_of(path) == pytest.approx(80, abs=3)


@pytest.mark.parametrize("covers", [[], [COVER]], ids=["bare", "with a cover"])
def test_sound_alone_has_no_video(tmp_path: Path, covers: list[Any]) -> None:
    path = write_streams(tmp_path / "song.mp4", *covers, sound=True)
    with pytest.raises(ClipError, match=r"song\.mp4 has no video stream"):
        read_clip(path, PREPROCESSING)
    with pytest.raises(ClipError, match=r"song\.mp4 has no video stream"):
        open_feed(parse_source(str(path)), PREPROCESSING, timeout_s=5)


@pytest.mark.parametrize(
    ("first", "second", "level"),
    [
        ((OTHER, grey(80, 96, 128)), (DEFAULT, grey(160)), 160),
        ((DEFAULT, grey(80)), (OTHER, grey(160, 96, 128)), 80),
        ((DEFAULT, grey(80)), (DEFAULT, grey(160, 96, 128)), 160),
        ((DEFAULT, grey(80)), (DEFAULT, grey(160)), 80),
        ((DEFAULT, grey(80)), (OTHER, grey(160, 2160, 3840)), 160),
    ],
    ids=["second is default", "first is default", "second is larger", "equal", "4K beats default"],
)
def test_of_several_videos_ffmpegs_choice_is_taken(
    tmp_path: Path, first: Any, second: Any, level: int
) -> None:
    path = write_streams(tmp_path / "a.mkv", ("libx264", *first), ("libx264", *second))
    assert level_of(path) == pytest.approx(level, abs=3)


def test_a_default_stream_without_a_packet_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    empty = ("libx264", DEFAULT, grey(80))
    write_streams(path, empty, ("libx264", OTHER, grey(160)), without=0)
    assert 255 * float(read_clip(path, PREPROCESSING).mean()) == pytest.approx(160, abs=3)


# What no file may do


def concat(*names: object) -> bytes:
    return b"ffconcat version 1.0\n" + b"".join(f"file {name}\n".encode() for name in names)


def hls(name: str, *, end: str = "") -> bytes:
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{name}\n{end}".encode()


SDP = b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 26\n"
DASH = b'<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">\n</MPD>\n'

PLAYLISTS: dict[str, Callable[[Path], bytes]] = {
    "fifo.mp4": lambda folder: concat("waits"),
    "sibling.mp4": lambda folder: concat("good.ts"),
    "absolute.mp4": lambda folder: concat(folder / "good.ts"),
    "self.mp4": lambda folder: concat("self.mp4"),
    "live.m3u8": lambda folder: hls("good.ts"),
    "itself.m3u8": lambda folder: hls("itself.m3u8"),
    "over.m3u8": lambda folder: hls(f"file://{folder}/good.ts", end="#EXT-X-ENDLIST\n"),
    "named.mp4": lambda folder: hls("good.ts", end="#EXT-X-ENDLIST\n"),
    "a.sdp": lambda folder: SDP,
    "a.mpd": lambda folder: DASH,
}


@pytest.mark.parametrize("name", PLAYLISTS)
def test_a_file_that_names_others_is_refused_at_once(tmp_path: Path, name: str) -> None:
    encode(tmp_path / "good.ts", waves(12, 48, 64))
    os.mkfifo(tmp_path / "waits")
    (tmp_path / name).write_bytes(PLAYLISTS[name](tmp_path))
    with pytest.raises(ClipError, match="is not a video that FFmpeg can open") as caught:
        run_isolated(read_clip, tmp_path / name, PREPROCESSING, every_s=0.1, limit_s=30)
    assert name in str(caught.value)


def test_a_pattern_of_picture_names_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "img_1.jpg").write_bytes(b"")
    with pytest.raises(ClipError, match="does not exist"):
        read_clip(tmp_path / "img_%d.jpg", PREPROCESSING)


def test_standard_input_may_not_be_a_playlist(tmp_path: Path) -> None:
    encode(tmp_path / "good.ts", waves(12, 48, 64))
    code = (
        "from edgesplit.video.preprocessing import Preprocessing\n"
        "from edgesplit.runtime.stream.sources import open_feed, parse_source\n"
        "list(open_feed(parse_source('-'), Preprocessing(2, 16, 16), timeout_s=5))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=concat(tmp_path / "good.ts"),
        capture_output=True,
        timeout=30,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)},
    )
    assert b"ClipError: standard input cannot be opened" in done.stderr


def test_a_url_is_a_playlist_only_when_that_is_asked_for(tmp_path: Path) -> None:
    video = encode(tmp_path / "a.ts", waves(12, 48, 64)).read_bytes()
    answers = {"/secret.ts": video, "/list.m3u8": hls("/secret.ts", end="#EXT-X-ENDLIST\n")}
    with serving(answers) as (address, asked):
        source = parse_source(f"{address}/list.m3u8")
        with pytest.raises(ClipError, match=r"cannot be opened .* needs --playlist"):
            open_feed(source, PREPROCESSING, timeout_s=5)
        assert set(asked) == {"/list.m3u8"}
        allowed = parse_source(f"{address}/list.m3u8", playlist=True)
        feed = open_feed(allowed, PREPROCESSING, timeout_s=5)
        assert len(list(feed)) == 12
        feed.close()
        assert "/secret.ts" in asked


def test_a_playlist_from_the_network_reads_no_file_even_when_it_is_asked_for(
    tmp_path: Path,
) -> None:
    video = encode(tmp_path / "a.ts", waves(12, 48, 64))
    with serving({"/a.m3u8": hls(f"file://{video}", end="#EXT-X-ENDLIST\n")}) as (address, _):
        source = parse_source(f"{address}/a.m3u8", playlist=True)
        with pytest.raises(ClipError):
            list(open_feed(source, PREPROCESSING, timeout_s=5))


@pytest.mark.parametrize("text", ["clip.mp4", "-", "rtsp://camera/1", "/dev/video0"])
def test_only_web_addresses_can_be_playlists(text: str) -> None:
    with pytest.raises(ClipError, match=r"Only http:// and https://"):
        parse_source(text, playlist=True)


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        *((suffix, "libx264") for suffix in ("mp4", "m4v", "mov", "mkv", "ts", "flv", "h264")),
        *((suffix, "mpeg4") for suffix in ("avi", "3gp", "nut")),
        ("mpg", "mpeg1video"),
        ("webm", "libvpx"),
        ("y4m", "wrapped_avframe"),
        ("mjpeg", "mjpeg"),
    ],
)
def test_containers_of_video_are_opened(tmp_path: Path, suffix: str, codec: str) -> None:
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    rate = Fraction(25)
    path = encode(
        tmp_path / f"a.{suffix}", waves(8, 48, 64), codec=codec, pix_fmt=pix_fmt, rate=rate
    )
    for _ in range(5):  # PyAV 17 crashed now and then when it was given options for MPEG or FLV
        assert read_video(path, PREPROCESSING).n_repeated == 0


# Pictures that cannot be scaled


def wide(path: Path) -> Path:
    return encode(path, [grey(90, 2, 16384)] * 2, codec="ffv1")


def of_strange_colours(path: Path) -> Path:
    """FFmpeg decodes these and cannot make RGB of them."""
    return encode(path, [grey(90)] * 2, colorspace="ycgco")


@pytest.mark.parametrize("interpolation", ["area", "antialias"])
@pytest.mark.parametrize("make", [wide, of_strange_colours])
def test_a_picture_that_cannot_be_scaled_is_an_error_that_names_the_file(
    tmp_path: Path, make: Callable[[Path], Path], interpolation: Any
) -> None:
    path = make(tmp_path / "a.mkv")
    preprocessing = Preprocessing(2, 224, 224, resize=256, interpolation=interpolation)
    with pytest.raises(ClipError, match=r"a\.mkv: A picture of .* cannot be scaled to"):
        read_clip(path, preprocessing)
    feed = open_feed(parse_source(str(path)), preprocessing, timeout_s=5)
    with pytest.raises(ClipError, match=r"A picture of .* cannot be scaled to"):
        next(iter(feed)).scale()
    feed.close()


def test_pictures_that_are_too_large_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.y4m"
    path.write_bytes(b"YUV4MPEG2 W8193 H8193 F25:1 C420jpeg\nFRAME\n" + bytes(99))
    with pytest.raises(ClipError, match=r"a\.y4m has pictures of 8193x8193; the limit is 8192x"):
        read_clip(path, PREPROCESSING)
    assert MAX_PIXELS == 8192 * 8192
