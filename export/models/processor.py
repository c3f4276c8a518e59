"""Read a Hugging Face processor's file: scaling, crop and normalisation of frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["FAMILIES", "assume_processor", "read_processor"]

# Defaults of a processor for keys that its file does not have. Files are complete today; older
# files lack keys that did not exist then.
_DEFAULTS: dict[str, Any] = {
    "do_resize": True,
    "size": {"shortest_edge": 224},
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
    "resample": 2,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "offset": False,
    "do_normalize": True,
    "image_mean": 0.5,
    "image_std": 0.5,
}
_IMAGENET = {"image_mean": (0.485, 0.456, 0.406), "image_std": (0.229, 0.224, 0.225)}
FAMILIES: dict[str, dict[str, Any]] = {
    "videomae": _DEFAULTS,
    "timesformer": {**_DEFAULTS, **_IMAGENET},
    # pixels are scaled to -1..1, then normalised by mean and standard deviation
    "vivit": {
        **_DEFAULTS,
        "size": {"shortest_edge": 256},
        "rescale_factor": 1 / 127.5,
        "offset": True,
    },
    "vjepa2": {**_DEFAULTS, **_IMAGENET, "crop_size": {"height": 256, "width": 256}},
    "videoprism_vision_model": {
        **_DEFAULTS,
        "size": {"height": 384, "width": 384},
        "do_center_crop": False,
        "resample": 3,
        "image_mean": (0.48145466, 0.4578275, 0.40821073),
        "image_std": (0.26862954, 0.26130258, 0.27577711),
    },
}
"""Processor defaults by `model_type`, for all architectures that are known to export."""

_RESAMPLING = {2: "antialias", 3: "antialias-bicubic"}  # Pillow's numbers
_NEEDED = ("size", "image_mean", "image_std")
"""Keys that the file of an unknown processor must have; others are assumed, with a warning."""


def assume_processor(content: Mapping[str, Any]) -> tuple[dict[str, Any], list[str], list[str]]:
    """Return the defaults of an unknown processor, and the keys that depend on them.

    Args:
        content: The JSON of its file.

    Returns:
        Defaults, as a value of `FAMILIES`; the assumed keys; the missing keys that are required.
    """
    crops = content.get("crop_size") is not None
    assumed = {**_DEFAULTS, "do_center_crop": crops}
    missing = [key for key in _NEEDED if content.get(key) is None]
    optional = {*_NEEDED, "offset", *(() if crops else ("crop_size",))}
    guessed = [key for key in assumed if content.get(key) is None and key not in optional]
    return assumed, guessed, missing


def read_processor(
    content: Mapping[str, Any], *, family: str, file: str, defaults: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the fields of `Preprocessing` from a processor's file, and the unclear ones.

    A processor computes `(pixel * rescale_factor - offset - mean) / std` from pixels of 0..255;
    a bundle's clips are 0..1, so factor and offset become part of mean and standard deviation.

    Args:
        content: The file's JSON.
        family: The architecture's `model_type`.
        file: Name of the file, for messages.
        defaults: Values of keys that the file lacks; by default those of `FAMILIES`.

    Returns:
        The fields, and the reason for each field that is not among them.
    """
    defaults = FAMILIES[family] if defaults is None else defaults
    given = {key: content.get(key) for key in defaults}
    values = {key: defaults[key] if value is None else value for key, value in given.items()}
    if family == "vjepa2":  # its processor ignores the size in the file
        crop = _edges(values["crop_size"])
        values["size"] = {"shortest_edge": next(iter(crop.values())) * 256 // 224}
    fields, unclear = _read_geometry(values, file)
    if values["do_resize"]:
        if values["resample"] in _RESAMPLING:
            fields["interpolation"] = _RESAMPLING[values["resample"]]
        else:
            unclear["interpolation"] = (
                f"{file} scales with Pillow's filter {values['resample']}, which edgesplit does "
                "not have: give --interpolation antialias-bicubic, or another."
            )
    factor, offset = 1.0, 0.0
    if values["do_rescale"]:
        factor, offset = values["rescale_factor"], float(values["offset"])
    mean, std = [0.0] * 3, [1.0] * 3
    if values["do_normalize"]:
        mean, std = (_channels(values[key]) for key in ("image_mean", "image_std"))
    # Rounded far below float32, so that the factor's last digit does not change a feature space.
    fields["mean"] = tuple(round((value + offset) / (255 * factor), 10) for value in mean)
    fields["std"] = tuple(round(value / (255 * factor), 10) for value in std)
    return fields, unclear


def _read_geometry(values: Mapping[str, Any], file: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Return height, width and resize, or the reason why edgesplit cannot scale frames so."""
    size, crop = (_edges(values[key]) for key in ("size", "crop_size"))
    short = size.get("shortest_edge")
    if not values["do_center_crop"]:
        if values["do_resize"] and short is None:
            return {"height": size["height"], "width": size["width"]}, {}
        reason = (
            f"{file} does not crop, so the size of a clip would depend on the video: give --size "
            "and --resize."
        )
        return {}, dict.fromkeys(("height", "width", "resize"), reason)
    square = crop.get("shortest_edge")  # old files have one number
    height, width = crop.get("height", square), crop.get("width", square)
    fields = {"height": height, "width": width}
    if not values["do_resize"]:
        reason = f"{file} crops without scaling; edgesplit scales frames first: give --resize."
        return fields, {"resize": reason}
    if short is not None:
        return {**fields, "resize": short}, {}
    if (size["height"], size["width"]) == (height, width):
        return fields, {}
    smaller = min(size["height"], size["width"])
    reason = (
        f"{file} scales every frame to {size['height']}x{size['width']}, which changes its aspect "
        f"ratio, then crops {height}x{width}. edgesplit keeps the aspect ratio: give --resize "
        f"{smaller}, which is the same for square videos."
    )
    return fields, {"resize": reason}


def _edges(size: Any) -> dict[str, int]:
    if isinstance(size, int):
        return {"shortest_edge": size}
    if isinstance(size, (list, tuple)):
        return {"height": size[0], "width": size[1]}
    return {key: value for key, value in size.items() if value is not None}


def _channels(value: float | list[float]) -> list[float]:
    return [value] * 3 if isinstance(value, (int, float)) else list(value)
