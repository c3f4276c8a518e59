"""Write a backbone as canonical ONNX bytes, which depend only on its operators and weights.

A feature space is a digest over these bytes, so two exports of the same weights must agree to the
last bit. Torch's own file does not: every node contains the user's source lines, file paths and
class names, and initializers are named after attributes. So a new model is written, with only the
operators, attributes, connections and weights, and names made from positions. Anything else that an
exporter adds is therefore never copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import onnx
from onnx import helper, inliner, numpy_helper
from onnx.external_data_helper import set_external_data

from edgesplit.backbone import identity as backbone
from edgesplit.backbone.graph import skeleton
from edgesplit.backbone.identity import Backbone, LargeBackbone
from edgesplit.errors import ExportError
from edgesplit.export.graph.patterns import respell

__all__ = ["IR_VERSION", "OPSET", "canonical_backbone"]

# torch's exporter implements opset 18 and reaches later ones only through the version converter.
OPSET = 18
# The oldest IR version for opset 18. Heads use it, too, and ONNX Runtime 1.18 and the parser of
# TensorRT 10.3 accept up to 10.
IR_VERSION = 8

_ALIGNMENT = 64
"""Alignment, in bytes, of externally stored weights: a cache line."""
_SMALL = 1024
"""Size in bytes up to which weights stay in the graph; small ones may be shapes."""

INPUT_NAME = "clip"
OUTPUT_NAME = "features"


def canonical_backbone(
    model: onnx.ModelProto, *, clip_shape: Sequence[int], feature_dim: int
) -> Backbone:
    """Return the backbone in bytes that depend only on its operators and weights.

    Weights of more than `LARGEST_BYTES` are stored outside the graph, in order of first use.

    Args:
        model: One float32 input and one float32 output, opset 18; some of its nodes are rewritten.
        clip_shape: The input's shape without the batch axis.
        feature_dim: Length of the output's last axis.

    Returns:
        A checked model, input `clip` `(batch, *clip_shape)`, output `features`
        `(batch, feature_dim)`, both float32 with a free batch axis.

    Raises:
        ExportError: The graph has control flow, operators outside ONNX, or a fixed batch size.
    """
    if model.functions:
        model = inliner.inline_local_functions(model)
    _check_supported(model)
    respell(model)
    names = _name_values(model.graph)
    graph = helper.make_graph(
        [_rewrite_node(node, index, names) for index, node in enumerate(model.graph.node)],
        "backbone",
        [_float_value(INPUT_NAME, clip_shape)],
        [_float_value(OUTPUT_NAME, [feature_dim])],
    )
    opsets = [helper.make_opsetid("", OPSET)]
    canonical = helper.make_model(
        graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="edgesplit"
    )
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    used = [name for name in names if name in weights]  # in order of first use
    # One array at a time: all of them would take the memory twice.
    n_bytes = sum(numpy_helper.to_array(weights[name]).nbytes for name in used)
    outside = n_bytes > backbone.LARGEST_BYTES
    data = bytearray()
    for name in used:
        # Through an array: torch has two encodings, and this gives one (raw little-endian).
        array = numpy_helper.to_array(weights[name])
        tensor = numpy_helper.from_array(array, names[name])
        if outside and array.nbytes > _SMALL:
            _move_outside(tensor, data)
        canonical.graph.initializer.append(tensor)
    # The checker looks for external weights on the disk, but they are not written yet.
    onnx.checker.check_model(skeleton(canonical) if outside else canonical, full_check=True)
    written: bytes = canonical.SerializeToString(deterministic=True)
    return LargeBackbone(written, data) if outside else written


def _move_outside(tensor: onnx.TensorProto, data: bytearray) -> None:
    """Move a weight's numbers into the data; the tensor then holds their offset and length."""
    data.extend(b"\0" * (-len(data) % _ALIGNMENT))
    length = len(tensor.raw_data)
    set_external_data(tensor, backbone.WEIGHTS, offset=len(data), length=length)
    data.extend(tensor.raw_data)
    tensor.ClearField("raw_data")


def _check_supported(model: onnx.ModelProto) -> None:
    opset = {item.domain: item.version for item in model.opset_import}.get("", 0)
    if opset != OPSET:
        raise ExportError(f"The backbone has opset {opset}; edgesplit writes {OPSET}.")
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx"):
            raise ExportError(
                f"The backbone uses {node.domain}::{node.op_type}, which is not an ONNX operator: "
                "runtimes on a device would not load it. Replace that layer before exporting."
            )
        kinds = {attribute.type for attribute in node.attribute}
        if kinds & {onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS}:
            raise ExportError(
                f"The backbone has control flow ({node.op_type}): its path depends on the clip. "
                "Replace torch.cond and loops over tensors by plain tensor operations."
            )
    if len(model.graph.input) != 1 or len(model.graph.output) != 1:
        raise ExportError(
            f"The backbone has {len(model.graph.input)} inputs and {len(model.graph.output)} "
            "outputs; it needs one clip in and one feature out."
        )
    batch = model.graph.input[0].type.tensor_type.shape.dim[0]
    if batch.HasField("dim_value"):
        raise ExportError(
            f"The exporter fixed the batch size at {batch.dim_value}: forward() uses it as a "
            "number. Write x.shape[0] or -1 where the batch size is spelled out."
        )


def _name_values(graph: onnx.GraphProto) -> dict[str, str]:
    """Return a new name for every value: `w0`… for weights, `v0`… for results.

    Both are numbered, and listed, in the order of their first use by a node.
    """
    names = {"": "", graph.input[0].name: INPUT_NAME}
    weights = {tensor.name for tensor in graph.initializer}
    n_weights = n_results = 0
    for node in graph.node:
        for name in node.input:
            if name in weights and name not in names:
                names[name] = f"w{n_weights}"
                n_weights += 1
        for name in node.output:
            if name:
                names[name] = f"v{n_results}"
                n_results += 1
    names[graph.output[0].name] = OUTPUT_NAME
    return names


def _rewrite_node(node: onnx.NodeProto, index: int, names: dict[str, str]) -> onnx.NodeProto:
    rewritten = helper.make_node(
        node.op_type,
        [names[name] for name in node.input],
        [names[name] for name in node.output],
        name=f"n{index}",
    )
    rewritten.attribute.extend(_rewrite_attributes(node))
    return rewritten


def _rewrite_attributes(node: onnx.NodeProto) -> Iterator[onnx.AttributeProto]:
    for attribute in sorted(node.attribute, key=lambda item: item.name):
        value = helper.get_attribute_value(attribute)
        if attribute.type == onnx.AttributeProto.TENSOR:
            value = numpy_helper.from_array(numpy_helper.to_array(value), "")
        yield helper.make_attribute(attribute.name, value, attr_type=attribute.type)


def _float_value(name: str, shape: Sequence[int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", *shape])
