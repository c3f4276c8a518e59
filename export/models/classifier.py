"""A trained classifier with its class names and preprocessing.

The model's own files define some values, the caller's options the others; options take precedence.
Every value keeps its origin, so that people can see which values were assumed.
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
"""Fields without a default that is right for most models, and the options that set them."""
_OPTIONS = "options"


class Setting(NamedTuple):
    """A value and its origin."""

    value: Any
    origin: str


def found_in(origin: str, values: Mapping[str, Any]) -> dict[str, Setting]:
    """Return settings that all have the same origin."""
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
        frames: number of frames of a clip.
        size: height and width of the crop in pixels.
        resize: short side in pixels before the crop; scaled without antialiasing.
        mean: mean by channel; by default ImageNet's.
        std: standard deviation by channel; by default ImageNet's.
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
    """Labels and preprocessing of a new bundle, with the origin of each value."""

    labels: tuple[str, ...]
    preprocessing: Preprocessing
    origins: Mapping[str, str]
    """Origin of `labels` and of each field of `preprocessing`: a file, an architecture, `options`
    or `default`."""


@dataclass(frozen=True, slots=True, eq=False)
class Classifier:
    """A trained classifier, and the values that its own files define."""

    model: nn.Module
    """Module that takes a batch of normalised clips and returns logits; in evaluation mode."""
    labels: Setting | None = None
    """Class names in the order of the model's outputs; None if only the user knows them."""
    settings: Mapping[str, Setting] = field(default_factory=dict)
    """Fields of `Preprocessing` that are known."""
    unclear: Mapping[str, str] = field(default_factory=dict)
    """Reason for each field that the model's files do not define but must not be assumed, because
    a wrong value would go unnoticed."""
    warning: str = ""
    """Warning to print before the model is used; empty without one."""

    def settle(self, *, labels: Sequence[str] | None = None, **options: object) -> Choices:
        """Return the values for a bundle: the caller's options, then the model's own values.

        Args:
            labels: Class names; None for the model's own.
            **options: Fields of `Preprocessing`; None for fields that are not given.

        Raises:
            ExportError: A value is neither known nor given, or the values do not fit together.
        """
        set_options = {name: value for name, value in options.items() if value is not None}
        given = found_in(_OPTIONS, set_options)
        known = {**self.settings, **given}
        for name, reason in self.unclear.items():
            if name not in given and (name != "labels" or labels is None):
                raise ExportError(reason)
        names = self.labels if labels is None else Setting(tuple(labels), _OPTIONS)
        if names is None:
            raise ExportError("The model has no class names: give --labels.")
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
        raise ExportError(f"The model's files do not define its clips: give {', '.join(missing)}.")
    try:
        return Preprocessing(**{name: setting.value for name, setting in known.items()})
    except ValueError as error:
        origins = sorted({setting.origin for setting in known.values()})
        raise ExportError(f"{error} (from {', '.join(origins)}).") from error
