"""Strips of small pictures: what they hold, and how large they get."""

from pathlib import Path

import numpy as np
import pytest

from edgesplit.errors import ClipError
from edgesplit.video.previews import FRAMES, HEIGHT, MAX_BYTES, WIDEST, read_preview, read_seconds
from tests.videos import TURNS, Picture, decode_jpeg, encode, show_as, waves


def grey(n: int, height: int = 48, width: int = 64) -> list[Picture]:
    """Pictures that get brighter."""
    return [np.full((height, width, 3), 250 * i // n, np.uint8) for i in range(n)]


def test_a_strip_holds_pictures_of_the_whole_video_in_order(tmp_path: Path) -> None:
    clip = encode(tmp_path / "a.mp4", grey(24))
    preview = read_preview(clip)
    assert (preview.height, preview.width, preview.frames) == (HEIGHT, 214, FRAMES)
    pixels = decode_jpeg(preview.jpeg).mean(axis=2)
    assert pixels.shape == (HEIGHT, FRAMES * preview.width)
    means = pixels.reshape(HEIGHT, FRAMES, preview.width).mean(axis=(0, 2))
    assert np.all(np.diff(means) > 20)
    assert read_seconds(clip) == pytest.approx(2)


def test_a_strip_is_small_whatever_it_shows(tmp_path: Path) -> None:
    preview = read_preview(encode(tmp_path / "a.mp4", waves(8, 360, 1280, grain=90)))
    assert (preview.height, preview.width) == (90, WIDEST)  # not squeezed
    assert len(preview.jpeg) <= MAX_BYTES


def test_a_short_video_repeats_and_a_turned_one_stands_upright(tmp_path: Path) -> None:
    clip = show_as(encode(tmp_path / "a.mp4", grey(2)), TURNS[90])
    preview = read_preview(clip)
    assert (preview.width, preview.frames) == (120, FRAMES)


def test_what_is_no_video_is_a_clip_error(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    for read in (read_preview, read_seconds):
        with pytest.raises(ClipError, match="not a video"):
            read(tmp_path / "a.mp4")
