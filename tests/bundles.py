"""What the tests of the bundle share."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgesplit.bundle.bundle import Bundle
from edgesplit.edits.edit import Edit
from edgesplit.edits.plan import Plan
from edgesplit.heads.head import Head
from edgesplit.heads.labels import Node

Snapshot = dict[str, bytes]


def split(bundle: Bundle, name: str = "pushing something") -> Edit:
    return bundle.split_class(
        name, into=["left", "right"], like="pulling something", accept_doubt=True
    )


def publish_split(bundle: Bundle) -> str:
    """The digest of the live head, in which a class is split now."""
    return bundle.publish(bundle.split_class("pushing", into=["left", "right"])).digest


def contents(folder: Path) -> Snapshot:
    """Every file but the lock, with its content."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def digests(bundle: Bundle) -> list[str]:
    return [version.digest for version in bundle.history()]


def log_lines(bundle: Bundle) -> list[str]:
    return (bundle.path / "log.jsonl").read_text().splitlines()


def head_file(bundle: Bundle, digest: str) -> Path:
    return bundle.path / "heads" / f"{digest}.onnx"


def split_by_hand(head: Head, **changes: Any) -> Head:
    """`head` with its class 4 split, published as if it came from elsewhere."""
    rows = np.ones((2, head.dim), np.float32)
    return Head(
        tree=head.tree.split(4, [Node("x"), Node("y")], composition="gated"),
        weight=changes.get("weight", np.concatenate([head.weight, rows])),
        bias=changes.get("bias", np.concatenate([head.bias, [0, 0]])),
        feature_space=changes.get("feature_space", head.feature_space),
        parent=head.digest,
    )


PLAN: Plan = {
    "pushing": ["left", "right"],
    "pushing something left": ["up", "down"],
    "holding": ["left", "right"],
}


def failing(code: int) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> Any:
        raise OSError(code, os.strerror(code))

    return fail
