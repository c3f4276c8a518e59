"""Build a torch module from `package.module:factory` and a checkpoint."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from torch import nn

from edgesplit.errors import ExportError
from edgesplit.export.models.checkpoint import load_weights, read_weights

__all__ = ["build_model"]

_CLASS_COUNT_NAMES = ("n_classes", "num_classes")


def build_model(
    spec: str, *, checkpoint: Path | None = None, n_classes: int | None = None
) -> nn.Module:
    """Return the classifier that a factory makes, in evaluation mode.

    Args:
        spec: `package.module:factory`; the current folder is importable. The factory is a function
            or a Module class. It is called without arguments or, if it has such a parameter, with
            `n_classes` (or `num_classes`).
        checkpoint: A file written by `torch.save(model.state_dict(), …)`; every key must fit.
        n_classes: Number of labels.

    Raises:
        ExportError: The factory cannot be imported or called, or the checkpoint does not fit.
    """
    with _current_folder_importable():
        model = _call_factory(_import_factory(spec), spec, n_classes)
    if checkpoint is not None:
        load_weights(model, read_weights(checkpoint), origin=str(checkpoint))
    return model.eval()


@contextmanager
def _current_folder_importable() -> Iterator[None]:
    # `python -m` does the same; the console script's sys.path has no current folder.
    folder = os.getcwd()
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _import_factory(spec: str) -> Callable[..., object]:
    module_name, _, name = spec.partition(":")
    try:
        module = import_module(module_name)
    except Exception as error:  # a user's module may raise anything
        raise ExportError(
            f"{module_name} cannot be imported ({type(error).__name__}: {error}). "
            f"Run in the folder that holds it (now {os.getcwd()}) or install it."
        ) from error
    factory = getattr(module, name, None)
    if not callable(factory):
        found = "is not callable" if hasattr(module, name) else "does not exist"
        raise ExportError(f"{name!r} in {module_name} ({module.__file__}) {found}.")
    return factory  # type: ignore[no-any-return]  # callable() leaves Any


def _call_factory(factory: Callable[..., object], spec: str, n_classes: int | None) -> nn.Module:
    parameters = inspect.signature(factory).parameters
    count_name = next((name for name in _CLASS_COUNT_NAMES if name in parameters), None)
    arguments = {count_name: n_classes} if count_name and n_classes is not None else {}
    required = [
        name
        for name, parameter in parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        and name not in arguments
    ]
    if required:
        raise ExportError(
            f"{spec} needs {', '.join(required)}; edgesplit calls it without arguments, or with "
            "n_classes. Write a small function that returns the finished model."
        )
    try:
        model = factory(**arguments)
    except Exception as error:  # the user's code may raise anything
        raise ExportError(f"{spec} failed: {type(error).__name__}: {error}") from error
    if not isinstance(model, nn.Module):
        raise ExportError(f"{spec} returned {type(model).__name__}, not a torch.nn.Module.")
    return model
