"""The head: a label tree with a row of weights per node, and its evaluation in numpy.

A root class has an absolute row. Every other node has a row relative to its parent's. With x the
feature and u the affine scores of a split's children, a node's own score s is

    root     s = w x + b
    gated    s_child = s_parent + log_softmax(u / temperature)
    flat     s_child = s_parent + u                 (the paper's w_c + v_s, at the root level)

The root classes compete at the root level; a flat split's children compete in place of its node.
A node's logit is its own score. The logit of a flat split's node is the log-sum-exp of the
competitors below it instead. So an inner node's probability is always the sum over its leaves.
`onnx_graph` writes the same computation as an ONNX graph.
"""

from __future__ import annotations

import hashlib
import reprlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from edgesplit._data import is_digest
from edgesplit._types import Float32, Int64
from edgesplit.errors import HeadError
from edgesplit.heads.labels import LabelTree

__all__ = ["Evaluation", "Head", "Level", "PathStep", "head_digest", "levels"]


PADDING = np.float32(-1e30)
"""Score of the columns that pad a level's splits to one width: exp of it is 0."""

MAX_PADDED = 2**18
"""Maximum columns of one level, padding included: a small hostile file must not cost gigabytes."""
MAX_WEIGHT = 1e18
"""Maximum absolute weight. It keeps every score above `PADDING`, which would win otherwise."""


def head_digest(data: bytes) -> str:
    """Return the sha256 of a head file, in hex."""
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """All splits whose children have the same depth, padded to one width."""

    parents: Int64
    """`(splits,)`: column of the node that was split."""
    first_child: Int64
    """`(splits,)`: column of its first child; the others follow it."""
    columns: Int64
    """`(splits, width)`: columns of the children, -1 where padded."""
    flat: npt.NDArray[np.bool_]
    """`(splits,)`: True for composition flat."""
    temperature: Float32
    """`(splits,)`: temperature of each split."""


def levels(tree: LabelTree) -> tuple[Level, ...]:
    """Return the tree's splits by depth, the shallowest first, in order of creation."""
    by_depth: dict[int, list[int]] = {}
    for column, node in enumerate(tree):
        if node.composition is not None:
            by_depth.setdefault(tree.depths[column], []).append(column)
    return tuple(_level(tree, by_depth[depth]) for depth in sorted(by_depth))


def _level(tree: LabelTree, parents: Sequence[int]) -> Level:
    parents = sorted(parents, key=lambda parent: tree.children(parent).start)
    width = max(len(tree.children(parent)) for parent in parents)
    if len(parents) * width > MAX_PADDED:
        raise HeadError(
            f"The head has {len(parents)} splits of one depth, the widest with {width} children. "
            f"They need {len(parents) * width} columns, but the limit is {MAX_PADDED}."
        )
    columns = np.full((len(parents), width), -1, np.int64)
    for row, parent in enumerate(parents):
        children = tree.children(parent)
        columns[row, : len(children)] = children
    return Level(
        parents=np.array(parents, np.int64),
        first_child=columns[:, 0],
        columns=columns,
        flat=np.array([tree[parent].composition == "flat" for parent in parents]),
        temperature=np.array([tree[parent].temperature for parent in parents], np.float32),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """A head's results for a batch of features; a column is a node of the label tree."""

    logits: Float32
    """`(batch, nodes)`."""
    probabilities: Float32
    """`(batch, nodes)`: an inner node's probability is the sum over its leaves."""
    class_index: Int64
    """`(batch,)`: column of the decided class. The argmax over the leaves may differ from it."""


@dataclass(frozen=True, slots=True)
class PathStep:
    """One level of a decision: a node on the way to the decided class."""

    label: str
    probability: float


@dataclass(frozen=True, eq=False)
class Head:
    """An immutable head; safe to share between threads.

    Attributes:
        tree: the label tree; node i is column i.
        weight: `(nodes, dim)` float32, a read-only copy; a child's row is relative.
        bias: `(nodes,)` float32, a read-only copy.
        feature_space: digest of the backbone that it belongs to; empty if it has none yet.
        parent: digest of the head that it was edited from; empty for a first head.

    Raises:
        HeadError: shapes do not fit the tree, a number is not finite, or a digest is not valid.
    """

    tree: LabelTree
    weight: Float32
    bias: Float32
    feature_space: str = ""
    parent: str = ""

    def __post_init__(self) -> None:
        for name, digest in (("feature_space", self.feature_space), ("parent", self.parent)):
            if digest != "" and not is_digest(digest):
                raise HeadError(
                    f"The head's {name} is not valid: {reprlib.repr(digest)} is not a digest of "
                    "64 lower-case hex digits. Export the head again, or make the edit again."
                )
        for name, shape in (("weight", (len(self.tree), None)), ("bias", (len(self.tree),))):
            with np.errstate(over="ignore"):  # infinity is refused below
                array = np.array(getattr(self, name), np.float32, order="C")
            if array.ndim != len(shape) or array.shape[0] != shape[0] or array.size == 0:
                raise HeadError(
                    f"The head's {name} has shape {array.shape}; {len(self.tree)} labels need "
                    f"{'(labels, dim)' if name == 'weight' else '(labels,)'}."
                )
            if not np.isfinite(array).all():
                raise HeadError(
                    f"The head's {name} contains NaN or infinity. Export the head again."
                )
            if (np.abs(array) > MAX_WEIGHT).any():
                raise HeadError(
                    f"The head's {name} contains numbers above {MAX_WEIGHT:g}. Scale the head."
                )
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @classmethod
    def from_arrays(
        cls,
        weight: npt.ArrayLike,
        bias: npt.ArrayLike,
        labels: Iterable[str],
        *,
        feature_space: str = "",
    ) -> Head:
        """Return a head without splits, from any linear classifier.

        Args:
            weight: `(classes, dim)`; copied as float32.
            bias: `(classes,)`; copied as float32.
            labels: one label per class, in row order.
            feature_space: see `edgesplit.backbone.identity.feature_space`.

        Raises:
            HeadError: shapes do not fit or numbers are not finite.
            LabelError: a label is empty, too long or appears twice.
        """
        return cls(
            tree=LabelTree.from_labels(labels),
            weight=cast("Float32", weight),
            bias=cast("Float32", bias),
            feature_space=feature_space,
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Head:
        """Return the head in an ONNX file; see `edgesplit.heads.onnx_codec.read_head`."""
        from edgesplit.heads.onnx_codec import read_head  # onnx_codec imports this module

        return read_head(data)

    def to_bytes(self) -> bytes:
        """Return the head as a self-contained ONNX file; the same head gives the same bytes."""
        return self._file[0]

    @property
    def digest(self) -> str:
        """The sha256 of `to_bytes()`, in hex; it identifies the head."""
        return self._file[1]

    @cached_property
    def _file(self) -> tuple[bytes, str]:
        from edgesplit.heads.onnx_codec import write_head  # as in from_bytes

        data = write_head(self)
        return data, head_digest(data)

    @property
    def dim(self) -> int:
        """Number of values in a feature."""
        return int(self.weight.shape[1])

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Labels of the classes that the head predicts, in column order."""
        return tuple(self.tree[column].label for column in self.tree.leaves)

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """Splits by depth, as `evaluate` and the ONNX graph compute them."""
        return levels(self.tree)

    def evaluate(self, features: npt.ArrayLike) -> Evaluation:
        """Evaluate the head in numpy, float32.

        Args:
            features: `(batch, dim)` or `(dim,)`.

        Raises:
            ValueError: the feature size does not fit.
        """
        batch = np.atleast_2d(np.asarray(features, np.float32))
        if batch.ndim != 2 or batch.shape[1] != self.dim:
            raise ValueError(
                f"features have shape {batch.shape}, the head needs (batch, {self.dim})"
            )
        logits, relative = self._logits(batch)
        root = logits[:, self.tree.competitors]
        total = _log_sum_exp(root)
        current = np.asarray(self.tree.competitors, np.int64)[np.argmax(root, axis=1)]
        return Evaluation(
            logits=logits,
            probabilities=np.exp(logits - total[:, None]),
            class_index=self._walk(current, relative),
        )

    def _logits(self, batch: Float32) -> tuple[Float32, Float32]:
        """Return the logits of all nodes, and the children's relative scores u."""
        # The root classes are computed separately, as in the graph: BLAS may round a column
        # differently when the matrix grows.
        n_root = len(self.tree.roots)
        parts = (slice(0, n_root), slice(n_root, len(self.tree)))
        relative = np.concatenate(
            [batch @ self.weight[part].T + self.bias[part] for part in parts], axis=1
        )
        logits = relative.copy()
        for level in self.levels:
            used = level.columns >= 0
            scores = np.where(used, relative[:, level.columns], PADDING).astype(np.float32)
            shared = _log_softmax(scores / level.temperature[:, None])
            share = np.where(level.flat[:, None], scores, shared)
            z = logits[:, level.parents, None] + share
            logits[:, level.columns[used]] = z[:, used]
        for column, below in self.tree.flat_splits:
            logits[:, column] = _log_sum_exp(logits[:, below])
        return logits, relative

    def _walk(self, current: Int64, relative: Float32) -> Int64:
        """Return the leaf below each winner of the root level, by the largest relative scores.

        The relative scores decide, not the logits: adding the parent's logit rounds, and a
        temperature must never change a decision. `current` never holds a flat split's node,
        because its children compete at the root level.
        """
        for level in self.levels:
            for parent in level.parents:
                at_parent = current == parent
                if at_parent.any():
                    children = self.tree.children(int(parent))
                    scores = relative[at_parent, children.start : children.stop]
                    current[at_parent] = children.start + np.argmax(scores, axis=1)
        return current

    def classify(self, features: npt.ArrayLike) -> list[str]:
        """Return the decided label of each feature; `features` as in `evaluate`."""
        return [self.tree[int(column)].label for column in self.evaluate(features).class_index]

    def path(self, class_index: int, probabilities: Float32) -> tuple[PathStep, ...]:
        """Return the decision level by level.

        Args:
            class_index: column of the decided class.
            probabilities: `(nodes,)`, one row of `Evaluation.probabilities`.
        """
        return tuple(
            PathStep(self.tree[column].label, float(probabilities[column]))
            for column in self.tree.path(class_index)
        )


def _log_softmax(scores: Float32) -> Float32:
    shifted = scores - scores.max(axis=-1, keepdims=True)
    return cast("Float32", shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def _log_sum_exp(scores: Float32) -> Float32:
    top = scores.max(axis=-1, keepdims=True)
    total: npt.NDArray[Any] = np.log(np.exp(scores - top).sum(axis=-1)) + top[..., 0]
    return cast("Float32", total)
