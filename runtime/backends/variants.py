"""Variants: a bundle's backbone in another form for ONNX Runtime, kept in the user's cache.

The key of a variant is made of the feature space and the variant's name. A variant never changes
the feature space: every head of the bundle runs on it, and an edit needs no new one. It is kept
only if it agrees with the fp32 backbone on clips.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgesplit._types import Float32, VariantName
from edgesplit.backbone.backends import Backend, OrtBackend
from edgesplit.backbone.difference import row_cosines
from edgesplit.backbone.fp16 import round_halves
from edgesplit.backbone.identity import inline
from edgesplit.backbone.session import import_onnxruntime
from edgesplit.bundle.bundle import Bundle
from edgesplit.errors import VariantError
from edgesplit.runtime.backends.agreement import (
    Clips,
    Progress,
    check_agreement,
    check_clips,
    compare_backends,
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
from edgesplit.runtime.backends.recipes import RECIPES

__all__ = [
    "KERNELS_COSINE",
    "VARIANTS",
    "Variant",
    "add_variant",
    "measure_speed",
    "open_variant",
    "read_variant",
]

KERNELS_COSINE = 0.9999
"""Least cosine of features by ONNX Runtime's 8-bit kernels and by its float32 ones, of one int8
file. Right ones come to 0.9999999; the wrong ones of 1.21 to 1.24, on Intel processors with AMX,
to 0.98 or 0.99, with which a model may well pass the comparison and give fewer right answers."""

_BLOCKS = 9
_BLOCK_S = 0.1
_MIN_RUNS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant(Artifact):
    """A variant of the cache. Its key is feature space and name."""

    name: VariantName
    onnxruntime: str
    """Version that it was compared and timed with."""
    speed: float
    """How many times as fast as fp32 it is, on this machine, one clip at a time."""

    @property
    def key(self) -> str:
        """The variant's name in the cache."""
        return _key(self.feature_space, self.name)


VARIANTS = ArtifactCache("variant", "onnx", VariantError, Variant)
"""The variants of the cache."""


def add_variant(
    bundle: Bundle,
    name: VariantName,
    *,
    clips: Clips,
    rebuild: bool = False,
    progress: Progress = lambda text: None,
) -> Made[Variant]:
    """Return a variant of a bundle's backbone, made now unless it is there.

    An fp16 file is compared as float16 computes it (`round_halves`). The cache then holds the old
    variant, or the new one if it agrees with the fp32 backbone.

    Args:
        bundle: whose backbone it is, and whose live head compares.
        name: the variant to make.
        clips: unlabelled, like those that the device sees; read one at a time. Some of them
            measure ranges, others compare (`share_clips`).
        rebuild: make it even if it is there.
        progress: gets a message at each step.

    Raises:
        VariantError: there are too few clips, the variant does not agree, ONNX Runtime computes
            8 bits wrongly here, or another process is making it.
        ExportError: the backbone cannot be rewritten.
        BackendError: ONNX Runtime refuses the variant.
        ClipError: a video cannot be read.
        BundleError: the bundle is damaged.
        MissingExtraError: ONNX Runtime is not installed.
    """
    import_onnxruntime()
    return VARIANTS.find_or_make(
        _key(bundle.feature_space, name),
        lambda: _make(bundle, name, clips, progress),
        accept=lambda known: not rebuild,
    )


def _make(
    bundle: Bundle, name: VariantName, clips: Clips, progress: Progress
) -> tuple[Variant, bytes, dict[Path, bytes]]:
    check_clips(clips)
    recipe = RECIPES[name]
    measured, compared = share_clips(clips, name)
    own = inline(bundle.backbone())
    rewritten = recipe.rewrite(own, read_clips(bundle, measured, "measuring ranges", progress))
    full, backend = OrtBackend(own), OrtBackend(rewritten.data, optimize=recipe.optimize)
    (clip,) = read_clips(bundle, compared[:1], "reading", progress)
    exact = backend
    if name == "int8":
        check_kernels(backend, OrtBackend(rewritten.data, optimize=False), clip)
    elif name == "fp16":
        exact = OrtBackend(round_halves(rewritten.data), optimize=False)
    agreement = compare_backends(
        full,
        exact,
        head=bundle.head(),
        clips=read_clips(bundle, compared, "comparing with fp32", progress),
    )
    check_agreement(agreement, recipe.tolerance, f"{name} variant", VariantError)
    progress("measuring the speed of both")
    variant = Variant(
        feature_space=bundle.feature_space,
        name=name,
        onnxruntime=import_onnxruntime().__version__,
        agreement=agreement,
        speed=measure_speed(full, backend, clip),
        ranges=rewritten.ranges,
        n_calibrated=len(measured),
        **describe_file(rewritten.data),
    )
    return variant, rewritten.data, {}


def open_variant(
    bundle: Bundle,
    name: VariantName,
    *,
    providers: Sequence[str] = ("CPUExecutionProvider",),
) -> OrtBackend:
    """Return the backend that runs a bundle's variant, for `Runtime(backend=…)`.

    `providers` are `OrtBackend`'s.

    Raises:
        VariantError: there is none, or its file is damaged.
        BackendError: ONNX Runtime refuses it.
    """
    optimize = RECIPES[name].optimize
    return OrtBackend(read_variant(bundle, name), optimize=optimize, providers=providers)


def read_variant(bundle: Bundle, name: VariantName) -> bytes:
    """Return the ONNX file of a bundle's variant, as it was compared.

    Raises:
        VariantError: there is none, or its file is damaged.
    """
    return VARIANTS.read(
        _key(bundle.feature_space, name),
        what=f"{name} variant of {bundle.path}",
        command=f"edgesplit variant add {name} --clips FOLDER",
    )


def check_kernels(backend: Backend, plain: Backend, clip: Float32) -> None:
    """Raise VariantError if ONNX Runtime's 8-bit kernels compute something else than the file says.

    Args:
        backend: runs the file by the kernels that will serve.
        plain: runs the same file by kernels in float32.
        clip: `clip_shape` float32 in 0..1.
    """
    (cosine,) = row_cosines(backend.run(clip[None]), plain.run(clip[None]))
    if not cosine >= KERNELS_COSINE:  # false for NaN, too
        version = import_onnxruntime().__version__
        raise VariantError(
            f"ONNX Runtime {version} computes 8 bits wrongly on this processor: on "
            f"the same file its 8-bit and its float32 kernels come to a cosine of {cosine:.5f} (at "
            f"least {KERNELS_COSINE}). Update ONNX Runtime: 1.21 to 1.24 do so on Intel processors "
            "with AMX or AVX-VNNI. If the newest does as well, use fp32 or fp16."
        )


def measure_speed(full: Backend, other: Backend, clip: Float32, *, blocks: int = _BLOCKS) -> float:
    """Return how many times as fast `other` is, one clip at a time.

    It is the median ratio of alternating blocks. The fastest run of a block counts, as other work
    on the machine only ever adds time; and a machine that lowers its clock does so to both halves
    of a pair of blocks.
    """
    batch = clip[None]
    ratios = []
    for _ in range(blocks):
        fastest = [_fastest_s(backend, batch) for backend in (full, other)]
        ratios.append(fastest[0] / fastest[1])
    return float(np.median(ratios))


def _fastest_s(backend: Backend, batch: Float32) -> float:
    backend.run(batch)  # threads of the other session spin for a while before they sleep
    fastest, spent, runs = float("inf"), 0.0, 0
    while spent < _BLOCK_S or runs < _MIN_RUNS:
        start = time.perf_counter()
        backend.run(batch)
        seconds = time.perf_counter() - start
        fastest, spent, runs = min(fastest, seconds), spent + seconds, runs + 1
    return fastest


def _key(feature_space: str, name: VariantName) -> str:
    return make_key(feature_space, name, RECIPES[name].version)
