"""A backbone's bytes: one ONNX file, or above 2 GB a graph and a file of weights.

protobuf cannot hold a message of 2 GiB. A larger backbone is an ONNX file without weights, and
`backbone.data` with the weights at the offsets that the graph names. Both files have one common
identity, and neither can be used alone.

No other model may keep a weight outside its bytes (`check_self_contained`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import reprlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgesplit.errors import BackendError, BundleError, ExportError
from edgesplit.limits import BACKBONE_BYTES, GRAPH_BYTES
from edgesplit.storage.files import read_regular
from edgesplit.video.preprocessing import Preprocessing

if TYPE_CHECKING:
    import onnx

__all__ = [
    "GRAPH",
    "LARGEST_BYTES",
    "WEIGHTS",
    "Backbone",
    "LargeBackbone",
    "backbone_files",
    "check_bounded",
    "check_self_contained",
    "feature_space",
    "inline",
    "read_backbone",
]

LARGEST_BYTES = 2**31 - 2**24
"""Most bytes of weights in one ONNX file; the margin to 2 GiB is for the graph."""

GRAPH, WEIGHTS = "backbone.onnx", "backbone.data"
"""Names of the two files in a bundle; the second exists only above `LARGEST_BYTES`."""


@contextlib.contextmanager
def _names_are_text() -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:  # protobuf decodes a text at access
        raise BackendError(
            "The model is damaged: a name in it is not UTF-8. Restore it from a copy."
        ) from error


@dataclass(frozen=True, slots=True, eq=False)
class LargeBackbone:
    """A backbone whose weights do not fit into its ONNX file."""

    graph: bytes
    """ONNX file, whose weights are all in `backbone.data`."""
    weights: bytes | bytearray | memoryview
    """Content of `backbone.data`."""

    def __len__(self) -> int:
        return len(self.graph) + len(self.weights)

    @_names_are_text()
    def tensors(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return the weights by name, as views of the file's content.

        Raises:
            BundleError: the graph names an offset outside the file.
            BackendError: a tensor that is not a weight of the graph lies outside it.
        """
        model = _parse(self.graph)
        found: dict[str, npt.NDArray[np.generic]] = {}
        for tensor in model.graph.initializer:
            if _is_outside(tensor):
                if tensor.name in found:
                    raise BundleError(
                        f"{GRAPH} has two weights named {tensor.name!r}. Restore it from a copy."
                    )
                found[tensor.name] = self._read(tensor)
                for field in ("data_location", "external_data"):
                    tensor.ClearField(field)
        _check_tensors(model)  # ONNX Runtime would look for any others in files
        return found

    def _read(self, tensor: onnx.TensorProto) -> npt.NDArray[np.generic]:
        from onnx import helper

        try:
            where = {entry.key: entry.value for entry in tensor.external_data}
            dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))
            count = int(np.prod(tensor.dims, dtype=np.int64))
            start = int(where.get("offset", 0))
            if where["location"] != WEIGHTS or min([start, *tensor.dims]) < 0:
                raise ValueError("elsewhere")
            array = np.frombuffer(self.weights, dtype, count, start)
            return array.reshape(tuple(tensor.dims))
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(
                f"{GRAPH} names a place of {tensor.name!r} that {WEIGHTS} does not have. Restore "
                "both from a copy."
            ) from error


Backbone = bytes | LargeBackbone
"""The bytes of one ONNX file, or of both files."""


def inline(backbone: Backbone) -> bytes:
    """Return the bytes of a backbone that is one file.

    Raises:
        ExportError: the backbone is two files.
    """
    if isinstance(backbone, LargeBackbone):
        raise ExportError(
            f"The backbone has {len(backbone) / 1e9:.2f} GB, but variants, engines and fused files "
            f"are made from one ONNX file of at most {LARGEST_BYTES / 1e9:.2f} GB. Run this "
            "backbone in fp32 with ONNX Runtime."
        )
    return backbone


def check_self_contained(model: Backbone) -> None:
    """Raise if a model has a weight outside its bytes, except in a large backbone's own file.

    ONNX Runtime, TensorRT and onnx read such a weight from a file, relative to the current folder,
    and some versions of ONNX Runtime from any file or memory address. None of these was verified.

    The place of such a weight is the value of the key `location`. Bytes without this word need no
    parsing: a search takes no memory, and no parser can find the key in them. Files with the word
    are parsed.

    Args:
        model: the ONNX file's bytes, or those of a large backbone's two files.

    Raises:
        BackendError: the model has such a weight, which is named with its place; or an operator
            that ONNX Runtime's GPU providers use for a compiled model, in its bytes or in a file.
        BundleError: a large backbone's graph names a place that its weights do not have.
    """
    if b"EPContext" in (model.graph if isinstance(model, LargeBackbone) else model):
        raise BackendError(
            "The model has an EPContext operator, which runs compiled code, often from another "
            "file. Use the original model."
        )
    if isinstance(model, LargeBackbone):
        model.tensors()
    elif b"location" in model:
        _check_tensors(_parse(model))


_REPEATING = ("Loop", "Scan", "SequenceMap")
"""Operators that run a graph as often as a tensor asks for."""
_FUNCTIONS = 25
"""Number of the field `functions` of ONNX's ModelProto."""


def check_bounded(model: Backbone) -> None:
    """Raise BackendError if a model can repeat its operators as often as it likes.

    Other models may be slow, too, but no more than their size allows.
    """
    graph = model.graph if isinstance(model, LargeBackbone) else model
    if any(name.encode() in graph for name in _REPEATING):
        _check_repeats(_parse(graph))
    if _has_functions(graph):
        raise BackendError(
            "The model has functions, which can call each other without end. Do not use it unless "
            "you know who made it. Export it again with its functions inlined."
        )


@_names_are_text()
def _check_repeats(model: onnx.ModelProto) -> None:
    """Raise BackendError if an operator repeats a graph: nobody can know when it ends."""
    for node in _messages(model, "NodeProto"):
        if node.op_type in _REPEATING:
            raise BackendError(
                f"The model has a {node.op_type} operator, which may never end. Do not use it "
                "unless you know who made it. Export it again without loops."
            )


def _has_functions(model: bytes | bytearray | memoryview) -> bool:
    """Return True if a model has local functions; reads the outermost fields' keys alone.

    Raises:
        BackendError: the bytes are no sequence of fields as ONNX writes them.
    """
    place, end = 0, len(model)
    while place < end:
        key, place = _read_varint(model, place)
        size = 0
        if key & 7 == 2:
            size, place = _read_varint(model, place)
        elif key & 7 == 0:
            _, place = _read_varint(model, place)
        else:
            size = {1: 8, 5: 4}.get(key & 7, end)  # groups do not occur
        place += size
        if key >= 2**32 or place > end:  # parsers differ in what they make of such keys
            raise BackendError(
                "edgesplit refuses the model: it is no ONNX file, or a damaged one. Restore it "
                "from a copy."
            )
        if key >> 3 == _FUNCTIONS:
            return True
    return False


def _read_varint(data: bytes | bytearray | memoryview, place: int) -> tuple[int, int]:
    """Return a number in protobuf's encoding, and the place after it."""
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            break
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    return 2**64, place  # it does not end


def _messages(message: Any, kind: str) -> Iterator[Any]:
    """Yield every message of a kind in a message, at any depth, except in tensors."""
    if type(message).__name__ == kind:
        yield message
    if type(message).__name__ == "TensorProto":
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in (value,) if hasattr(value, "ListFields") else value:
                yield from _messages(inner, kind)


def _parse(model: bytes) -> onnx.ModelProto:
    import onnx  # not at the top: a process with cached embeddings does not need it

    try:
        return onnx.load_model_from_string(model)
    except Exception as error:  # protobuf's own
        raise BackendError(
            "The model is damaged: it is not an ONNX file. Restore it from a copy."
        ) from error


@_names_are_text()
def _check_tensors(model: onnx.ModelProto) -> None:
    for owner, tensor in _tensors(model, "the model"):
        if _is_outside(tensor):
            places = [entry.value for entry in tensor.external_data if entry.key == "location"]
            raise BackendError(
                f"The model keeps {reprlib.repr(owner)} in another file, "
                f"{reprlib.repr(places[-1] if places else '')}, which was not verified and could "
                "be any file on this machine. Do not use the model unless you know who made it. "
                "Export it again with the weights inside."
            )


def _is_outside(tensor: onnx.TensorProto) -> bool:
    return bool(tensor.external_data) or tensor.data_location != 0


def _tensors(message: Any, owner: str) -> Iterator[tuple[str, onnx.TensorProto]]:
    """Yield every tensor in a message, at any depth, with its name or its owner's."""
    from google.protobuf.unknown_fields import UnknownFieldSet  # type: ignore[import-untyped]
    from onnx import NodeProto, TensorProto, __version__

    # ONNX Runtime may know a field that onnx does not. And protobuf in C++ reads some unusual
    # encodings as a known field that protobuf in pure Python reads as an unknown field.
    if len(UnknownFieldSet(message)):
        raise BackendError(
            f"The model has a field that onnx {__version__} does not know, so it cannot be checked "
            "that the weights are inside the model. Update onnx, or export the model again."
        )
    owner = getattr(message, "name", "") or owner
    if isinstance(message, NodeProto) and not message.name and message.output:
        owner = message.output[0]
    if isinstance(message, TensorProto):
        yield owner, message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in (value,) if hasattr(value, "ListFields") else value:
                yield from _tensors(inner, owner)


def feature_space(backbone: Backbone, preprocessing: Preprocessing) -> str:
    """Return the identity that heads belong to.

    It is the sha256, in hex, of the canonical fp32 backbone and the canonical preprocessing.
    """
    content = json.dumps(preprocessing.to_json(), sort_keys=True, separators=(",", ":")).encode()
    parts = [hashlib.sha256(data).digest() for data in backbone_files(backbone).values()]
    return hashlib.sha256(b"".join(parts) + content).hexdigest()


def backbone_files(backbone: Backbone) -> dict[str, bytes | bytearray | memoryview]:
    """Return the files of a bundle's backbone by name; the graph first."""
    if isinstance(backbone, bytes):
        return {GRAPH: backbone}
    return {GRAPH: backbone.graph, WEIGHTS: backbone.weights}


def read_backbone(folder: Path, space: str, preprocessing: Preprocessing) -> Backbone:
    """Return a bundle's backbone, checked against the feature space.

    Raises:
        BundleError: a file is missing, or is not the file that the bundle was made with.
    """
    graph = read_regular(folder / GRAPH, GRAPH_BYTES, follow_link=True)
    beside = folder / WEIGHTS
    backbone: Backbone = graph
    if beside.exists():
        backbone = LargeBackbone(graph, read_regular(beside, BACKBONE_BYTES, follow_link=True))
    if feature_space(backbone, preprocessing) != space:
        lost = not beside.exists() and _needs_weights_file(graph)
        what = f"{beside} is missing, and {folder / GRAPH}" if lost else str(folder / GRAPH)
        with_it = f" with {WEIGHTS}" if beside.exists() else ""
        raise BundleError(
            f"{what}{with_it} is not the backbone that this bundle was exported "
            "with (or its preprocessing was edited). Restore both from a copy."
        )
    return backbone


def _needs_weights_file(graph: bytes) -> bool:
    try:
        return any(map(_is_outside, _parse(graph).graph.initializer))
    except BackendError:  # it is damaged
        return False
