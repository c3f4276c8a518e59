"""Parts of `make release` that can be tried in no time; it does the rest itself."""

import importlib.util
import io
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
CONTAINERS = sorted((ROOT / "containers").glob("*.Containerfile"))


@pytest.fixture(scope="module")
def release() -> ModuleType:
    path = ROOT / "tests" / "installed" / "build_release.py"
    spec = importlib.util.spec_from_file_location("build_release", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_source(path: Path, *names: str, mtime: int, mode: int) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode, info.uname = 3, mtime, mode, f"user{mtime}"
            tar.addfile(info, io.BytesIO(b"abc"))
    return path


def test_a_source_distribution_depends_on_its_files_alone(
    release: ModuleType, tmp_path: Path
) -> None:
    one = make_source(tmp_path / "one.tar.gz", "a", "b", mtime=1, mode=0o664)
    other = make_source(tmp_path / "other.tar.gz", "b", "a", mtime=2, mode=0o600)
    for source in (one, other):
        release.repack(source, 1_700_000_000)
    assert one.read_bytes() == other.read_bytes()
    with tarfile.open(one) as tar:
        assert [(m.name, m.mode, m.mtime) for m in tar] == [
            ("a", 0o644, 1_700_000_000),
            ("b", 0o644, 1_700_000_000),
        ]


def test_an_install_is_measured_without_pip(release: ModuleType, tmp_path: Path) -> None:
    for name, size in (("numpy", 2_000_000), ("pip", 5_000_000), ("setuptools-65.dist-info", 1)):
        folder = tmp_path / "lib" / "python3.11" / "site-packages" / name
        folder.mkdir(parents=True)
        (folder / "data").write_bytes(bytes(size))
    assert release.measure(tmp_path) == 2.0


@pytest.mark.parametrize("path", CONTAINERS, ids=lambda path: path.stem)
def test_the_pip_lines_of_a_container_are_found(release: ModuleType, path: Path) -> None:
    (line,) = release.pip_lines(path)
    assert line.startswith("python3 -m venv ")
    assert "--no-cache-dir --no-compile" in line
    assert ("'cuda-bindings<13'" in line) == ("jetpack6" in path.stem)


def test_a_line_is_moved_once(release: ModuleType) -> None:
    line = "python3 -m venv /opt/edgesplit && /opt/edgesplit/bin/pip install /tmp/edgesplit-*.whl"
    moved = release.move_line(line, "/py", Path("/d/edgesplit.whl"), Path("/tmp/x/opt"))
    assert moved == "/py -m venv /tmp/x/opt && /tmp/x/opt/bin/pip install /d/edgesplit-*.whl"


def test_the_documented_ceiling_is_the_checked_one(release: ModuleType) -> None:
    assert f"at most {release.CEILING_MB} MB" in (ROOT / "docs" / "release.md").read_text()
