"""Describe the device that a figure was measured on: hardware, clocks, temperatures, software.

Everything is read from files below a root, so that a test can describe any machine. Missing files
are normal: containers, virtual machines and Jetsons lack different ones.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath

from edgesplit.runtime.device.arm_cores import name_arm_cores
from edgesplit.runtime.device.jetson import (
    PowerMode,
    jetpack_of,
    parse_l4t,
    parse_power_mode,
    parse_power_modes,
)

__all__ = [
    "DeviceRecord",
    "FileSystem",
    "Run",
    "describe_device",
    "find_file_system",
    "read_temperatures",
    "read_throttling",
    "run_command",
]

PACKAGES = ("numpy", "onnx", "onnxruntime", "onnxruntime-gpu", "av", "tensorrt", "cuda-bindings")

ROOT = Path("/")

Run = Callable[[Sequence[str]], "str | None"]
"""Runs a command and returns its output; None if it is missing or failed."""

_COMMAND_S = 10
_TIME_ERROR = 5  # adjtimex: the clock is not synchronised
_UNLIMITED = 1 << 60  # cgroup v1 writes no limit as a number near 2^63
_CPU = Path("sys/devices/system/cpu")


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """State of a machine at one moment. A field is None or empty if it could not be read."""

    machine: str
    """Instruction set, as in `aarch64`."""
    processor: str
    model: str | None
    """Name of the board in its device tree."""
    cores: int
    """Cores that this process may use."""
    cpu_limit: float | None
    """Processor time limit of a container, in cores."""
    memory_bytes: int | None
    memory_available_bytes: int | None
    memory_limit_bytes: int | None
    """Memory limit of a container, if it is below the machine's memory."""
    system: str
    kernel: str
    governors: tuple[str, ...]
    mhz: tuple[float, float, float] | None
    """Lowest allowed, highest allowed and current clock of the fastest core."""
    temperatures_c: Mapping[str, float]
    throttle_events: int | None
    """Number of throttling events since the machine started."""
    l4t: str | None
    jetpack: str | None
    power_mode: PowerMode | None
    power_modes: tuple[PowerMode, ...]
    clock_synchronised: bool | None
    python: str
    versions: Mapping[str, str]
    """Versions of the packages in `PACKAGES` that are installed."""

    @property
    def summary(self) -> str:
        """One line, as in `x86_64, 2 cores, AMD EPYC`."""
        return f"{self.machine}, {self.cores} cores, {self.model or self.processor}"


@dataclass(frozen=True, slots=True)
class FileSystem:
    """The file system of a path."""

    kind: str
    """Kernel's name of the type: ext4, overlay, nfs4, …"""
    mount: str
    read_only: bool


def run_command(command: Sequence[str]) -> str | None:
    """Return a command's output; None if it is missing, fails, or takes over ten seconds."""
    try:
        done = subprocess.run(
            list(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_COMMAND_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def describe_device(root: Path = ROOT, run: Run = run_command) -> DeviceRecord:
    """Describe this machine now, in milliseconds (a tenth of a second on a Jetson).

    Args:
        root: the folder with `proc`, `sys` and `etc`; tests pass another one.
        run: runs `nvpmodel -q`; called only on a Jetson.
    """
    sizes = re.findall(r"^(\w+):\s+(\d+) kB$", _text(root / "proc/meminfo"), re.M)
    memory = {name: 1024 * int(kilobytes) for name, kilobytes in sizes}
    total, limit = memory.get("MemTotal"), _memory_limit(root)
    l4t = parse_l4t(_text(root / "etc/nv_tegra_release"))
    modes = parse_power_modes(_text(root / "etc/nvpmodel.conf"))
    names = re.search(r'^PRETTY_NAME="?([^"\n]*)', _text(root / "etc/os-release"), re.M)
    jetson = bool(l4t or modes)
    return DeviceRecord(
        machine=platform.machine(),
        processor=_processor(root),
        model=_text(root / "proc/device-tree/model").strip("\0\n ") or None,
        cores=_cores(root),
        cpu_limit=_cpu_limit(root),
        memory_bytes=total,
        memory_available_bytes=memory.get("MemAvailable"),
        memory_limit_bytes=limit if limit and (total is None or limit < total) else None,
        system=names[1] if names else platform.system(),
        kernel=_text(root / "proc/sys/kernel/osrelease").strip() or platform.release(),
        governors=tuple(sorted({_text(file).strip() for file in _clocks(root, "governor")} - {""})),
        mhz=_mhz(root),
        temperatures_c=read_temperatures(root),
        throttle_events=read_throttling(root),
        l4t=l4t,
        jetpack=jetpack_of(l4t) if l4t else None,
        power_mode=parse_power_mode(run(("nvpmodel", "-q")) or "") if jetson else None,
        power_modes=modes,
        clock_synchronised=_clock_synchronised(root),
        python=platform.python_version(),
        versions=_versions(),
    )


def read_temperatures(root: Path = ROOT) -> dict[str, float]:
    """Return degrees Celsius by thermal zone."""
    temperatures: dict[str, float] = {}
    for zone in sorted(root.glob("sys/class/thermal/thermal_zone*")):
        value = _number(zone / "temp")  # a zone that is powered down raises when it is read
        if value is not None and value > -200_000:
            name = _text(zone / "type").strip() or zone.name
            temperatures[name] = max(value / 1000, temperatures.get(name, -273.15))  # the hottest
    return temperatures


def read_throttling(root: Path = ROOT) -> int | None:
    """Return the number of throttling events since the start; None if nothing counts them."""
    files = [
        *(root / _CPU).glob("cpu[0-9]*/thermal_throttle/core_throttle_count"),
        *root.glob("sys/class/hwmon/hwmon*/oc*_event_cnt"),  # Jetson: too much current
    ]
    counts = [count for count in map(_number, files) if count is not None]
    return sum(counts) if counts else None


def find_file_system(path: Path, root: Path = ROOT) -> FileSystem | None:
    """Return the file system of a path, from `/proc/self/mountinfo`; None if it is not listed."""
    wanted = PurePosixPath(os.path.abspath(path))
    best: tuple[int, FileSystem] | None = None
    for line in _text(root / "proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) < 6 or not kind:
            continue
        mount = re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), fields[4])
        if not wanted.is_relative_to(mount):
            continue
        depth = len(PurePosixPath(mount).parts)
        if best is None or depth >= best[0]:  # a later mount hides an earlier one
            read_only = "ro" in fields[5].split(",")
            best = depth, FileSystem(kind=kind[0], mount=mount, read_only=read_only)
    return best[1] if best else None


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""


def _number(file: Path) -> int | None:
    try:
        return int(_text(file))
    except ValueError:
        return None


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _processor(root: Path) -> str:
    text = _text(root / "proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.M)
    if found:
        return found[1].strip()
    return name_arm_cores(text) or platform.processor() or "unknown processor"


def _cores(root: Path) -> int:
    """Return the number of cores that this process may use, or that another root lists."""
    if root == ROOT:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    return len(re.findall(r"^processor\s*:", _text(root / "proc/cpuinfo"), re.M))


def _clocks(root: Path, what: str) -> list[Path]:
    return sorted((root / _CPU).glob(f"cpu[0-9]*/cpufreq/scaling_{what}"))


def _mhz(root: Path) -> tuple[float, float, float] | None:
    found = []
    for file in _clocks(root, "max_freq"):
        values = [_number(file.with_name(f"scaling_{name}_freq")) for name in ("min", "max", "cur")]
        low, high, now = values
        if low is not None and high is not None and now is not None:
            found.append((high, low, now))
    if not found:
        return None
    high, low, now = max(found)
    return low / 1000, high / 1000, now / 1000


def _cgroups(root: Path, controller: str) -> list[Path]:
    """Return the folders of this process's control groups and their parents, version 1 and 2."""
    base = root / "sys/fs/cgroup"
    folders = []
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        start = base / controllers if controllers else base
        inner = PurePosixPath(path.lstrip("/"))
        # In a container the path is the host's, but the container's own groups are mounted.
        folders += [start / step for step in (inner, *inner.parents)]
    return list(dict.fromkeys([*folders, base]))


def _memory_limit(root: Path) -> int | None:
    limits = []
    for folder in _cgroups(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            limit = _number(folder / name)  # version 2 writes `max` for none
            if limit is not None and 0 < limit < _UNLIMITED:
                limits.append(limit)
    return min(limits, default=None)


def _cpu_limit(root: Path) -> float | None:
    limits = []
    for folder in _cgroups(root, "cpu"):
        quota, _, period = _text(folder / "cpu.max").partition(" ")
        with contextlib.suppress(ValueError, ZeroDivisionError):
            limits.append(int(quota) / int(period))
        old, length = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
        if old and length and old > 0:  # -1: none
            limits.append(old / length)
    return min(limits, default=None)


def _clock_synchronised(root: Path) -> bool | None:
    if (root / "run/systemd/timesync/synchronized").exists():
        return True
    if root != ROOT:
        return None
    try:
        # A zeroed timex only queries; 512 bytes are more than any libc's struct.
        state: int = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))
    except (OSError, AttributeError):
        return None
    return state != _TIME_ERROR if state >= 0 else None
