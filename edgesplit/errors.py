"""Every error that edgesplit raises on purpose.

    EdgesplitError                 catch this one; str(error) says what to do next
    ├── LabelError                 a class or label that does not exist, is ambiguous or not allowed
    ├── EditError                  an edit that cannot be made as requested
    │   ├── DoubtfulSplitError     a split that would learn from the wrong labels, or be inaccurate
    │   └── TooFewClipsError       fewer unlabelled clips than a rule or statistics need
    ├── HeadError                  bytes that are not a head, or an inconsistent head
    ├── BundleError                a folder that is not a bundle, or a bundle that is damaged
    │   ├── FeatureSpaceError      a head that belongs to another backbone
    │   ├── ConflictError          another process published first
    │   └── GateError              a head that would change answers outside its edit
    ├── ClipError                  a video that cannot be read or is too short
    ├── ExportError                a model that cannot be exported faithfully
    ├── BackendError               an inference backend that cannot start or failed while running
    │   ├── EngineError            an engine that cannot be built or trusted
    │   └── VariantError           a variant that cannot be made, found or trusted
    ├── CacheError                 a cache folder that cannot be used, or must not be trusted
    ├── IsolatedProcessError       a subprocess that crashed, hung, or failed unexpectedly
    └── MissingExtraError          an optional dependency that is not installed

Mistakes of the calling program (a wrong type, a wrong shape in memory) raise TypeError or
ValueError. The command line prints an EdgesplitError as one message and exits with 1.
"""

from __future__ import annotations

__all__ = [
    "BackendError",
    "BundleError",
    "CacheError",
    "ClipError",
    "ConflictError",
    "DoubtfulSplitError",
    "EdgesplitError",
    "EditError",
    "EngineError",
    "ExportError",
    "FeatureSpaceError",
    "GateError",
    "HeadError",
    "IsolatedProcessError",
    "LabelError",
    "MissingExtraError",
    "TooFewClipsError",
    "VariantError",
]


class EdgesplitError(Exception):
    """Base of all errors below; its text states the problem and the next step.

    Attributes:
        reason: the problem in a few words, without the next step; default: the complete text.
    """

    def __init__(self, message: str = "", *, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason or message


class LabelError(EdgesplitError):
    """A class or label does not exist, matches several, or is not allowed."""


class EditError(EdgesplitError):
    """The edit cannot be made as requested; nothing was changed."""


class DoubtfulSplitError(EditError):
    """A split would learn from the wrong labels, or is expected to be inaccurate.

    Attributes:
        doubts: the reasons against it, without the advice at the end of the text.
    """

    def __init__(self, message: str, doubts: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.doubts = doubts


class TooFewClipsError(EditError):
    """There are fewer unlabelled clips than a rule, or permanent statistics, need."""


class HeadError(EdgesplitError):
    """The bytes are not a head of a supported format, or the head is inconsistent."""


class BundleError(EdgesplitError):
    """The folder is not a bundle, or a file in it is missing or damaged."""


class FeatureSpaceError(BundleError):
    """The head belongs to another backbone or preprocessing."""


class ConflictError(BundleError):
    """The live head changed between reading it and publishing an edit of it."""


class GateError(BundleError):
    """The head would change logits that the edit must not change."""


class ClipError(EdgesplitError):
    """The video cannot be opened, decoded, or has too few frames."""


class ExportError(EdgesplitError):
    """The model cannot be exported, or the exported model's answers differ from its answers."""


class BackendError(EdgesplitError):
    """An inference backend could not start, or failed while running."""


class EngineError(BackendError):
    """An engine cannot be built or opened, or its answers differ from its backbone's."""


class VariantError(BackendError):
    """A variant cannot be made or opened, or its answers differ from the fp32 backbone's."""


class CacheError(EdgesplitError):
    """The user's cache folder cannot be read or written, or others can write to it."""


class IsolatedProcessError(EdgesplitError):
    """A subprocess died, timed out, or raised an error that is not an EdgesplitError."""


class MissingExtraError(EdgesplitError):
    """An optional dependency is missing; the text contains the pip command that adds it."""
