"""Engines: a bundle's backbone, compiled by TensorRT for this device and kept in the user's cache.

The key of an engine is made of feature space, TensorRT, CUDA, GPU and precision. The head is not
part of it, so an edit never needs a new engine. Engines are never part of a bundle: an engine is
code that TensorRT runs, and a bundle may come from another machine.

An engine is kept only if its features agree with those of ONNX Runtime in fp32.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar, get_args

import numpy as np

from edgesplit._data import check_digest
from edgesplit._isolated import run_isolated
from edgesplit._types import EnginePrecision, Float32
from edgesplit.backbone.backends import OrtBackend
from edgesplit.backbone.fp16 import to_fp16
from edgesplit.backbone.graph import Rewrite, Rewritten
from edgesplit.backbone.identity import inline
from edgesplit.backbone.int8 import to_int8
from edgesplit.bundle.bundle import Bundle
from edgesplit.errors import EngineError
from edgesplit.runtime.backends.agreement import (
    Clips,
    Progress,
    Tolerance,
    check_agreement,
    check_clips,
    compare_features,
    read_clips,
    share_clips,
)
from edgesplit.runtime.backends.artifacts import (
    Artifact,
    ArtifactCache,
    Made,
    describe_file,
    make_key,
)
from edgesplit.runtime.backends.cuda import find_device
from edgesplit.runtime.backends.tensorrt import (
    Batch,
    EngineBackend,
    Plan,
    build_plan,
    run_plan,
    version,
)
from edgesplit.storage.files import PART
from edgesplit.storage.user_cache import find_cached

__all__ = [
    "ENGINES",
    "PROGRESS_S",
    "TOLERANCES",
    "Engine",
    "Platform",
    "TensorRT",
    "build_engine",
    "open_engine",
]


def _limit_features(cosine: float, advice: str) -> Tolerance:
    """Return limits of the cosine, and of the distance that it implies for equal lengths.

    The cosine alone does not detect a wrong length.
    """
    return Tolerance(cosine, distance=math.sqrt(2 - 2 * cosine), advice=advice)


TOLERANCES: dict[EnginePrecision, Tolerance] = {
    "fp32": _limit_features(0.9999, "Update TensorRT, or use ONNX Runtime's CUDA provider."),
    "fp16": _limit_features(0.999, "Build with --precision fp32."),
    "int8": _limit_features(
        0.99, "Give more clips from this device's cameras, or build with --precision fp16."
    ),
}
"""TensorRT may use TF32 for fp32, with the 11 bits of float16. A lost bias or a wrong operator
exceeds these limits by far."""

PROGRESS_S = 5.0
"""Longest time between two progress messages of a build, in seconds."""

_VERSION = 2
"""Part of the key. Increase it when engines or JSON files of earlier versions must be ignored."""

_N_CLIPS = 8
"""Largest number of different clips that an engine is compared on."""

Result = TypeVar("Result")

_ADVICE = "Check the driver, and that TensorRT was built for this version of CUDA."

_REWRITES: dict[EnginePrecision, Rewrite] = {
    "fp32": lambda backbone, clips: Rewritten(backbone),
    "fp16": to_fp16,
    "int8": partial(to_int8, signed=True),
}


@dataclass(frozen=True, slots=True)
class Platform:
    """The platform that an engine is built for; it does not run on another."""

    tensorrt: str
    """Module and version, as in `tensorrt 10.3.0`."""
    cuda: str
    gpu: str


class TensorRT:
    """TensorRT, always in a subprocess. Tests replace it by one that needs no GPU."""

    def platform(self) -> Platform:
        """Return the platform of this machine.

        CUDA is called first, because TensorRT may crash without it.

        Raises:
            BackendError: there is no CUDA device.
            IsolatedProcessError: TensorRT crashed.
            MissingExtraError: TensorRT or cuda-bindings is not installed.
        """
        device = find_device()
        tensorrt = run_isolated(version, advice=_ADVICE)
        return Platform(tensorrt=tensorrt, cuda=device.cuda, gpu=device.gpu)

    def build(
        self,
        backbone: bytes,
        *,
        clip_shape: tuple[int, ...],
        batch: Batch,
        timing_cache: bytes,
        progress: Progress,
    ) -> Plan:
        """Run `tensorrt.build_plan`; report progress every `PROGRESS_S`."""
        arguments = (backbone, clip_shape, batch, timing_cache)
        return _run_isolated(progress, "building", build_plan, *arguments)

    def run(
        self, engine: bytes, clips: Float32, sizes: tuple[int, ...], *, progress: Progress
    ) -> Float32:
        """Run `tensorrt.run_plan`; report progress every `PROGRESS_S`."""
        return _run_isolated(progress, "running the engine", run_plan, engine, clips, sizes)


def _run_isolated(
    progress: Progress, what: str, function: Callable[..., Result], *arguments: Any
) -> Result:
    def report(seconds: float, line: str) -> None:
        progress(f"{what}, {seconds:.0f} s" + (f": {line}" if line else ""))

    return run_isolated(function, *arguments, every_s=PROGRESS_S, on_wait=report, advice=_ADVICE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine(Artifact):
    """An engine in the cache. Its key is feature space, platform and precision."""

    tensorrt: str
    cuda: str
    gpu: str
    precision: EnginePrecision
    batch: Batch
    backbone: str
    """sha256 of the ONNX file that it was built from."""

    def __post_init__(self) -> None:
        Artifact.__post_init__(self)
        check_digest(self.backbone)
        if self.precision not in get_args(EnginePrecision):
            raise ValueError(self.precision)

    @property
    def key(self) -> str:
        """The stem of its file names."""
        return _key(self.feature_space, self.platform, self.precision)

    @property
    def platform(self) -> Platform:
        """The platform that it runs on."""
        return Platform(tensorrt=self.tensorrt, cuda=self.cuda, gpu=self.gpu)


ENGINES = ArtifactCache(
    "engine", "engine", EngineError, Engine, ("timing/*.cache", f"timing/.*{PART}")
)
"""The engines in the cache; its folder `timing/` holds TensorRT's timing caches."""


def build_engine(
    bundle: Bundle,
    *,
    precision: EnginePrecision = "fp32",
    batch: Batch | None = None,
    clips: Clips | None = None,
    rebuild: bool = False,
    progress: Progress = lambda text: None,
    tensorrt: TensorRT | None = None,
) -> Made[Engine]:
    """Return the engine of a bundle's backbone for this device; build it if it is not cached.

    A cached engine is replaced if it was built for another batch or from another ONNX file. For an
    int8 engine only the batch is compared, because its ONNX file is known only after calibration.
    Building takes minutes on a small device. TensorRT runs in a subprocess, which an interrupt
    ends. After an interrupt or an error the cache holds the old engine; a new engine is kept only
    if it agrees with the backbone.

    Args:
        bundle: the bundle with the backbone.
        precision: precision of the operators; those that float16 would distort stay in float32
            (`to_fp16`).
        batch: the batch sizes that the engine accepts; by default 1 to 8, fastest at 1.
        clips: unlabelled clips like those that the device sees; required for int8. Ranges are
            measured on some, and others are compared (`share_clips`). fp16 without clips uses
            synthetic clips for both, whose ranges may be smaller.
        rebuild: build even if the engine is cached.
        progress: gets a message at least every `PROGRESS_S`.
        tensorrt: builds and runs the engine.

    Raises:
        ValueError: clips are missing for int8, or given for fp32.
        VariantError: there are too few clips.
        ClipError: a video cannot be read.
        ExportError: the backbone cannot be rewritten.
        EngineError: TensorRT cannot build the engine, or built one that does not agree with the
            backbone; or another process is building this one.
        IsolatedProcessError: TensorRT crashed.
        BackendError: there is no CUDA device.
        MissingExtraError: TensorRT, cuda-bindings or ONNX Runtime is not installed.
        BundleError: the bundle is damaged.
    """
    if (clips is None and precision == "int8") or (clips is not None and precision == "fp32"):
        raise ValueError("clips are required for int8, optional for fp16, refused for fp32")
    runner, sizes = tensorrt or TensorRT(), batch or Batch()
    platform = runner.platform()
    own = inline(bundle.backbone())

    @cache
    def source() -> _Source:
        return _rewrite(bundle, own, precision, clips, progress)

    def is_current(known: Engine) -> bool:
        if rebuild or known.batch != sizes:
            return False
        return precision == "int8" or known.backbone == source().digest

    def make() -> tuple[Engine, bytes, dict[Path, bytes]]:
        timing_file, times = _find_times(platform)
        built_from = source()
        progress("building")
        plan = runner.build(
            built_from.rewritten.data,
            clip_shape=bundle.preprocessing.clip_shape,
            batch=sizes,
            timing_cache=times,
            progress=progress,
        )
        features = _run(plan.engine, own, built_from.clips, sizes, runner, progress)
        agreement = compare_features(*features, bundle.head())
        check_agreement(agreement, TOLERANCES[precision], f"{precision} engine", EngineError)
        engine = Engine(
            feature_space=bundle.feature_space,
            **asdict(platform),
            precision=precision,
            batch=sizes,
            backbone=built_from.digest,
            agreement=agreement,
            ranges=built_from.rewritten.ranges,
            n_calibrated=built_from.n_calibrated,
            **describe_file(plan.engine),
        )
        return engine, plan.engine, {timing_file: plan.timing_cache}

    key = _key(bundle.feature_space, platform, precision)
    return ENGINES.find_or_make(key, make, accept=is_current)


def open_engine(
    bundle: Bundle, *, precision: EnginePrecision = "fp32", platform: Platform | None = None
) -> EngineBackend:
    """Return the backend that runs a bundle's engine on this device, for `Runtime(backend=…)`.

    Args:
        bundle: the bundle with the backbone.
        precision: the engine's precision.
        platform: this device's platform; by default found by starting TensorRT in a subprocess.

    Raises:
        EngineError: there is no engine, its file is damaged, or TensorRT refuses it.
        IsolatedProcessError: TensorRT crashed.
        BackendError: there is no CUDA device.
        MissingExtraError: TensorRT or cuda-bindings is not installed.
    """
    key = _key(bundle.feature_space, platform or TensorRT().platform(), precision)
    clips = " --clips FOLDER" if precision == "int8" else ""
    what = f"{precision} engine of {bundle.path} for this device"
    command = f"edgesplit engine build --precision {precision}{clips}"
    return EngineBackend(ENGINES.read(key, what=what, command=command))


@dataclass(frozen=True, slots=True)
class _Source:
    """The ONNX file that an engine is built from, and the clips that it is compared on."""

    rewritten: Rewritten
    clips: Float32
    """Clips to compare on, `(n, *clip_shape)`."""
    n_calibrated: int

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.rewritten.data).hexdigest()


def _rewrite(
    bundle: Bundle, own: bytes, precision: EnginePrecision, clips: Clips | None, progress: Progress
) -> _Source:
    given: Clips = _make_clips(_N_CLIPS, bundle.preprocessing.clip_shape)
    if clips is not None:
        check_clips(clips)
        given = clips
    measured, compared = share_clips(given, precision)
    reading = read_clips(bundle, measured, "measuring ranges", progress)
    rewritten = _REWRITES[precision](own, reading)
    stacked = np.stack([*read_clips(bundle, compared[:_N_CLIPS], "reading", progress)])
    return _Source(rewritten, stacked, n_calibrated=0 if clips is None else len(measured))


def _run(
    engine: bytes,
    backbone: bytes,
    clips: Float32,
    batch: Batch,
    tensorrt: TensorRT,
    progress: Progress,
) -> tuple[Float32, Float32]:
    """Return the features by ONNX Runtime, clip by clip, and by the engine, at all batch sizes."""
    clips = clips[: batch.most]
    reference = OrtBackend(backbone)
    features = []
    for number, clip in enumerate(clips, 1):
        progress(f"comparing with ONNX Runtime, clip {number} of {len(clips)}")
        features.append(reference.run(clip[None]))
    sizes = tuple(sorted({batch.least, batch.best, batch.most}))
    got = tensorrt.run(engine, clips, sizes, progress=progress)
    places = np.concatenate([np.arange(size) % len(clips) for size in sizes])
    wanted = np.concatenate(features)[places]
    if got.shape != wanted.shape:
        raise EngineError(
            f"The engine gave features of shape {got.shape}, want {wanted.shape}. It was "
            "discarded. Update TensorRT."
        )
    return wanted, got


def _make_clips(n_clips: int, clip_shape: tuple[int, ...]) -> Float32:
    """Return synthetic clips of blocks and noise, at different brightness."""
    rng = np.random.default_rng(0)
    *outer, height, width = clip_shape
    blocks = rng.random((n_clips, *outer, -(-height // 8), -(-width // 8)), np.float32)
    coarse = blocks.repeat(8, axis=-2).repeat(8, axis=-1)[..., :height, :width]
    noise = rng.random((n_clips, *clip_shape), np.float32)
    share, brightness = rng.random((2, n_clips, *[1] * len(clip_shape)), np.float32)
    return np.asarray(brightness * (share * coarse + (1 - share) * noise), np.float32)


def _key(feature_space: str, platform: Platform, precision: EnginePrecision) -> str:
    return make_key(
        _VERSION, feature_space, platform.tensorrt, platform.cuda, platform.gpu, precision
    )


def _find_times(platform: Platform) -> tuple[Path, bytes]:
    """Return the path of TensorRT's timing cache for a platform, and its content."""
    # A timing cache is valid for a device, its versions, and the kind of network.
    name = make_key(platform.tensorrt, platform.cuda, platform.gpu, "strongly typed")
    file = ENGINES.folder / "timing" / f"{name}.cache"
    known = find_cached(ENGINES.name, "timing", file.name)
    return file, known.read_bytes() if known and known.exists() else b""
