"""Export a trained torch classifier to a bundle, on a workstation.

bundle        model, labels, preprocessing -> lab.bundle
checks        check a request before its model is loaded
models        the argument MODEL -> a trained classifier
graph         cut the model into backbone and head; the backbone as ONNX
text_encoder  a Hugging Face text encoder -> the text/ of a bundle
wording       parts of messages

Needs the `export` extra; importing this package without it raises MissingExtraError. Torch itself
is loaded when one of the names below is first used.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from edgesplit._lazy import load_on_use
from edgesplit.errors import MissingExtraError

if TYPE_CHECKING:
    from edgesplit.export.bundle import ExportReport, export_model
    from edgesplit.export.checks import check_request
    from edgesplit.export.graph.cut import Cut, find_cut
    from edgesplit.export.graph.parity import Parity, check_parity, measure_parity
    from edgesplit.export.graph.trace import export_backbone
    from edgesplit.export.models import load_classifier
    from edgesplit.export.models.classifier import Choices, Classifier
    from edgesplit.export.models.label_file import load_labels
    from edgesplit.export.text_encoder import EncoderReport, add_text_encoder

__all__ = [
    "Choices",
    "Classifier",
    "Cut",
    "EncoderReport",
    "ExportReport",
    "Parity",
    "add_text_encoder",
    "check_parity",
    "check_request",
    "export_backbone",
    "export_model",
    "find_cut",
    "load_classifier",
    "load_labels",
    "measure_parity",
]

_HOMES = {
    "edgesplit.export.graph.trace": ("export_backbone",),
    "edgesplit.export.bundle": ("ExportReport", "export_model"),
    "edgesplit.export.checks": ("check_request",),
    "edgesplit.export.models.classifier": ("Choices", "Classifier"),
    "edgesplit.export.graph.cut": ("Cut", "find_cut"),
    "edgesplit.export.models.label_file": ("load_labels",),
    "edgesplit.export.models": ("load_classifier",),
    "edgesplit.export.graph.parity": ("Parity", "check_parity", "measure_parity"),
    "edgesplit.export.text_encoder": ("EncoderReport", "add_text_encoder"),
}

# Checked here and not in each module: this file runs before any module of the package.
_missing = [name for name in ("torch", "onnxscript", "onnxruntime") if find_spec(name) is None]
if _missing:
    raise MissingExtraError(
        f"Exporting needs {', '.join(_missing)}. Install the export extra: pip install "
        "'.[export]' in a checkout of edgesplit"
    )

__getattr__, __dir__ = load_on_use(__name__, _HOMES)
