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
"""What `auto` tries. `ort-tensorrt` is not among them: it builds an engine at every start."""


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A faster backend that did not start."""

    backend: BackendName
    reason: str
    """In a few words; an error of the backend when it is asked for by name says more."""


@dataclass(frozen=True, slots=True)
class OpenedBackend:
    """An open backend, for `Runtime(backend=…)`, which closes it."""

    backend: Backend
    name: BackendName
    """Never `auto`."""
    description: str
    """What runs, as in `ONNX Runtime, CPUExecutionProvider`."""
    passed_over: tuple[PassedOver, ...] = ()
    """The backends that `auto` tried before; empty if one was asked for by name."""


def open_backend(
    bundle: Bundle,
    name: BackendName = "auto",
    *,
    variant: VariantName | None = None,
    threads: int = 0,
    tensorrt: TensorRT | None = None,
) -> OpenedBackend:
    """Open a backend for a bundle's backbone.

    `auto` takes an engine of the cache that fits this device, the one of fewest bits; else ONNX
    Runtime's CUDA provider; else the CPU.

    Args:
        bundle: whose backbone it is.
        name: the backend.
        variant: run this variant of the backbone; not with `tensorrt`, whose engines have
            precisions.
        threads: threads of ONNX Runtime on the CPU; 0 takes all cores.
        tensorrt: a test passes one that needs no GPU.

    Raises:
        BackendError: the backend cannot start here, or a variant is asked of an engine.
        EngineError: there is no engine that fits.
        VariantError: there is no such variant.
        IsolatedProcessError: TensorRT crashed.
        MissingExtraError: what the backend needs is not installed.
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
    """Raise BackendError if a variant is asked of an engine, which cannot have one."""
    if name == "tensorrt" and variant:
        raise BackendError(
            f"An engine has a precision, not a variant. Leave out the {variant} variant, or run it "
            "by another backend: cuda or cpu."
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
        here = f"{platform.gpu} with {platform.tensorrt}"
        raise BackendError(
            f"None of {len(engines)} engines of this backbone in the cache is for {here}; "
            "`edgesplit engine build` makes one.",
            reason=f"no engine for {here} in the cache",
        )
    engine = max(fitting, key=lambda one: get_args(EnginePrecision).index(one.precision))
    backend = open_engine(bundle, precision=engine.precision, platform=platform)
    return OpenedBackend(backend, "tensorrt", f"{engine.tensorrt}, {engine.precision} engine")


def _open_ort(
    bundle: Bundle, name: BackendName, *, variant: VariantName | None, threads: int
) -> OpenedBackend:
    if name != "cpu":
        find_device()  # ONNX Runtime would take a second to find out, and print pages
    providers = _PROVIDERS[name]
    if variant:
        backend = open_variant(bundle, variant, providers=providers)
    else:
        backend = OrtBackend(bundle.backbone(), threads=threads, providers=providers)
    what = f"{variant} variant, " if variant else ""
    return OpenedBackend(backend, name, f"ONNX Runtime, {what}{backend.providers[0]}")
