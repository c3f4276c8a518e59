"""A checkpoint file: plain weights, read without running code, that must fit a model exactly."""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from edgesplit.errors import ExportError
from edgesplit.export.wording import first_line, listing

__all__ = ["load_weights", "read_weights"]

_WEIGHTS_KEYS = ("state_dict", "model_state_dict", "model", "module")
_WRAPPER_PREFIXES = ("module.", "_orig_mod.")  # DataParallel, torch.compile


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the state dict in a file written by `torch.save`.

    It may be the file's content or lie under the names that training scripts use; prefixes of
    wrappers are taken off.

    Raises:
        ExportError: The file is missing, or holds anything but plain weights.
    """
    if not path.is_file():
        raise ExportError(f"There is no checkpoint {path}. Check the path.")
    try:
        # Training scripts keep their arguments beside the weights; a Namespace is only fields.
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise ExportError(
            f"{path} is not a file of plain weights ({first_line(error)}). Loading it could run "
            "code. Where it was made: torch.save(model.state_dict(), path)"
        ) from error
    weights = _find_weights(content)
    if weights is None:
        keys = f" with keys {listing(list(content))}" if isinstance(content, Mapping) else ""
        raise ExportError(
            f"{path} holds {type(content).__name__}{keys}, not a state dict. "
            "Where it was made: torch.save(model.state_dict(), path)"
        )
    return _without_wrapper(weights)


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], *, origin: str) -> None:
    """Copy weights into `model`; all of them, and no others.

    Args:
        model: Changed in place.
        weights: By the names of `model.state_dict()`.
        origin: Where they come from, for messages.

    Raises:
        ExportError: Names or shapes do not fit.
    """
    wanted = model.state_dict()
    missing = [key for key in wanted if key not in weights]
    unknown = [key for key in weights if key not in wanted]
    if missing or unknown:
        raise ExportError(
            f"{origin} does not fit {type(model).__name__}: {len(missing)} of {len(wanted)} "
            f"weights are missing ({listing(missing)}), {len(unknown)} are unknown "
            f"({listing(unknown)}). Check that it is the architecture that was trained."
        )
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        mismatches = [line.strip() for line in str(error).splitlines()[1:]]
        raise ExportError(
            f"{origin} does not fit {type(model).__name__}: {listing(mismatches)}"
        ) from error


def _find_weights(content: object) -> dict[str, Tensor] | None:
    """Return the state dict: the content itself, or what training scripts file it under."""
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
