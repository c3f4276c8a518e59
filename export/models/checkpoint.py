"""Read a checkpoint of plain weights without running code, and load it if it fits exactly."""

from __future__ import annotations

import argparse
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from edgesplit.errors import ExportError
from edgesplit.export.wording import first_line, listing

__all__ = ["count_classes", "load_weights", "read_weights"]

_WEIGHTS_KEYS = (
    "state_dict",
    "model_state_dict",
    "model_state",  # SlowFast and PyTorchVideo
    "model",
    "module",
    "net",
    "weights",
)
_WRAPPER_PREFIXES = ("module.", "_orig_mod.")  # DataParallel, torch.compile
_REFUSED_TYPE = re.compile(r"(?:Unsupported global: GLOBAL|Unsupported class) ([\w.]+)")


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the state dict in a file written by `torch.save`.

    It may be the file's content, or be stored under a key that training scripts use. Prefixes of
    wrappers are removed.

    Raises:
        ExportError: The file is missing, or holds anything except plain weights.
    """
    if not path.is_file():
        raise ExportError(f"There is no checkpoint {path}. Check the path.")
    if _is_scripted(path):
        raise ExportError(
            f"{path} is TorchScript, whose layers cannot be accessed. Where it was made, save the "
            "weights of the Python module: torch.save(model.state_dict(), path)"
        )
    try:
        # Training scripts store their arguments beside the weights; a Namespace holds no code.
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise ExportError(
            f"{path} is not a file of plain weights ({_reason(error)}). Loading it could run "
            "code. Where it was made, run torch.save(model.state_dict(), path)"
        ) from error
    weights = _find_weights(content)
    if weights is None:
        keys = f" with keys {listing(list(content))}" if isinstance(content, Mapping) else ""
        raise ExportError(
            f"{path} holds {type(content).__name__}{keys}, not a state dict. "
            "Where it was made, run torch.save(model.state_dict(), path)"
        )
    return _without_wrapper(weights)


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], *, origin: str) -> None:
    """Copy weights into `model`; the names must be exactly those of the model.

    Args:
        model: Changed in place.
        weights: Tensors by the names of `model.state_dict()`, or by these names after a prefix:
            the model's name in a training module, such as Lightning's `model.`.
        origin: Source of the weights, for messages.

    Raises:
        ExportError: Names or shapes do not fit.
    """
    wanted = model.state_dict()
    weights = _without_prefix(weights, wanted)
    missing = [key for key in wanted if key not in weights]
    unknown = [key for key in weights if key not in wanted]
    if missing or unknown:
        raise ExportError(
            f"{origin} does not fit {type(model).__name__}: {len(missing)} of {len(wanted)} "
            f"weights are missing ({listing(missing)}), {len(unknown)} are unknown "
            f"({listing(unknown)}). Check that it is the architecture that was trained"
            f"{_describe_prefixes(wanted, weights)}."
        )
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        mismatches = [line.strip() for line in str(error).splitlines()[1:]]
        raise ExportError(
            f"{origin} does not fit {type(model).__name__}: {listing(mismatches)}"
        ) from error


def count_classes(weights: Mapping[str, Tensor], rows: str) -> int | None:
    """Return the number of classes of a checkpoint; None if it has no head of this name.

    Args:
        weights: As for `load_weights`.
        rows: Name of the head's weight in the model, `(classes, features)`.
    """
    found = {len(value) for key, value in weights.items() if f".{key}".endswith(f".{rows}")}
    return found.pop() if len(found) == 1 else None


def _find_weights(content: object) -> dict[str, Tensor] | None:
    """Return the state dict: the content itself, or the value of a key of training scripts."""
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


def _without_prefix(
    weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
) -> Mapping[str, Tensor]:
    """Return the wanted weights without the one prefix that all their names have.

    Weights without the prefix, such as those of a loss, are dropped. If several prefixes fit (a
    model and its average), the weights are returned unchanged.
    """
    if all(key in weights for key in wanted):
        return weights
    prefixes = _prefixes(wanted, weights)
    if len(prefixes) != 1:
        return weights
    return {key: weights[prefixes[0] + key] for key in wanted}


def _prefixes(wanted: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> list[str]:
    first = next(iter(wanted), "")
    found = [key.removesuffix(first) for key in weights if key.endswith(f".{first}")]
    return [prefix for prefix in found if all(prefix + key in weights for key in wanted)]


def _describe_prefixes(wanted: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> str:
    prefixes = _prefixes(wanted, weights)
    if not prefixes:
        return ""
    return (
        f"; the names fit after the prefixes {listing(prefixes)}: save the right one with "
        "torch.save(module.state_dict(), path)"
    )


def _is_scripted(path: Path) -> bool:
    """Return True if torch.jit.save wrote the file: a zip archive that holds code."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in f"/{name}" for name in archive.namelist())


def _reason(error: BaseException) -> str:
    """Return the refused type; torch's own text is pages long."""
    found = _REFUSED_TYPE.search(str(error))
    return f"it holds {found[1]}" if found else first_line(error)
