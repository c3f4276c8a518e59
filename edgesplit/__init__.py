"""Split a class of a deployed video classifier: one compiled backbone, a head you can edit.

heads     the label tree and its rows, as numpy and as ONNX
video     a video file -> a clip
storage   crash-safe files, and the user's cache
backbone  clip -> feature
edits     a request -> a new head
bundle    the bundle folder: all published heads, and which one is live
export    on the workstation: torch -> bundle
runtime   on the device: predict, swap, stream, measure
demo      the main workflow on packaged clips
cli       the command line

errors    all errors, drawn as a tree
limits    limits on what is read from files that others may have made
_types, _data, _text, _lazy, _threads, _isolated
          type aliases, data from files, texts for terminals, lazy imports, BLAS, subprocesses

The names below load on first use, so that `import edgesplit` and `edgesplit --help` load neither
numpy nor onnx.
"""

from typing import TYPE_CHECKING

from edgesplit._lazy import load_on_use

if TYPE_CHECKING:
    from edgesplit.bundle.bundle import Bundle, open_bundle
    from edgesplit.bundle.create import create_bundle
    from edgesplit.bundle.history import Version
    from edgesplit.edits.asking import choose_clips
    from edgesplit.edits.edit import Edit, drop_class, merge_class, rename_class
    from edgesplit.edits.plan import split_classes
    from edgesplit.edits.report import Report
    from edgesplit.edits.request import SplitRequest
    from edgesplit.edits.split import split_class
    from edgesplit.edits.text_encoder import TextEncoder
    from edgesplit.errors import EdgesplitError
    from edgesplit.heads.head import Evaluation, Head
    from edgesplit.heads.labels import LabelTree
    from edgesplit.heads.metrics import Score, score_split
    from edgesplit.heads.statistics import Statistics
    from edgesplit.video.clips import read_clip
    from edgesplit.video.preprocessing import Preprocessing

__version__ = "0.2.0"

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
    "SplitRequest",
    "Statistics",
    "TextEncoder",
    "Version",
    "__version__",
    "choose_clips",
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
    "edgesplit.bundle.bundle": ("Bundle", "open_bundle"),
    "edgesplit.video.clips": ("read_clip",),
    "edgesplit.bundle.create": ("create_bundle",),
    "edgesplit.edits.asking": ("choose_clips",),
    "edgesplit.edits.edit": ("Edit", "drop_class", "merge_class", "rename_class"),
    "edgesplit.errors": ("EdgesplitError",),
    "edgesplit.heads.head": ("Evaluation", "Head"),
    "edgesplit.bundle.history": ("Version",),
    "edgesplit.heads.labels": ("LabelTree",),
    "edgesplit.heads.metrics": ("Score", "score_split"),
    "edgesplit.edits.plan": ("split_classes",),
    "edgesplit.video.preprocessing": ("Preprocessing",),
    "edgesplit.edits.report": ("Report",),
    "edgesplit.edits.request": ("SplitRequest",),
    "edgesplit.edits.split": ("split_class",),
    "edgesplit.heads.statistics": ("Statistics",),
    "edgesplit.edits.text_encoder": ("TextEncoder",),
}

__getattr__, __dir__ = load_on_use(__name__, _HOMES)
