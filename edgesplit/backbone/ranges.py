"""Ranges of a backbone's values, measured in float32 on clips.

The weights alone do not show whether float16 or 8 bits can represent the values of a backbone, so
rewrites measure them.
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
"""Reductions of each value. The sum finds NaN, which ONNX Runtime's minimum and maximum miss."""


def measure_ranges(
    model: onnx.ModelProto,
    names: Collection[str],
    clips: Iterable[Float32],
    *,
    halves: Collection[str] = (),
) -> Ranges:
    """Return the range of each value over all clips; NaN, NaN if one of its numbers was NaN.

    The reductions are part of the graph, so ONNX Runtime frees each value after its last use. All
    values of a ViT-B for one clip would take gigabytes.

    Args:
        model: input `clip`, with a batch axis; it is not changed.
        names: float32 values, not weights.
        halves: float16 values, not weights. ONNX Runtime's CPU kernels compute them in float32, so
            numbers outside float16's range are visible.
        clips: `clip_shape` float32 in 0..1 each; read one at a time.

    Raises:
        BackendError: ONNX Runtime cannot run the backbone.
        ValueError: there are no clips.
    """
    watched, values = _watch(model, set(names), set(halves))
    outputs = [entry.name for entry in watched.graph.output[len(model.graph.output) :]]
    # ONNX Runtime's optimizer stays off: it fails on some graphs whose constants are outputs.
    session = open_session(watched.SerializeToString(), threads=0, optimize=False, in_order=True)
    lowest = np.full(len(values), np.inf)
    highest = -lowest
    n_clips = 0
    for n_clips, clip in enumerate(clips, 1):  # noqa: B007
        try:
            # An empty list of outputs would mean all outputs.
            run = session.run(outputs, {"clip": clip[None]}) if outputs else []
        except Exception as error:  # ONNX Runtime's exceptions have no common base class
            raise BackendError(f"The backbone failed on a clip of {clip.shape}: {error}") from error
        low, high, total = np.array(run, np.float64).reshape(-1, len(_REDUCTIONS)).T
        low[np.isnan(total)] = high[np.isnan(total)] = np.nan
        lowest, highest = np.minimum(lowest, low), np.maximum(highest, high)  # both keep NaN
    if not n_clips:
        raise ValueError("there are no clips to measure ranges on")
    return dict(zip(values, zip(lowest.tolist(), highest.tolist(), strict=True), strict=True))


def _watch(
    model: onnx.ModelProto, names: set[str], halves: set[str]
) -> tuple[onnx.ModelProto, list[str]]:
    """Return the model with three reductions of each value as extra outputs, and the values."""
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
