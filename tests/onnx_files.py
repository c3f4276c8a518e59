"""Parts of an ONNX file of a head that tests read and change."""

import json
from typing import Any

from onnx import ModelProto, TensorProto

__all__ = ["metadata_of", "set_metadata", "tensor"]


def metadata_of(model: ModelProto) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(model.metadata_props[0].value)
    return content


def set_metadata(model: ModelProto, content: object) -> None:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    model.metadata_props[0].value = text


def tensor(model: ModelProto, name: str) -> TensorProto:
    found: TensorProto
    (found,) = (value for value in model.graph.initializer if value.name == name)
    return found
