"""Check what works on this device, how fast it runs, and what to change."""

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
"""A `note` suggests a change; with a `problem` edgesplit does not work on this device."""

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
    """The results of all checks."""

    device: DeviceRecord
    findings: tuple[Finding, ...]
    speed: Speed | None
    providers: dict[str, str]
    """Reason why a provider of ONNX Runtime does not run here, by provider; empty if it runs."""

    @property
    def usable(self) -> bool:
        """True if edgesplit works on this device."""
        return all(finding.status != "problem" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return {"usable": self.usable, **asdict(self)}


def examine(
    bundle: Path | None = None,
    *,
    root: Path = ROOT,
    run: Run = run_command,
    probes: Probes | None = None,
) -> Checkup:
    """Check this device, which takes seconds: checks that may crash run in subprocesses.

    Args:
        bundle: the bundle to check; by default EDGESPLIT_BUNDLE or the one in the current folder.
            It is not a problem if neither exists.
        root: see `describe_device`.
        run: see `describe_device`.
        probes: runs the checks that must be tried.
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
        jetpack = f"JetPack {device.jetpack}" if device.jetpack else "JetPack unknown"
        jetson = f", L4T {device.l4t} ({jetpack})"
    text = f"{device.summary}, {device.system}{jetson}, Python {device.python}."
    return Finding("device", "fine", text)


def _providers(probes: Probes) -> tuple[dict[str, str], list[Finding]]:
    try:
        found = probes.providers()
    except EdgesplitError as error:
        todo = "Install it: pip install '.[cpu]' in a checkout of edgesplit; see docs/jetson.md."
        return {}, [Finding("ONNX Runtime", "problem", str(error), todo)]
    reasons = {name.removesuffix("ExecutionProvider"): why for name, why in found.items()}
    works = [name for name, reason in reasons.items() if not reason]
    findings = []
    if works:
        findings.append(Finding("ONNX Runtime", "fine", f"runs a model on {', '.join(works)}."))
    status: Status = "note" if works else "problem"
    todo = "Install its missing driver or library; the other providers work without it."
    for name, reason in reasons.items():
        if reason:
            text = f"lists {name}, but it does not start here: {reason}"
            findings.append(Finding("ONNX Runtime", status, text, todo))
    return found, findings


def _tensorrt(probes: Probes, bundle: Bundle | None) -> Iterator[Finding]:
    origin = probes.tensorrt_origin()
    if origin is not None:
        yield Finding("TensorRT", "fine", f"Python imports {origin}.")
    platform = None
    try:
        platform = probes.tensorrt()
    except (EngineError, IsolatedProcessError) as error:
        yield Finding("TensorRT", "note", f"There is a GPU, but TensorRT does not start: {error}")
    except BackendError as error:
        text = f"There is no usable GPU; the backbone runs on the CPU. {error}"
        yield Finding("GPU", "note", text)
    except EdgesplitError as error:  # a package is not installed; the message names it
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
        yield Finding("cache", "fine", f"Cached for this backbone: {', '.join(made)}.")
    elif platform:
        todo = "Build one, which takes minutes: edgesplit engine build --precision fp16."
        yield Finding("cache", "note", "There is no engine of this backbone for this GPU.", todo)


def _speed(probes: Probes, bundle: Bundle | None) -> tuple[Speed | None, Finding]:
    try:
        speed = probes.speed(bundle.path if bundle else None)
    except EdgesplitError as error:
        todo = "Check the bundle: edgesplit verify." if bundle else ""
        damaged = bundle is not None and isinstance(error, BundleError)
        status: Status = "problem" if damaged else "note"
        return None, Finding("speed", status, f"Speed could not be measured: {error}", todo)
    text = (
        f"{speed.what}: {speed.backbone_ms:.1f} ms a clip and {speed.head_ms:.2f} ms for the head "
        f"on {speed.on}; one clip in ten takes {speed.slow_ms:.1f} ms or more (quick estimate from "
        f"{speed.n_runs} clips, without decoding)."
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
    todo = "Install PyAV's full wheel: pip install --force-reinstall --only-binary av av"
    return Finding("video", "note", f"{text} It does not decode {', '.join(missing)}.", todo)


def _cameras(root: Path, probes: Probes) -> Iterator[Finding]:
    nodes = sorted(root.glob("dev/video[0-9]*"))
    if not nodes:
        yield Finding(
            "camera", "fine", "No camera is connected (no /dev/video*); video files need none."
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
                f"Set {best.name}, if supply and cooling suffice: sudo nvpmodel -m {best.id}; "
                "it may ask to reboot."
            )
            yield Finding("power", "note", text, todo)
        else:
            yield Finding("power", "fine", f"The power mode is {now.name}, the highest known.")
    elif device.l4t:
        text = "nvpmodel did not report the power mode."
        todo = "Read it: sudo nvpmodel -q; /etc/nvpmodel.conf lists the modes."
        yield Finding("power", "note", text, todo)
    if device.mhz:
        low, high, current = device.mhz
        which = f"governor {', '.join(device.governors) or 'unknown'}"
        if low < high:
            todo = ""
            if device.l4t:
                todo = "For steady figures: sudo jetson_clocks (until the next reboot)."
            elif device.governors != ("performance",):
                todo = "For steady figures: sudo cpupower frequency-set -g performance."
            text = f"CPU clocks vary between {low:.0f} and {high:.0f} MHz ({which})."
            yield Finding("clocks", "note" if todo else "fine", text, todo)
        else:
            text = f"CPU clocks are fixed at {current:.0f} MHz ({which})."
            yield Finding("clocks", "fine", text)
    if device.throttle_events:
        text = f"The machine was throttled {device.throttle_events} times since it started."
        yield Finding("heat", "note", text, "Improve its cooling or its power supply.")
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
        text += f" This container is limited to {' and '.join(limits)}."
        yield Finding("memory", "note", text, "Raise the limits to measure the machine itself.")
    else:
        yield Finding("memory", "fine", text)


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"


def _clock(device: DeviceRecord) -> Iterator[Finding]:
    if device.clock_synchronised is False:
        text = "The time is not synchronised: the times in `edgesplit log` may be wrong."
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
        todo = "List the damage: edgesplit verify. Then copy the bundle to this device again."
        return None, [Finding("bundle", "problem", f"{found} cannot be read: {error}", todo)]
    text = f"{found}: {len(head.labels)} classes, head {head.digest[:12]}."
    return bundle, [Finding("bundle", "fine", text), *_disk(found, root)]


def _disk(path: Path, root: Path) -> Iterator[Finding]:
    place = find_file_system(path.resolve(), root)
    if place is None:
        return
    kind, todo = place.kind, ""
    if place.read_only or not os.access(path, os.W_OK):
        text = f"The bundle is on {kind} and not writable: it runs, but no edit can go live."
        todo = "Mount it writable, or copy it to a folder that this user may write."
    elif kind in _IN_MEMORY:
        text = f"The bundle is in memory ({kind}): all edits are lost when the machine stops."
        todo = "Copy it to a disk."
    elif kind == "overlay":
        text = "The bundle is inside a container (overlay): all edits are lost with it."
        todo = "Keep it on a volume: docker run -v /data/lab.bundle:/lab.bundle …"
    elif kind in _NETWORK:
        text = f"The bundle is on a network disk ({kind}): its lock may not reach other hosts."
        todo = "Edit from one host only."
    elif kind in _SIMPLE:
        text = f"The bundle is on {kind}, which has no journal: a power loss may damage it."
        todo = "Copy it to ext4."
    else:
        text = f"The bundle is on {kind}: edits survive a power loss."
    yield Finding("disk", "note" if todo else "fine", text, todo)


def _cache() -> Finding:
    try:
        folder = cache_path()
    except CacheError as error:
        text = "There is no usable cache: engines, variants and embeddings are made every time."
        return Finding("cache", "note", text, str(error))
    existing = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not os.access(existing, os.W_OK | os.X_OK) or not existing.is_dir():
        text = f"{folder} is not writable: engines, variants and embeddings are made every time."
        return Finding("cache", "note", text, REMEDY)
    status = os.statvfs(existing)
    free = status.f_bavail * status.f_frsize
    if free < _MIN_FREE_BYTES:
        text = f"{folder} has {_gb(free)} free; an engine may not fit."
        return Finding("cache", "note", text, REMEDY)
    return Finding("cache", "fine", f"{folder} has {_gb(free)} free.")
