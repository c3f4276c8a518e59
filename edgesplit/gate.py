"""The gate: a head goes live only if it leaves alone what its edit does not touch."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgesplit.diff import diff_heads
from edgesplit.errors import BundleError, GateError
from edgesplit.head import Head
from edgesplit.labels import LabelTree
from edgesplit.sessions import open_session

__all__ = ["MAX_GOLDEN", "Gate", "pass_gate", "read_golden", "write_golden"]

MAX_GOLDEN = 256
"""Golden features that a bundle keeps at most."""

N_MADE = 64
"""Features made up for the gate when a bundle has no golden ones."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Gate:
    """What was compared before a head went live."""

    n_features: int
    n_untouched: int
    """Root classes whose logits were compared, bit for bit."""


def pass_gate(before: Head, after: Head, golden: Floats | None) -> Gate:
    """Lets `after` pass if it changes nothing that both heads have.

    Labels of both must have the same row, parent, modifier and provenance, and a split of both
    the same composition and temperature. Root logits, computed by ONNX Runtime on the golden
    features, must be equal to the bit, but for classes that are, or were, split flat; where no
    class is, so must the root probabilities.

    Raises:
        GateError: a root class is missing, new or moved, or something differs.
    """
    old, new = before.tree, after.tree
    if [old[c].label for c in old.roots] != [new[c].label for c in new.roots]:
        raise GateError("The head has other root classes than the live one: it is no edit of it.")
    untouched = [
        column
        for column in old.roots
        if "flat" not in (old[column].composition, new[column].composition)
    ]
    features = _made(before.dim) if golden is None else golden
    results = _run(before, after, features)
    logits, probabilities = (
        [np.ascontiguousarray(result[kind][:, untouched]).view(np.int32) for result in results]
        for kind in (0, 1)
    )
    changed = _changed_labels(before, after) + _differing(old, untouched, logits)
    if not changed and len(untouched) == len(old.roots):
        changed = _differing(old, untouched, probabilities)
    if changed:
        labels = list(dict.fromkeys(changed))
        listed = ", ".join(map(repr, labels[:5])) + (", …" if len(labels) > 5 else "")
        raise GateError(
            f"The head would change {len(labels)} labels that its edit must leave alone: {listed}. "
            "Nothing was published; make the edit again."
        )
    return Gate(n_features=len(features), n_untouched=len(untouched))


def _run(before: Head, after: Head, features: Floats) -> list[list[Floats]]:
    """Logits and probabilities of both heads in ONNX Runtime."""
    outputs = ["logits", "probabilities"]
    return [
        open_session(head.to_bytes()).run(outputs, {"features": features})
        for head in (before, after)
    ]


def _differing(
    tree: LabelTree, columns: list[int], values: list[npt.NDArray[np.int32]]
) -> list[str]:
    """Labels of the columns whose values differ; as integers, so to the bit, NaN included."""
    equal = (values[0] == values[1]).all(axis=0)
    return [tree[c].label for c, same in zip(columns, equal, strict=True) if not same]


def _changed_labels(before: Head, after: Head) -> list[str]:
    """Labels of both heads whose row differs, or whose split, if both have it split."""
    difference = diff_heads(before, after)
    return [*difference.changed, *(r.label for r in difference.resplit if r.before and r.after)]


def _made(dim: int) -> Floats:
    return np.random.default_rng(0).standard_normal((N_MADE, dim), np.float32)


def write_golden(golden: Floats, feature_space: str) -> bytes:
    """golden.npz: the first `MAX_GOLDEN` of `(clips, dim)` features."""
    buffer = io.BytesIO()
    np.savez(buffer, features=golden[:MAX_GOLDEN], feature_space=np.array(feature_space))
    return buffer.getvalue()


def read_golden(data: bytes, *, feature_space: str, dim: int) -> Floats:
    """The features of golden.npz, `(clips, dim)` float32.

    Raises:
        BundleError: the bytes are damaged, or hold features of another feature space or size.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            features: Floats = arrays["features"].astype(np.float32)
            mine = str(arrays["feature_space"])
    except Exception as error:  # numpy raises many kinds on a damaged file
        raise BundleError("golden.npz is damaged. Restore it from a copy.") from error
    if mine != feature_space or features.ndim != 2 or features.shape[1] != dim or not len(features):
        raise BundleError(
            f"golden.npz holds features {features.shape} of feature space {mine[:12]}, the bundle "
            f"has (clips, {dim}) of {feature_space[:12]}. Restore it from a copy."
        )
    return features
