"""What the emulated ARM machine needs is asked for by name; it shows what Linux shows."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from edgesplit.runtime.device.arm_cores import name_arm_cores
from tests.arm import userland
from tests.arm.userland import UserlandError, check_host, read_packages


@pytest.fixture
def able(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A Debian with everything: root, packages, and QEMU's entry in binfmt_misc."""
    (tmp_path / "qemu-aarch64").touch()
    monkeypatch.setattr(userland, "BINFMT", tmp_path)
    monkeypatch.setattr(Path, "is_mount", lambda path: path == tmp_path)
    monkeypatch.setattr(userland, "_os_release", lambda: {"ID": "debian", "PRETTY_NAME": "Debian"})
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(userland, "_is_installed", lambda package: True)
    return monkeypatch


def fail(*arguments: Any, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess([], 32, "", "mount: permission denied\n")


def test_a_debian_with_everything_will_do(able: pytest.MonkeyPatch) -> None:
    check_host()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("tests.arm.userland._os_release", lambda: {"ID": "fedora"}, "needs Debian"),
        ("os.geteuid", lambda: 1000, "needs root.*with sudo"),
        ("platform.machine", lambda: "aarch64", "run `make test` here"),
    ],
)
def test_what_cannot_be_had_is_said(
    able: pytest.MonkeyPatch, name: str, value: object, message: str
) -> None:
    able.setattr(name, value)
    with pytest.raises(UserlandError, match=message):
        check_host()


def test_missing_packages_are_named_with_the_command(able: pytest.MonkeyPatch) -> None:
    able.setattr(userland, "_is_installed", lambda package: "qemu" not in package)
    with pytest.raises(UserlandError, match=r"apt-get install -y qemu-user-static$"):
        check_host()


def test_binfmt_misc_that_cannot_be_mounted_is_said(able: pytest.MonkeyPatch) -> None:
    able.setattr(Path, "is_mount", lambda path: False)
    able.setattr(subprocess, "run", fail)
    with pytest.raises(UserlandError, match=r"cannot be mounted.*permission denied.*--privileged"):
        check_host()


def test_an_entry_that_does_not_come_is_said(able: pytest.MonkeyPatch) -> None:
    (userland.BINFMT / "qemu-aarch64").unlink()
    able.setattr(subprocess, "run", fail)
    with pytest.raises(UserlandError, match=r"update-binfmts --enable qemu-aarch64 had no effect"):
        check_host()


def test_packages_are_read_without_comments() -> None:
    packages = read_packages()
    assert "qemu-user-static" in packages
    assert all(name.replace("-", "").isalnum() for name in packages)


def test_its_processor_is_orins() -> None:
    assert name_arm_cores(userland._cpuinfo(2)) == "Cortex-A78AE"


def test_pip_inside_asks_the_host_s_index(monkeypatch: pytest.MonkeyPatch) -> None:
    said = (
        "global.index-url='https://index.example/simple'\nglobal.find-links='/opt/wheels'\n"
        "global.extra-index-url='file:///opt/one https://more.example/simple'\n"
    )
    monkeypatch.setattr(
        subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, said)
    )
    assert userland._pip_settings() == (
        "[global]\nindex-url = https://index.example/simple\n"
        "extra-index-url = https://more.example/simple\n"
    )
