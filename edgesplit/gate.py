"""The gate: a head goes live only if it leaves alone what its edit does not touch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgesplit.errors import GateError
from edgesplit.head import Head
from edgesplit.sessions import open_session

__all__ = ["Gate", "pass_gate"]

N_MADE = 64
"""Features made up for the gate when a bundle has no golden ones."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What was compared before a head went live."""

    n_features: int
    n_untouched: int
    """Root classes whose logits were compared, bit for bit."""


def pass_gate(before: Head, after: Head, golden: npt.NDArray[np.float32] | None) -> Gate:
    """Lets `after` pass if its untouched root logits equal those of `before` to the bit.

    Both heads run in ONNX Runtime on the golden features. A root class is touched when it is, or
    was, split flat: only then may its logit change.

    Raises:
        GateError: a root class is missing, new, moved, or has another row or logit.
    """
    old, new = before.tree, after.tree
    if [old[c].label for c in old.roots] != [new[c].label for c in new.roots]:
        raise GateError(
            "The head has other root classes than the live one; it is not an edit of it."
        )
    roots = len(old.roots)
    same = (before.weight[:roots] == after.weight[:roots]).all(axis=1)
    same &= before.bias[:roots] == after.bias[:roots]
    untouched = [
        column
        for column in old.roots
        if "flat" not in (old[column].composition, new[column].composition)
    ]
    features = _made(before.dim) if golden is None else golden
    logits = [
        open_session(head.to_bytes()).run(["logits"], {"features": features})[0][:, untouched]
        for head in (before, after)
    ]
    # Compared as integers: equal to the bit, and a NaN equals itself.
    equal = (logits[0].view(np.int32) == logits[1].view(np.int32)).all(axis=0)
    wrong = [c for c, kept in zip(untouched, equal, strict=True) if not kept or not same[c]]
    wrong += [c for c in old.roots if not same[c] and c not in wrong]
    if wrong:
        listed = ", ".join(repr(old[column].label) for column in wrong[:5])
        raise GateError(
            f"The head would change {len(wrong)} classes that its edit must leave alone: {listed}"
            f"{', …' if len(wrong) > 5 else ''}. Nothing was published; make the edit again."
        )
    return Gate(n_features=len(features), n_untouched=len(untouched))


def _made(dim: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((N_MADE, dim), np.float32)
