"""What this device can do with edgesplit, how fast, and what to change: findings in plain words.

What may crash, or take a library along that the caller does not want, runs in a process of its own.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from edgesplit.bundle import Bundle, find_bundle, open_bundle
from edgesplit.cache import cache_folder
from edgesplit.errors import BackendError, BundleError, EdgesplitError, EngineError
from edgesplit.head import Head
from edgesplit.runtime.apart import run_apart
from edgesplit.runtime.backends import Backend, OrtBackend
from edgesplit.runtime.choice import open_backend
from edgesplit.runtime.device import (
    ROOT,
    DeviceRecord,
    Run,
    describe_device,
    find_file_system,
    run_command,
)
from edgesplit.runtime.engines import Here, TensorRT, list_engines
from edgesplit.runtime.runtime import Runtime
from edgesplit.runtime.variants import list_variants
from edgesplit.sessions import open_session

__all__ = ["Checkup", "Finding", "Probes", "Speed", "Status", "examine"]

Status = Literal["fine", "note", "problem"]
"""`note` is worth a change; with a `problem` edgesplit cannot work here."""

CODECS = {
    "h264": ("h264",),
    "hevc": ("hevc",),
    "vp9": ("vp9", "libvpx-vp9"),
    "av1": ("libdav1d", "libaom-av1"),  # FFmpeg's own `av1` only drives hardware
    "mjpeg": ("mjpeg",),
}
"""What cameras and files come in, and FFmpeg's decoders for it."""

Measured = TypeVar("Measured")

_QUICK_S = 1.0
_MIN_RUNS = 20
_ROOM = 500 * 10**6
_NOT_FOR_MODELS = ("AzureExecutionProvider",)  # listed in every wheel, and runs nothing here
_IN_MEMORY = ("tmpfs", "ramfs")
_NETWORK = ("nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "ceph", "9p")
_SIMPLE = ("vfat", "exfat", "msdos")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    topic: str
    status: Status
    text: str
    todo: str = ""
    """What to do about it; empty when there is nothing to do."""


@dataclass(frozen=True, slots=True)
class Speed:
    """A quick look at how fast a backbone runs here; no benchmark."""

    what: str
    on: str
    """The backend, as in `ONNX Runtime, CPUExecutionProvider`."""
    backbone_ms: float
    """Median of one clip."""
    slow_ms: float
    """Nine in ten clips were faster; far from the median when other work runs beside."""
    head_ms: float | None
    n_runs: int


@dataclass(frozen=True, slots=True)
class Checkup:
    """Everything that was found."""

    device: DeviceRecord
    findings: tuple[Finding, ...]
    speed: Speed | None
    providers: dict[str, str] = field(default_factory=dict)
    """By ONNX Runtime's provider, why it does not run here; empty when it does."""

    @property
    def usable(self) -> bool:
        """Whether edgesplit works here."""
        return all(finding.status != "problem" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """The checkup as JSON holds it."""
        return {
            "usable": self.usable,
            "device": self.device.to_json(),
            "findings": [asdict(finding) for finding in self.findings],
            "speed": asdict(self.speed) if self.speed else None,
            "providers": self.providers,
        }


class Probes:
    """What has to be tried rather than read. A test passes one that needs no device."""

    def providers(self) -> dict[str, str]:
        """By provider of ONNX Runtime, why it does not run here; empty when it does.

        Raises:
            EdgesplitError: ONNX Runtime cannot be used at all.
        """
        found = {}
        for name in run_apart(_listed):
            if name in _NOT_FOR_MODELS:
                continue
            try:
                run_apart(_run_tiny, name)
                found[name] = ""
            except EdgesplitError as error:
                found[name] = str(error)
        return found

    def tensorrt(self) -> Here:
        """See `TensorRT.here`."""
        return TensorRT().here()

    def speed(self, path: Path | None) -> Speed:
        """How fast a bundle's backbone and head run, or a small network of ours; a second.

        Raises:
            EdgesplitError: it does not run.
        """
        return run_apart(_measure, path)

    def codecs(self) -> tuple[str, ...]:
        """Those of `CODECS` that PyAV's FFmpeg decodes."""
        import av

        known = av.codecs_available
        return tuple(name for name, decoders in CODECS.items() if known.intersection(decoders))

    def may_use(self, node: Path) -> bool:
        """Whether this user may read and write a device's node."""
        return os.access(node, os.R_OK | os.W_OK)


def examine(
    bundle: Path | None = None,
    *,
    root: Path = ROOT,
    run: Run = run_command,
    probes: Probes | None = None,
) -> Checkup:
    """Looks this device over; some seconds, as each thing that may crash has its own process.

    Args:
        bundle: the bundle that is meant; by default EDGESPLIT_BUNDLE or the one in the current
            folder, and none is no problem.
        root: see `describe_device`.
        run: see `describe_device`.
        probes: what is tried.
    """
    probes = probes or Probes()
    device = describe_device(root, run)
    findings = [_device(device)]
    opened, bundle_findings = _bundle(bundle, root)
    providers, provider_findings = _providers(probes)
    findings += provider_findings
    findings += _tensorrt(probes, opened)
    speed = None
    if any(not reason for reason in providers.values()):
        speed, finding = _speed(probes, opened)
        findings.append(finding)
    findings += [_codecs(probes), *_cameras(root, probes)]
    findings += [*_power(device), *_memory(device), *_clock(device)]
    findings += [*bundle_findings, *_cache(root, opened)]
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
    works = [name for name, reason in found.items() if not reason]
    findings = []
    if works:
        text = f"runs a model on {', '.join(map(_short, works))}."
        findings.append(Finding("ONNX Runtime", "fine", text))
    for name, reason in found.items():
        if reason:
            status: Status = "note" if works else "problem"
            text = f"lists {_short(name)}, but it does not start here: {reason}"
            todo = "Its driver or a library is missing; the others serve until then."
            findings.append(Finding("ONNX Runtime", status, text, todo))
    return found, findings


def _short(provider: str) -> str:
    return provider.removesuffix("ExecutionProvider")


def _tensorrt(probes: Probes, bundle: Bundle | None) -> Iterator[Finding]:
    here = None
    try:
        here = probes.tensorrt()
    except EngineError as error:  # it crashed, for one
        yield Finding("TensorRT", "note", f"There is a GPU, but TensorRT does not start: {error}")
    except BackendError as error:
        text = f"There is no GPU to use; the backbone runs on the CPU. {error}"
        yield Finding("GPU", "note", text)
    except EdgesplitError as error:  # something is not installed; it says what
        yield Finding("TensorRT", "note", f"There is a GPU, but not all that it takes: {error}")
    else:
        text = f"{here.gpu}, CUDA {here.cuda}, {here.tensorrt}."
        yield Finding("TensorRT", "fine", text)
    if bundle is None:
        return
    engines = [one for one in list_engines() if one.feature_space == bundle.feature_space]
    fitting = [one.precision for one in engines if one.here == here]
    variants = [one for one in list_variants() if one.feature_space == bundle.feature_space]
    made = [f"{precision} engine" for precision in fitting] + [
        f"{one.recipe} variant" for one in variants
    ]
    if made:
        yield Finding("cache", "fine", f"Of this backbone it holds: {', '.join(made)}.")
    elif here:
        todo = "edgesplit engine build --precision fp16 makes it once, in minutes."
        yield Finding("cache", "note", "There is no engine of this backbone for this GPU.", todo)


def _speed(probes: Probes, bundle: Bundle | None) -> tuple[Speed | None, Finding]:
    try:
        speed = probes.speed(bundle.path if bundle else None)
    except EdgesplitError as error:
        todo = "edgesplit verify says whether the bundle is sound." if bundle else ""
        return None, Finding("speed", "note", f"It could not be measured: {error}", todo)
    head = f" and {speed.head_ms:.2f} ms for the head" if speed.head_ms is not None else ""
    text = (
        f"{speed.what}: {speed.backbone_ms:.1f} ms a clip{head} on {speed.on}; one clip in ten "
        f"takes {speed.slow_ms:.1f} ms or more (a quick look at {speed.n_runs}, without decoding)."
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
    closed = [node.name for node in nodes if not probes.may_use(node)]
    opened = [node.name for node in nodes if node.name not in closed]
    if opened:
        names = ", ".join(f"/dev/{name}" for name in opened)
        yield Finding("camera", "fine", f"{names} may be opened by this user.")
    if closed:
        names = ", ".join(f"/dev/{name}" for name in closed)
        todo = "sudo usermod -aG video $USER, then log in again."
        yield Finding("camera", "note", f"{names} may not be opened by this user.", todo)


def _power(device: DeviceRecord) -> Iterator[Finding]:
    now, modes = device.power_mode, device.power_modes
    if now:
        best = max(modes, key=lambda mode: mode.rank, default=now)
        if best.rank > now.rank:
            text = f"The power mode is {now.name}; this board also has {best.name}."
            todo = (
                f"sudo nvpmodel -m {best.id} sets {best.name}, if supply and cooling are up to it; "
                "it may ask to start anew."
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
            todo = (
                "For steady figures: sudo jetson_clocks (until the next start)."
                if device.l4t
                else "For steady figures: sudo cpupower frequency-set -g performance."
            )
            text = f"CPU clocks move between {low:.0f} and {high:.0f} MHz ({which})."
            steady = device.governors == ("performance",) and not device.l4t
            yield Finding("clocks", "fine" if steady else "note", text, "" if steady else todo)
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
    text = f"{_gb(device.memory_bytes)}" + (f", {_gb(free)} of it free." if free else ".")
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
        return None, [Finding("bundle", "note", f"None was looked at: {error}")]
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
        yield Finding("disk", "fine", f"It lies on {kind}: an edit survives losing power.")
        return
    yield Finding("disk", "note", text, todo)


def _cache(root: Path, bundle: Bundle | None) -> Iterator[Finding]:
    try:
        folder = cache_folder()
    except EdgesplitError as error:
        yield Finding("cache", "note", str(error))
        return
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    todo = "Set EDGESPLIT_CACHE to a folder with room that you may write to."
    if not os.access(there, os.W_OK | os.X_OK):
        text = f"{folder} cannot be written: engines, variants and embeddings are made every time."
        yield Finding("cache", "note", text, todo)
        return
    status = os.statvfs(there)
    free = status.f_bavail * status.f_frsize
    if free < _ROOM:
        text = f"{folder} has {_gb(free)} left; an engine may not fit."
        yield Finding("cache", "note", text, todo)
    else:
        yield Finding("cache", "fine", f"{folder} has {_gb(free)} left.")


# In a process of their own.


def _listed() -> list[str]:
    open_session(_tiny())  # says what is missing, and how to get it
    import onnxruntime

    return list(onnxruntime.get_available_providers())


def _run_tiny(provider: str) -> None:
    """A provider that starts may still lack kernels for this GPU, so the model is run."""
    session = open_session(_tiny(), providers=(provider,))
    try:
        session.run(None, {"features": np.ones((1, 2), np.float32)})
    except Exception as error:  # ONNX Runtime's exceptions have no common base of their own
        raise BackendError(f"it starts, and fails when it runs: {error}") from error


def _tiny() -> bytes:
    return Head.from_arrays(np.eye(2), np.zeros(2), ("one", "other")).to_bytes()


def _measure(path: Path | None) -> Speed:
    if path is None:
        backend = OrtBackend(_reference())
        clip = np.full((1, 3, 8, 64, 64), 0.5, np.float32)
        times = _times(lambda: _timed(backend, clip))
        what = "A small network of ours (3-D convolutions, 8 frames of 64x64)"
        return _speed_of(what, f"ONNX Runtime, {backend.providers[0]}", times, None)
    bundle = open_bundle(path)
    choice = open_backend(bundle)
    with Runtime(bundle, backend=choice.backend) as runtime:
        still = np.full(runtime.clip_shape, 0.5, np.float32)
        timings = _times(lambda: runtime.predict(still).timings)
    head_ms = statistics.median(one.head_ms for one in timings)
    backbone = [one.backbone_ms for one in timings]
    return _speed_of("The bundle's backbone", choice.name, backbone, head_ms)


def _speed_of(what: str, on: str, times_ms: list[float], head_ms: float | None) -> Speed:
    return Speed(
        what=what,
        on=on,
        backbone_ms=statistics.median(times_ms),
        slow_ms=statistics.quantiles(times_ms, n=10)[-1],
        head_ms=head_ms,
        n_runs=len(times_ms),
    )


def _timed(backend: Backend, clip: npt.NDArray[np.float32]) -> float:
    start = time.perf_counter()
    backend.run(clip)
    return 1000 * (time.perf_counter() - start)


def _times(measure: Callable[[], Measured]) -> list[Measured]:
    """What a call measures, for a second, and often enough; the first call does not count."""
    measure()
    measured: list[Measured] = []
    start = time.perf_counter()
    while len(measured) < _MIN_RUNS or time.perf_counter() - start < _QUICK_S:
        measured.append(measure())
    return measured


def _reference() -> bytes:
    """A backbone that is the same everywhere, so that machines compare."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    weights = {
        "first": rng.standard_normal((32, 3, 3, 3, 3)).astype(np.float32),
        "second": rng.standard_normal((64, 32, 3, 3, 3)).astype(np.float32),
    }
    around, half = [1] * 6, [1, 2, 2]
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["clip", "first"], ["a"], pads=around, strides=half),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("Conv", ["b", "second"], ["c"], pads=around, strides=half),
            helper.make_node("GlobalAveragePool", ["c"], ["d"]),
            helper.make_node("Flatten", ["d"], ["features"], axis=1),
        ],
        "reference",
        [helper.make_tensor_value_info("clip", TensorProto.FLOAT, ["N", 3, 8, 64, 64])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 64])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    return bytes(model.SerializeToString(deterministic=True))
