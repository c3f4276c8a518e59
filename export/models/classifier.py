"""A trained classifier and what came with it: class names, and how its clips are made.

A model's own files say some of it, the caller says the rest, and wins. Every value keeps where it
came from, so that people can see what was taken and what was assumed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from torch import nn

from edgesplit.errors import ExportError
from edgesplit.video.preprocessing import Preprocessing

__all__ = ["Choices", "Classifier", "Setting", "found_in", "square_clips"]

_NEEDED = {"frames": "--frames", "height": "--size", "sampling": "--sampling"}
"""Fields for which no default would be right for most models, and the options that give them."""
_OPTIONS = "options"


class Setting(NamedTuple):
    """A value and where it was found."""

    value: Any
    origin: str


def found_in(origin: str, values: Mapping[str, Any]) -> dict[str, Setting]:
    """Return values that were all found in one place."""
    return {name: Setting(value, origin) for name, value in values.items()}


def square_clips(
    *,
    frames: int,
    size: int,
    resize: int,
    mean: Sequence[float] = (0.485, 0.456, 0.406),
    std: Sequence[float] = (0.229, 0.224, 0.225),
) -> dict[str, Any]:
    """Return the fields of `Preprocessing` of a model that was trained on such clips.

    Args:
        frames: in a clip.
        size: height and width of the crop.
        resize: short side, which is scaled without antialiasing.
        mean: by channel; ImageNet's unless given.
        std: likewise.
    """
    return {
        "frames": frames,
        "height": size,
        "width": size,
        "resize": resize,
        "interpolation": "no-antialias",
        "layout": "ncthw",
        "mean": mean,
        "std": std,
    }


@dataclass(frozen=True, slots=True)
class Choices:
    """What a bundle will be made with, and where each part of that was found."""

    labels: tuple[str, ...]
    preprocessing: Preprocessing
    origins: Mapping[str, str]
    """By `labels` and field of `preprocessing`: a file, an architecture, `options`, `default`."""


@dataclass(frozen=True, slots=True, eq=False)
class Classifier:
    """A trained classifier, and what its own files say about it."""

    model: nn.Module
    """Takes a batch of normalised clips, returns logits; in evaluation mode."""
    labels: Setting | None = None
    """Class names in the order of the model's outputs; None when only the user knows them."""
    settings: Mapping[str, Setting] = field(default_factory=dict)
    """Fields of `Preprocessing` that are known."""
    unclear: Mapping[str, str] = field(default_factory=dict)
    """Fields that the model's files leave open where they should not, and the reason: an assumed
    value would be wrong without anybody seeing it."""
    warning: str = ""
    """What people should know before they trust it."""

    def settle(self, *, labels: Sequence[str] | None = None, **options: object) -> Choices:
        """Return what to make a bundle with: what is known, and the caller's word over it.

        Args:
            labels: Class names; None for the model's own.
            **options: Fields of `Preprocessing`; None for what is not given.

        Raises:
            ExportError: Something is neither known nor given, or the values do not fit together.
        """
        told = {name: value for name, value in options.items() if value is not None}
        given = found_in(_OPTIONS, told)
        known = {**self.settings, **given}
        for name, reason in self.unclear.items():
            if name not in given and (name != "labels" or labels is None):
                raise ExportError(reason)
        names = self.labels if labels is None else Setting(tuple(labels), _OPTIONS)
        if names is None:
            raise ExportError("No class names come with the model: give --labels.")
        return Choices(
            labels=names.value,
            preprocessing=_build_preprocessing(known),
            origins={
                "labels": names.origin,
                **{item.name: "default" for item in fields(Preprocessing)},
                **{name: setting.origin for name, setting in known.items()},
            },
        )


def _build_preprocessing(known: Mapping[str, Setting]) -> Preprocessing:
    missing = [option for name, option in _NEEDED.items() if name not in known]
    if missing:
        raise ExportError(
            f"Nothing says how the model's clips are made: give {', '.join(missing)}."
        )
    try:
        return Preprocessing(**{name: setting.value for name, setting in known.items()})
    except ValueError as error:
        origins = sorted({setting.origin for setting in known.values()})
        raise ExportError(f"{error} (from {', '.join(origins)}).") from error
