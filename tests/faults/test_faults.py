"""What the field does to a device that serves: nothing is lost, or it is said what.

Faults of streams are in test_stream.py, of a power cut in test_crash.py.
"""

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from edgesplit.bundle.bundle import Bundle, open_bundle
from edgesplit.bundle.head_files import read_live
from edgesplit.errors import BundleError
from edgesplit.heads.head import Head
from edgesplit.runtime import Runtime
from edgesplit.storage.files import Store
from tests.bundles import publish_split
from tests.waiting import wait_until

Floats = npt.NDArray[np.float32]


@pytest.fixture
def feature(bundle: Bundle) -> Floats:
    return np.ones(bundle.dim, np.float32)


@pytest.fixture
def runtime(bundle: Bundle) -> Iterator[Runtime]:
    with Runtime(bundle) as runtime:
        yield runtime


# Full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("a small disk can be mounted by root only")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_full_disk_fails_the_publish_and_serving_goes_on(
    bundle: Bundle, small_disk: Path, feature: Floats
) -> None:
    full = open_bundle(shutil.copytree(bundle.path, small_disk / "lab.bundle"))
    ballast = small_disk / "ballast"
    with Runtime(full) as runtime:
        first = runtime.head_digest
        edit = full.split_class("pushing", into=["left", "right"])
        free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_bsize
        ballast.write_bytes(b"\0" * free)
        with pytest.raises(BundleError, match="No space left"):
            full.publish(edit)
        assert full.live == first
        assert full.verify() == []
        assert runtime.decide(feature).head_digest == first
        ballast.unlink()
        second = full.publish(edit).digest
        wait_until(lambda: runtime.decide(feature).head_digest == second)


# Half-written and foreign files


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("damaged", ["HEAD", "head"])
def test_half_written_file_is_not_followed_until_it_is_whole(
    runtime: Runtime, feature: Floats, damaged: str
) -> None:
    bundle = runtime.bundle
    first = runtime.head_digest
    edit = bundle.split_class("pushing", into=["left", "right"])
    file = bundle.path / "heads" / f"{edit.head.digest}.onnx"
    file.write_bytes(edit.head.to_bytes())
    if damaged == "head":
        truncate(file)
    (bundle.path / "HEAD").write_text(edit.head.digest[: 20 if damaged == "HEAD" else None])
    wait_until(lambda: bool(runtime.refusal))
    assert runtime.decide(feature).head_digest == first
    file.write_bytes(edit.head.to_bytes())  # the copy goes on
    (bundle.path / "HEAD").write_text(edit.head.digest)
    wait_until(lambda: runtime.decide(feature).head_digest == edit.head.digest)
    # HEAD was empty for a moment, since it was not replaced as `publish` does.
    wait_until(lambda: not runtime.refusal)


def test_head_of_another_feature_space_is_not_followed(runtime: Runtime, feature: Floats) -> None:
    bundle = runtime.bundle
    first = bundle.head()
    foreign = Head(first.tree, first.weight, first.bias, "f" * 64)
    (bundle.path / "heads" / f"{foreign.digest}.onnx").write_bytes(foreign.to_bytes())
    Store().replace_file(bundle.path / "HEAD", foreign.digest.encode())
    wait_until(lambda: "feature space" in runtime.refusal)
    assert runtime.decide(feature).head_digest == first.digest


# Clocks


@pytest.mark.parametrize("jump_s", [-3e8, 3e8])
def test_clock_that_jumps_delays_no_swap(
    runtime: Runtime, feature: Floats, monkeypatch: pytest.MonkeyPatch, jump_s: float
) -> None:
    wait_until(lambda: runtime.decide(feature).head_digest == runtime.bundle.live)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + jump_s)
    second = publish_split(runtime.bundle)
    wait_until(lambda: runtime.decide(feature).head_digest == second)


def test_head_whose_file_times_say_nothing_is_read_all_the_same(
    runtime: Runtime, feature: Floats, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on a network disk whose client keeps attributes for long.
    monkeypatch.setattr(
        "edgesplit.runtime.live.live_head.LiveHead._stamp", lambda live: "always the same"
    )
    second = publish_split(runtime.bundle)
    wait_until(lambda: runtime.decide(feature).head_digest == second)


# A disk that is slow, hangs or goes away


def test_folder_that_goes_away_and_comes_back(runtime: Runtime, feature: Floats) -> None:
    path = runtime.bundle.path
    first = runtime.head_digest
    away = path.rename(path.with_name("away"))
    wait_until(lambda: bool(runtime.refusal))
    assert runtime.decide(feature).head_digest == first
    with pytest.raises(BundleError):
        runtime.swap_head()
    second = publish_split(open_bundle(away))
    away.rename(path)
    wait_until(lambda: runtime.decide(feature).head_digest == second)
    wait_until(lambda: not runtime.refusal)


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Event, threading.Event]]:
    """Reading HEAD hangs once `hang` is set, until `release` is; as a dead network disk does."""
    hang, release = threading.Event(), threading.Event()

    def live(path: Path) -> str:
        if hang.is_set():
            release.wait(60)
        return read_live(path)

    monkeypatch.setattr("edgesplit.bundle.bundle.read_live", live)
    yield hang, release
    release.set()


def test_disk_that_hangs_holds_up_neither_predictions_nor_named_swaps_nor_closing(
    bundle: Bundle, feature: Floats, hanging: tuple[threading.Event, threading.Event]
) -> None:
    hang, release = hanging
    runtime = Runtime(bundle)
    second = publish_split(bundle)
    wait_until(lambda: runtime.head_digest == second)
    hang.set()
    time.sleep(1.5)  # longer than HEAD is ever left unread: the watcher hangs now
    calls = threading.Thread(target=runtime.swap_head, daemon=True)  # hangs, as it must
    calls.start()
    for _ in range(100):
        assert runtime.decide(feature).head_digest == second
    closing = threading.Thread(target=runtime.close, daemon=True)
    closing.start()
    closing.join(20)
    assert not closing.is_alive()
    release.set()
    calls.join(20)
    assert not calls.is_alive()
    assert runtime.head_digest == second


def test_read_that_was_slow_does_not_undo_a_swap_that_came_meanwhile(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = bundle.live
    second = publish_split(bundle)
    reading, release = threading.Event(), threading.Event()
    real = Bundle.head

    def head(self: Bundle, digest: str | None = None) -> Head:
        found = real(self, digest)
        if threading.current_thread().name == "edgesplit-watch":
            reading.set()
            release.wait(20)
        return found

    with Runtime(bundle) as runtime:
        monkeypatch.setattr(Bundle, "head", head)
        bundle.rollback(first)
        assert reading.wait(20)  # the watcher has read the head of this rollback
        bundle.rollback(second)
        runtime.swap_head()
        release.set()
        seen = set()
        for _ in range(50):
            seen.add(runtime.head_digest)
            time.sleep(0.005)
        assert seen == {second}
