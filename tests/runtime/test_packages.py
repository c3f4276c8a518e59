"""Which TensorRT Python would take: the system's or a wheel's."""

from pathlib import Path

import pytest

from edgesplit.runtime.device.packages import find_tensorrt
from edgesplit.runtime.device.probes import Probes


def install(folder: Path, version: str, installer: str) -> Path:
    (folder / "tensorrt").mkdir(parents=True)
    (folder / "tensorrt" / "__init__.py").write_text("raise SystemExit('it must not be loaded')")
    if version:
        info = folder / f"tensorrt-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: tensorrt\nVersion: {version}\n"
        )
        (info / "INSTALLER").write_text(installer)
    return folder


def test_a_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(install(tmp_path, "10.16.1.11", "pip\n"))
    found = Probes().tensorrt_origin()
    assert str(found) == f"tensorrt 10.16.1.11, from a wheel, {tmp_path / 'tensorrt'}"


@pytest.mark.parametrize(("version", "said"), [("10.3.0", "tensorrt 10.3.0"), ("", "tensorrt")])
def test_the_systems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, said: str
) -> None:
    monkeypatch.syspath_prepend(install(tmp_path, version, ""))
    assert str(find_tensorrt()) == f"{said}, the system's, {tmp_path / 'tensorrt'}"


def test_a_wheel_that_hides_the_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(install(tmp_path / "system", "10.3.0", ""))
    monkeypatch.syspath_prepend(install(tmp_path / "wheel", "11.4.0.106", "pip"))
    found = find_tensorrt()
    assert found is not None
    assert (found.version, found.source) == ("11.4.0.106", "wheel")
    assert str(found).endswith("; it hides 10.3.0 (system)")


def test_a_module_that_is_no_tensorrt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGESPLIT_TENSORRT", "os")
    assert find_tensorrt() is None
