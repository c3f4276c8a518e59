"""Load the trained classifier that the argument MODEL of `edgesplit export` names.

models/videomae, org/videomae   a Hugging Face folder or hub id
mvd:vit-small                   MVD, with its authors' checkpoint
torchvision:r3d_18              torchvision, with a checkpoint or its own weights
package.module:factory          a function that returns a torch module

huggingface, mvd, torchvision, factory
            a loader for each form
processor   a Hugging Face processor's file -> scaling, crop and normalisation of frames
checkpoint  a file of plain weights -> a state dict
classifier  a model with its class names and preprocessing, and the origin of each value
label_file  a label file -> class names in class order
"""

from __future__ import annotations

import re
from pathlib import Path

from edgesplit.errors import ExportError
from edgesplit.export.models.classifier import Classifier
from edgesplit.export.models.factory import build_model
from edgesplit.export.models.huggingface import load_pretrained
from edgesplit.export.models.mvd import load_mvd
from edgesplit.export.models.torchvision import load_torchvision

__all__ = ["load_classifier"]

_HUB_ID = re.compile(r"[\w.-]*\w/[\w.-]+")


def load_classifier(
    spec: str, *, checkpoint: Path | None = None, n_classes: int | None = None
) -> Classifier:
    """Return the classifier that MODEL names, with the preprocessing that its files define.

    Args:
        spec: One of the forms above; an existing folder takes precedence.
        checkpoint: Weights for a named architecture; plain weights only.
        n_classes: Number of labels, for factories with such a parameter.

    Raises:
        ExportError: The model cannot be found, built or filled with the weights.
        MissingExtraError: The model needs torchvision, which is not installed.
    """
    kind, colon, name = spec.partition(":")
    if Path(spec).is_dir() or _HUB_ID.fullmatch(spec):
        if checkpoint is not None:
            raise ExportError(f"{spec} has its own weights: omit --checkpoint {checkpoint}.")
        return load_pretrained(spec)
    if kind == "mvd" and colon:
        return load_mvd(name, checkpoint=checkpoint)
    if kind == "torchvision" and colon:
        return load_torchvision(name, checkpoint=checkpoint)
    if not (kind and name):
        raise ExportError(
            f"{spec!r} is not a folder and names no model. Give a Hugging Face folder or hub id, "
            "mvd:vit-small, torchvision:r3d_18, or package.module:factory, for example "
            "mymodels.tsm:build_model"
        )
    model = build_model(spec, checkpoint=checkpoint, n_classes=n_classes)
    untrained = "no --checkpoint: exporting the weights the factory makes"
    return Classifier(model, warning=untrained if checkpoint is None else "")
