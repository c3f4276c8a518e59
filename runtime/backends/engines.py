"""Engines: a bundle's backbone, compiled by TensorRT for this device and kept in the user's cache.

The key of an engine is made of feature space, TensorRT, CUDA, GPU and precision. The head is not
part of it, so an edit never needs a new engine. Engines are never part of a bundle: a plan is code
that TensorRT trusts, and a bundle may come from elsewhere.

An engine is kept only if its features agree with those of ONNX Runtime in fp32.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, get_args

import numpy as np

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
    Agreement,
    BackboneForm,
    Clips,
    Progress,
    Tolerance,
    check_agreement,
    check_clips,
    compare_features,
    describe_file,
    parse_form,
    read_clips,
    share_clips,
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
from edgesplit.storage.artifacts import ArtifactCache, Made, NewArtifact, make_key
from edgesplit.storage.files import PART, check_digest
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
    """Return limits of the cosine, and of the distance that a feature of equal length then has.

    The cosine alone does not see a wrong length.
    """
    return Tolerance(cosine, distance=math.sqrt(2 - 2 * cosine), advice=advice)


TOLERANCES: dict[EnginePrecision, Tolerance] = {
    "fp32": _limit_features(
        0.9999, "Update TensorRT; ONNX Runtime's CUDA provider is another way."
    ),
    "fp16": _limit_features(0.999, "Build with --precision fp32."),
    "int8": _limit_features(
        0.99, "Give more clips, from the very cameras, or build with --precision fp16."
    ),
}
"""TensorRT may use TF32 for fp32, with float16's 11 bits; a lost bias or a wrong operator costs far
more than any of these."""

PROGRESS_S = 5.0
"""The longest time between two progress messages of a build, in seconds."""

_VERSION = 2
"""Raised when engines, or their JSON files, of earlier edgesplits must not be found any more."""

_N_CLIPS = 8
"""The most different clips that an engine is compared on."""

_ADVICE = "Check the driver, and that TensorRT and CUDA are made for each other."

_REWRITES: dict[EnginePrecision, Rewrite] = {
    "fp32": lambda backbone, clips: Rewritten(backbone),
    "fp16": to_fp16,
    "int8": partial(to_int8, signed=True),
}


@dataclass(frozen=True, slots=True)
class Platform:
    """What an engine is built for; on another platform it does not run."""

    tensorrt: str
    """Module and version, as in `tensorrt 10.3.0`."""
    cuda: str
    gpu: str


class TensorRT:
    """TensorRT, always in a subprocess. A test passes one that needs no GPU."""

    def platform(self) -> Platform:
        """Return the platform of this machine.

        CUDA is asked first, as TensorRT may crash without it.

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
        """See `tensorrt.build_plan`; reports progress every `PROGRESS_S`."""
        arguments = (backbone, clip_shape, batch, timing_cache)
        on_wait = _reporter(progress, "building")
        return run_isolated(
            build_plan, *arguments, every_s=PROGRESS_S, on_wait=on_wait, advice=_ADVICE
        )

    def run(
        self, engine: bytes, clips: Float32, sizes: tuple[int, ...], *, progress: Progress
    ) -> Float32:
        """See `tensorrt.run_plan`; reports progress every `PROGRESS_S`."""
        arguments = (engine, clips, sizes)
        on_wait = _reporter(progress, "running the engine")
        return run_isolated(
            run_plan, *arguments, every_s=PROGRESS_S, on_wait=on_wait, advice=_ADVICE
        )


def _reporter(progress: Progress, what: str) -> Callable[[float, str], None]:
    def report(seconds: float, line: str) -> None:
        progress(f"{what}, {seconds:.0f} s" + (f": {line}" if line else ""))

    return report


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine(BackboneForm):
    """An engine of the cache. Its key is feature space, platform and precision."""

    tensorrt: str
    cuda: str
    gpu: str
    precision: EnginePrecision
    batch: Batch
    backbone: str
    """sha256 of the ONNX that it was built from."""

    @property
    def key(self) -> str:
        """The engine's name in the cache."""
        return _key(self.feature_space, self.platform, self.precision)

    @property
    def platform(self) -> Platform:
        """Where it runs."""
        return Platform(tensorrt=self.tensorrt, cuda=self.cuda, gpu=self.gpu)


def _parse(content: dict[str, Any]) -> Engine:
    check_digest(content["backbone"])
    if content["precision"] not in get_args(EnginePrecision):
        raise ValueError(content["precision"])
    return parse_form(Engine, {**content, "batch": Batch(**content["batch"])})


ENGINES = ArtifactCache(
    "engine", "engine", EngineError, _parse, ("timing/*.cache", f"timing/.*{PART}")
)
"""The engines of the cache; `timing/` below it holds what TensorRT learned about the device."""


def build_engine(
    bundle: Bundle,
    *,
    precision: EnginePrecision = "fp32",
    batch: Batch | None = None,
    clips: Clips | None = None,
    force: bool = False,
    progress: Progress = lambda text: None,
    tensorrt: TensorRT | None = None,
) -> Made[Engine]:
    """Return the engine of a bundle's backbone for this device, built now unless it is there.

    An engine of the same key that was built for another batch, or from another ONNX, is replaced;
    of an int8 engine only the batch is compared, as its ONNX is known only after calibration.
    Building takes minutes on a small device. TensorRT runs in a subprocess, which an interrupt
    ends. The cache then holds the old engine, or the new one if it agrees with the backbone.

    Args:
        bundle: whose backbone it is.
        precision: of the operators; those that float16 would spoil stay in float32 (`to_fp16`).
        batch: the batch sizes that the engine takes; 1 to 8, fastest at 1, by default.
        clips: unlabelled ones like those that the device sees; int8 needs them. Some of them
            measure ranges, others compare (`share_clips`). For fp16 without clips, both happen on
            synthetic ones, whose ranges may be smaller.
        force: build even if the engine is there.
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
        raise ValueError("int8 takes clips, fp16 may have them, fp32 has no use for them")
    tensorrt = tensorrt or TensorRT()
    build = _Build(
        bundle, precision, batch or Batch(), clips, tensorrt, tensorrt.platform(), progress
    )
    key = _key(bundle.feature_space, build.platform, precision)
    return ENGINES.find_or_make(
        key, build.make, accept=lambda known: not force and build.fits(known)
    )


def open_engine(
    bundle: Bundle, *, precision: EnginePrecision = "fp32", tensorrt: TensorRT | None = None
) -> EngineBackend:
    """Return the backend that runs a bundle's engine on this device, for `Runtime(backend=…)`.

    Raises:
        EngineError: there is none, its file is damaged, or TensorRT does not take it.
        IsolatedProcessError: TensorRT crashed.
        BackendError: there is no CUDA device.
        MissingExtraError: TensorRT or cuda-bindings is not installed.
    """
    clips = " --clips FOLDER" if precision == "int8" else ""
    return EngineBackend(
        ENGINES.read(
            _key(bundle.feature_space, (tensorrt or TensorRT()).platform(), precision),
            what=f"{precision} engine of {bundle.path} for this device",
            command=f"edgesplit engine build --precision {precision}{clips}",
        )
    )


@dataclass(frozen=True)
class _Source:
    """What an engine is built from, and compared on."""

    backbone: Rewritten
    digest: str
    clips: Float32
    """Clips to compare on, `(n, *clip_shape)`."""
    n_calibrated: int


@dataclass(frozen=True)
class _Build:
    """One call of `build_engine`."""

    bundle: Bundle
    precision: EnginePrecision
    batch: Batch
    clips: Clips | None
    tensorrt: TensorRT
    platform: Platform
    progress: Progress

    def fits(self, known: Engine) -> bool:
        """Return True if an engine of the cache is what this build would make."""
        if known.batch != self.batch:
            return False
        return self.precision == "int8" or known.backbone == self.source.digest

    @cached_property
    def backbone(self) -> bytes:
        return inline(self.bundle.backbone())

    @cached_property
    def source(self) -> _Source:
        clips: Clips = _make_clips(_N_CLIPS, self.bundle.preprocessing.clip_shape)
        if self.clips is not None:
            check_clips(self.clips)
            clips = self.clips
        measured, compared = share_clips(clips, self.precision)
        rewritten = _REWRITES[self.precision](
            self.backbone, read_clips(self.bundle, measured, "measuring ranges", self.progress)
        )
        return _Source(
            backbone=rewritten,
            digest=hashlib.sha256(rewritten.data).hexdigest(),
            clips=np.stack(
                [*read_clips(self.bundle, compared[:_N_CLIPS], "reading", self.progress)]
            ),
            n_calibrated=0 if self.clips is None else len(measured),
        )

    def make(self) -> NewArtifact[Engine]:
        """Build the engine and compare it with the backbone.

        Raises:
            EngineError: it cannot be built, or does not agree.
        """
        source, times = self.source, _timing_file(self.platform)
        self.progress("building")
        plan = self.tensorrt.build(
            source.backbone.data,
            clip_shape=self.bundle.preprocessing.clip_shape,
            batch=self.batch,
            timing_cache=_read_times(times),
            progress=self.progress,
        )
        agreement = self._compare(plan.engine)
        check_agreement(
            agreement, TOLERANCES[self.precision], f"{self.precision} engine", EngineError
        )
        engine = Engine(
            feature_space=self.bundle.feature_space,
            **asdict(self.platform),
            precision=self.precision,
            batch=self.batch,
            backbone=source.digest,
            agreement=agreement,
            ranges=source.backbone.ranges,
            n_calibrated=source.n_calibrated,
            **describe_file(plan.engine),
        )
        return NewArtifact(engine, plan.engine, {times: plan.timing_cache})

    def _compare(self, engine: bytes) -> Agreement:
        """Run the engine at its least, best and largest batch size, ONNX Runtime clip by clip."""
        batch = self.batch
        clips = self.source.clips[: batch.most]
        reference = OrtBackend(self.backbone)
        features = []
        for number, clip in enumerate(clips, 1):
            self.progress(f"comparing with ONNX Runtime, clip {number} of {len(clips)}")
            features.append(reference.run(clip[None]))
        sizes = tuple(sorted({batch.least, batch.best, batch.most}))
        got = self.tensorrt.run(engine, clips, sizes, progress=self.progress)
        places = np.concatenate([np.arange(size) % len(clips) for size in sizes])
        wanted = np.concatenate(features)[places]
        if got.shape != wanted.shape:
            raise EngineError(
                f"The engine gave features of shape {got.shape}, want {wanted.shape}. It was "
                "thrown away. Update TensorRT."
            )
        return compare_features(wanted, got, self.bundle.head())


def _make_clips(n_clips: int, clip_shape: tuple[int, ...]) -> Float32:
    """Return synthetic clips of blocks and noise, some dark and some bright."""
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


def _read_times(file: Path) -> bytes:
    known = find_cached(ENGINES.folder.name, file.parent.name, file.name)
    return known.read_bytes() if known and known.exists() else b""


def _timing_file(platform: Platform) -> Path:
    # TensorRT's times hold for a device, its versions, and how networks are built: always alike.
    name = make_key(platform.tensorrt, platform.cuda, platform.gpu, "strongly typed")
    return ENGINES.folder / "timing" / f"{name}.cache"
