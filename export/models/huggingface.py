"""Load a Hugging Face video classifier from a local folder or by its hub id.

config.json defines architecture, frames and class names; the processor's file defines scaling, crop
and normalisation of frames. The processor itself is not run: it needs further packages, and a few
numbers describe it completely.
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
"""Names of the processor's file, the newer name first, as transformers looks for them."""
_NESTED_FILE = "processor_config.json"
"""File that takes precedence and may hold the processor as its `video_processor`."""
_FRAMES = ("num_frames", "frames_per_clip")
_SIZES = ("image_size", "crop_size")
"""Names of the number of frames, and of the size, in configurations."""
_NEVER_RUNS = "vjepa2.predictor."
"""Prefix of weights that no classifier uses; a file may omit them."""

_PLACEHOLDER = re.compile(r"LABEL_\d+|\d+")


_Names = tuple[Mapping[str, Any], Mapping[str, Any]]
"""id2label and label2id of config.json, before transformers fills in missing values: indices are
texts in the first and numbers in the second. Empty if config.json has none."""


def load_pretrained(name: str) -> Classifier:
    """Return a classifier from a folder, or from the hub by its id.

    Args:
        name: A folder with config.json, or a hub id; transformers reads HF_HUB_OFFLINE and HF_HOME.

    Raises:
        ExportError: The folder or id cannot be read, has another architecture, or its weights are
            incomplete.
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
        raise ExportError(
            f"id2label or label2id in the {CONFIG_FILE} of {name} is not a mapping. Correct it."
        )
    for index, label in by_index.items():
        if not index.isdecimal():
            raise ExportError(
                f"id2label in the {CONFIG_FILE} of {name} maps {index!r} to {label!r}; it must "
                'map indices to labels, such as {"0": "opening a door"}. Correct it.'
            )
    return by_index, by_label


def _read_labels(names: _Names) -> tuple[tuple[str, ...] | None, str]:
    """Return the class names, None without them, and the problem with their numbering or ""."""
    label_of, index_of = names
    by_index = {int(index): str(label) for index, label in label_of.items()}
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
    for label, index in index_of.items():
        if label in labels and label_of.get(str(index)) != label:
            return None, f"{origin} and its label2id give {label!r} different indices: correct one."
    return labels, ""


def _read_settings(name: str, config: Any) -> tuple[dict[str, Setting], dict[str, str], str]:
    """Return the fields of `Preprocessing` with their files, the unclear fields, and a warning."""
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
            f"{name} has no {' or '.join(PROCESSOR_FILES)}, which defines how clips are normalised "
            "and scaled: give --mean and --std (and --resize)."
        )
        processed, unclear = {}, dict.fromkeys(("mean", "std"), reason)
    warning = (
        f"edgesplit does not know the family {family!r}. Assumed: {', '.join(guesses)}. Compare "
        "the predictions of `edgesplit predict` with those of its own processor and model."
    )
    settings = found_in(CONFIG_FILE, fields) | found_in(file, processed)
    return settings, unclear, "" if known else warning


def _first(config: Any, names: Sequence[str]) -> Any:
    return next((found for name in names if (found := getattr(config, name, None))), None)


def _ask_for(
    missing: Sequence[str], processed: dict[str, Any], file: str, family: str
) -> dict[str, str]:
    """Remove fields that must not be assumed from `processed`; return the reasons by field."""
    fields = {
        "size": ("height", "width", "resize"),
        "image_mean": ("mean",),
        "image_std": ("std",),
    }
    unclear: dict[str, str] = {}
    for key in missing:
        reason = f"{file} has no {key}, and edgesplit does not know the family {family!r}: give "
        option = "--size and --resize" if key == "size" else f"--{fields[key][0]}"
        unclear |= dict.fromkeys(fields[key], f"{reason}{option}.")
        for field in fields[key]:
            processed.pop(field, None)
    return unclear


def _load_model(name: str) -> tuple[nn.Module, Any, _Names]:
    """Return the model, its configuration and the class names of config.json."""
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
                    "model, and give it as package.module:factory."
                )
            model, loading = transformers.AutoModelForVideoClassification.from_pretrained(
                name, config=config, output_loading_info=True
            )
    except pickle.UnpicklingError as error:
        raise ExportError(
            f"The weights of {name} are a pickle that is not plain weights: loading it could run "
            "code. Where it was made, run model.save_pretrained(folder), which writes safetensors."
        ) from error
    except (OSError, ValueError, RuntimeError) as error:  # raised by readers of transformers
        place = "" if Path(name).is_dir() else " (a hub id, as no folder has that name)"
        raise ExportError(f"{name}{place} cannot be loaded by transformers: {error}") from error
    # transformers fills missing weights with random numbers
    missing = sorted(key for key in loading["missing_keys"] if not key.startswith(_NEVER_RUNS))
    if missing:
        raise ExportError(
            f"The weights of {name} lack {missing[0]} ({len(missing)} of "
            f"{len(model.state_dict())} missing): it was not trained as a classifier. Use the "
            "fine-tuned model."
        )
    # exact for half precision, which is common on the hub
    return model.to(torch.float32).eval(), config, names


def _find_processor(name: str) -> tuple[str, dict[str, Any] | None]:
    """Return the name and content of the processor's file; None without one."""
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
    """Return the content of a JSON file of a model folder.

    Raises:
        ExportError: the file is not JSON.
    """
    try:
        return load_json(path.read_bytes())
    except ValueError as error:
        raise ExportError(f"{path} is damaged ({error}). Fetch the model again.") from error


@contextmanager
def use_transformers() -> Iterator[Any]:
    """Import transformers and yield it, without its progress bar and list of unused weights.

    transformers imports a model's code when the model is first used, and that code imports other
    installed packages. So an import can fail anywhere in the block.

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
            f"transformers cannot be imported ({first_line(chain[-1])}). Install it with its "
            "dependencies: pip install '.[export]' in a checkout of edgesplit"
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
    # transformers 4 wraps a failed import in a RuntimeError, transformers 5 in an ImportError
    return isinstance(error, ImportError) or str(error).startswith("Failed to import")
