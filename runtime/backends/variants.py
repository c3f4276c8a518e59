"""Variants: a bundle's backbone, rewritten for ONNX Runtime and kept in the user's cache.

The key of a variant is made of the feature space and the variant's name. A variant never changes
the feature space: every head of the bundle runs on it, and an edit needs no new variant. A variant
is kept only if it agrees with the fp32 backbone on clips.
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
"""Lowest cosine between the features of ONNX Runtime's 8-bit and float32 kernels, for one int8
file. Correct kernels give 0.9999999. The wrong kernels of 1.21 to 1.24, on Intel processors with
AMX, give 0.98 or 0.99: a model may pass the comparison and still give fewer right answers."""

_BLOCKS = 9
_BLOCK_S = 0.1
_MIN_RUNS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant(Artifact):
    """A variant in the cache. Its key is feature space and name."""

    name: VariantName
    onnxruntime: str
    """Version of ONNX Runtime that it was compared and timed with."""
    speed: float
    """Speed relative to fp32, on this machine, one clip at a time; 2 is twice as fast."""

    @property
    def key(self) -> str:
        """The stem of its file names."""
        return _key(self.feature_space, self.name)


VARIANTS = ArtifactCache("variant", "onnx", VariantError, Variant)
"""The variants in the cache."""


def add_variant(
    bundle: Bundle,
    name: VariantName,
    *,
    clips: Clips,
    rebuild: bool = False,
    progress: Progress = lambda text: None,
) -> Made[Variant]:
    """Return a variant of a bundle's backbone; make it if it is not cached.

    An fp16 variant is compared with the rounding of float16 (`round_halves`). A new variant is kept
    only if it agrees with the fp32 backbone; otherwise the cache keeps the old one.

    Args:
        bundle: the bundle with the backbone; its live head compares logits and decisions.
        name: the variant to make.
        clips: unlabelled clips like those that the device sees; read one at a time. Ranges are
            measured on some, and others are compared (`share_clips`).
        rebuild: make it even if it is cached.
        progress: gets a message at each step.

    Raises:
        VariantError: there are too few clips, the variant does not agree, ONNX Runtime's 8-bit
            kernels are wrong on this processor, or another process is making the variant.
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

    `providers` are those of `OrtBackend`.

    Raises:
        VariantError: the variant is not in the cache, or its file is damaged.
        BackendError: ONNX Runtime refuses it.
    """
    optimize = RECIPES[name].optimize
    return OrtBackend(read_variant(bundle, name), optimize=optimize, providers=providers)


def read_variant(bundle: Bundle, name: VariantName) -> bytes:
    """Return the ONNX file of a bundle's variant, as it was compared.

    Raises:
        VariantError: the variant is not in the cache, or its file is damaged.
    """
    return VARIANTS.read(
        _key(bundle.feature_space, name),
        what=f"{name} variant of {bundle.path}",
        command=f"edgesplit variant add {name} --clips FOLDER",
    )


def check_kernels(backend: Backend, plain: Backend, clip: Float32) -> None:
    """Raise VariantError if ONNX Runtime's 8-bit kernels differ from its float32 kernels.

    Args:
        backend: runs the file with the kernels that will serve.
        plain: runs the same file with float32 kernels.
        clip: `clip_shape` float32 in 0..1.
    """
    (cosine,) = row_cosines(backend.run(clip[None]), plain.run(clip[None]))
    if not cosine >= KERNELS_COSINE:  # false for NaN, too
        version = import_onnxruntime().__version__
        raise VariantError(
            f"ONNX Runtime {version} computes 8 bits wrongly on this processor: for the same file, "
            f"the features of its 8-bit and float32 kernels have a cosine of {cosine:.5f} (at "
            f"least {KERNELS_COSINE}). Update ONNX Runtime: 1.21 to 1.24 are wrong on Intel "
            "processors with AMX or AVX-VNNI. If the newest version is wrong, too, use fp32 or "
            "fp16."
        )


def measure_speed(full: Backend, other: Backend, clip: Float32, *, blocks: int = _BLOCKS) -> float:
    """Return the speed of `other` relative to `full`, one clip at a time.

    It is the median ratio of alternating blocks. The fastest run of a block counts, because other
    work on the machine only adds time. A lower clock affects both blocks of a pair.
    """
    batch = clip[None]
    ratios = []
    for _ in range(blocks):
        fastest = [_fastest_s(backend, batch) for backend in (full, other)]
        ratios.append(fastest[0] / fastest[1])
    return float(np.median(ratios))


def _fastest_s(backend: Backend, batch: Float32) -> float:
    backend.run(batch)  # meanwhile the other session's spinning threads go to sleep
    fastest, spent, runs = float("inf"), 0.0, 0
    while spent < _BLOCK_S or runs < _MIN_RUNS:
        start = time.perf_counter()
        backend.run(batch)
        seconds = time.perf_counter() - start
        fastest, spent, runs = min(fastest, seconds), spent + seconds, runs + 1
    return fastest


def _key(feature_space: str, name: VariantName) -> str:
    return make_key(feature_space, name, RECIPES[name].version)
