"""The range of a backbone's values, measured in float32 on clips.

Weights alone do not say whether float16 or 8 bits can hold what a backbone computes, so those who
rewrite it measure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np
import onnx
from onnx import TensorProto, helper

from edgesplit._types import Float32
from edgesplit.backbone.session import open_session
from edgesplit.errors import BackendError

__all__ = ["Ranges", "measure_ranges"]

Ranges = dict[str, tuple[float, float]]
"""Lowest and highest number by the name of the value."""


_REDUCTIONS = ("ReduceMin", "ReduceMax", "ReduceSum")
"""The sum is NaN if a number is, which ONNX Runtime's minimum and maximum overlook."""


def measure_ranges(
    model: onnx.ModelProto,
    names: Collection[str],
    clips: Iterable[Float32],
    *,
    halves: Collection[str] = (),
) -> Ranges:
    """Return the range of each value over all clips; NaN, NaN if one of its numbers was NaN.

    The graph itself reduces the values, so ONNX Runtime frees each one after its last use. A
    ViT-B's values of one clip would take gigabytes.

    Args:
        model: input `clip`, with a batch axis; it is not changed.
        names: float32 values, not weights.
        halves: float16 values, likewise. ONNX Runtime's CPU kernels compute them in float32, so
            numbers beyond float16's range are seen.
        clips: `clip_shape` float32 in 0..1 each; taken one at a time.

    Raises:
        BackendError: ONNX Runtime cannot run the backbone.
        ValueError: there are no clips.
    """
    watched, values = _watch(model, set(names), set(halves))
    asked = [entry.name for entry in watched.graph.output[len(model.graph.output) :]]
    # ONNX Runtime's optimizer stays off: it fails on some graphs whose constants are outputs.
    session = open_session(watched.SerializeToString(), threads=0, optimize=False, in_order=True)
    lowest = np.full(len(values), np.inf)
    highest = -lowest
    n_clips = 0
    for n_clips, clip in enumerate(clips, 1):  # noqa: B007
        try:
            run = session.run(asked, {"clip": clip[None]}) if asked else []  # none asked: all
        except Exception as error:  # ONNX Runtime's exceptions have no common base of their own
            raise BackendError(f"The backbone failed on a clip of {clip.shape}: {error}") from error
        low, high, total = np.array(run, np.float64).reshape(-1, len(_REDUCTIONS)).T
        low[np.isnan(total)] = high[np.isnan(total)] = np.nan
        lowest, highest = np.minimum(lowest, low), np.maximum(highest, high)  # both keep NaN
    if not n_clips:
        raise ValueError("ranges are measured on clips, and there are none")
    return dict(zip(values, zip(lowest.tolist(), highest.tolist(), strict=True), strict=True))


def _watch(
    model: onnx.ModelProto, names: set[str], halves: set[str]
) -> tuple[onnx.ModelProto, list[str]]:
    """Return the model with three reductions of each value as more outputs, and the values."""
    graph = model.graph
    prefix = "range"
    while any(name.startswith(prefix) for node in graph.node for name in node.output):
        prefix = f"_{prefix}"
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    watched.graph.ClearField("node")
    values: list[str] = []

    def reduce(name: str) -> None:
        if name not in names and name not in halves:
            return
        source = name
        if name in halves:
            source = f"{prefix}/{name}"
            cast = helper.make_node("Cast", [name], [source], to=TensorProto.FLOAT)
            watched.graph.node.append(cast)
        values.append(name)
        for kind in _REDUCTIONS:
            output = f"{prefix}/{name}/{kind}"
            watched.graph.node.append(helper.make_node(kind, [source], [output], keepdims=0))
            info = helper.make_tensor_value_info(output, TensorProto.FLOAT, [])
            watched.graph.output.append(info)

    for entry in graph.input:
        reduce(entry.name)
    for node in graph.node:
        watched.graph.node.append(node)
        for name in node.output:
            reduce(name)
    return watched, values
