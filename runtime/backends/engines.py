"""Engines: a bundle's backbone, compiled by TensorRT for this device and kept in the user's cache.

A key is made of the feature space, TensorRT, CUDA, GPU and precision. No head is in it: an edit
never asks for a build. Engines are never part of a bundle, as a plan is code that TensorRT trusts
and a bundle may come from elsewhere.

An engine gets into the cache only after its features were compared with ONNX Runtime's.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, get_args

import numpy as np

from edgesplit._isolated import run_apart
from edgesplit._types import EnginePrecision, Float32
from edgesplit.backbone.backends import OrtBackend
from edgesplit.backbone.fp16 import RangeReport, to_fp16
from edgesplit.backbone.identity import inline
from edgesplit.backbone.int8 import to_int8
from edgesplit.bundle.bundle import Bundle
from edgesplit.errors import EngineError
from edgesplit.runtime.backends.calibration import Clips, Progress, check_clips, read_clips
from edgesplit.runtime.backends.cuda import find_device
from edgesplit.runtime.backends.tensorrt import (
    Batch,
    EngineBackend,
    Plan,
    build_plan,
    run_plan,
    version,
)
from edgesplit.storage.artifacts import Shelf, make_key
from edgesplit.storage.files import PART, check_digest
from edgesplit.storage.user_cache import find_cached

__all__ = [
    "COSINE_BARS",
    "ENGINES",
    "PRECISIONS",
    "PROGRESS_S",
    "Agreement",
    "Build",
    "Engine",
    "Here",
    "Precision",
    "TensorRT",
    "build_engine",
    "check_agreement",
    "open_engine",
]

Precision = EnginePrecision
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

COSINE_BARS: dict[Precision, float] = {"fp32": 0.9999, "fp16": 0.999, "int8": 0.99}
"""The lowest cosine between an engine's feature of a clip and ONNX Runtime's that is accepted.

TensorRT may use TF32 for fp32, with float16's 11 bits; a lost bias or a wrong operator costs far
more than any of these.
"""

PROGRESS_S = 5.0
"""How often a build that goes on says so, at the latest."""

_N_CLIPS = 8
"""Different clips that an engine is compared on, at most."""

_TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, slots=True)
class Here:
    """What an engine that is built here is good for."""

    tensorrt: str
    """Module and version, as in `tensorrt 10.3.0`."""
    cuda: str
    gpu: str


class TensorRT:
    """TensorRT, never in this process. A test passes one that needs no GPU."""

    def here(self) -> Here:
        """CUDA's answer first, then TensorRT's, which may crash without CUDA.

        Raises:
            BackendError: there is no CUDA device, or TensorRT crashed.
            MissingExtraError: TensorRT or cuda-bindings is not installed.
        """
        device = find_device()
        return Here(tensorrt=run_apart(version), cuda=device.cuda, gpu=device.gpu)

    def build(
        self,
        backbone: bytes,
        *,
        clip_shape: tuple[int, ...],
        batch: Batch,
        timing_cache: bytes,
        progress: Progress,
    ) -> Plan:
        """See `trt.build_plan`; says every `PROGRESS_S` how it is going."""
        arguments = (backbone, clip_shape, batch, timing_cache)
        on_wait = _going_on(progress, "building")
        return run_apart(build_plan, *arguments, every_s=PROGRESS_S, on_wait=on_wait)

    def run(
        self, engine: bytes, clips: Float32, sizes: tuple[int, ...], *, progress: Progress
    ) -> Float32:
        """See `trt.run_plan`; says every `PROGRESS_S` how it is going."""
        on_wait = _going_on(progress, "running the engine")
        return run_apart(run_plan, engine, clips, sizes, every_s=PROGRESS_S, on_wait=on_wait)


def _going_on(progress: Progress, what: str) -> Callable[[float, str], None]:
    def say(seconds: float, line: str) -> None:
        progress(f"{what}, {seconds:.0f} s" + (f": {line}" if line else ""))

    return say


@dataclass(frozen=True, slots=True)
class Agreement:
    """How an engine's features compare with ONNX Runtime's; the worst clip counts."""

    cosine: float
    distance: float
    """Of the two features, relative to the length of ONNX Runtime's."""
    n_clips: int


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine of the cache. The first five fields are its key."""

    feature_space: str
    tensorrt: str
    cuda: str
    gpu: str
    precision: Precision
    batch: Batch
    backbone: str
    """sha256 of the ONNX that it was built from."""
    digest: str
    """sha256 of the plan."""
    size_bytes: int
    agreement: Agreement
    made: str
    """When, ISO 8601 in UTC."""
    ranges: RangeReport | None = None
    """For fp16: what the ranges decided; None if an older edgesplit built it, without looking."""
    n_given: int = 0
    """The user's clips that the ranges come from; 0 if they come from made clips, or there are
    none."""

    @property
    def key(self) -> str:
        """The engine's name in the cache."""
        return _key(self.feature_space, self.here, self.precision)

    @property
    def here(self) -> Here:
        """Where it runs."""
        return Here(tensorrt=self.tensorrt, cuda=self.cuda, gpu=self.gpu)

    @property
    def age_s(self) -> float:
        """Seconds since it was built."""
        made = datetime.fromisoformat(self.made)
        return (datetime.now(timezone.utc) - made).total_seconds()

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Engine:
        """What `asdict` gave; raises KeyError, TypeError or ValueError on anything else."""
        for name in ("feature_space", "backbone", "digest"):
            check_digest(content[name])
        ranges = content.get("ranges")
        nested = {
            "batch": Batch(**content["batch"]),
            "agreement": Agreement(**content["agreement"]),
            "ranges": RangeReport(**ranges) if ranges else None,
        }
        engine = cls(**{**content, **nested})
        if engine.precision not in PRECISIONS:
            raise ValueError(engine.precision)
        _ = engine.age_s  # raises on a time that is none
        return engine


@dataclass(frozen=True, slots=True)
class Build:
    """What `build_engine` did."""

    engine: Engine
    new: bool
    """False when the very engine was there already."""
    seconds: float


ENGINES = Shelf(
    "engine", "engine", EngineError, Engine.from_json, ("timing/*.cache", f"timing/.*{PART}")
)
"""Where they are kept; below it, in `timing/`, what TensorRT learned about the device."""


def build_engine(
    bundle: Bundle,
    *,
    precision: Precision = "fp32",
    batch: Batch | None = None,
    clips: Clips | None = None,
    rebuild: bool = False,
    progress: Progress = lambda text: None,
    tensorrt: TensorRT | None = None,
) -> Build:
    """Builds the engine of a bundle's backbone for this device, or finds that it is there.

    An engine of the same key that was built for another batch, or from another ONNX, is replaced;
    of int8 engines only the batch is asked, as the ONNX is known only after calibration.
    Whatever happens, the cache holds the old engine or the new one, whole and compared. Minutes on
    a small device; TensorRT runs in a process of its own, and an interrupt ends it.

    Args:
        bundle: whose backbone it is. Its heads do not matter.
        precision: of the operators; what float16 would spoil stays in float32 (`to_fp16`).
        batch: the batch sizes that the engine takes; 1 to 8, fastest at 1, by default.
        clips: unlabelled ones like those that the device sees. For int8 every other one
            calibrates (`to_int8`), and with some of the rest the engine is compared. For fp16 the
            ranges are measured on all, and the engine is compared on some; without clips, both
            happen on made ones, whose ranges may be smaller.
        rebuild: build even if it is there; an int8 engine that is there stays, whatever the clips.
        progress: told what is going on, at least every `PROGRESS_S`.
        tensorrt: what builds and runs.

    Raises:
        ValueError: clips are missing for int8, or given for fp32.
        VariantError: there are too few clips.
        ClipError: a video cannot be read.
        ExportError: the backbone cannot be rewritten.
        EngineError: TensorRT cannot build the engine, crashed, or built one whose features are
            not the backbone's; or another process is building this one.
        BackendError: there is no CUDA device.
        MissingExtraError: TensorRT, cuda-bindings or ONNX Runtime is not installed.
        BundleError: the bundle is damaged.
    """
    if (clips is None and precision == "int8") or (clips is not None and precision == "fp32"):
        raise ValueError("int8 takes clips, fp16 may have them, fp32 has no use for them")
    start = time.monotonic()
    tensorrt = tensorrt or TensorRT()
    batch = batch or Batch()
    here = tensorrt.here()
    own = inline(bundle.backbone())
    key = _key(bundle.feature_space, here, precision)
    with ENGINES.lock(key):
        known = ENGINES.find(key)
        there = known if known and not rebuild and known.batch == batch else None
        if there and precision == "int8":
            return Build(engine=there, new=False, seconds=time.monotonic() - start)
        source = _prepare(bundle, own, precision, clips, progress)
        if there and there.backbone == source.digest:
            return Build(engine=there, new=False, seconds=time.monotonic() - start)
        progress("building")
        times = _timing_file(here)
        plan = tensorrt.build(
            source.backbone,
            clip_shape=bundle.preprocessing.clip_shape,
            batch=batch,
            timing_cache=_read_times(times),
            progress=progress,
        )
        agreement = _compare(own, plan.engine, source.judging, batch, tensorrt, progress)
        check_agreement(agreement, precision)
        engine = Engine(
            feature_space=bundle.feature_space,
            **asdict(here),
            precision=precision,
            batch=batch,
            backbone=source.digest,
            digest=hashlib.sha256(plan.engine).hexdigest(),
            size_bytes=len(plan.engine),
            agreement=agreement,
            ranges=source.ranges,
            n_given=source.n_given,
            made=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        )
        ENGINES.save(engine, plan.engine, {times: plan.timing_cache})
    return Build(engine=engine, new=True, seconds=time.monotonic() - start)


def open_engine(
    bundle: Bundle, *, precision: Precision = "fp32", tensorrt: TensorRT | None = None
) -> EngineBackend:
    """The backend that runs this bundle's engine on this device, for `Runtime(backend=…)`.

    Raises:
        EngineError: there is none, its file is damaged, or TensorRT does not take it.
        BackendError: there is no CUDA device.
        MissingExtraError: TensorRT or cuda-bindings is not installed.
    """
    engine = ENGINES.find(_key(bundle.feature_space, (tensorrt or TensorRT()).here(), precision))
    if engine is None:
        raise EngineError(
            f"There is no {precision} engine of {bundle.path} for this device. "
            f"`edgesplit engine build --precision {precision}` makes one."
        )
    clips = " --clips FOLDER" if precision == "int8" else ""
    again = f"edgesplit engine build --precision {precision}{clips} --rebuild"
    return EngineBackend(ENGINES.read(engine, again=again))


def check_agreement(agreement: Agreement, precision: Precision) -> None:
    """Lets an engine pass that computes the backbone's features.

    A cosine does not see a wrong length, so the distance has a bar as well: what a feature of the
    right length would be away at the lowest cosine.

    Raises:
        EngineError: it does not; with the numbers.
    """
    bar = COSINE_BARS[precision]
    farthest = float(np.sqrt(2 - 2 * bar))
    # A comparison with NaN is false: features that are not finite are refused too.
    if not (agreement.cosine >= bar and agreement.distance <= farthest):
        advice = {
            "fp32": "Update TensorRT; ONNX Runtime's CUDA provider is another way.",
            "fp16": "Build with --precision fp32.",
            "int8": "Give more clips, from the very cameras, or build with --precision fp16.",
        }
        raise EngineError(
            f"The {precision} engine does not compute the backbone's features, and was thrown "
            f"away: on the worst of {agreement.n_clips} clips, cosine {agreement.cosine:.5f} (at "
            f"least {bar}), distance {agreement.distance:.2g} of the feature's length (at most "
            f"{farthest:.2g}). {advice[precision]}"
        )


@dataclass(frozen=True, slots=True)
class _Source:
    """What an engine is built from."""

    backbone: bytes
    judging: Float32
    """Clips that the engine is compared on, `(n, *clip_shape)`."""
    n_given: int
    ranges: RangeReport | None = None

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.backbone).hexdigest()


def _prepare(
    bundle: Bundle, own: bytes, precision: Precision, clips: Clips | None, progress: Progress
) -> _Source:
    given: Clips = _made_clips(_N_CLIPS, bundle.preprocessing.clip_shape)
    if clips is not None:
        check_clips(clips)
        given = clips
    measured, judging = (given[::2], given[1::2]) if precision == "int8" else (given, given)
    reading = read_clips(bundle, measured, "measuring ranges", progress)
    ranges = None
    if precision == "fp16":
        halved = to_fp16(own, reading)
        backbone, ranges = halved.data, halved.ranges
    else:
        backbone = own if precision == "fp32" else to_int8(own, reading, signed=True)
    judges = read_clips(bundle, judging[:_N_CLIPS], "reading", progress)
    n_given = len(measured) if clips is not None else 0
    return _Source(backbone, np.stack(list(judges)), n_given, ranges)


def _compare(
    backbone: bytes,
    engine: bytes,
    clips: Float32,
    batch: Batch,
    tensorrt: TensorRT,
    progress: Progress,
) -> Agreement:
    """Runs the engine at its least, best and largest batch size, and ONNX Runtime clip by clip."""
    clips = clips[: batch.most]
    reference = OrtBackend(backbone)
    features = []
    for number, clip in enumerate(clips, 1):
        progress(f"comparing with ONNX Runtime, clip {number} of {len(clips)}")
        features.append(reference.run(clip[None]))
    wanted = np.concatenate(features)
    sizes = tuple(sorted({batch.least, batch.best, batch.most}))
    got = tensorrt.run(engine, clips, sizes, progress=progress).astype(np.float64)
    places = np.concatenate([np.arange(size) % len(clips) for size in sizes])
    if got.shape != (len(places), wanted.shape[1]):
        raise EngineError(
            f"The engine gave features of shape {got.shape}, want {(len(places), wanted.shape[1])}."
            " It was thrown away. Update TensorRT."
        )
    expected = wanted[places].astype(np.float64)
    lengths = np.maximum(np.linalg.norm(expected, axis=1), _TINY)
    own_lengths = np.maximum(np.linalg.norm(got, axis=1), _TINY)
    cosines = (got * expected).sum(axis=1) / (lengths * own_lengths)
    distances = np.linalg.norm(got - expected, axis=1) / lengths
    return Agreement(float(cosines.min()), float(distances.max()), n_clips=len(places))


def _made_clips(n_clips: int, clip_shape: tuple[int, ...]) -> Float32:
    """Clips of blocks and noise, between dark and bright, as unlike each other as clips are."""
    rng = np.random.default_rng(0)
    *outer, height, width = clip_shape
    blocks = rng.random((n_clips, *outer, -(-height // 8), -(-width // 8)), np.float32)
    coarse = blocks.repeat(8, axis=-2).repeat(8, axis=-1)[..., :height, :width]
    noise = rng.random((n_clips, *clip_shape), np.float32)
    share, brightness = rng.random((2, n_clips, *[1] * len(clip_shape)), np.float32)
    return np.asarray(brightness * (share * coarse + (1 - share) * noise), np.float32)


def _key(feature_space: str, here: Here, precision: Precision) -> str:
    return make_key(feature_space, here.tensorrt, here.cuda, here.gpu, precision)


def _read_times(file: Path) -> bytes:
    known = find_cached(ENGINES.folder.name, file.parent.name, file.name)
    return known.read_bytes() if known and known.exists() else b""


def _timing_file(here: Here) -> Path:
    # TensorRT's times hold for a device, its versions, and how networks are built: always alike.
    name = make_key(here.tensorrt, here.cuda, here.gpu, "strongly typed")
    return ENGINES.folder / "timing" / f"{name}.cache"
