"""From video files to clips: which frames, which size, which layout, and what is no video."""

import sys
import wave
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest

from edgesplit.errors import BundleError, ClipError
from edgesplit.video.clips import VIDEO_SUFFIXES, find_videos, read_clip, read_video, scale_frame
from edgesplit.video.preprocessing import INTERPOLATIONS, Preprocessing, sample_frames, scaled_size
from tests.videos import Matrix, show_as

Frames = list[npt.NDArray[np.uint8]]

CODEC_ERROR = 8
"""Of 255. What H.264 and MPEG-4 at their best quality, and the way to YUV 4:2:0 and back, leave of
a frame of one grey: 1 or 2 levels; neighbouring frames below differ by 10."""


def greys(n_frames: int, height: int = 48, width: int = 64) -> Frames:
    """Frames of one grey each, 10 levels brighter from frame to frame, from 30."""
    return [np.full((height, width, 3), 30 + 10 * i, np.uint8) for i in range(n_frames)]


def write_video(path: Path, frames: Frames, *, codec: str = "libx264", **options: str) -> Path:
    """Writes a video; sizes that 4:2:0 cannot hold get 4:4:4."""
    height, width, _ = frames[0].shape
    even = height % 2 == 0 and width % 2 == 0
    quality = {"libx264": {"qp": "4", "bf": "2"}, "mpeg4": {"qscale": "1"}}[codec]
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=Fraction(12), options=quality)
        stream.height, stream.width = height, width
        stream.pix_fmt = "yuv420p" if even else "yuv444p"
        if codec == "mpeg4":
            stream.bit_rate = 8_000_000
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def grey_levels(clip: npt.NDArray[np.float32], preprocessing: Preprocessing) -> list[float]:
    """The mean level, of 255, of every frame."""
    time = 1 if preprocessing.layout == "ncthw" else 0
    axes = tuple(axis for axis in range(4) if axis != time)
    levels: list[float] = (255 * clip.mean(axis=axes)).tolist()
    return levels


# Which frames


@pytest.mark.parametrize(
    ("n_frames", "wanted", "expected"),
    [
        (8, 8, [0, 1, 2, 3, 4, 5, 6, 7]),
        (16, 8, [1, 3, 5, 7, 9, 11, 13, 15]),
        (12, 4, [1, 4, 7, 10]),
        (10, 4, [1, 3, 6, 8]),
        (4, 8, [0, 0, 1, 1, 2, 2, 3, 3]),
        (3, 8, [0, 0, 0, 1, 1, 2, 2, 2]),
        (1, 4, [0, 0, 0, 0]),
        (7, 1, [3]),
    ],
)
def test_uniform_sampling_takes_the_middle_of_equal_parts(
    n_frames: int, wanted: int, expected: list[int]
) -> None:
    assert sample_frames(n_frames, Preprocessing(wanted, 1, 1)) == expected


@pytest.mark.parametrize(
    ("n_frames", "wanted", "stride", "expected"),
    [
        (8, 8, 1, [0, 1, 2, 3, 4, 5, 6, 7]),
        (10, 4, 1, [3, 4, 5, 6]),
        (11, 4, 1, [3, 4, 5, 6]),
        (10, 4, 2, [1, 3, 5, 7]),
        (10, 4, 4, [0, 4, 8, 9]),
        (2, 4, 1, [0, 1, 1, 1]),
        (1, 3, 5, [0, 0, 0]),
    ],
)
def test_dense_sampling_strides_from_the_middle(
    n_frames: int, wanted: int, stride: int, expected: list[int]
) -> None:
    preprocessing = Preprocessing(wanted, 1, 1, sampling="dense", stride=stride)
    assert sample_frames(n_frames, preprocessing) == expected


@pytest.mark.parametrize("sampling", ["uniform", "dense"])
def test_sampled_frames_exist_and_never_go_back(sampling: Any) -> None:
    for n_frames in range(1, 40):
        for wanted in range(1, 20):
            for stride in (1, 3):
                preprocessing = Preprocessing(wanted, 1, 1, sampling=sampling, stride=stride)
                indices = sample_frames(n_frames, preprocessing)
                assert len(indices) == wanted
                assert indices == sorted(indices)
                assert 0 <= indices[0] <= indices[-1] < n_frames


# From file to clip


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
@pytest.mark.parametrize("sampling", ["uniform", "dense"])
@pytest.mark.parametrize("n_frames", [1, 3, 8, 20])
def test_clip_holds_the_sampled_frames(
    tmp_path: Path, codec: str, sampling: Any, n_frames: int
) -> None:
    preprocessing = Preprocessing(8, 12, 16, sampling=sampling)
    clip = read_clip(write_video(tmp_path / "a.mp4", greys(n_frames), codec=codec), preprocessing)
    assert clip.shape == preprocessing.clip_shape
    assert clip.dtype == np.float32
    assert clip.flags.c_contiguous
    assert clip.min() >= 0
    assert clip.max() <= 1
    expected = [30 + 10 * index for index in sample_frames(n_frames, preprocessing)]
    # Half the step between frames tells each from its neighbours.
    np.testing.assert_allclose(grey_levels(clip, preprocessing), expected, rtol=0, atol=4.9)


def test_scaled_frame_is_free_when_nobody_holds_it(tmp_path: Path) -> None:
    # A camera's frames are megabytes each, and a garbage collection is hundreds of frames away.
    with av.open(str(write_video(tmp_path / "a.mp4", greys(2)))) as container:
        frame = next(container.decode(video=0))
        before = sys.getrefcount(frame)
        scale_frame(frame, Preprocessing(1, 12, 16))
        assert sys.getrefcount(frame) == before


@pytest.mark.parametrize(("height", "width"), [(47, 63), (48, 63), (2, 2), (17, 300)])
def test_odd_sizes_are_read(tmp_path: Path, height: int, width: int) -> None:
    video = write_video(tmp_path / "a.mp4", greys(4, height, width))
    preprocessing = Preprocessing(4, 12, 16)
    clip = read_clip(video, preprocessing)
    assert clip.shape == (3, 4, 12, 16)
    np.testing.assert_allclose(grey_levels(clip, preprocessing), [30, 40, 50, 60], atol=4.9)


@pytest.mark.parametrize(
    ("layout", "shape"), [("ncthw", (3, 4, 12, 16)), ("ntchw", (4, 3, 12, 16))]
)
def test_layout_orders_the_axes(tmp_path: Path, layout: Any, shape: tuple[int, ...]) -> None:
    video = write_video(tmp_path / "a.mp4", greys(4))
    preprocessing = Preprocessing(4, 12, 16, layout=layout)
    clip = read_clip(video, preprocessing)
    assert clip.shape == preprocessing.clip_shape == shape
    np.testing.assert_allclose(grey_levels(clip, preprocessing), [30, 40, 50, 60], atol=4.9)


def test_colours_are_red_green_blue(tmp_path: Path) -> None:
    red = np.zeros((48, 64, 3), np.uint8)
    red[..., 0], red[..., 1] = 200, 60
    clip = read_clip(write_video(tmp_path / "a.mp4", [red] * 2), Preprocessing(2, 12, 16))
    np.testing.assert_allclose(
        255 * clip.mean(axis=(1, 2, 3)), [200, 60, 0], rtol=0, atol=CODEC_ERROR
    )


def stripes(height: int, width: int) -> Frames:
    """One frame: left third dark, middle third grey, right third bright."""
    frame = np.zeros((height, width, 3), np.uint8)
    for index, level in enumerate((40, 120, 220)):
        frame[:, index * width // 3 : (index + 1) * width // 3] = level
    return [frame]


def test_whole_frame_is_scaled_without_resize(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", stripes(30, 90))
    clip = 255 * read_clip(video, Preprocessing(1, 12, 12))[0, 0]
    # The middle column of each third is away from the blurred borders.
    np.testing.assert_allclose(clip[:, [1, 6, 10]].mean(axis=0), [40, 120, 220], atol=CODEC_ERROR)


def test_resize_scales_the_short_side_and_crops_the_centre(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", stripes(30, 90))
    # 30 x 90 becomes 10 x 30; the centre 10 x 10 is just the middle third.
    clip = 255 * read_clip(video, Preprocessing(1, 10, 10, resize=10))[0, 0]
    assert clip.shape == (10, 10)
    np.testing.assert_allclose(clip[:, 2:8], 120, rtol=0, atol=CODEC_ERROR)
    # At 12 x 36 the crop of 8 x 8 lies within the middle third, columns 12 to 24.
    clip = 255 * read_clip(video, Preprocessing(1, 8, 8, resize=12))[0, 0]
    np.testing.assert_allclose(clip, 120, rtol=0, atol=CODEC_ERROR)


@pytest.mark.parametrize(("height", "width"), [(47, 64), (64, 47), (33, 100), (100, 33)])
def test_resize_always_leaves_enough_to_crop(tmp_path: Path, height: int, width: int) -> None:
    video = write_video(tmp_path / "a.mp4", greys(1, height, width))
    for size in range(20, 30):
        assert read_clip(video, Preprocessing(1, size, size, resize=size)).shape[2:] == (size, size)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("size", [(12, 16), (96, 128)], ids=["down", "up"])
def test_every_interpolation_scales(
    tmp_path: Path, interpolation: Any, size: tuple[int, int]
) -> None:
    video = write_video(tmp_path / "a.mp4", greys(2))
    preprocessing = Preprocessing(2, *size, interpolation=interpolation)
    np.testing.assert_allclose(
        grey_levels(read_clip(video, preprocessing), preprocessing), [30, 40], atol=4.9
    )


def test_the_same_file_gives_the_same_clip(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (48, 64, 3), np.uint8) for _ in range(6)]
    video = write_video(tmp_path / "a.mp4", noise)
    first, second = (read_clip(str(video), Preprocessing(4, 12, 16)) for _ in range(2))
    assert first.tobytes() == second.tobytes()


# Which way up


MATRICES: list[Matrix] = [
    *((a, 0, 0, d) for a in (1, -1) for d in (1, -1)),
    *((0, b, c, 0) for b in (1, -1) for c in (1, -1)),
]


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("matrix", MATRICES, ids=str)
def test_pictures_are_turned_as_they_are_shown(
    tmp_path: Path, matrix: Matrix, interpolation: Any
) -> None:
    stored = np.zeros((32, 64, 3), np.uint8)
    quarters = [[60, 100], [150, 220]]
    for row, levels in enumerate(quarters):
        for column, level in enumerate(levels):
            stored[16 * row : 16 * row + 16, 32 * column : 32 * column + 32] = level
    # Where each quarter is shown, by the definition of the matrix; negative places count from 0.
    a, b, c, d = matrix
    shown = np.zeros((2, 2))
    for row, levels in enumerate(quarters):
        for column, level in enumerate(levels):
            x, y = a * column + c * row, b * column + d * row
            shown[y + (min(b, d) < 0), x + (min(a, c) < 0)] = level
    video = show_as(write_video(tmp_path / "a.mp4", [stored]), matrix)
    for resize in (None, 20):
        preprocessing = Preprocessing(1, 20, 20, resize=resize, interpolation=interpolation)
        clip = 255 * read_clip(video, preprocessing)[0, 0]
        if resize:  # of 20 x 40, the crop is the middle: both halves of either axis are in it
            assert scaled_size(32, 64, preprocessing) == (20, 40)
        means = clip.reshape(2, 10, 2, 10)[:, 2:8, :, 2:8].mean(axis=(1, 3))
        np.testing.assert_allclose(means, shown, rtol=0, atol=CODEC_ERROR)


def test_an_upright_video_has_the_same_clip_with_and_without_a_matrix(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", stripes(30, 90))
    before = read_clip(video, Preprocessing(1, 12, 12))
    np.testing.assert_array_equal(
        read_clip(show_as(video, (1, 0, 0, 1)), Preprocessing(1, 12, 12)), before
    )


# Sizes


@pytest.mark.parametrize(
    ("interpolation", "size"),
    [
        ("area", (224, 299)),
        ("antialias", (224, 298)),
        ("antialias-bicubic", (224, 298)),
        ("no-antialias", (224, 298)),
    ],
)
def test_the_long_side_is_rounded_or_as_in_trainings_cut(
    interpolation: Any, size: tuple[int, int]
) -> None:
    # 320 * 224 / 240 = 298.67
    preprocessing = Preprocessing(1, 224, 224, resize=224, interpolation=interpolation)
    assert scaled_size(240, 320, preprocessing) == size
    assert scaled_size(320, 240, preprocessing) == size[::-1]


# Videos that are too short


@pytest.mark.parametrize("sampling", ["uniform", "dense"])
@pytest.mark.parametrize(("n_frames", "n_repeated"), [(1, 7), (5, 3), (8, 0), (20, 0)])
def test_a_short_video_says_how_many_frames_are_repeated(
    tmp_path: Path, sampling: Any, n_frames: int, n_repeated: int
) -> None:
    video = write_video(tmp_path / "a.mp4", greys(n_frames))
    assert read_video(video, Preprocessing(8, 12, 16, sampling=sampling)).n_repeated == n_repeated


# What is no video, and damaged ones


def write_audio(path: Path) -> None:
    with wave.open(str(path), "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(8000)
        audio.writeframes(b"\0\0" * 800)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, r"a\.mp4 (does not exist|is not a file)"),
        (lambda path: path.mkdir(), r"a\.mp4 (does not exist|is not a file)"),
        (lambda path: path.touch(), r"a\.mp4 is empty \(0 bytes\)"),
        (lambda path: path.write_text("hello\n" * 99), r"a\.mp4 is not a video .*Invalid data"),
        (lambda path: path.write_bytes(b"\0" * 999), r"a\.mp4 is not a video"),
        (lambda path: path.write_bytes(np.random.default_rng(0).bytes(999)), r"is not a video"),
        (write_audio, r"a\.mp4 has no video stream"),
    ],
    ids=["missing", "folder", "empty", "text", "zeros", "random", "audio"],
)
def test_what_is_no_video_is_refused(
    tmp_path: Path, make: Callable[[Path], object], message: str
) -> None:
    file = tmp_path / "a.mp4"
    make(file)
    with pytest.raises(ClipError, match=message):
        read_clip(file, Preprocessing(4, 12, 16))


def test_a_video_cut_before_its_index_is_refused(tmp_path: Path) -> None:
    file = write_video(tmp_path / "a.mp4", greys(8))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 3])
    with pytest.raises(ClipError, match="is not a video that FFmpeg can open"):
        read_clip(file, Preprocessing(4, 12, 16))


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_a_video_cut_behind_its_index_gives_the_frames_it_has_or_an_error(
    tmp_path: Path, codec: str
) -> None:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (48, 64, 3), np.uint8) for _ in range(12)]
    whole = write_video(tmp_path / "whole.mp4", noise, codec=codec, movflags="faststart")
    data = whole.read_bytes()
    read = 0
    for percent in range(2, 100, 7):
        file = tmp_path / "cut.mp4"
        file.write_bytes(data[: len(data) * percent // 100])
        with suppress(ClipError):
            assert read_clip(file, Preprocessing(4, 12, 16)).shape == (3, 4, 12, 16)
            read += 1
    assert read > 5  # the index is in the first few percent


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_flipped_bytes_never_raise_anything_but_a_clip_error(tmp_path: Path, codec: str) -> None:
    rng = np.random.default_rng(0)
    original = write_video(tmp_path / "a.mp4", greys(6), codec=codec).read_bytes()
    file = tmp_path / "flipped.mp4"
    read = 0
    for _ in range(60):
        data = bytearray(original)
        for place in rng.integers(len(data), size=4):
            data[place] = int(rng.integers(256))
        file.write_bytes(data)
        with suppress(ClipError):
            assert read_clip(file, Preprocessing(4, 12, 16)).shape == (3, 4, 12, 16)
            read += 1
    assert 0 < read < 60


# Folders


def test_videos_of_a_folder_are_found_sorted(tmp_path: Path) -> None:
    for name in ("b.mp4", "a/c.MKV", "a/notes.txt", "z.webm"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [str(path.relative_to(tmp_path)) for path in find_videos(tmp_path)]
    assert found == ["a/c.MKV", "b.mp4", "z.webm"]


def test_a_folder_without_videos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match=r"holds no video \(\.avi, .*\.webm\)"):
        find_videos(tmp_path)
    assert ".mp4" in VIDEO_SUFFIXES


# Preprocessing


def test_preprocessing_survives_json() -> None:
    preprocessing = Preprocessing(
        frames=8,
        height=112,
        width=96,
        layout="ntchw",
        sampling="dense",
        stride=2,
        resize=128,
        interpolation="area",
        mean=(0.5, 0.4, 0.3),
        std=(0.2, 0.2, 0.2),
    )
    assert Preprocessing.from_json(preprocessing.to_json()) == preprocessing


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": 0}, "frames must be a whole number from 1, got 0"),
        ({"height": 1.5}, "height must be a whole number"),
        ({"width": "12"}, "width must be a whole number"),
        ({"stride": -1}, "stride must be a whole number"),
        ({"layout": "nhwc"}, "layout must be one of"),
        ({"sampling": "random"}, "sampling must be one of"),
        ({"interpolation": "nearest"}, "interpolation must be one of"),
        ({"resize": 11}, "resize 11 is smaller than the crop 10x12"),
        ({"resize": 12.5}, "resize"),
        ({"mean": (0.5,)}, "mean"),
        ({"std": (1.0, 0.0, 1.0)}, "std"),
        ({"std": (1.0, float("nan"), 1.0)}, "std"),
    ],
    ids=str,
)
def test_impossible_preprocessing_is_refused(change: dict[str, Any], message: str) -> None:
    fields = {"frames": 4, "height": 10, "width": 12} | change
    with pytest.raises(ValueError, match=message):
        Preprocessing(**fields)
    content = Preprocessing(4, 10, 12).to_json() | change
    with pytest.raises(BundleError, match=rf"preprocessing is not valid: .*{message}"):
        Preprocessing.from_json(content)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
def test_an_unknown_interpolation_is_refused(interpolation: str) -> None:
    content = Preprocessing(4, 10, 12).to_json() | {"interpolation": interpolation}
    with pytest.raises(BundleError, match="antialias, antialias-bicubic, no-antialias, area, got"):
        Preprocessing.from_json(content)


@pytest.mark.parametrize(
    "change", [{"colour": "rgb"}, {"frames": None}], ids=["unknown", "missing"]
)
def test_preprocessing_of_other_fields_is_refused(change: dict[str, Any]) -> None:
    content = Preprocessing(4, 10, 12).to_json() | change
    content = {key: value for key, value in content.items() if value is not None or key == "resize"}
    with pytest.raises(BundleError, match=rf"missing or unknown fields.*{next(iter(change))}"):
        Preprocessing.from_json(content)


def test_a_codec_that_ffmpeg_does_not_know_is_refused(tmp_path: Path) -> None:
    # PyAV before 18 dies with a segmentation fault when it is asked to decode such a stream.
    path = write_video(tmp_path / "a.mp4", greys(4))
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzz9"))
    with pytest.raises(ClipError, match=r"codec that this FFmpeg does not know|cannot be decoded"):
        read_clip(path, Preprocessing(frames=2, height=8, width=8))


def test_a_name_with_a_colon_is_a_file(tmp_path: Path) -> None:
    path = write_video(tmp_path / "2026-01-01T10:30:00.mp4", greys(4))
    assert read_clip(path, Preprocessing(frames=2, height=8, width=8)).shape == (3, 2, 8, 8)
