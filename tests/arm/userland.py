"""An ARM userland in a folder: Debian's packages, unpacked, whose programs QEMU plays.

Nothing that can run natively is emulated: packages are unpacked and not configured, and the host's
pip lays the wheels. Orin's core is a Cortex-A78AE; QEMU's cortex-a76 has its instructions (v8.2,
half precision, dot product, no SVE).
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CPU", "ROOT", "Userland", "UserlandError", "check_host", "read_packages"]

CHECKOUT = Path(__file__).parents[2]
ROOT = CHECKOUT / ".arm"
PACKAGES_FILE = CHECKOUT / ".ci" / "packages"
PINS = CHECKOUT / "tests" / "oldest.txt"
BINFMT = Path("/proc/sys/fs/binfmt_misc")
SOURCES = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))

INSIDE = "python3,python3-venv,libstdc++6,libc-bin,dash,bash,coreutils"
"""What is unpacked, with all that it depends on."""

CPU = "cortex-a76"
PART = "0xd42"
"""The Cortex-A78AE's number, which the userland's /proc/cpuinfo shows."""

FEATURES = (
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc asimddp"
)

# Mounts are the new namespace's own and go with it. QEMU before 8.1 shows the host's /proc/cpuinfo;
# ONNX Runtime ends the process on one of another architecture.
ENTER = """
mount -t proc proc "$root/proc"
mount --bind "$root/cpuinfo" "$root/proc/cpuinfo"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
for name in etc/resolv.conf etc/hosts etc/ssl/certs; do
  [ ! -e "/$name" ] || mount --bind "/$name" "$root/$name"
done
exec chroot "$root" /usr/bin/env -i "$@"
"""


class UserlandError(Exception):
    """Something that the ARM lane needs is not there; the message says what to do."""


@dataclass(frozen=True)
class Userland:
    """The userland in a folder; `prepare` makes it, once for each list of pinned versions."""

    root: Path

    def prepare(self) -> bool:
        """Unpack it and lay the pinned wheels, unless that is done; copy the checkout's files.

        Returns:
            Whether it was made anew.
        """
        stamp, key = self.root / "ready", _key()
        fresh = not stamp.is_file() or stamp.read_text() != key
        if fresh:
            self._unpack()
        self._copy_checkout()
        if fresh:
            self._lay_wheels()
            stamp.write_text(key)
        return fresh

    def run(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        capture: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the copy of the checkout, with the pinned wheels on Python's path."""
        process = self.start(command, environment, capture=capture)
        try:
            output, _ = process.communicate()
        except BaseException:
            process.terminate()
            raise
        return subprocess.CompletedProcess(list(command), process.returncode, output)

    def start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        capture: bool = False,
    ) -> subprocess.Popen[str]:
        """Start a command, as `run` does, without waiting for it."""
        variables = {
            "PATH": "/usr/bin",
            "HOME": "/root",
            "LANG": "C.UTF-8",
            "QEMU_CPU": CPU,
            "PYTHONPATH": "/site",
            "OPENBLAS_NUM_THREADS": "1",
            **(environment or {}),
        }
        inside = ["sh", "-c", 'cd /src && exec "$@"', "sh", *command]
        given = [f"{name}={value}" for name, value in variables.items()]
        return subprocess.Popen(
            ["unshare", "--mount", "sh", "-euc", ENTER, "sh", *given, *inside],
            env={**os.environ, "root": str(self.root)},
            stdout=subprocess.PIPE if capture else None,
            text=True,
        )

    def _unpack(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.parent.mkdir(parents=True, exist_ok=True)
        sources = next((str(path) for path in SOURCES if path.is_file()), None)
        if sources is None:
            raise UserlandError(
                f"Neither {SOURCES[0]} nor {SOURCES[1]} is there: where is Debian from?"
            )
        _call(
            ["mmdebstrap", "--quiet", "--arch=arm64", "--variant=extract"],
            ["--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr", f"--include={INSIDE}"],
            # A mirror may stand still: what is unpacked here is thrown away again.
            ['--aptopt=Acquire::Check-Valid-Until "false"'],
            [_os_release()["VERSION_CODENAME"], str(self.root), sources],
        )
        # ctypes.util.find_library, which threadpoolctl asks, reads ldconfig's cache.
        _call(["chroot", str(self.root), "/sbin/ldconfig"])
        (self.root / "cpuinfo").write_text(_cpuinfo(os.cpu_count() or 1))
        (self.root / "etc/ssl/certs").mkdir(parents=True, exist_ok=True)
        for name in ("resolv.conf", "hosts"):
            place = self.root / "etc" / name
            place.unlink(missing_ok=True)
            place.touch()
        (self.root / "etc/pip.conf").write_text(_pip_settings())

    def _copy_checkout(self) -> None:
        target = self.root / "src"
        shutil.rmtree(target, ignore_errors=True)
        for name in _files_of_checkout():
            place = target / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, place, follow_symlinks=False)
        # The paper's labels, where they lie beside the checkout: some tests want them.

        shared = Path("shared", "data", "SSv2-Split")
        if (CHECKOUT.parent / shared).is_dir():
            shutil.copytree(CHECKOUT.parent / shared, self.root / shared, dirs_exist_ok=True)

    def _lay_wheels(self) -> None:
        """The pinned versions, as JetPack 6 has them, for the userland's Python."""
        (python,) = (p.name for p in (self.root / "usr/bin").glob("python3.*[0-9]"))
        pip = [sys.executable, "-m", "pip"]
        dist = self.root / "dist"
        source = self.root / "src-wheel"
        shutil.copytree(self.root / "src", source, symlinks=True)
        _call(pip, ["wheel", "-q", "--no-deps", "-w", str(dist), str(source)])
        shutil.rmtree(source)
        (wheel,) = dist.glob("*.whl")
        platforms = [f"--platform=manylinux_2_{minor}_aarch64" for minor in range(17, 37)]
        _call(
            [*pip, "install", "-q", "--no-compile", "--root-user-action=ignore"],
            ["--only-binary=:all:", "--implementation=cp", *platforms],
            [f"--python-version={python.removeprefix('python')}", "-c", str(PINS)],
            [f"--target={self.root / 'site'}", f"{wheel}[cpu]", "hypothesis", "pytest"],
        )


def check_host() -> None:
    """Make sure that this machine can play an ARM one; switches binfmt_misc on.

    Raises:
        UserlandError: it cannot.
    """
    release = _os_release()
    if release.get("ID") != "debian":
        name = release.get("PRETTY_NAME", platform.system())
        raise UserlandError(f"This needs Debian, whose packages it unpacks; this is {name}.")
    if platform.machine() == "aarch64":
        raise UserlandError("This machine is an ARM one itself: run `make test` here.")
    if os.geteuid() != 0:
        raise UserlandError("This needs root, to mount and to change root: run it with sudo.")
    missing = missing_packages(read_packages())
    if missing:
        names = " ".join(missing)
        raise UserlandError(f"Debian packages are missing. Run: apt-get install -y {names}")
    _enable_binfmt()


def read_packages() -> list[str]:
    """The Debian packages that the lanes need, as .ci/packages lists them."""
    lines = (line.partition("#")[0].strip() for line in PACKAGES_FILE.read_text().splitlines())
    return [line for line in lines if line]


def missing_packages(names: Iterable[str]) -> list[str]:
    """Those that are not installed."""
    return [name for name in names if not _is_installed(name)]


def _is_installed(package: str) -> bool:
    command = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode == 0 and done.stdout == "installed"


def _enable_binfmt() -> None:
    if not BINFMT.is_mount():
        command = ["mount", "-t", "binfmt_misc", "binfmt_misc", str(BINFMT)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise UserlandError(
                f"binfmt_misc cannot be mounted, so the kernel will not hand ARM programs to QEMU: "
                f"{done.stderr.strip()}. In a container, start it with --privileged."
            )
    if not (BINFMT / "qemu-aarch64").exists():
        subprocess.run(["update-binfmts", "--enable", "qemu-aarch64"], capture_output=True)
    if not (BINFMT / "qemu-aarch64").exists():
        raise UserlandError(
            "update-binfmts --enable qemu-aarch64 had no effect: is binfmt_misc full?"
        )


def _os_release() -> dict[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


def _files_of_checkout() -> list[str]:
    # The checkout may be another user's than root.
    git = ["git", "-c", f"safe.directory={CHECKOUT}", "ls-files", "-z"]
    git += ["--cached", "--others", "--exclude-standard"]
    done = subprocess.run(git, cwd=CHECKOUT, check=True, capture_output=True, text=True)
    return [name for name in done.stdout.split("\0") if os.path.lexists(CHECKOUT / name) and name]


def _pip_settings() -> str:
    """The host's index, for pip in the userland; its files and folders are not there."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True
    )
    found = re.findall(r"^\S*?\.((?:extra-)?index-url|trusted-host)='(.*)'$", done.stdout, re.M)
    lines = []
    for name, value in found:
        kept = [word for word in value.replace("\\n", " ").split() if not word.startswith("file:")]
        if kept:
            lines.append(f"{name} = {' '.join(kept)}")
    return "\n".join(["[global]", *lines, ""])


def _cpuinfo(cores: int) -> str:
    fields = {
        "BogoMIPS": "62.50",
        "Features": FEATURES,
        "CPU implementer": "0x41",
        "CPU architecture": "8",
        "CPU variant": "0x0",
        "CPU part": PART,
        "CPU revision": "1",
    }
    rest = "".join(f"{name}\t: {value}\n" for name, value in fields.items())
    return "\n".join(f"processor\t: {core}\n{rest}" for core in range(cores)) + "\n"


def _key() -> str:
    content = b"".join(
        path.read_bytes() for path in (PINS, CHECKOUT / "pyproject.toml", Path(__file__))
    )
    return hashlib.sha256(content).hexdigest()


def _call(*parts: Iterable[str]) -> None:
    command = [word for part in parts for word in part]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        last = "\n".join(done.stdout.splitlines()[-20:])
        raise UserlandError(f"{command[0]} failed: {' '.join(command)}\n{last}")
