"""A backbone's bytes: one ONNX file, or above 2 GB a graph and its weights beside it.

protobuf holds no message of 2 GiB. A larger backbone is an ONNX file without weights, each of which
lies in `backbone.data` where the graph says; the two have one identity, and one without the other
is nothing.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgesplit.errors import BundleError, ExportError
from edgesplit.preprocessing import Preprocessing
from edgesplit.store import read_bytes

__all__ = [
    "GRAPH",
    "LARGEST_BYTES",
    "WEIGHTS",
    "Backbone",
    "LargeBackbone",
    "backbone_files",
    "feature_space",
    "inline",
    "read_backbone",
]

LARGEST_BYTES = 2**31 - 2**24
"""Of weights in one file; the margin is for the graph around them."""

GRAPH, WEIGHTS = "backbone.onnx", "backbone.data"
"""Names of the two files in a bundle; the second is there only above the limit."""


@dataclass(frozen=True, slots=True, eq=False)
class LargeBackbone:
    """A backbone whose weights do not fit into its ONNX file."""

    graph: bytes
    """ONNX, every weight external in `backbone.data`."""
    weights: bytes | bytearray | memoryview
    """That file's content."""

    def __len__(self) -> int:
        return len(self.graph) + len(self.weights)

    def tensors(self) -> dict[str, npt.NDArray[np.generic]]:
        """The weights by name, as views of the file's content.

        Raises:
            BundleError: the graph names a place that the file does not have.
        """
        import onnx  # embeddings that are in the cache need no ONNX, and stand on sessions
        from onnx import TensorProto, helper

        found = {}
        for tensor in onnx.load_model_from_string(self.graph).graph.initializer:
            if tensor.data_location != TensorProto.EXTERNAL:
                continue
            where = {entry.key: entry.value for entry in tensor.external_data}
            dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))
            count = int(np.prod(tensor.dims, dtype=np.int64))
            start = int(where.get("offset", 0))
            if where.get("location") != WEIGHTS or start + count * dtype.itemsize > len(
                self.weights
            ):
                raise BundleError(f"{GRAPH} keeps {tensor.name} where {WEIGHTS} has nothing.")
            array = np.frombuffer(self.weights, dtype, count, start)
            found[tensor.name] = array.reshape(tuple(tensor.dims))
        return found


Backbone = bytes | LargeBackbone
"""One ONNX file's bytes, or both files'."""


def inline(backbone: Backbone) -> bytes:
    """The bytes of a backbone that is one file.

    Raises:
        ExportError: it is too large for one.
    """
    if isinstance(backbone, LargeBackbone):
        raise ExportError(
            f"The backbone takes {len(backbone) / 1e9:.2f} GB, and variants, engines and fused "
            f"files are made of one ONNX file, which holds {LARGEST_BYTES / 1e9:.2f} GB. ONNX "
            "Runtime runs it as it is, in fp32."
        )
    return backbone


def feature_space(backbone: Backbone, preprocessing: Preprocessing) -> str:
    """The identity that heads belong to.

    sha256, in hex, over the canonical fp32 backbone and the canonical preprocessing.
    """
    content = json.dumps(preprocessing.to_json(), sort_keys=True, separators=(",", ":")).encode()
    parts = [hashlib.sha256(data).digest() for data in backbone_files(backbone).values()]
    return hashlib.sha256(b"".join(parts) + content).hexdigest()


def backbone_files(backbone: Backbone) -> dict[str, bytes | bytearray | memoryview]:
    """What lies in a bundle, by name; the graph first."""
    if isinstance(backbone, bytes):
        return {GRAPH: backbone}
    return {GRAPH: backbone.graph, WEIGHTS: backbone.weights}


def read_backbone(folder: Path, space: str, preprocessing: Preprocessing) -> Backbone:
    """A bundle's backbone, checked against the feature space.

    Raises:
        BundleError: a file is missing, or they are not those that the bundle was made of.
    """
    graph = read_bytes(folder / GRAPH)
    beside = folder / WEIGHTS
    backbone: Backbone = LargeBackbone(graph, read_bytes(beside)) if beside.exists() else graph
    if feature_space(backbone, preprocessing) != space:
        lost = not beside.exists() and _is_without_weights(graph)
        what = f"{beside} is missing, and {folder / GRAPH}" if lost else str(folder / GRAPH)
        with_it = f" with {WEIGHTS}" if beside.exists() else ""
        raise BundleError(
            f"{what}{with_it} is not the backbone that this bundle was exported "
            "with (or its preprocessing was edited). Restore both from a copy."
        )
    return backbone


def _is_without_weights(graph: bytes) -> bool:
    import onnx

    try:
        weights = onnx.load_model_from_string(graph).graph.initializer
    except Exception:  # protobuf's own; it is damaged in another way
        return False
    return any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in weights)
