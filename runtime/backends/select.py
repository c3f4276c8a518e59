"""Which backend runs a bundle's backbone here, and why."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

from edgesplit._types import BackendName
from edgesplit.backbone.backends import Backend, OrtBackend
from edgesplit.bundle.bundle import Bundle
from edgesplit.errors import BackendError, EdgesplitError
from edgesplit.runtime.backends.cuda import find_device
from edgesplit.runtime.backends.engines import ENGINES, PRECISIONS, TensorRT, open_engine
from edgesplit.runtime.backends.variants import Recipe, open_variant

__all__ = ["KINDS", "Choice", "Kind", "open_backend"]

Kind = BackendName
KINDS: tuple[Kind, ...] = get_args(Kind)

_PROVIDERS: dict[Kind, tuple[str, ...]] = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": ("CUDAExecutionProvider", "CPUExecutionProvider"),
    "ort-tensorrt": (
        "TensorrtExecutionProvider",
        "CUDAExecutionProvider",
        "CPUExecutionProvider",
    ),
}
_ORDER: tuple[Kind, ...] = ("tensorrt", "cuda", "cpu")
"""What `auto` tries. `ort-tensorrt` is not among them: it builds an engine at every start."""


@dataclass(frozen=True, slots=True)
class Choice:
    """An open backend, for `Runtime(backend=…)`, which closes it."""

    backend: Backend
    kind: Kind
    """Never `auto`."""
    name: str
    """What runs, as in `ONNX Runtime, CPUExecutionProvider`."""
    why: str
    """Why it and nothing faster; empty when it was asked for."""


def open_backend(
    bundle: Bundle,
    kind: Kind = "auto",
    *,
    recipe: Recipe | None = None,
    threads: int = 0,
    fallback: bool = False,
    tensorrt: TensorRT | None = None,
) -> Choice:
    """Opens a backend for a bundle's backbone.

    `auto` takes a fitting engine from the cache, of several the one of fewest bits; else ONNX
    Runtime's CUDA provider; else the CPU.

    Args:
        bundle: whose backbone it is.
        kind: what to run it with.
        recipe: run this variant of it; not with `tensorrt`, whose engines have precisions.
        threads: of ONNX Runtime on the CPU; 0: all cores.
        fallback: let ONNX Runtime do without a provider that does not start; the name says what
            it runs on.
        tensorrt: a test passes one that needs no GPU.

    Raises:
        BackendError: the backend cannot start here.
        EngineError: there is no engine that fits.
        VariantError: there is no such variant.
        MissingExtraError: what the backend needs is not installed.
        ValueError: the kind is unknown, or a variant is asked of an engine.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if kind == "tensorrt" and recipe:
        raise ValueError(f"an engine has a precision, not a variant: leave out {recipe!r}")

    def attempt(one: Kind) -> Choice:
        if one == "tensorrt":
            return _open_engine(bundle, tensorrt or TensorRT())
        return _open_ort(bundle, one, recipe=recipe, threads=threads, fallback=fallback)

    return _choose(attempt, recipe) if kind == "auto" else attempt(kind)


def _choose(attempt: Callable[[Kind], Choice], recipe: Recipe | None) -> Choice:
    reasons = []
    for kind in _ORDER:
        if kind == "tensorrt" and recipe:
            continue
        try:
            found = attempt(kind)
        except EdgesplitError as error:
            if kind == _ORDER[-1]:
                raise
            # The first clause; asking for the kind by name tells the rest.
            reasons.append(f"not {kind}: {re.split(r'[.;] | [(]', str(error))[0]}")
        else:
            why = "; ".join(reasons) or "it is the fastest way that edgesplit knows"
            return Choice(found.backend, found.kind, found.name, why)
    raise AssertionError("the last attempt returns or raises")


def _open_engine(bundle: Bundle, tensorrt: TensorRT) -> Choice:
    mine = [one for one in ENGINES.list() if one.feature_space == bundle.feature_space]
    if not mine:
        raise BackendError(
            "there is no engine of this backbone in the cache; `edgesplit engine build` makes one."
        )
    here = tensorrt.here()
    fitting = [one for one in mine if one.here == here]
    if not fitting:
        raise BackendError(
            f"none of {len(mine)} engines of this backbone in the cache is for {here.gpu} with "
            f"{here.tensorrt}; `edgesplit engine build` makes one."
        )
    engine = max(fitting, key=lambda one: PRECISIONS.index(one.precision))
    backend = open_engine(bundle, precision=engine.precision, tensorrt=tensorrt)
    return Choice(backend, "tensorrt", f"{engine.tensorrt}, {engine.precision} engine", "")


def _open_ort(
    bundle: Bundle, kind: Kind, *, recipe: Recipe | None, threads: int, fallback: bool
) -> Choice:
    if kind != "cpu" and not fallback:
        find_device()  # ONNX Runtime would take a second to find out, and print pages
    providers = _PROVIDERS[kind]
    if recipe:
        backend = open_variant(bundle, recipe, providers=providers, fallback=fallback)
    else:
        backend = OrtBackend(
            bundle.backbone(), threads=threads, providers=providers, fallback=fallback
        )
    what = f"{recipe} variant, " if recipe else ""
    return Choice(backend, kind, f"ONNX Runtime, {what}{backend.providers[0]}", "")
