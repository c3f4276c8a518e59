"""Split a class of a deployed video classifier: one compiled backbone, a head you can edit.

The names below load on first use, so that `import edgesplit` and `edgesplit --help` load neither
numpy nor onnx.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgesplit.bundle import Bundle, open_bundle
    from edgesplit.clips import read_clip
    from edgesplit.create import create_bundle
    from edgesplit.edit import Edit, drop_class, merge_class, rename_class
    from edgesplit.errors import EdgesplitError
    from edgesplit.head import Evaluation, Head
    from edgesplit.history import Version
    from edgesplit.labels import LabelTree
    from edgesplit.metrics import Score, score_split
    from edgesplit.plan import Split, split_classes
    from edgesplit.preprocessing import Preprocessing
    from edgesplit.report import Report
    from edgesplit.split import split_class
    from edgesplit.stats import Statistics
    from edgesplit.text import TextEncoder

__version__ = "0.1.0"

__all__ = [
    "Bundle",
    "EdgesplitError",
    "Edit",
    "Evaluation",
    "Head",
    "LabelTree",
    "Preprocessing",
    "Report",
    "Score",
    "Split",
    "Statistics",
    "TextEncoder",
    "Version",
    "__version__",
    "create_bundle",
    "drop_class",
    "merge_class",
    "open_bundle",
    "read_clip",
    "rename_class",
    "score_split",
    "split_class",
    "split_classes",
]

_HOMES = {
    "bundle": ("Bundle", "open_bundle"),
    "clips": ("read_clip",),
    "create": ("create_bundle",),
    "edit": ("Edit", "drop_class", "merge_class", "rename_class"),
    "errors": ("EdgesplitError",),
    "head": ("Evaluation", "Head"),
    "history": ("Version",),
    "labels": ("LabelTree",),
    "metrics": ("Score", "score_split"),
    "plan": ("Split", "split_classes"),
    "preprocessing": ("Preprocessing",),
    "report": ("Report",),
    "split": ("split_class",),
    "stats": ("Statistics",),
    "text": ("TextEncoder",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"edgesplit.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
