"""Features of videos: made once, kept by what the file is, and found after a kill."""

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from edgesplit.backbone.features import Extract, FeatureCache, extract_all
from edgesplit.bundle.bundle import Bundle
from edgesplit.bundle.videos import extract_folder, read_shots
from edgesplit.errors import ClipError
from edgesplit.runtime import Runtime
from edgesplit.storage.user_cache import cache_folder
from edgesplit.video.clips import read_clip
from tests.videos import encode, waves

ROOT = Path(__file__).parents[2]
SPACE = "a" * 64
Floats = npt.NDArray[np.float32]


pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def videos(tmp_path: Path) -> dict[str, Path]:
    """Ten files; what is in them is a number."""
    found = {f"{number}.mp4": tmp_path / f"{number}.mp4" for number in range(10)}
    for path in found.values():
        path.write_text(path.stem)
    return found


class Model:
    """A stand-in: the feature is the number in the file, and seven is no video."""

    def __init__(self) -> None:
        self.n_opened = 0
        self.seen: list[str] = []

    def open(self) -> Extract:
        self.n_opened += 1
        return self.extract

    def extract(self, video: Path) -> Floats:
        self.seen.append(video.name)
        if not video.exists() or video.read_text() == "7":
            raise ClipError(f"{video.name} is no video")
        return np.array([float(video.read_text()), 1], np.float32)


def test_a_cache_is_only_of_a_feature_space(tmp_path: Path) -> None:
    # the name of a folder is made of it
    for space in ("", "../../somewhere else", str(tmp_path / "else")):
        with pytest.raises(ValueError, match="64 lower-case hex digits"):
            FeatureCache(Model().open, space=space, dim=2)
    assert not (tmp_path / "else").exists()


def test_what_is_cached_is_not_done_again(videos: dict[str, Path]) -> None:
    first, second = Model(), Model()
    some = dict(list(videos.items())[:4])
    extract_all(some, FeatureCache(first.open, space=SPACE, dim=2))
    both = extract_all(videos, FeatureCache(second.open, space=SPACE, dim=2))
    assert first.seen == ["0.mp4", "1.mp4", "2.mp4", "3.mp4"]
    assert second.seen == ["4.mp4", "5.mp4", "6.mp4", "7.mp4", "8.mp4", "9.mp4"]
    assert (first.n_opened, second.n_opened) == (1, 1)
    assert both.missing == {"7.mp4": "7.mp4 is no video"}
    assert both.matrix.dtype == np.float32
    assert both.matrix[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6, 8, 9]
    np.testing.assert_array_equal(both.pick(["9.mp4", "0.mp4"]), [[9, 1], [0, 1]])
    third = Model()
    del videos["7.mp4"]
    extract_all(videos, FeatureCache(third.open, space=SPACE, dim=2))
    assert third.n_opened == 0


def test_another_model_or_another_file_of_that_name_is_done_again(videos: dict[str, Path]) -> None:
    model, path = Model(), videos["1.mp4"]
    extract = FeatureCache(model.open, space=SPACE, dim=2)
    assert extract(path)[0] == 1
    about = path.stat()
    path.write_text("5")
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns + 1))
    assert extract(path)[0] == 5
    path.write_text("55")
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns + 1))
    assert extract(path)[0] == 55
    assert FeatureCache(model.open, space="b" * 64, dim=2)(path)[0] == 55
    assert len(model.seen) == 4


@pytest.mark.parametrize("damage", ["torn", "empty", "flipped", "other size"])
def test_a_damaged_file_is_made_again(damage: str, videos: dict[str, Path], cache: Path) -> None:
    model, path = Model(), videos["3.mp4"]
    FeatureCache(model.open, space=SPACE, dim=2)(path)
    (file,) = cache.rglob("*.npz")
    content = file.read_bytes()
    if damage == "other size":
        np.savez(file, feature=np.zeros(3, np.float32))
    else:
        middle = content.index(b"NUMPY") + 128
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        file.write_bytes({"torn": content[:-9], "empty": b"", "flipped": flipped}[damage])
    assert FeatureCache(model.open, space=SPACE, dim=2)(path).tolist() == [3, 1]
    assert len(model.seen) == 2
    assert file.read_bytes() == content


def test_a_killed_run_goes_on_where_it_was(videos: dict[str, Path], tmp_path: Path) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from edgesplit.backbone.features import FeatureCache, extract_all
from tests.backbone.test_features import SPACE, Model

model = Model()
def extract(path):
    if path.stem == "6":
        os.kill(os.getpid(), signal.SIGKILL)
    return model.extract(path)
videos = {path.name: path for path in sorted(Path(sys.argv[1]).glob("*.mp4"))}
extract_all(videos, FeatureCache(lambda: extract, space=SPACE, dim=2))
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    killed = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    model = Model()
    extract_all(videos, FeatureCache(model.open, space=SPACE, dim=2))
    assert model.seen == ["6.mp4", "7.mp4", "8.mp4", "9.mp4"]


def test_a_cache_that_cannot_be_written_is_done_without(
    videos: dict[str, Path], cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache.write_text("in the way of the folder")
    with caplog.at_level(logging.WARNING):
        found = extract_all(videos, FeatureCache(Model().open, space=SPACE, dim=2))
    assert len(found.places) == 9
    assert [record.message[:22] for record in caplog.records] == ["continuing without a c"]


def test_a_cache_that_goes_away_is_said_once(
    videos: dict[str, Path], cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    extract = FeatureCache(Model().open, space=SPACE, dim=2)
    (folder,) = (cache / "features").iterdir()
    folder.rmdir()
    with caplog.at_level(logging.WARNING):
        assert len(extract_all(videos, extract).places) == 9
    assert len(caplog.records) == 1


def test_not_a_single_readable_video_is_an_error(videos: dict[str, Path], tmp_path: Path) -> None:
    extract = FeatureCache(Model().open, space=SPACE, dim=2)
    seven = {"7.mp4": videos["7.mp4"], "gone.mp4": tmp_path / "gone.mp4"}
    with pytest.raises(ClipError, match=r"None of 2 videos can be read\. 7\.mp4 is no video"):
        extract_all(seven, extract)
    with pytest.raises(ValueError, match="shape"):
        extract_all(videos, FeatureCache(Model().open, space=SPACE, dim=3))


def test_a_feature_that_is_not_finite_is_none(videos: dict[str, Path]) -> None:
    def extract(video: Path) -> Floats:
        return np.array([np.nan if video.stem == "2" else 0, 0], np.float32)

    found = extract_all(videos, FeatureCache(lambda: extract, space=SPACE, dim=2))
    assert list(found.missing) == ["2.mp4"]
    assert "is not finite" in found.missing["2.mp4"]


def test_progress_counts_every_video(videos: dict[str, Path]) -> None:
    steps: list[tuple[int, int]] = []
    extract_all(videos, Model().extract, lambda done, n: steps.append((done, n)))
    assert steps == [(done, 10) for done in range(1, 11)]


# With a bundle


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A folder of two videos, one of them in a folder below, and a file that is none."""
    (tmp_path / "clips" / "left").mkdir(parents=True)
    encode(tmp_path / "clips" / "a.mp4", waves(4, 32, 48))
    encode(tmp_path / "clips" / "left" / "b.mp4", waves(4, 48, 32))
    (tmp_path / "clips" / "torn.mp4").write_bytes(b"torn")
    return tmp_path / "clips"


def test_a_folders_features_are_the_runtimes(bundle: Bundle, clips: Path) -> None:
    found = extract_folder(clips, bundle)
    assert list(found.places) == ["a.mp4", "left/b.mp4"]
    assert list(found.missing) == ["torn.mp4"]
    with Runtime(bundle) as runtime:
        for name in found.places:
            clip = read_clip(clips / name, bundle.preprocessing)
            np.testing.assert_array_equal(found.pick([name])[0], runtime.extract(clip))


def test_labelled_clips_are_read_from_the_same_cache(
    bundle: Bundle, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = extract_folder(clips, bundle)
    (bundle.path / "backbone.onnx").unlink()  # nothing is left to do
    shots = read_shots(clips, bundle)
    np.testing.assert_array_equal(shots["left"], found.pick(["left/b.mp4"]))
    assert cache_folder().is_dir()
