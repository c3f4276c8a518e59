"""The ONNX graph of a head: the computation of `Head.evaluate`.

The number of nodes depends on the depth of the label tree, not on the number of splits. The root
classes have a separate Gemm. All splits of one depth share one Gemm over padded segments, with one
log-softmax. Weights are constant initializers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgesplit._types import Float32
from edgesplit.heads.head import PADDING, Head, Level

__all__ = ["make_graph"]


def make_graph(head: Head) -> onnx.GraphProto:
    """Return the graph from `features` to `logits`, `probabilities` and `class_index`."""
    return _GraphWriter(head).write()


class _GraphWriter:
    """Collects nodes and initializers in a fixed order, with fixed names."""

    def __init__(self, head: Head) -> None:
        self.head = head
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def write(self) -> onnx.GraphProto:
        head, tree = self.head, self.head.tree
        n_root = len(tree.roots)
        root = "root.logits" if head.levels else "logits"
        self._gemm(root, head.weight[:n_root], head.bias[:n_root], "")
        parts, offsets = [root], {column: column for column in tree.roots}
        choices, width = [], n_root
        above = root
        above_offsets = offsets
        for depth, level in enumerate(head.levels, start=1):
            above, choice = self._level(f"split{depth}", level, above, above_offsets)
            used = level.columns >= 0
            places = np.flatnonzero(used.ravel())
            above_offsets = dict(zip(level.columns[used].tolist(), places.tolist(), strict=True))
            offsets |= {column: width + place for column, place in above_offsets.items()}
            width += level.columns.size
            parts.append(above)
            choices.append(choice)
        competitors = self._logits(parts, offsets, width)
        self._probabilities(competitors)
        self._decision(competitors, choices)
        return self._graph()

    def _logits(self, parts: list[str], offsets: dict[int, int], width: int) -> str:
        """Write `logits` and return the scores that compete at the root level."""
        tree = self.head.tree
        flat = tree.flat_splits
        if not self.head.levels:
            return parts[0]
        if flat:
            own = self._node("Concat", parts, "own", axis=1)
            parts = [own, self._flat_roll_up(own, offsets)]
            offsets = offsets | {column: width + row for row, (column, _) in enumerate(flat)}
        joined = self._node("Concat", parts, "columns.padded", axis=1)
        order = self._constant("columns", np.array([offsets[c] for c in range(len(tree))]))
        logits = self._node("Gather", [joined, order], "logits", axis=1)
        if not flat:
            return parts[0]
        competitors = self._constant("competitors", np.array(tree.competitors))
        return self._node("Gather", [logits, competitors], "competitors.logits", axis=1)

    def _flat_roll_up(self, own: str, offsets: dict[int, int]) -> str:
        """Write the log-sum-exp of the competitors below each flat split, `(batch, splits)`."""
        below = [competitors for _, competitors in self.head.tree.flat_splits]
        width = max(map(len, below))
        index = np.array([[offsets[c] for c in row] + [0] * (width - len(row)) for row in below])
        mask = np.array(
            [[np.float32(0)] * len(row) + [PADDING] * (width - len(row)) for row in below]
        )
        scores = self._node(
            "Gather", [own, self._constant("flat.columns", index)], "flat.scores", axis=1
        )
        padded = self._node("Add", [scores, self._constant("flat.mask", mask)], "flat.padded")
        return self._node("ReduceLogSumExp", [padded], "flat.logits", axes=[2], keepdims=0)

    def _level(
        self, name: str, level: Level, above: str, above_offsets: Mapping[int, int]
    ) -> tuple[str, str]:
        """Write the splits of one depth.

        Returns:
            Their padded logits `(batch, splits * width)`, and the column of every split's best
            child `(batch, splits)`.
        """
        n_splits, width = level.columns.shape
        used = level.columns.ravel() >= 0
        weight = np.zeros((used.size, self.head.dim), np.float32)
        bias = np.full(used.size, PADDING, np.float32)
        weight[used] = self.head.weight[level.columns.ravel()[used]]
        bias[used] = self.head.bias[level.columns.ravel()[used]]
        line_of_scores = self._gemm(f"{name}.scores", weight, bias, f"{name}.")
        shape = self._constant(f"{name}.shape", np.array([0, n_splits, width]))
        scores = self._node("Reshape", [line_of_scores, shape], f"{name}.relative")
        share = self._share(name, level, scores)
        index = np.array([above_offsets[int(parent)] for parent in level.parents])[:, None]
        parent = self._node(
            "Gather",
            [above, self._constant(f"{name}.parent", index)],
            f"{name}.parent.logit",
            axis=1,
        )
        logits = self._node("Add", [parent, share], f"{name}.logits")
        line = self._constant(f"{name}.line", np.array([0, n_splits * width]))
        padded = self._node("Reshape", [logits, line], f"{name}.padded")
        best = self._node("ArgMax", [scores], f"{name}.best", axis=2, keepdims=0)
        first = self._constant(f"{name}.first_child", level.first_child)
        return padded, self._node("Add", [best, first], f"{name}.choice")

    def _share(self, name: str, level: Level, scores: str) -> str:
        temperature = self._constant(f"{name}.temperature", level.temperature[:, None])
        scaled = self._node("Div", [scores, temperature], f"{name}.scaled")
        shared = self._node("LogSoftmax", [scaled], f"{name}.shared", axis=2)
        if not level.flat.any():
            return shared
        flat = self._constant(f"{name}.flat", level.flat[:, None])
        return self._node("Where", [flat, scores, shared], f"{name}.share")

    def _probabilities(self, competitors: str) -> None:
        # One exponential over all columns: the root columns' numbers do not depend on the splits,
        # so their probabilities stay equal bit by bit.
        total = self._node("ReduceLogSumExp", [competitors], "total", axes=[1], keepdims=1)
        log = self._node("Sub", ["logits", total], "log_probabilities")
        self._node("Exp", [log], "probabilities")

    def _decision(self, competitors: str, choices: Sequence[str]) -> None:
        """Write the walk from the winner at the root level down to a leaf, by best children."""
        tree = self.head.tree
        if not choices:
            self._node("ArgMax", [competitors], "class_index", axis=1, keepdims=0)
            return
        current = self._node("ArgMax", [competitors], "winner", axis=1, keepdims=1)
        if "competitors" in {constant.name for constant in self.constants}:
            current = self._node("Gather", ["competitors", current], "winner.column", axis=0)
        # Index of each split's choice in the walk's table. A leaf has the last index, at which the
        # table holds the current column, so the walk stays there.
        parents = [int(parent) for level in self.head.levels for parent in level.parents]
        split = np.full(len(tree), len(parents))
        for place, parent in enumerate(parents):
            if tree[parent].composition == "gated":
                split[parent] = place
        splits = self._constant("split", split)
        for step in range(1, len(choices) + 1):
            index = self._node("Gather", [splits, current], f"walk{step}.split", axis=0)
            table = self._node("Concat", [*choices, current], f"walk{step}.table", axis=1)
            current = self._node("GatherElements", [table, index], f"walk{step}.column", axis=1)
        one = self._constant("walk.shape", np.array([-1]))
        self._node("Reshape", [current, one], "class_index")

    def _gemm(
        self,
        output: str,
        weight: Float32,
        bias: Float32,
        prefix: str,
    ) -> str:
        inputs = [
            "features",
            self._constant(f"{prefix}weight", weight),
            self._constant(f"{prefix}bias", bias),
        ]
        return self._node("Gemm", inputs, output, transB=1)

    def _node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def _constant(self, name: str, array: npt.NDArray[Any]) -> str:
        kinds = {"f": np.float32, "b": np.bool_, "i": np.int64}
        fixed: npt.NDArray[Any] = np.ascontiguousarray(array, kinds[array.dtype.kind])
        self.constants.append(numpy_helper.from_array(fixed, name))
        return name

    def _graph(self) -> onnx.GraphProto:
        n_nodes = len(self.head.tree)
        value = helper.make_tensor_value_info
        return helper.make_graph(
            self.nodes,
            "head",
            [value("features", TensorProto.FLOAT, ["N", self.head.dim])],
            [
                value("logits", TensorProto.FLOAT, ["N", n_nodes]),
                value("probabilities", TensorProto.FLOAT, ["N", n_nodes]),
                value("class_index", TensorProto.INT64, ["N"]),
            ],
            initializer=self.constants,
        )
