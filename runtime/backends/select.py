"""Select and open the backend that runs a bundle's backbone on this device."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import get_args

from edgesplit._types import BackendName, EnginePrecision, VariantName
from edgesplit.backbone.backends import Backend, OrtBackend
from edgesplit.bundle.bundle import Bundle
from edgesplit.errors import BackendError, EdgesplitError
from edgesplit.runtime.backends.cuda import find_device
from edgesplit.runtime.backends.engines import ENGINES, TensorRT, open_engine
from edgesplit.runtime.backends.variants import open_variant

__all__ = ["OpenedBackend", "PassedOver", "check_variant", "open_backend"]

_PROVIDERS: dict[BackendName, tuple[str, ...]] = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": ("CUDAExecutionProvider", "CPUExecutionProvider"),
    "ort-tensorrt": (
        "TensorrtExecutionProvider",
        "CUDAExecutionProvider",
        "CPUExecutionProvider",
    ),
}
_FASTEST_FIRST: tuple[BackendName, ...] = ("tensorrt", "cuda", "cpu")
"""Backends that `auto` tries. `ort-tensorrt` is excluded: it builds an engine at every start."""


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A faster backend that did not start."""

    backend: BackendName
    reason: str
    """A few words. Opening the backend by name raises the full error."""


@dataclass(frozen=True, slots=True)
class OpenedBackend:
    """An open backend for `Runtime(backend=…)`; the runtime closes it."""

    backend: Backend
    name: BackendName
    """Never `auto`."""
    description: str
    """Library and provider or precision, as in `ONNX Runtime, CPUExecutionProvider`."""
    passed_over: tuple[PassedOver, ...] = ()
    """Backends that `auto` tried before this one; empty if the caller named the backend."""


def open_backend(
    bundle: Bundle,
    name: BackendName = "auto",
    *,
    variant: VariantName | None = None,
    threads: int = 0,
    tensorrt: TensorRT | None = None,
) -> OpenedBackend:
    """Open a backend for a bundle's backbone.

    `auto` opens the cached engine for this device with the fewest bits; without an engine, ONNX
    Runtime's CUDA provider; without CUDA, the CPU.

    Args:
        bundle: the bundle with the backbone.
        name: the backend.
        variant: run this variant of the backbone; not with `tensorrt`, whose engines have
            precisions.
        threads: threads of ONNX Runtime on the CPU; 0 uses all cores.
        tensorrt: tests pass one that needs no GPU.

    Raises:
        BackendError: the backend cannot start, or `tensorrt` is combined with a variant.
        EngineError: no cached engine fits.
        VariantError: the variant is not in the cache.
        IsolatedProcessError: TensorRT crashed.
        MissingExtraError: a package that the backend needs is not installed.
        ValueError: the name is unknown.
    """
    if name not in get_args(BackendName):
        raise ValueError(f"name must be one of {', '.join(get_args(BackendName))}, got {name!r}")
    check_variant(name, variant)

    def attempt(one: BackendName) -> OpenedBackend:
        if one == "tensorrt":
            return _open_engine(bundle, tensorrt or TensorRT())
        return _open_ort(bundle, one, variant=variant, threads=threads)

    if name != "auto":
        return attempt(name)
    passed_over: list[PassedOver] = []
    *faster, slowest = _FASTEST_FIRST[1:] if variant else _FASTEST_FIRST
    for one in faster:
        try:
            return replace(attempt(one), passed_over=tuple(passed_over))
        except EdgesplitError as error:
            passed_over.append(PassedOver(one, error.reason))
    return replace(attempt(slowest), passed_over=tuple(passed_over))


def check_variant(name: BackendName, variant: VariantName | None) -> None:
    """Raise BackendError if `tensorrt` is combined with a variant, which engines do not have."""
    if name == "tensorrt" and variant:
        raise BackendError(
            f"An engine has a precision, not a variant. Omit the {variant} variant, or run it "
            "with another backend: cuda or cpu."
        )


def _open_engine(bundle: Bundle, tensorrt: TensorRT) -> OpenedBackend:
    engines = [one for one in ENGINES.list() if one.feature_space == bundle.feature_space]
    if not engines:
        raise BackendError(
            "There is no engine of this backbone in the cache; `edgesplit engine build` makes one.",
            reason="no engine in the cache",
        )
    platform = tensorrt.platform()
    fitting = [one for one in engines if one.platform == platform]
    if not fitting:
        device = f"{platform.gpu} with {platform.tensorrt}"
        raise BackendError(
            f"None of {len(engines)} engines of this backbone in the cache is for {device}; "
            "`edgesplit engine build` makes one.",
            reason=f"no engine for {device} in the cache",
        )
    engine = max(fitting, key=lambda one: get_args(EnginePrecision).index(one.precision))
    backend = open_engine(bundle, precision=engine.precision, platform=platform)
    return OpenedBackend(backend, "tensorrt", f"{engine.tensorrt}, {engine.precision} engine")


def _open_ort(
    bundle: Bundle, name: BackendName, *, variant: VariantName | None, threads: int
) -> OpenedBackend:
    if name != "cpu":
        find_device()  # without a GPU, ONNX Runtime takes a second to fail and prints pages
    providers = _PROVIDERS[name]
    if variant:
        backend = open_variant(bundle, variant, providers=providers)
    else:
        backend = OrtBackend(bundle.backbone(), threads=threads, providers=providers)
    what = f"{variant} variant, " if variant else ""
    return OpenedBackend(backend, name, f"ONNX Runtime, {what}{backend.providers[0]}")
