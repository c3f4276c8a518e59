"""Backbone and head in one ONNX file, for programs that take only one.

This file cannot be edited, and locality is not guaranteed for it: a compiler sees one graph and may
compute the same class differently if the head has another size.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import version_converter

from edgesplit.backbone.difference import relative_difference
from edgesplit.backbone.identity import LARGEST_BYTES, check_self_contained
from edgesplit.backbone.session import open_session
from edgesplit.errors import ExportError
from edgesplit.heads.head import Head
from edgesplit.heads.onnx_codec import FUSED_KEY

__all__ = ["TOLERANCE", "Fused", "fuse_models", "join_models"]

TOLERANCE = 1e-4
"""Largest allowed difference of a logit from that of the two files, over the largest logit."""

_PREFIX = "head/"
_N_CLIPS = 4


@dataclass(frozen=True, slots=True)
class Fused:
    """One ONNX file: input `clip`, outputs `features`, `logits`, `probabilities`, `class_index`.

    Shapes and columns are those of the backbone and of the head file.
    """

    data: bytes
    """Bytes of the file; equal for equal backbones and heads."""
    head_digest: str
    difference: float
    """Largest difference of a logit from that of the two files, over the largest logit; 0 if all
    bits are the same."""


def fuse_models(
    backbone: bytes, head: Head, *, clip_shape: tuple[int, ...], optimize: bool = True
) -> Fused:
    """Join a backbone and a head, and check that the file gives the same answers.

    Args:
        backbone: ONNX bytes, input `clip`, output `features`; it may be a variant.
        head: a head of the same feature space.
        clip_shape: shape of one clip, for the check.
        optimize: True if `OrtBackend` opens this backbone with its optimizer.

    Raises:
        ExportError: the file would be above 2 GB, or gives other answers.
        BackendError: ONNX Runtime refuses it, or a weight lies outside the backbone's bytes.
    """
    check_self_contained(backbone)
    n_bytes = len(backbone) + len(head.to_bytes())
    if n_bytes > LARGEST_BYTES:
        raise ExportError(
            f"Backbone and head have {n_bytes / 1e9:.2f} GB; one ONNX file can hold "
            f"{LARGEST_BYTES / 1e9:.2f} GB. Fuse the fp16 or int8 variant, or keep two files."
        )
    data = join_models(onnx.load_model_from_string(backbone), head)
    difference = _compare(data, backbone, head, clip_shape=clip_shape, optimize=optimize)
    if not difference <= TOLERANCE:
        raise ExportError(
            f"The fused file's logits differ by {difference:.2g} of the largest logit from those "
            f"of backbone and head; {TOLERANCE:g} is allowed. Update ONNX Runtime, or fuse the "
            "fp32 backbone."
        )
    return Fused(data=data, head_digest=head.digest, difference=difference)


def join_models(backbone: onnx.ModelProto, head: Head) -> bytes:
    """Return the bytes of the joined file, unchecked; `backbone` is not changed."""
    opset = next(
        entry.version for entry in backbone.opset_import if entry.domain in ("", "ai.onnx")
    )
    below = version_converter.convert_version(
        onnx.load_model_from_string(head.to_bytes()), opset
    ).graph
    # A head has no subgraphs, so only names can collide.
    outputs = {entry.name for entry in below.output}
    kept = {"", "features", *outputs}
    joined = onnx.ModelProto()
    joined.CopyFrom(backbone)
    joined.producer_name = "edgesplit"
    for node in below.node:
        added = joined.graph.node.add()
        added.CopyFrom(node)
        added.name = f"{_PREFIX}{node.name}"
        added.input[:] = [name if name in kept else f"{_PREFIX}{name}" for name in node.input]
        added.output[:] = [name if name in kept else f"{_PREFIX}{name}" for name in node.output]
    for tensor in below.initializer:
        joined.graph.initializer.add().CopyFrom(tensor)
        joined.graph.initializer[-1].name = f"{_PREFIX}{tensor.name}"
    joined.graph.output.extend(below.output)
    joined.ClearField("metadata_props")
    onnx.helper.set_model_props(joined, {FUSED_KEY: json.dumps(_describe(head), sort_keys=True)})
    onnx.checker.check_model(joined)
    return bytes(joined.SerializeToString(deterministic=True))


def _describe(head: Head) -> dict[str, Any]:
    """Return a description of the outputs for programs: label and parent of every column."""
    return {
        "feature_space": head.feature_space,
        "head_digest": head.digest,
        "labels": [node.label for node in head.tree],
        "parents": [node.parent for node in head.tree],
    }


def _compare(
    data: bytes, backbone: bytes, head: Head, *, clip_shape: tuple[int, ...], optimize: bool
) -> float:
    clips = np.random.default_rng(0).random((_N_CLIPS, *clip_shape), np.float32)
    one, first = (open_session(model, optimize=optimize) for model in (data, backbone))
    second = open_session(head.to_bytes(), optimize=False)
    logits, decided = one.run(["logits", "class_index"], {"clip": clips})
    (features,) = first.run(["features"], {"clip": clips})
    wanted, by_two = second.run(["logits", "class_index"], {"features": features})
    if not np.array_equal(decided, by_two):
        raise ExportError(
            f"The fused file decides {int((decided != by_two).sum())} of {_N_CLIPS} random clips "
            "differently from backbone and head. Update ONNX Runtime, or fuse the fp32 backbone."
        )
    return relative_difference(logits, wanted)
