"""From `package.module:factory` and a checkpoint to a torch module.

The checkpoint is read as plain weights only: a pickle that would run code is refused.
"""

from __future__ import annotations

import inspect
import os
import pickle
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor, nn

from edgesplit.errors import ExportError

__all__ = ["load_checkpoint", "load_model"]

_CLASS_COUNT_NAMES = ("n_classes", "num_classes")
_WEIGHTS_KEYS = ("state_dict", "model_state_dict", "model", "module")
_WRAPPER_PREFIXES = ("module.", "_orig_mod.")  # DataParallel, torch.compile


def load_model(
    spec: str, *, checkpoint: Path | None = None, n_classes: int | None = None
) -> nn.Module:
    """Returns the classifier that a factory makes, in evaluation mode.

    Args:
        spec: `package.module:factory`; the current folder is importable. The factory is a function
            or a Module class, called without arguments or, when it has such a parameter, with
            `n_classes` (`num_classes` is understood too).
        checkpoint: A file written by `torch.save(model.state_dict(), …)`; every key must fit.
        n_classes: Number of labels.

    Raises:
        ExportError: The factory cannot be imported or called, or the checkpoint does not fit.
    """
    with _current_folder_importable():
        model = _call_factory(_import_factory(spec), spec, n_classes)
    if checkpoint is not None:
        load_checkpoint(model, checkpoint)
    return model.eval()


def load_checkpoint(model: nn.Module, path: Path) -> None:
    """Copies a checkpoint's weights into `model`; all of them, and no others.

    Raises:
        ExportError: The file is missing, not plain weights, or its keys or shapes do not fit.
    """
    weights = _read_weights(path)
    wanted = model.state_dict()
    missing = [key for key in wanted if key not in weights]
    unknown = [key for key in weights if key not in wanted]
    if missing or unknown:
        raise ExportError(
            f"{path} does not fit {type(model).__name__}: {len(missing)} of {len(wanted)} weights "
            f"are missing ({_listing(missing)}), {len(unknown)} are unknown ({_listing(unknown)}). "
            "Check that the factory builds the architecture that was trained."
        )
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        mismatches = [line.strip() for line in str(error).splitlines()[1:]]
        raise ExportError(
            f"{path} does not fit {type(model).__name__}: {_listing(mismatches) or error}"
        ) from error


@contextmanager
def _current_folder_importable() -> Iterator[None]:
    # As `python -m` does it; the console script's sys.path has no current folder.
    folder = os.getcwd()
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _import_factory(spec: str) -> Callable[..., object]:
    module_name, separator, name = spec.partition(":")
    if not (module_name and separator and name):
        raise ExportError(
            f"{spec!r} names no factory. Write package.module:factory, for example "
            "mymodels.tsm:build_model"
        )
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


def _read_weights(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ExportError(f"There is no checkpoint {path}. Check the path.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ExportError(
            f"{path} is not a file of plain weights ({reason}). Loading it could run code. "
            "Where it was made: torch.save(model.state_dict(), path)"
        ) from error
    weights = _find_weights(content)
    if weights is None:
        keys = f" with keys {_listing(list(content))}" if isinstance(content, Mapping) else ""
        raise ExportError(
            f"{path} holds {type(content).__name__}{keys}, not a state dict. "
            "Where it was made: torch.save(model.state_dict(), path)"
        )
    return _without_wrapper(weights)


def _find_weights(content: object) -> dict[str, Tensor] | None:
    """Returns the state dict: the content itself, or what training scripts file it under."""
    if not isinstance(content, Mapping) or not content:
        return None
    if all(isinstance(value, Tensor) for value in content.values()):
        return dict(content)
    for key in _WEIGHTS_KEYS:
        if (weights := _find_weights(content.get(key))) is not None:
            return weights
    return None


def _without_wrapper(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in _WRAPPER_PREFIXES:
        if all(key.startswith(prefix) for key in weights):
            weights = {key.removeprefix(prefix): value for key, value in weights.items()}
    return weights


def _listing(items: Sequence[str]) -> str:
    shown = ", ".join(str(item) for item in items[:5])
    return f"{shown}, …" if len(items) > 5 else shown
