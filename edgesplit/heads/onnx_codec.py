"""Write a head as one small ONNX file, and read it by rebuilding the file.

`onnx_graph` makes the graph. This module makes the file and its metadata, and reads them. External
data, functions, subgraphs and other domains never occur. docs/format.md specifies the bytes.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from edgesplit._data import load_json
from edgesplit._types import Float32, Int64
from edgesplit.errors import EdgesplitError, HeadError
from edgesplit.heads.head import Head, levels
from edgesplit.heads.labels import LabelTree, Node, Provenance, Source
from edgesplit.heads.onnx_graph import make_graph
from edgesplit.limits import HEAD_METADATA_CHARS

__all__ = ["FORMAT_VERSION", "FUSED_KEY", "IR_VERSION", "OPSET", "read_head", "write_head"]

FORMAT_VERSION = 1
OPSET = 17
"""Pinned, as `IR_VERSION` is, so that ONNX Runtime 1.23.2 of JetPack 6's Python loads the file."""
IR_VERSION = 8

_METADATA_KEY = "edgesplit"
FUSED_KEY = "edgesplit.fused"
"""Metadata key of a file that contains both backbone and head (`edgesplit.backbone.fuse`)."""

_MAX_QUOTED = 500
"""Maximum characters of a message that quotes a damaged file, whose texts can have any length."""


def write_head(head: Head) -> bytes:
    """Return the head as an ONNX file; the same head gives the same bytes.

    Its input is `features [N, dim]`; its outputs are `logits [N, nodes]`, `probabilities
    [N, nodes]` and `class_index [N]`, which is the decision.
    """
    model = helper.make_model(
        make_graph(head),
        producer_name="edgesplit",
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    helper.set_model_props(model, {_METADATA_KEY: _write_metadata(head)})
    return bytes(model.SerializeToString(deterministic=True))


def read_head(data: bytes) -> Head:
    """Return the head in `data`.

    Labels and weights are parsed, and the file is rebuilt from them. Both files must be equal byte
    by byte, so a file with any other content is refused.

    Raises:
        HeadError: the bytes are not a head of a supported format, or the head is inconsistent.
    """
    model = _parse(data)
    metadata = _read_metadata(model)
    try:
        tree = LabelTree(tuple(_read_node(node) for node in metadata["nodes"]))
        weight, bias = _read_rows(tree, model)
        head = Head(
            tree=tree,
            weight=weight,
            bias=bias,
            feature_space=_text(metadata, "feature_space"),
            parent=_text(metadata, "parent"),
        )
        rebuilt = head.to_bytes()
    except HeadError as error:
        raise HeadError(_cut(str(error))) from error
    except EdgesplitError as error:
        raise HeadError(f"The head file's labels are not valid: {_cut(str(error))}") from error
    except _NOT_VALID as error:
        raise HeadError(f"The head file's metadata is not valid: {_cut(repr(error))}.") from error
    if rebuilt != data:
        raise HeadError(
            "The head file's graph does not match its labels and weights: it was edited or "
            "damaged. Restore it, or publish it again from the head that it was made from."
        )
    return head


_NOT_VALID = (AttributeError, KeyError, TypeError, ValueError, OverflowError, RecursionError)
"""Errors of reading JSON of an unexpected shape; very deep nesting raises the last one."""


def _cut(message: str) -> str:
    """Return a message of bounded length; its end, which names the next step, is kept."""
    if len(message) <= _MAX_QUOTED:
        return message
    return f"{message[: _MAX_QUOTED - 200]} … {message[-200:]}"


def _parse(data: bytes) -> onnx.ModelProto:
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception as error:  # protobuf's DecodeError differs between its implementations
        raise HeadError(
            f"These {len(data)} bytes are not an ONNX file: the file is truncated, or of another "
            "type. Copy the head again."
        ) from error
    return model


def _read_metadata(model: onnx.ModelProto) -> dict[str, Any]:
    entries = {entry.key: entry.value for entry in model.metadata_props}
    if FUSED_KEY in entries:
        raise HeadError(
            "This is a fused model, which contains both backbone and head: it cannot be edited or "
            "published. Edit the bundle that it was made from, and fuse it again."
        )
    if _METADATA_KEY not in entries:
        raise HeadError(
            "This is not an edgesplit head: it has no edgesplit metadata. `edgesplit edit -o FILE` "
            "writes a head."
        )
    if len(entries[_METADATA_KEY]) > HEAD_METADATA_CHARS:
        raise HeadError(
            f"The head file's metadata has more than {HEAD_METADATA_CHARS:,} characters, the most "
            "that is read."
        )
    try:
        metadata = load_json(entries[_METADATA_KEY])
        version = metadata["format"]
        nodes = metadata["nodes"]
    except _NOT_VALID as error:
        raise HeadError(f"The head file's metadata is damaged: {_cut(repr(error))}.") from error
    if version != FORMAT_VERSION:
        raise HeadError(
            f"The head file has format {reprlib.repr(version)}; this edgesplit reads format "
            f"{FORMAT_VERSION}. Use the edgesplit release that wrote it."
        )
    if not isinstance(nodes, list):
        raise HeadError("The head file's metadata is damaged: its nodes are not a list.")
    return dict(metadata)


def _text(metadata: Mapping[str, Any], key: str) -> str:
    value = metadata[key]
    if not isinstance(value, str):
        raise TypeError(f"{key} is {reprlib.repr(value)}")
    return value


# --- metadata -------------------------------------------------------------------------------


def _write_metadata(head: Head) -> str:
    content = {
        "format": FORMAT_VERSION,
        "feature_space": head.feature_space,
        "parent": head.parent,
        "nodes": [_write_node(node) for node in head.tree],
    }
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _write_node(node: Node) -> dict[str, Any]:
    content: dict[str, Any] = {"label": node.label}
    if node.parent is not None:
        content |= {"parent": node.parent, "modifier": node.modifier}
    if node.composition is not None:
        content |= {"composition": node.composition, "temperature": node.temperature}
    if node.provenance != Provenance():
        content["rule"] = node.provenance.rule
        content["sources"] = [
            {"label": source.label, "similarity": source.similarity, "weight": source.weight}
            for source in node.provenance.sources
        ]
    if node.provenance.n_clips:
        content["clips"] = node.provenance.n_clips
    if node.provenance.asked:
        content["asked"] = [*node.provenance.asked]
    return content


def _read_node(content: Mapping[str, Any]) -> Node:
    """Return the node that `_write_node` wrote; `read_head` finds all remaining errors."""
    sources = tuple(
        Source(str(s["label"]), float(s["similarity"]), float(s["weight"]))
        for s in content.get("sources", [])
    )
    parent = content.get("parent")
    return Node(
        label=str(content["label"]),
        parent=None if parent is None else int(parent),
        modifier=str(content.get("modifier", "")),
        composition=content.get("composition"),
        temperature=float(content.get("temperature", 1.0)),
        provenance=Provenance(
            str(content.get("rule", Provenance().rule)),
            sources,
            int(content.get("clips", 0)),
            tuple(map(str, content.get("asked", []))),
        ),
    )


# --- rows -----------------------------------------------------------------------------------


def _read_rows(tree: LabelTree, model: onnx.ModelProto) -> tuple[Float32, Float32]:
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    root = _floats(tensors, "weight", 2)
    if root.shape[0] != len(tree.roots):  # before an array of the claimed size is made
        raise HeadError(
            f"The head file has {root.shape[0]} root rows for {len(tree.roots)} root classes."
        )
    if _least_size(tree, root.shape[1]) > model.ByteSize():
        raise HeadError("The head file is too small for its labels: it was edited or damaged.")
    weight = np.zeros((len(tree), root.shape[1]), np.float32)
    bias = np.zeros(len(tree), np.float32)
    _place(weight, root, np.arange(len(tree.roots)), "weight")
    _place(bias, _floats(tensors, "bias", 1), np.arange(len(tree.roots)), "bias")
    for depth, level in enumerate(levels(tree), start=1):
        columns = level.columns.ravel()
        _place(weight, _floats(tensors, f"split{depth}.weight", 2), columns, "weight")
        _place(bias, _floats(tensors, f"split{depth}.bias", 1), columns, "bias")
    return weight, bias


def _least_size(tree: LabelTree, dim: int) -> int:
    """Return the least size, in bytes, of a file with these labels, in linear time.

    The sizes of rows, walk and roll-up of flat splits are products of counts in the label tree. A
    small hostile file must not make its reader build gigabytes before both files are compared.
    """
    depths = levels(tree)
    rows = len(tree.roots) + sum(level.columns.size for level in depths)
    walk = len(depths) ** 2 * len("split1.choice")  # every step lists the choices of all depths
    below = [1] * len(tree)
    for column in reversed(range(len(tree))):
        if tree[column].composition == "flat":
            below[column] = sum(below[child] for child in tree.children(column))
    flat = [below[column] for column, node in enumerate(tree) if node.composition == "flat"]
    roll_up = len(flat) * max(flat, default=0) * (8 + 4)  # an index and a mask
    return 4 * dim * rows + walk + roll_up


def _floats(tensors: Mapping[str, onnx.TensorProto], name: str, rank: int) -> Float32:
    tensor = tensors.get(name)
    if tensor is None:
        raise HeadError(f"The head file has no initializer {name!r}: it was edited or damaged.")
    if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) != rank:
        raise HeadError(f"The head file's {name!r} is not a float32 tensor of rank {rank}.")
    # The size is compared before any array is made, so that huge dims cost nothing.
    if len(tensor.raw_data) != 4 * int(np.prod([int(d) for d in tensor.dims], dtype=object)):
        raise HeadError(
            f"The head file's {name!r} does not have as many values as its shape: it was edited "
            "or damaged."
        )
    return np.frombuffer(tensor.raw_data, "<f4").reshape(tuple(tensor.dims)).astype(np.float32)


def _place(
    target: Float32,
    rows: Float32,
    columns: Int64,
    name: str,
) -> None:
    if rows.shape != (len(columns), *target.shape[1:]):
        raise HeadError(
            f"The head file has {name} rows of shape {rows.shape}; its labels need "
            f"{(len(columns), *target.shape[1:])}."
        )
    used = columns >= 0
    target[columns[used]] = rows[used]
