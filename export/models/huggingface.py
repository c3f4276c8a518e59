"""A Hugging Face video classifier, by local folder or hub id.

config.json says the architecture, frames and class names; the processor's file says how a frame
is scaled, cropped and normalised. The processor itself is not run: it needs packages that only
scale pictures, and what it does is a few numbers.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgesplit._data import load_json
from edgesplit.errors import ExportError, LabelError, MissingExtraError
from edgesplit.export.models.classifier import Classifier, Setting, found_in
from edgesplit.export.models.label_file import order_labels
from edgesplit.export.models.torchvision import torchvision_refusal
from edgesplit.export.wording import causes, first_line

__all__ = ["FAMILIES", "load_pretrained", "read_json", "read_processor", "use_transformers"]

CONFIG_FILE = "config.json"
PROCESSOR_FILES = ("video_preprocessor_config.json", "preprocessor_config.json")
"""The newer name first, as transformers looks for them."""

# What a processor does when its file does not say it. Both files are written in full today; older
# ones leave out what did not exist then.
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
FAMILIES: dict[str, dict[str, Any]] = {
    "videomae": _DEFAULTS,
    "timesformer": {
        **_DEFAULTS,
        "image_mean": (0.485, 0.456, 0.406),
        "image_std": (0.229, 0.224, 0.225),
    },
    # pixels to -1..1, and the mean and standard deviation on top of that
    "vivit": {
        **_DEFAULTS,
        "size": {"shortest_edge": 256},
        "rescale_factor": 1 / 127.5,
        "offset": True,
    },
}
"""By `model_type`: the architectures that are known to export, and their processors' defaults."""

_RESAMPLING = {2: "antialias", 3: "antialias-bicubic"}  # Pillow's numbers
_PLACEHOLDER = re.compile(r"LABEL_\d+|\d+")


_Names = tuple[Mapping[str, Any], Mapping[str, Any]]
"""id2label and label2id as config.json has them, before transformers fills in what is missing:
indices are texts in the first, numbers in the second. Empty where there is none."""


def load_pretrained(name: str) -> Classifier:
    """Return a classifier from a folder, or from the hub by its id.

    Args:
        name: A folder with config.json, or a hub id; HF_HUB_OFFLINE and HF_HOME are transformers'.

    Raises:
        ExportError: The folder or id cannot be read, is of another architecture, or its weights
            are incomplete.
    """
    if Path(name).is_dir() and not (Path(name) / CONFIG_FILE).is_file():
        raise ExportError(
            f"{name} has no {CONFIG_FILE}: it is not a Hugging Face model folder. Save the model "
            "with save_pretrained, or name package.module:factory and a --checkpoint."
        )
    model, config, names = _load_model(name)
    labels, problem = _read_labels(names)
    settings, unclear = _read_settings(name, config)
    return Classifier(
        model,
        labels=None if labels is None else Setting(labels, CONFIG_FILE),
        settings=settings,
        unclear=unclear | ({"labels": f"{problem} Or give --labels."} if problem else {}),
    )


def _read_names(config: Mapping[str, Any], name: str) -> _Names:
    by_index, by_label = (config.get(key) or {} for key in ("id2label", "label2id"))
    if not (isinstance(by_index, dict) and isinstance(by_label, dict)):
        raise ExportError(f"id2label or label2id in the {CONFIG_FILE} of {name} is no mapping.")
    for index, label in by_index.items():
        if not index.isdecimal():
            raise ExportError(
                f"id2label in the {CONFIG_FILE} of {name} maps {index!r} to {label!r}; it must "
                'map indices to labels, such as {"0": "opening a door"}. Correct it there.'
            )
    return by_index, by_label


def _read_labels(names: _Names) -> tuple[tuple[str, ...] | None, str]:
    """Return the class names, None if there are none, and what is wrong with their numbering."""
    labels_said, indices_said = names
    by_index = {int(index): str(label) for index, label in labels_said.items()}
    placeholders = [label for label in by_index.values() if _PLACEHOLDER.fullmatch(label)]
    if len(placeholders) == len(by_index):
        return None, ""
    origin = f"id2label of {CONFIG_FILE}"
    if placeholders:
        return None, f"{origin} has {placeholders[0]!r} among its labels: name every class."
    try:
        labels = tuple(order_labels(by_index.items(), origin))
    except LabelError as error:
        return None, str(error)
    for label, index in indices_said.items():
        if label in labels and labels_said.get(str(index)) != label:
            return None, f"{origin} and its label2id give {label!r} different indices: correct one."
    return labels, ""


def _read_settings(name: str, config: Any) -> tuple[dict[str, Setting], dict[str, str]]:
    """Return the fields of `Preprocessing` with their files, and what is unclear."""
    fields = {"layout": "ntchw", "frames": config.num_frames}  # all three families: frames first
    file, content = _find_processor(name)
    if content is not None:
        processed, unclear = read_processor(content, family=config.model_type, file=file)
    else:
        size = config.image_size
        fields["height"], fields["width"] = [size, size] if isinstance(size, int) else size
        reason = (
            f"{name} has no {' or '.join(PROCESSOR_FILES)}, which would say how clips are "
            "normalised and scaled: give --mean and --std (and --resize)."
        )
        processed, unclear = {}, dict.fromkeys(("mean", "std"), reason)
    return found_in(CONFIG_FILE, fields) | found_in(file, processed), unclear


def read_processor(
    content: Mapping[str, Any], *, family: str, file: str
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the fields of `Preprocessing` that a processor's file gives, and what is unclear.

    A processor computes `(pixel * rescale_factor - offset - mean) / std` from pixels of 0..255;
    a bundle's clips are 0..1, so factor and offset become part of mean and standard deviation.

    Args:
        content: The file's JSON.
        family: A key of `FAMILIES`.
        file: Its name, for messages.

    Returns:
        The fields, and by name of a field the reason why it is not among them.
    """
    said = {key: content.get(key) for key in FAMILIES[family]}
    values = {key: FAMILIES[family][key] if value is None else value for key, value in said.items()}
    fields, unclear = _read_geometry(values, file)
    if values["do_resize"]:
        if values["resample"] in _RESAMPLING:
            fields["interpolation"] = _RESAMPLING[values["resample"]]
        else:
            unclear["interpolation"] = (
                f"{file} scales with Pillow's filter {values['resample']}, which edgesplit lacks: "
                "give --interpolation antialias-bicubic, or another one."
            )
    factor, offset = 1.0, 0.0
    if values["do_rescale"]:
        factor, offset = values["rescale_factor"], float(values["offset"])
    mean, std = [0.0] * 3, [1.0] * 3
    if values["do_normalize"]:
        mean, std = (_channels(values[key]) for key in ("image_mean", "image_std"))
    # Rounded to far below float32: the factor's last digit is not part of a feature space.
    fields["mean"] = tuple(round((value + offset) / (255 * factor), 10) for value in mean)
    fields["std"] = tuple(round(value / (255 * factor), 10) for value in std)
    return fields, unclear


def _read_geometry(values: Mapping[str, Any], file: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Return height, width and resize, or why a frame's way to them is not one of edgesplit's."""
    size, crop = (_edges(values[key]) for key in ("size", "crop_size"))
    short = size.get("shortest_edge")
    if not values["do_center_crop"]:
        if values["do_resize"] and short is None:
            return {"height": size["height"], "width": size["width"]}, {}
        reason = (
            f"{file} crops nothing, so that a clip's size would depend on its video's: give --size "
            "and --resize."
        )
        return {}, dict.fromkeys(("height", "width", "resize"), reason)
    square = crop.get("shortest_edge")  # one number, in an old file
    height, width = crop.get("height", square), crop.get("width", square)
    fields = {"height": height, "width": width}
    if not values["do_resize"]:
        reason = f"{file} crops frames of any size; edgesplit scales them before: give --resize."
        return fields, {"resize": reason}
    if short is not None:
        return {**fields, "resize": short}, {}
    if (size["height"], size["width"]) == (height, width):
        return fields, {}
    smaller = min(size["height"], size["width"])
    reason = (
        f"{file} scales every frame to {size['height']}x{size['width']} whatever its shape, and "
        f"then crops {height}x{width}; edgesplit keeps the shape: give --resize {smaller}, which "
        "is the same for square videos."
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


def _load_model(name: str) -> tuple[nn.Module, Any, _Names]:
    """Return the model, its configuration and the class names as config.json has them."""
    try:
        with use_transformers() as transformers:
            names = _read_names(transformers.PretrainedConfig.get_config_dict(name)[0], name)
            config = transformers.AutoConfig.from_pretrained(name)
            if config.model_type not in FAMILIES:
                raise ExportError(
                    f"{name} is a {config.model_type!r}; exported by folder or hub id are "
                    f"{', '.join(FAMILIES)}. Write a function that returns the model, and name it "
                    "as package.module:factory."
                )
            model, loading = transformers.AutoModelForVideoClassification.from_pretrained(
                name, config=config, output_loading_info=True
            )
    except pickle.UnpicklingError as error:
        raise ExportError(
            f"The weights of {name} are a pickle that is not plain weights: loading it could run "
            "code. Where it was made: model.save_pretrained(folder), which writes safetensors."
        ) from error
    except (OSError, ValueError, RuntimeError) as error:  # what its readers raise, unsorted
        place = "" if Path(name).is_dir() else " (a hub id: there is no folder of that name)"
        raise ExportError(f"{name}{place} cannot be loaded by transformers: {error}") from error
    # transformers fills what a file lacks with random numbers
    missing = sorted(loading["missing_keys"])
    if missing:
        raise ExportError(
            f"The weights of {name} lack {missing[0]} ({len(missing)} of "
            f"{len(model.state_dict())} missing): it was not trained as a classifier. Take the "
            "fine-tuned model."
        )
    # exact from half precision, which the hub's files often have
    return model.to(torch.float32).eval(), config, names


def _find_processor(name: str) -> tuple[str, dict[str, Any] | None]:
    """Return the processor's file and what it says; None if there is no such file."""
    from transformers.utils.hub import cached_file

    for file in PROCESSOR_FILES:
        path = cached_file(name, file, _raise_exceptions_for_missing_entries=False)
        if path is not None:
            return file, read_json(Path(path))
    return "", None


def read_json(path: Path) -> Any:
    """Return what a file of a model folder holds.

    Raises:
        ExportError: it is not JSON.
    """
    try:
        return load_json(path.read_bytes())
    except ValueError as error:
        raise ExportError(f"{path} is damaged ({error}). Fetch the model again.") from error


@contextmanager
def use_transformers() -> Iterator[Any]:
    """Import transformers and give it, without its progress bar and list of unused weights.

    It imports a model's code when the model is first named, and that code imports what is
    installed beside it. So an import can fail anywhere in the block.

    Raises:
        MissingExtraError: transformers, or a package that it imports, cannot be imported.
    """
    try:
        with _muted(import_module("transformers")) as transformers:
            yield transformers
    except Exception as error:
        chain = causes(error)
        if not any(map(_is_failed_import, chain)):
            raise
        if any("torchvision" in str(cause) for cause in chain):
            advice = torchvision_refusal(chain[-1])
            raise MissingExtraError(f"{advice}, or remove it: pip uninstall torchvision") from error
        raise MissingExtraError(
            f"transformers cannot be imported ({first_line(chain[-1])}). Install it with what it "
            "needs: pip install 'edgesplit[export]'"
        ) from error


@contextmanager
def _muted(transformers: Any) -> Iterator[Any]:
    logging = transformers.utils.logging
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield transformers
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


def _is_failed_import(error: BaseException) -> bool:
    # transformers 4 wraps what a module's import raises in a RuntimeError, 5 in an ImportError
    return isinstance(error, ImportError) or str(error).startswith("Failed to import")
