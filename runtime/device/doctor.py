"""Find out what this device can do with edgesplit, how fast, and what to change."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from edgesplit.bundle.bundle import Bundle, find_bundle, open_bundle
from edgesplit.errors import (
    BackendError,
    BundleError,
    CacheError,
    EdgesplitError,
    EngineError,
    IsolatedProcessError,
)
from edgesplit.runtime.backends.engines import ENGINES
from edgesplit.runtime.backends.variants import VARIANTS
from edgesplit.runtime.device.probes import CODECS, Probes, Speed
from edgesplit.runtime.device.record import (
    ROOT,
    DeviceRecord,
    Run,
    describe_device,
    find_file_system,
    run_command,
)
from edgesplit.storage.user_cache import REMEDY, cache_path

__all__ = ["Checkup", "Finding", "Status", "examine"]

Status = Literal["fine", "note", "problem"]
"""A `note` suggests a change; with a `problem` edgesplit cannot work here."""

_MIN_FREE_BYTES = 500 * 10**6
_IN_MEMORY = ("tmpfs", "ramfs")
_NETWORK = ("nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "ceph", "9p")
_SIMPLE = ("vfat", "exfat", "msdos")


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    topic: str
    status: Status
    text: str
    todo: str = ""
    """The next step; empty if there is nothing to do."""


@dataclass(frozen=True, slots=True)
class Checkup:
    """All results."""

    device: DeviceRecord
    findings: tuple[Finding, ...]
    speed: Speed | None
    providers: dict[str, str]
    """By provider of ONNX Runtime, why it does not run here; empty if it does."""

    @property
    def usable(self) -> bool:
        """True if edgesplit works here."""
        return all(finding.status != "problem" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """The checkup as JSON holds it."""
        return {"usable": self.usable, **asdict(self)}


def examine(
    bundle: Path | None = None,
    *,
    root: Path = ROOT,
    run: Run = run_command,
    probes: Probes | None = None,
) -> Checkup:
    """Check this device; takes seconds, as each check that may crash has its own process.

    Args:
        bundle: the bundle to check; by default EDGESPLIT_BUNDLE or the one in the current folder.
            Having none is not a problem.
        root: see `describe_device`.
        run: see `describe_device`.
        probes: tries what cannot be read.
    """
    probes = probes or Probes()
    device = describe_device(root, run)
    opened, bundle_findings = _bundle(bundle, root)
    providers, provider_findings = _providers(probes)
    findings = [_device(device), *provider_findings, *_tensorrt(probes, opened)]
    speed = None
    if any(not reason for reason in providers.values()):
        speed, finding = _speed(probes, opened)
        findings.append(finding)
    findings += [_codecs(probes), *_cameras(root, probes), *_power(device), *_memory(device)]
    findings += [*_clock(device), *bundle_findings, _cache()]
    return Checkup(device=device, findings=tuple(findings), speed=speed, providers=providers)


def _device(device: DeviceRecord) -> Finding:
    jetson = ""
    if device.l4t:
        jetpack = f"JetPack {device.jetpack}" if device.jetpack else "its JetPack is not known here"
        jetson = f", L4T {device.l4t} ({jetpack})"
    text = f"{device.summary}, {device.system}{jetson}, Python {device.python}."
    return Finding("device", "fine", text)


def _providers(probes: Probes) -> tuple[dict[str, str], list[Finding]]:
    try:
        found = probes.providers()
    except EdgesplitError as error:
        todo = "Nothing runs without it: pip install 'edgesplit[cpu]'; see docs/jetson.md."
        return {}, [Finding("ONNX Runtime", "problem", str(error), todo)]
    reasons = {name.removesuffix("ExecutionProvider"): why for name, why in found.items()}
    works = [name for name, reason in reasons.items() if not reason]
    findings = []
    if works:
        findings.append(Finding("ONNX Runtime", "fine", f"runs a model on {', '.join(works)}."))
    status: Status = "note" if works else "problem"
    todo = "Its driver or a library is missing; the others serve until then."
    for name, reason in reasons.items():
        if reason:
            text = f"lists {name}, but it does not start here: {reason}"
            findings.append(Finding("ONNX Runtime", status, text, todo))
    return found, findings


def _tensorrt(probes: Probes, bundle: Bundle | None) -> Iterator[Finding]:
    origin = probes.tensorrt_origin()
    if origin is not None:
        yield Finding("TensorRT", "fine", f"Python takes {origin}.")
    platform = None
    try:
        platform = probes.tensorrt()
    except (EngineError, IsolatedProcessError) as error:
        yield Finding("TensorRT", "note", f"There is a GPU, but TensorRT does not start: {error}")
    except BackendError as error:
        text = f"There is no GPU to use; the backbone runs on the CPU. {error}"
        yield Finding("GPU", "note", text)
    except EdgesplitError as error:  # something is not installed; it says what
        yield Finding("TensorRT", "note", f"There is a GPU, but a package is missing: {error}")
    else:
        text = f"{platform.gpu}, CUDA {platform.cuda}, {platform.tensorrt}."
        yield Finding("TensorRT", "fine", text)
    if bundle is None:
        return
    space = bundle.feature_space
    engines = [one for one in ENGINES.list() if one.feature_space == space]
    made = [f"{one.precision} engine" for one in engines if one.platform == platform]
    made += [f"{one.name} variant" for one in VARIANTS.list() if one.feature_space == space]
    if made:
        yield Finding("cache", "fine", f"It holds for this backbone: {', '.join(made)}.")
    elif platform:
        todo = "edgesplit engine build --precision fp16 makes it once, in minutes."
        yield Finding("cache", "note", "There is no engine of this backbone for this GPU.", todo)


def _speed(probes: Probes, bundle: Bundle | None) -> tuple[Speed | None, Finding]:
    try:
        speed = probes.speed(bundle.path if bundle else None)
    except EdgesplitError as error:
        todo = "edgesplit verify says whether the bundle is sound." if bundle else ""
        damaged = bundle is not None and isinstance(error, BundleError)
        status: Status = "problem" if damaged else "note"
        return None, Finding("speed", status, f"It could not be measured: {error}", todo)
    text = (
        f"{speed.what}: {speed.backbone_ms:.1f} ms a clip and {speed.head_ms:.2f} ms for the head "
        f"on {speed.on}; one clip in ten takes {speed.slow_ms:.1f} ms or more (a quick look at "
        f"{speed.n_runs}, without decoding)."
    )
    return speed, Finding("speed", "fine", text)


def _codecs(probes: Probes) -> Finding:
    try:
        found = probes.codecs()
    except ImportError as error:
        todo = "pip install --force-reinstall av"
        return Finding("video", "problem", f"PyAV cannot be imported ({error}).", todo)
    missing = [name for name in CODECS if name not in found]
    text = f"decodes {', '.join(found) or 'none of the usual formats'}, on the CPU."
    if not missing:
        return Finding("video", "fine", text)
    todo = "PyAV's own wheel has them: pip install --force-reinstall --only-binary av av"
    return Finding("video", "note", f"{text} Not {', '.join(missing)}.", todo)


def _cameras(root: Path, probes: Probes) -> Iterator[Finding]:
    nodes = sorted(root.glob("dev/video[0-9]*"))
    if not nodes:
        yield Finding(
            "camera", "fine", "None is connected (no /dev/video*); video files need none."
        )
        return
    allowed = {f"/dev/{node.name}": probes.may_use(node) for node in nodes}
    if opened := ", ".join(name for name, may in allowed.items() if may):
        yield Finding("camera", "fine", f"{opened} may be opened by this user.")
    if closed := ", ".join(name for name, may in allowed.items() if not may):
        todo = "sudo usermod -aG video $USER, then log in again."
        yield Finding("camera", "note", f"{closed} may not be opened by this user.", todo)


def _power(device: DeviceRecord) -> Iterator[Finding]:
    now, modes = device.power_mode, device.power_modes
    if now:
        best = max(modes, key=lambda mode: mode.rank, default=now)
        if best.rank > now.rank:
            text = f"The power mode is {now.name}; this board also has {best.name}."
            todo = (
                f"sudo nvpmodel -m {best.id} sets {best.name}, if supply and cooling are up to it; "
                "it may ask to reboot."
            )
            yield Finding("power", "note", text, todo)
        else:
            yield Finding("power", "fine", f"The power mode is {now.name}, the highest known here.")
    elif device.l4t:
        text = "nvpmodel did not say which power mode is set."
        yield Finding("power", "note", text, "sudo nvpmodel -q; its names: /etc/nvpmodel.conf.")
    if device.mhz:
        low, high, current = device.mhz
        which = f"governor {', '.join(device.governors) or 'unknown'}"
        if low < high:
            todo = ""
            if device.l4t:
                todo = "For steady figures: sudo jetson_clocks (until the next reboot)."
            elif device.governors != ("performance",):
                todo = "For steady figures: sudo cpupower frequency-set -g performance."
            text = f"CPU clocks move between {low:.0f} and {high:.0f} MHz ({which})."
            yield Finding("clocks", "note" if todo else "fine", text, todo)
        else:
            yield Finding("clocks", "fine", f"CPU clocks stay at {current:.0f} MHz ({which}).")
    if device.throttle_events:
        text = f"The machine slowed itself down {device.throttle_events} times since it started."
        yield Finding("heat", "note", text, "Improve its cooling or its supply.")
    if device.temperatures_c:
        zone, hottest = max(device.temperatures_c.items(), key=lambda item: item[1])
        yield Finding("heat", "fine", f"The hottest sensor, {zone}, is at {hottest:.0f} °C.")


def _memory(device: DeviceRecord) -> Iterator[Finding]:
    if device.memory_bytes is None:
        return
    free = device.memory_available_bytes
    text = _gb(device.memory_bytes) + (f", {_gb(free)} of it free." if free else ".")
    limits = []
    if device.memory_limit_bytes:
        limits.append(f"{_gb(device.memory_limit_bytes)} of memory")
    if device.cpu_limit and device.cpu_limit < device.cores:
        limits.append(f"{device.cpu_limit:g} of {device.cores} cores")
    if limits:
        text += f" This container is granted {' and '.join(limits)}."
        yield Finding("memory", "note", text, "Grant it more, if figures are to be the machine's.")
    else:
        yield Finding("memory", "fine", text)


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"


def _clock(device: DeviceRecord) -> Iterator[Finding]:
    if device.clock_synchronised is False:
        text = "This machine's time is not synchronised: entries of `edgesplit log` may mislead."
        yield Finding("time", "note", text, "sudo timedatectl set-ntp true")
    elif device.clock_synchronised:
        yield Finding("time", "fine", "The time is synchronised.")


def _bundle(path: Path | None, root: Path) -> tuple[Bundle | None, list[Finding]]:
    try:
        found = find_bundle(path)
    except BundleError as error:
        if path is not None or os.environ.get("EDGESPLIT_BUNDLE"):
            return None, [Finding("bundle", "problem", str(error))]
        return None, [Finding("bundle", "note", f"No bundle was checked: {error}")]
    try:
        bundle = open_bundle(found)
        head = bundle.head()
    except (EdgesplitError, OSError) as error:
        todo = "edgesplit verify lists what is damaged; copy the bundle here anew."
        return None, [Finding("bundle", "problem", f"{found} cannot be read: {error}", todo)]
    text = f"{found}: {len(head.labels)} classes, head {head.digest[:12]}."
    return bundle, [Finding("bundle", "fine", text), *_disk(found, root)]


def _disk(path: Path, root: Path) -> Iterator[Finding]:
    place = find_file_system(path.resolve(), root)
    if place is None:
        return
    kind, todo = place.kind, ""
    if place.read_only or not os.access(path, os.W_OK):
        text = f"It lies on {kind} and cannot be written: it runs, but no edit can go live."
        todo = "Mount it for writing, or copy it to a folder of this user's."
    elif kind in _IN_MEMORY:
        text = f"It lies in memory ({kind}): every edit is lost when the machine stops."
        todo = "Copy it to a disk."
    elif kind == "overlay":
        text = "It lies inside a container (overlay): every edit is lost with the container."
        todo = "Keep it on a volume: docker run -v /data/lab.bundle:/lab.bundle …"
    elif kind in _NETWORK:
        text = f"It lies on a network file system ({kind}): its lock may not reach other hosts."
        todo = "Edit from one host only."
    elif kind in _SIMPLE:
        text = f"It lies on {kind}, which has no journal: losing power may damage an edit, or more."
        todo = "Copy it to ext4."
    else:
        text = f"It lies on {kind}: an edit survives losing power."
    yield Finding("disk", "note" if todo else "fine", text, todo)


def _cache() -> Finding:
    try:
        folder = cache_path()
    except CacheError as error:
        text = "There is no usable cache: engines, variants and embeddings are made every time."
        return Finding("cache", "note", text, str(error))
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not os.access(there, os.W_OK | os.X_OK) or not there.is_dir():
        text = f"{folder} cannot be written: engines, variants and embeddings are made every time."
        return Finding("cache", "note", text, REMEDY)
    status = os.statvfs(there)
    free = status.f_bavail * status.f_frsize
    if free < _MIN_FREE_BYTES:
        text = f"{folder} has {_gb(free)} left; an engine may not fit."
        return Finding("cache", "note", text, REMEDY)
    return Finding("cache", "fine", f"{folder} has {_gb(free)} left.")
