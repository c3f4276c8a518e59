"""Variants: a bundle's backbone in another form for ONNX Runtime, kept in the user's cache.

A key is made of the feature space and the recipe. A variant never changes the feature space: every
head of the bundle runs on it, and an edit asks for no new one. It gets into the cache only after it
was compared with the fp32 backbone on clips.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

import numpy as np

from edgesplit._types import Float32, VariantName
from edgesplit.backbone.attention import fuse_attention
from edgesplit.backbone.backends import Backend, OrtBackend
from edgesplit.backbone.fp16 import RangeReport, round_halves, to_fp16
from edgesplit.backbone.identity import inline
from edgesplit.backbone.int8 import to_int8
from edgesplit.backbone.session import import_onnxruntime
from edgesplit.bundle.bundle import Bundle
from edgesplit.errors import VariantError
from edgesplit.heads.head import Head
from edgesplit.runtime.backends.calibration import Clips, Progress, check_clips, read_clips
from edgesplit.storage.artifacts import Shelf, make_key
from edgesplit.storage.files import check_digest

__all__ = [
    "BARS",
    "KERNELS_COSINE",
    "VARIANTS",
    "Added",
    "Bar",
    "Guard",
    "Recipe",
    "Variant",
    "add_variant",
    "check_guard",
    "compare_backends",
    "measure_speed",
    "open_variant",
    "read_variant",
]

Recipe = VariantName

_VERSIONS: dict[Recipe, int] = {"fp16": 3, "int8": 2, "ort": 2}
"""Raised when a recipe makes another file of the same backbone, or refuses one that it kept."""

KERNELS_COSINE = 0.9999
"""Least cosine of features by ONNX Runtime's 8-bit kernels and by its float32 ones, of one int8
file. Right ones come to 0.9999999; the wrong ones of 1.21 to 1.24, on Intel processors with AMX,
to 0.98 or 0.99, with which a model may well pass the guard and give fewer right answers."""

_BLOCKS = 9
_BLOCK_S = 0.1
_MIN_RUNS = 3
_TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, slots=True)
class Bar:
    """What a variant must reach on clips that it was not calibrated on."""

    cosine: float
    """Of its feature with fp32's, on the worst clip; at least this."""
    logits: float
    """Largest difference of a logit of the live head over the largest logit; at most this."""
    agreement: float
    """Share of clips with the same decision; at least this."""


BARS: dict[Recipe, Bar] = {
    "fp16": Bar(cosine=0.999, logits=0.02, agreement=0.99),
    "int8": Bar(cosine=0.99, logits=0.1, agreement=0.99),
    "ort": Bar(cosine=0.99999, logits=0.001, agreement=0.99),
}
"""float16 rounds by 5e-4, 8 bits by 4e-3 of a range, once a layer; a fused GELU is exact.

What a lost layer or a wrong range costs lies far beyond; whether rounding matters to the answers
is what the agreement says.
"""


@dataclass(frozen=True, slots=True)
class Guard:
    """A variant against the fp32 backbone, on clips; `Bar` says what the figures are."""

    cosine: float
    logits: float
    agreement: float
    n_clips: int
    speed: float
    """How many times as fast as fp32, on this machine, one clip at a time."""


@dataclass(frozen=True, slots=True)
class Variant:
    """What a variant is of and how it was judged; as in its JSON file."""

    feature_space: str
    recipe: Recipe
    n_calibrated: int
    """Clips that the ranges come from; 0 where there are none. For fp16 they also judge."""
    digest: str
    size_bytes: int
    onnxruntime: str
    """Version that judged it."""
    guard: Guard
    made: str
    """ISO 8601, UTC."""
    ranges: RangeReport | None = None
    """For fp16: what the ranges decided."""

    @property
    def key(self) -> str:
        """The name of its files."""
        return _key(self.feature_space, self.recipe)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Variant:
        """Reads what `asdict` wrote; KeyError, TypeError or ValueError when it did not."""
        for name in ("feature_space", "digest"):
            check_digest(content[name])
        ranges = content.get("ranges")
        nested = {
            "guard": Guard(**content["guard"]),
            "ranges": RangeReport(**ranges) if ranges else None,
        }
        return cls(**{**content, **nested})


@dataclass(frozen=True, slots=True)
class Added:
    """A variant and how it came."""

    variant: Variant
    new: bool
    """False when it was there already."""
    seconds: float


VARIANTS = Shelf("variant", "onnx", VariantError, Variant.from_json)
"""Where they are kept."""


def add_variant(
    bundle: Bundle,
    recipe: Recipe,
    *,
    clips: Clips,
    rebuild: bool = False,
    progress: Progress = lambda text: None,
) -> Added:
    """Makes a variant of a bundle's backbone and keeps it if it passes the guard.

    For int8 every other clip calibrates, and the rest judge: a variant is never judged on what its
    ranges come from. For fp16 all clips do both: its ranges only decide which operators stay in
    float32, and more clips overlook less. An fp16 file is judged as float16 computes it
    (`round_halves`). Whatever happens, the cache holds the old variant or the new one, whole.

    Args:
        bundle: whose backbone it is, and whose live head judges.
        recipe: what to make.
        clips: unlabelled, like those that the device sees; read one at a time.
        rebuild: make it even if it is there.
        progress: told what is going on.

    Raises:
        VariantError: there are too few clips, the variant is below its bar, ONNX Runtime computes
            8 bits wrongly here, or another process is making it.
        ExportError: the backbone cannot be rewritten.
        BackendError: ONNX Runtime refuses the variant.
        ClipError: a video cannot be read.
        BundleError: the bundle is damaged.
        MissingExtraError: ONNX Runtime is not installed.
    """
    onnxruntime = import_onnxruntime()
    start = time.monotonic()
    key = _key(bundle.feature_space, recipe)
    known = VARIANTS.find(key)
    if known and not rebuild:
        return Added(variant=known, new=False, seconds=time.monotonic() - start)
    check_clips(clips)
    with VARIANTS.lock(key):
        own = inline(bundle.backbone())
        calibrating, judging = _share(clips, recipe)
        measured = read_clips(bundle, calibrating, "measuring ranges", progress)
        made, ranges = _make(own, recipe, measured)
        backend = _open(made, recipe)
        if recipe == "int8":
            (clip,) = read_clips(bundle, judging[:1], "checking the kernels", progress)
            check_kernels(backend, OrtBackend(made, optimize=False), clip)
        guard = _judge(
            OrtBackend(own),
            backend,
            exact=OrtBackend(round_halves(made), optimize=False) if recipe == "fp16" else backend,
            head=bundle.head(),
            clips=read_clips(bundle, judging, "comparing with fp32", progress),
            progress=progress,
        )
        check_guard(guard, recipe)
        variant = Variant(
            feature_space=bundle.feature_space,
            recipe=recipe,
            n_calibrated=len(calibrating),
            digest=hashlib.sha256(made).hexdigest(),
            size_bytes=len(made),
            onnxruntime=onnxruntime.__version__,
            guard=guard,
            ranges=ranges,
            made=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        )
        VARIANTS.save(variant, made)
    return Added(variant=variant, new=True, seconds=time.monotonic() - start)


def open_variant(
    bundle: Bundle,
    recipe: Recipe,
    *,
    providers: Sequence[str] = ("CPUExecutionProvider",),
    fallback: bool = False,
) -> OrtBackend:
    """The backend that runs this bundle's variant, for `Runtime(backend=…)`.

    Providers and fallback are `OrtBackend`'s.

    Raises:
        VariantError: there is none, or its file is damaged.
        BackendError: ONNX Runtime refuses it.
    """
    made = read_variant(bundle, recipe)
    return _open(made, recipe, providers=providers, fallback=fallback)


def read_variant(bundle: Bundle, recipe: Recipe) -> bytes:
    """The ONNX file of this bundle's variant, as it was judged.

    Raises:
        VariantError: there is none, or its file is damaged.
    """
    variant = VARIANTS.find(_key(bundle.feature_space, recipe))
    if variant is None:
        raise VariantError(
            f"There is no {recipe} variant of {bundle.path}. "
            f"`edgesplit variant add {recipe} --clips FOLDER` makes one."
        )
    return VARIANTS.read(variant, again=f"edgesplit variant add {recipe} --rebuild")


def check_guard(guard: Guard, recipe: Recipe) -> None:
    """Lets a variant pass that answers as fp32 does; its speed is told, not judged.

    Raises:
        VariantError: it does not; with the numbers.
    """
    bar = BARS[recipe]
    # A comparison with NaN is false: features that are not finite are refused too.
    same = guard.cosine >= bar.cosine and guard.logits <= bar.logits
    if same and guard.agreement >= bar.agreement:
        return
    advice = {
        "fp16": "Stay with fp32.",
        "int8": "Give more clips, from the very cameras, or try fp16.",
        "ort": "Stay with fp32, or update ONNX Runtime.",
    }
    raise VariantError(
        f"{recipe} does not answer as fp32 does, and was thrown away: on {guard.n_clips} clips the "
        f"same decision in {guard.agreement:.1%} (at least {bar.agreement:.0%}), feature cosine "
        f"{guard.cosine:.4f} on the worst (at least {bar.cosine}), logits up to {guard.logits:.3f} "
        f"of the largest apart (at most {bar.logits}). {advice[recipe]}"
    )


def check_kernels(backend: Backend, plain: Backend, clip: Float32) -> None:
    """Lets 8-bit kernels pass that compute what the file says.

    Args:
        backend: as it will run.
        plain: the same file by kernels in float32.
        clip: of the bundle's shape.

    Raises:
        VariantError: they do not, with what to do.
    """
    got, wanted = (one.run(clip[None]).astype(np.float64) for one in (backend, plain))
    length = np.linalg.norm(got) * np.linalg.norm(wanted)
    cosine = float((got * wanted).sum() / max(float(length), _TINY))
    if not cosine >= KERNELS_COSINE:  # false for NaN, too
        version = import_onnxruntime().__version__
        raise VariantError(
            f"ONNX Runtime {version} computes 8 bits wrongly on this processor: on "
            f"the same file its 8-bit and its float32 kernels come to a cosine of {cosine:.5f} (at "
            f"least {KERNELS_COSINE}). Update ONNX Runtime: 1.21 to 1.24 do so on Intel processors "
            "with AMX or AVX-VNNI. If the newest does as well, use fp32 or fp16."
        )


def compare_backends(
    full: Backend, other: Backend, *, head: Head, clips: Iterable[Float32]
) -> Guard:
    """Runs two backbones clip by clip; the speed is not measured and is NaN.

    Raises:
        BackendError: one of them fails.
        ValueError: there are no clips.
    """
    pairs = [(full.run(clip[None])[0], other.run(clip[None])[0]) for clip in clips]
    if not pairs:
        raise ValueError("a comparison takes clips")
    wanted, got = (np.stack(side) for side in zip(*pairs, strict=True))
    lengths = np.linalg.norm(wanted, axis=1) * np.linalg.norm(got, axis=1)
    cosines = (wanted.astype(np.float64) * got).sum(axis=1) / np.maximum(lengths, _TINY)
    before, after = head.evaluate(wanted), head.evaluate(got)
    apart = float(np.abs(after.logits - before.logits).max())
    return Guard(
        cosine=float(cosines.min()),
        logits=apart / max(float(np.abs(before.logits).max()), _TINY),
        agreement=float((before.class_index == after.class_index).mean()),
        n_clips=len(pairs),
        speed=float("nan"),
    )


def measure_speed(full: Backend, other: Backend, clip: Float32, *, blocks: int = _BLOCKS) -> float:
    """How many times as fast `other` is, one clip at a time: the median over alternating blocks.

    Of a block the fastest run counts, as what else the machine does only ever adds to one; and a
    machine that clocks down does it to both halves of a pair of blocks.
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


def _share(clips: Clips, recipe: Recipe) -> tuple[Clips, Clips]:
    """The clips that ranges are measured on, and those that judge."""
    if recipe == "int8":
        return clips[::2], clips[1::2]
    return (clips if recipe == "fp16" else ()), clips


def _make(
    backbone: bytes, recipe: Recipe, clips: Iterable[Float32]
) -> tuple[bytes, RangeReport | None]:
    if recipe == "fp16":
        halved = to_fp16(backbone, clips)
        return halved.data, halved.ranges
    return (fuse_attention(backbone) if recipe == "ort" else to_int8(backbone, clips)), None


def _judge(
    full: Backend,
    other: Backend,
    *,
    exact: Backend,
    head: Head,
    clips: Iterator[Float32],
    progress: Progress,
) -> Guard:
    """Compares `exact`, which computes what the file of `other` says; the speed is `other`'s."""
    first = next(clips)
    found = asdict(compare_backends(full, exact, head=head, clips=_chain(first, clips)))
    progress("measuring the speed of both")
    return Guard(**{**found, "speed": measure_speed(full, other, first)})


def _chain(first: Float32, rest: Iterator[Float32]) -> Iterator[Float32]:
    yield first
    yield from rest


def _open(
    made: bytes,
    recipe: Recipe,
    *,
    providers: Sequence[str] = ("CPUExecutionProvider",),
    fallback: bool = False,
) -> OrtBackend:
    # ONNX Runtime's CPU optimizer ends the process on some float16 graphs; see `to_fp16`.
    return OrtBackend(made, optimize=recipe != "fp16", providers=providers, fallback=fallback)


def _key(feature_space: str, recipe: Recipe) -> str:
    return make_key(feature_space, recipe, _VERSIONS[recipe])
