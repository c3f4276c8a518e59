"""A Hugging Face video classifier, by local folder or hub id.

config.json says the architecture, frames and class names; the processor's file says how a frame
is scaled, cropped and normalised. The processor itself is not run: it needs packages that only
scale pictures, and what it does is a few numbers.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator, Mapping, Sequence
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
from edgesplit.export.models.processor import FAMILIES, assume_processor, read_processor
from edgesplit.export.models.torchvision import torchvision_refusal
from edgesplit.export.wording import causes, first_line

__all__ = ["load_pretrained", "read_json", "use_transformers"]

CONFIG_FILE = "config.json"
PROCESSOR_FILES = ("video_preprocessor_config.json", "preprocessor_config.json")
"""The newer name first, as transformers looks for them."""
_NESTED_FILE = "processor_config.json"
"""Where it may lie in a part of that name, which comes before both."""
_FRAMES = ("num_frames", "frames_per_clip")
_SIZES = ("image_size", "crop_size")
"""The names under which configurations keep them."""
_NEVER_RUNS = "vjepa2.predictor."
"""Weights that no classifier uses; a file may lack them."""

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
    settings, unclear, warning = _read_settings(name, config)
    return Classifier(
        model,
        labels=None if labels is None else Setting(labels, CONFIG_FILE),
        settings=settings,
        unclear=unclear | ({"labels": f"{problem} Or give --labels."} if problem else {}),
        warning=warning,
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


def _read_settings(name: str, config: Any) -> tuple[dict[str, Setting], dict[str, str], str]:
    """Return the fields of `Preprocessing` with their files, what is unclear, and a warning."""
    fields: dict[str, Any] = {"layout": "ntchw"}  # all known families: frames first
    if (frames := _first(config, _FRAMES)) is not None:
        fields["frames"] = frames
    family = config.model_type
    known = family in FAMILIES
    guesses = [] if known else ["layout ntchw"]
    file, content = _find_processor(name)
    if content is not None:
        defaults, guessed, missing = (
            (FAMILIES[family], [], []) if known else assume_processor(content)
        )
        guesses += [f"{key} {defaults[key]}" for key in guessed]
        processed, unclear = read_processor(content, family=family, file=file, defaults=defaults)
        unclear |= _ask_for(missing, processed, file, family)
    else:
        if (size := _first(config, _SIZES)) is not None:
            fields["height"], fields["width"] = [size, size] if isinstance(size, int) else size
        reason = (
            f"{name} has no {' or '.join(PROCESSOR_FILES)}, which would say how clips are "
            "normalised and scaled: give --mean and --std (and --resize)."
        )
        processed, unclear = {}, dict.fromkeys(("mean", "std"), reason)
    warning = (
        f"{family!r} is no family that edgesplit knows. Assumed: {', '.join(guesses)}. Compare "
        "what `edgesplit predict` says with what its own processor and model say."
    )
    settings = found_in(CONFIG_FILE, fields) | found_in(file, processed)
    return settings, unclear, "" if known else warning


def _first(config: Any, names: Sequence[str]) -> Any:
    return next((found for name in names if (found := getattr(config, name, None))), None)


def _ask_for(
    missing: Sequence[str], processed: dict[str, Any], file: str, family: str
) -> dict[str, str]:
    """Take out of `processed` what must not be assumed; return why, by field."""
    fields = {
        "size": ("height", "width", "resize"),
        "image_mean": ("mean",),
        "image_std": ("std",),
    }
    unclear: dict[str, str] = {}
    for key in missing:
        reason = f"{file} says no {key}, and {family!r} is no family that edgesplit knows: give "
        option = "--size and --resize" if key == "size" else f"--{fields[key][0]}"
        unclear |= dict.fromkeys(fields[key], f"{reason}{option}.")
        for field in fields[key]:
            processed.pop(field, None)
    return unclear


def _load_model(name: str) -> tuple[nn.Module, Any, _Names]:
    """Return the model, its configuration and the class names as config.json has them."""
    try:
        with use_transformers() as transformers:
            names = _read_names(transformers.PretrainedConfig.get_config_dict(name)[0], name)
            config = transformers.AutoConfig.from_pretrained(name)
            classifiers = transformers.MODEL_FOR_VIDEO_CLASSIFICATION_MAPPING
            if type(config) not in classifiers:
                kinds = ", ".join(kind.model_type for kind in classifiers)
                raise ExportError(
                    f"{name} is a {config.model_type!r}; the video classifiers of transformers "
                    f"{transformers.__version__} are {kinds}. Write a function that returns the "
                    "model, and name it as package.module:factory."
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
    missing = sorted(key for key in loading["missing_keys"] if not key.startswith(_NEVER_RUNS))
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

    for file in (_NESTED_FILE, *PROCESSOR_FILES):
        path = cached_file(name, file, _raise_exceptions_for_missing_entries=False)
        content = None if path is None else read_json(Path(path))
        if file == _NESTED_FILE and content is not None:
            content = content.get("video_processor")
        if content is not None:
            return file, content
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
