"""docs/format.md as a program: reads, checks and serves a bundle's head in seventy lines."""

import hashlib
import json
from pathlib import Path
from typing import Any

import onnx
from onnx.reference import ReferenceEvaluator


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def is_digest(text: str) -> bool:
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


class Bundle:
    def __init__(self, folder: Path) -> None:
        about = json.loads((folder / "bundle.json").read_text())
        assert about["format"] == 1
        preprocessing = json.dumps(about["preprocessing"], sort_keys=True, separators=(",", ":"))
        backbone = hashlib.sha256((folder / "backbone.onnx").read_bytes()).digest()
        assert sha256(backbone + preprocessing.encode()) == about["feature_space"]
        self.digest = (folder / "HEAD").read_text().strip()
        assert is_digest(self.digest)
        data = (folder / "heads" / f"{self.digest}.onnx").read_bytes()
        assert sha256(data) == self.digest
        self.head = Head(onnx.load_from_string(data), about["feature_space"])
        self.history = history((folder / "log.jsonl").read_bytes(), self.digest)


def history(log: bytes, live: str) -> list[dict[str, Any]]:
    lines = []
    for line in log.splitlines():
        try:
            entry = json.loads(line)
            digests = [entry["to"], entry["from"] or entry["to"], *entry.get("pruned", [])]
            lines += [entry] if all(map(is_digest, digests)) else []
        except (ValueError, KeyError, TypeError):
            continue  # torn or damaged
    followers = [*(line["from"] for line in lines[1:]), live]
    return [x for x, follower in zip(lines, followers, strict=True) if x["to"] == follower]


class Head:
    def __init__(self, model: onnx.ModelProto, feature_space: str) -> None:
        versions = (model.ir_version, model.opset_import[0].version)
        assert (*versions, len(model.functions)) == (8, 17, 0)
        assert {node.domain for node in model.graph.node} == {""}
        assert not any(tensor.external_data for tensor in model.graph.initializer)
        metadata = json.loads(model.metadata_props[0].value)
        assert (metadata["format"], metadata["feature_space"]) == (1, feature_space)
        self.nodes, self.model = metadata["nodes"], ReferenceEvaluator(model)
        assert model.graph.output[0].type.tensor_type.shape.dim[1].dim_value == len(self.nodes)

    def predict(self, features: Any) -> list[tuple[list[str], float]]:
        """The labels from root class to leaf, and the score, of each feature."""
        _, probabilities, decided = self.model.run(None, {"features": features})
        rows = zip(decided, probabilities, strict=True)
        return [(self.path(int(column)), float(row[column])) for column, row in rows]

    def path(self, column: int) -> list[str]:
        node = self.nodes[column]
        return [*(self.path(node["parent"]) if "parent" in node else []), node["label"]]
