"""MODEL, as one names it to `edgesplit export`, to a trained classifier.

models/videomae, org/videomae   a Hugging Face folder or hub id
mvd:vit-small                   MVD, with its authors' checkpoint
torchvision:r3d_18              torchvision, with a checkpoint or its own weights
package.module:factory          anything that returns a torch module

huggingface, mvd, torchvision, factory
            a loader for each of these
processor   a Hugging Face processor's file: how a frame is scaled, cropped and normalised
checkpoint  a file of plain weights -> a state dict
classifier  a model, its class names, how its clips are made, and where each was found
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
    """Return the classifier that MODEL names, and what its own files say of its clips.

    Args:
        spec: One of the forms above; a folder that exists comes first.
        checkpoint: Weights for an architecture that is named; plain weights only.
        n_classes: Number of labels, for factories that ask for it.

    Raises:
        ExportError: The model cannot be found, made or filled with the weights.
        MissingExtraError: torchvision is asked for and not there.
    """
    kind, colon, name = spec.partition(":")
    if Path(spec).is_dir() or _HUB_ID.fullmatch(spec):
        if checkpoint is not None:
            raise ExportError(f"{spec} has its own weights: leave --checkpoint {checkpoint} out.")
        return load_pretrained(spec)
    if kind == "mvd" and colon:
        return load_mvd(name, checkpoint=checkpoint)
    if kind == "torchvision" and colon:
        return load_torchvision(name, checkpoint=checkpoint)
    if not (kind and name):
        raise ExportError(
            f"{spec!r} is no folder and names no model. Write a Hugging Face folder or hub id, "
            "mvd:vit-small, torchvision:r3d_18, or package.module:factory, for example "
            "mymodels.tsm:build_model"
        )
    model = build_model(spec, checkpoint=checkpoint, n_classes=n_classes)
    untrained = "no --checkpoint: exporting the weights the factory makes"
    return Classifier(model, warning=untrained if checkpoint is None else "")
