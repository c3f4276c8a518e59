"""Files that survive a crash, and the lock."""

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import edgesplit
from edgesplit._data import check_digest, is_digest
from edgesplit.errors import BundleError, ConflictError
from edgesplit.storage import files as store
from edgesplit.storage.files import Store

HOLD = """
import sys
from pathlib import Path
from edgesplit.storage import files as store
with store.lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def umask() -> Iterator[Callable[[int], None]]:
    """Sets the umask for one test."""
    before = os.umask(0o022)
    yield lambda mask: (os.umask(mask), None)[1]
    os.umask(before)


def failing(code: int) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


# Replacing


def test_replace_writes_and_overwrites(tmp_path: Path) -> None:
    file = tmp_path / "HEAD"
    Store().replace_file(file, b"old")
    Store().replace_file(file, b"new")
    assert file.read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["HEAD"]


def test_replace_is_durable_before_the_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def note_fsync(descriptor: int) -> None:
        folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        steps.append("fsync folder" if folder else "fsync file")
        fsync(descriptor)

    def note_replace(source: Path, target: Path) -> None:
        steps.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    Store().replace_file(tmp_path / "HEAD", b"x")
    assert steps == ["fsync file", "rename", "fsync folder"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_failed_replace_keeps_the_old_file_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    file = tmp_path / "HEAD"
    file.write_bytes(b"old")
    monkeypatch.setattr(os, call, failing(errno.ENOSPC))
    with pytest.raises(OSError, match="No space left"):
        Store().replace_file(file, b"new")
    assert file.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["HEAD"]


def test_reader_of_the_old_file_keeps_reading_it(tmp_path: Path) -> None:
    file = tmp_path / "HEAD"
    file.write_bytes(b"old")
    with file.open("rb") as reader:
        Store().replace_file(file, b"new")
        assert reader.read() == b"old"


@pytest.mark.parametrize("mask", [0o022, 0o002, 0o077])
def test_files_get_the_mode_that_the_umask_gives(
    tmp_path: Path, umask: Callable[[int], None], mask: int
) -> None:
    umask(mask)
    Store().replace_file(tmp_path / "HEAD", b"x")
    Store().append_line(tmp_path / "log", "x")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == dict.fromkeys(modes, 0o666 & ~mask)


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """Another user's file, which nothing may write to."""
    file = tmp_path / "victim"
    file.write_bytes(b"precious")
    return file


def test_a_link_that_somebody_planted_is_not_written_through(tmp_path: Path, victim: Path) -> None:
    (tmp_path / f".HEAD.{os.getpid()}.part").symlink_to(victim)
    Store().replace_file(tmp_path / "HEAD", b"new")
    assert victim.read_bytes() == b"precious"
    assert (tmp_path / "HEAD").read_bytes() == b"new"
    assert not (tmp_path / "HEAD").is_symlink()


@pytest.mark.parametrize("plant", [Path.symlink_to, Path.hardlink_to])
def test_a_link_of_the_very_name_is_an_error(
    tmp_path: Path, victim: Path, monkeypatch: pytest.MonkeyPatch, plant: Callable[..., None]
) -> None:
    monkeypatch.setattr(os, "urandom", bytes)
    plant(store.part_path(tmp_path / "HEAD"), victim)
    with pytest.raises(FileExistsError):
        Store().replace_file(tmp_path / "HEAD", b"new")
    assert victim.read_bytes() == b"precious"
    assert not (tmp_path / "HEAD").exists()


def test_processes_with_one_number_do_not_write_one_file(tmp_path: Path) -> None:
    # as in two containers, where every process may be number 1
    class Disk(store.Disk):
        def write(self, path: Path, data: store.Data) -> None:
            super().write(path, data)
            if data == b"ours":  # the other process writes just then
                Store(self).replace_file(tmp_path / "HEAD", b"theirs")

    Store(Disk()).replace_file(tmp_path / "HEAD", b"ours")
    assert (tmp_path / "HEAD").read_bytes() == b"ours"
    assert [path.name for path in tmp_path.iterdir()] == ["HEAD"]


# Appending


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, b"new\n"),
        (b"", b"new\n"),
        (b"old\n", b"old\nnew\n"),
        (b"old\nto", b"old\nto\nnew\n"),
        (b"to", b"to\nnew\n"),
    ],
    ids=["no file", "empty", "whole", "torn", "torn first"],
)
def test_append_never_joins_a_torn_line(tmp_path: Path, before: bytes | None, after: bytes) -> None:
    log = tmp_path / "log"
    if before is not None:
        log.write_bytes(before)
    Store().append_line(log, "new")
    assert log.read_bytes() == after


def test_a_line_is_appended_through_no_link(tmp_path: Path, victim: Path) -> None:
    log = tmp_path / "log"
    log.symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        Store().append_line(log, "new")
    assert victim.read_bytes() == b"precious"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_what_is_no_file_is_neither_read_nor_appended_to(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "log")
    with pytest.raises(OSError, match=r"regular file|directory"):
        Store().append_line(tmp_path / "log", "new")
    with pytest.raises(BundleError, match=r"not a regular file\. Remove it, or restore"):
        store.read_regular(tmp_path / "log", 2**10)


def test_a_link_is_not_read_where_a_file_is_wanted(tmp_path: Path, victim: Path) -> None:
    (tmp_path / "HEAD").symlink_to(victim)
    assert not store.is_regular(tmp_path / "HEAD")
    with pytest.raises(BundleError, match=r"Cannot read .*HEAD: .*replace the link with the file"):
        store.read_regular(tmp_path / "HEAD", 2**10)


# Digests


def test_a_digest_is_64_lower_case_hex_digits() -> None:
    digest = "0123456789abcdef" * 4
    assert is_digest(digest)
    assert check_digest(digest) == digest


@pytest.mark.parametrize(
    "value",
    [
        *("", "a", "a" * 63, "a" * 65, "A" * 64, "g" * 64, "a" * 64 + "\n", "../" * 21 + "a"),
        *("\N{FULLWIDTH DIGIT ONE}" * 64, None, 7, ["a"] * 64, b"a" * 64),
    ],
    ids=repr,
)
def test_anything_else_is_no_digest(value: object) -> None:
    assert not is_digest(value)
    with pytest.raises(ValueError, match="64 lower-case hex digits"):
        check_digest(value)


# Errors


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        (errno.EROFS, "Read-only file system.*write to another one, or copy the bundle"),
        (errno.ENOSPC, "disk is full: free some space"),
        (errno.EACCES, "Permission denied.*Change its permissions"),
        (errno.EIO, "Input/output error. Check the disk"),
    ],
    ids=lambda value: errno.errorcode[value] if isinstance(value, int) else "",
)
def test_os_errors_say_what_to_do(tmp_path: Path, code: int, hint: str) -> None:
    with (
        pytest.raises(BundleError, match=rf"Cannot publish to {tmp_path}: .*{hint}"),
        store.map_os_errors("publish to", tmp_path),
    ):
        failing(code)()


def test_missing_file_is_a_bundle_error(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"Cannot read .*HEAD: No such file.*restore the file"):
        store.read_bytes(tmp_path / "HEAD", 2**10)


# The lock


def test_lock_of_another_process_is_waited_for_and_then_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "LOCK_TIMEOUT_S", 0.2)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(edgesplit.__file__).parents[1],
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(
                ConflictError, match=rf"Another process.* has been publishing to {tmp_path}"
            ),
            store.lock(tmp_path),
        ):
            pass
        holder.communicate()
    with store.lock(tmp_path):
        pass  # free again


@pytest.mark.parametrize(
    ("folder", "lock"),
    [(0o755, 0o600), (0o700, 0o600), (0o775, 0o660), (0o2770, 0o660), (0o777, 0o666)],
    ids=oct,
)
def test_only_who_may_write_to_the_folder_may_open_the_lock(
    tmp_path: Path, umask: Callable[[int], None], folder: int, lock: int
) -> None:
    # whoever can open a lock can hold it, and so stop all publishing
    umask(0o022)
    place = tmp_path / "lab.bundle"
    place.mkdir()
    place.chmod(folder)
    for _ in range(2):
        with store.lock(place):
            pass
        if (place / ".lock").exists():
            assert stat.S_IMODE((place / ".lock").stat().st_mode) == lock
        (place / ".lock").touch()
        (place / ".lock").chmod(0o644)  # as if the folder had been open to more


def test_a_lock_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / ".lock").symlink_to("victim")
    with pytest.raises(BundleError, match="Links are not followed"), store.lock(tmp_path):
        pass
    assert (tmp_path / "victim").read_text() == "precious"


def test_lock_is_released_when_its_holder_fails(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="half way"), store.lock(tmp_path):
        raise RuntimeError("half way")
    with store.lock(tmp_path):
        pass


def test_lock_in_a_missing_folder_is_a_bundle_error(tmp_path: Path) -> None:
    with (
        pytest.raises(BundleError, match=r"Cannot write to .*gone"),
        store.lock(tmp_path / "gone"),
    ):
        pass


def test_only_what_edgesplit_was_writing_is_a_leftover(tmp_path: Path) -> None:
    ours = [f".{name}.{'0' * 16}.part" for name in (f"{'a' * 64}.onnx", "HEAD", "text")]
    others = [".mydownload.part", ".notes.part", f".backup.{'0' * 16}.part", "HEAD.17.part"]
    others.append(".HEAD.17.part")
    for name in ours + others:
        (tmp_path / name).mkdir()
        (tmp_path / name / "precious").touch()
    Store().remove_parts(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)


@pytest.mark.skipif(os.getuid() == 0, reason="root may look everywhere")
def test_a_folder_that_cannot_be_searched_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "heads").mkdir(mode=0o600)
    with pytest.raises(BundleError, match=r"Cannot look at .*heads"):
        store.is_regular(tmp_path / "heads" / "a.onnx")
