"""The user's cache: used where it is this user's alone, done without elsewhere."""

from __future__ import annotations

import json
import logging
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import edgesplit
from edgesplit.backbone.features import FeatureCache
from edgesplit.bundle.bundle import Bundle
from edgesplit.demo import unpack_demo
from edgesplit.edits.text_encoder import packaged_encoder
from edgesplit.errors import CacheError, EngineError, VariantError
from edgesplit.runtime import add_variant
from edgesplit.runtime.backends.engines import ENGINES
from edgesplit.runtime.backends.variants import VARIANTS
from edgesplit.runtime.device.doctor import examine
from edgesplit.storage import user_cache
from edgesplit.storage.user_cache import cache_path, find_cached, make_cache
from tests.runtime.test_doctor import MadeProbes

CHECKOUT = Path(edgesplit.__file__).parents[1]
SOMEBODY = 65534
"""A user id that nobody has; a process needs no account to take one."""

as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can work as somebody else")


pytestmark = pytest.mark.usefixtures("cache")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_folders_that_are_made_are_for_this_user_alone(cache: Path) -> None:
    before = os.umask(0o002)
    try:
        make_cache("engines", "timing")
        packaged_encoder().encode(["left"])
    finally:
        os.umask(before)
    folders = (cache, cache / "engines", cache / "engines" / "timing")
    assert [mode(folder) for folder in folders] == [0o700] * 3
    assert cache_path("embeddings.sqlite").is_file()  # which the umask let the group write


def test_looking_makes_nothing(cache: Path) -> None:
    assert cache_path("engines") == cache / "engines"
    assert ENGINES.list() == ()
    assert not cache.exists()


@pytest.mark.parametrize(
    ("write", "mend"), [(0o777, "chmod -R go-w"), (0o775, "chmod -R go-w"), (0o1777, "Set EDGE")]
)
def test_a_folder_that_others_can_write_to_is_not_trusted(
    cache: Path, write: int, mend: str
) -> None:
    cache.mkdir()
    cache.chmod(write)
    for use in (cache_path, make_cache):
        with pytest.raises(CacheError, match=f"Other users can write to .*mode {write:o}.*{mend}"):
            use("engines")
    assert find_cached("engines") is None
    assert list(cache.iterdir()) == []


def test_what_lies_in_a_folder_of_this_users_is_looked_at_too(cache: Path) -> None:
    cache.mkdir()
    cache.chmod(0o755)
    (cache / "engines").mkdir()
    (cache / "engines").chmod(0o755)
    (cache / "engines" / "a.json").touch()
    (cache / "engines" / "a.json").chmod(0o644)
    for place in (cache / "engines", cache / "engines" / "a.json"):
        before = mode(place)
        place.chmod(before | 0o022)
        with pytest.raises(CacheError, match=f"can write to {place}"):
            cache_path("engines", "a.json")
        cache.chmod(0o700)  # nobody else can get there
        assert cache_path("engines", "a.json").is_file()
        cache.chmod(0o755)
        place.chmod(before)


def test_a_shared_cache_is_used_when_the_user_says_so(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.mkdir()
    cache.chmod(0o777)
    monkeypatch.setenv("EDGESPLIT_TRUST_CACHE", "1")
    before = os.umask(0o002)
    try:
        assert mode(make_cache("engines")) == 0o775  # for the others, too
    finally:
        os.umask(before)
    packaged_encoder().encode(["left"])
    assert (cache / "embeddings.sqlite").exists()


def test_every_reader_goes_on_and_only_one_warns(
    cache: Path, bundle: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache.mkdir()
    cache.chmod(0o777)
    (tmp_path / "clip.mp4").touch()
    with caplog.at_level(logging.WARNING):
        packaged_encoder().encode(["left"])
        assert (ENGINES.list(), VARIANTS.find("a")) == ((), None)
        extract = FeatureCache(
            lambda: lambda video: bundle.head().weight[0], space="a" * 64, dim=bundle.dim
        )
        extract(tmp_path / "clip.mp4")
    (record,) = caplog.records
    assert "continuing without a cache: Other users can write" in record.message
    assert "EDGESPLIT_CACHE" in record.message
    assert list(cache.iterdir()) == []


def test_who_must_write_says_how_to_mend_it(cache: Path, bundle: Bundle) -> None:
    cache.mkdir()
    cache.chmod(0o777)
    clips = [bundle.preprocessing] * 12  # not looked at
    with pytest.raises(VariantError, match=r"can write to .*chmod -R go-w .*EDGESPLIT_CACHE"):
        add_variant(bundle, "fp16", clips=clips)  # type: ignore[arg-type]
    with pytest.raises(EngineError, match="EDGESPLIT_CACHE"), ENGINES.lock("a"):
        pass
    with pytest.raises(VariantError, match="EDGESPLIT_CACHE"):
        VARIANTS.remove()


def test_doctor_tells_of_a_cache_that_is_not_used(cache: Path, bundle: Bundle) -> None:
    cache.mkdir()
    cache.chmod(0o777)
    checkup = examine(bundle.path, probes=MadeProbes())
    (found,) = [one for one in checkup.findings if one.topic == "cache"]
    assert found.status == "note"
    assert "made every time" in found.text
    assert f"chmod -R go-w {cache}" in found.todo


def test_one_command_mends_a_cache_that_an_earlier_umask_made(cache: Path) -> None:
    for path in (cache, cache / "variants"):
        path.mkdir()
        path.chmod(0o775)
    (cache / "variants" / "a.json").touch()
    (cache / "variants" / "a.json").chmod(0o664)
    with pytest.raises(CacheError) as refused:
        cache_path("variants", "a.json")
    command = str(refused.value).split("`")[1]
    subprocess.run(command, shell=True, check=True)
    assert cache_path("variants", "a.json").is_file()


def test_a_user_without_a_home_has_no_cache_and_no_trouble(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("EDGESPLIT_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", none)
    user_cache._warned.clear()  # as in a new process
    assert (ENGINES.list(), VARIANTS.list(), VARIANTS.find("a")) == ((), (), None)
    assert "Set EDGESPLIT_CACHE" in caplog.text


# Homes that are not this user's

# Python itself may be where only root can read it: all modules are loaded, by using them, before.
AS_USER = """
import json, os, sys
from pathlib import Path
from click.testing import CliRunner
from edgesplit.storage import user_cache as cache
from edgesplit.cli import main
from edgesplit.runtime.device.doctor import examine
from tests.runtime.test_doctor import MadeProbes
user, home, place = json.loads(sys.argv[1])
os.chdir(place)
clip = "clips/pushing-something-left-1.mp4"
commands = [
    ["predict", clip],
    ["run", "--source", clip, "--window", "2"],
    ["engine", "list"],
    ["variant", "list"],
    ["edit", "--class", "pushing", "--into", "left,right", "--dry-run"],
    ["features", "few"],
    ["calibrate", "few", "--accept-few", "--bundle", "plain.bundle"],
]
os.environ["EDGESPLIT_BUNDLE"] = "motion.bundle"
if user:
    examine(Path("motion.bundle"), probes=MadeProbes())
    for command in commands[:-1]:
        assert CliRunner().invoke(main, command).exit_code == 0, command
for name in ("EDGESPLIT_CACHE", "XDG_CACHE_HOME"):
    os.environ.pop(name, None)
os.environ["HOME"] = home
if user:
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
for command in commands:
    cache._warned.clear()  # as in a new process
    print("--", command[0], file=sys.stderr, flush=True)
    try:
        main(command)
    except SystemExit as end:
        assert not end.code, command
print("--", "doctor", file=sys.stderr, flush=True)
cache._warned.clear()
found = [one for one in examine(Path("motion.bundle"), probes=MadeProbes()).findings]
print(*[f"{one.status}: {one.text} {one.todo}" for one in found if one.topic == "cache"])
"""


@pytest.fixture
def public() -> Iterator[Path]:
    """The demo in a folder that everybody can read and write."""
    place = Path(tempfile.mkdtemp())
    try:
        bundle = unpack_demo(place)
        shutil.copytree(bundle.path, place / "plain.bundle")
        (place / "plain.bundle" / "stats.npz").unlink()
        (place / "few").mkdir()
        (place / "clips" / "pulling-something-left-1.mp4").rename(place / "few" / "a.mp4")
        for path in (place, *place.rglob("*")):
            path.chmod(0o777 if path.is_dir() else 0o666)
        yield place
    finally:
        shutil.rmtree(place)


def work(place: Path, home: Path, user: int = 0) -> tuple[dict[str, int], str]:
    """Types commands as a user, 0 for this one; how often each warned, and what doctor says."""
    code = [sys.executable, "-c", AS_USER, json.dumps([user, str(home), str(place)])]
    done = subprocess.run(code, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    parts = [part.partition("\n") for part in done.stderr.split("-- ")[1:]]
    for _, _, said in parts:
        assert said.count("continuing without a cache") == said.count("EDGESPLIT_CACHE"), said
    counts = {name: said.count("continuing without a cache") for name, _, said in parts}
    return counts, done.stdout.splitlines()[-1]


READ = ("predict", "run", "engine", "variant")
WRITE = ("edit", "features", "calibrate")


@pytest.mark.parametrize("home", ["nowhere", "file"])
def test_without_a_home_everything_runs(public: Path, home: str) -> None:
    (public / "file").touch()
    # Not even root can make a folder in /proc.
    counts, doctor = work(public, Path("/proc/nowhere") if home == "nowhere" else public / home)
    assert counts == dict.fromkeys(READ, 0) | dict.fromkeys(WRITE, 1) | {"doctor": 0}
    assert doctor.startswith("note: ")
    assert "EDGESPLIT_CACHE" in doctor


def test_in_a_home_that_cannot_be_read_everything_runs(public: Path) -> None:
    home = public / "home"
    (home / ".cache").mkdir(parents=True)
    root = os.getuid() == 0  # who may look everywhere, but not as somebody else
    home.chmod(0o700 if root else 0)
    try:
        counts, doctor = work(public, home, SOMEBODY if root else 0)
    finally:
        home.chmod(0o700)
    assert counts == dict.fromkeys((*READ, *WRITE, "doctor"), 1)
    assert "Permission denied" in doctor


@as_root
def test_in_another_users_home_everything_runs(public: Path) -> None:
    cache = public / "home" / ".cache" / "edgesplit"
    cache.mkdir(parents=True)
    os.chown(cache, SOMEBODY, SOMEBODY)
    counts, doctor = work(public, public / "home")
    assert counts == dict.fromkeys((*READ, *WRITE, "doctor"), 1)
    assert f"belongs to another user (uid {SOMEBODY})" in doctor
    assert list(cache.iterdir()) == []


@as_root
def test_what_root_made_is_read_by_others(public: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGESPLIT_CACHE", str(public / "cache"))
    for folder in (public / "cache", public / "cache" / "engines"):
        folder.mkdir()
        folder.chmod(0o755)
    os.seteuid(SOMEBODY)
    try:
        assert cache_path("engines").is_dir()
        with pytest.raises(CacheError, match=r"Cannot write to .*Permission denied"):
            make_cache("variants")
    finally:
        os.seteuid(0)


@as_root
def test_a_file_of_another_users_is_not_read(cache: Path) -> None:
    encoder = packaged_encoder()
    encoder.encode(["left"])
    os.chown(cache / "embeddings.sqlite", SOMEBODY, SOMEBODY)
    with pytest.raises(CacheError, match=r"sqlite belongs to another user"):
        cache_path("embeddings.sqlite")
    assert (encoder.encode(["left"]) == encoder.compute(["left"])).all()
