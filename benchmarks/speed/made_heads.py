"""Make heads of random rows with realistic labels, to measure the cost of size."""

import itertools

import numpy as np

from edgesplit.heads.head import Head
from edgesplit.heads.labels import LabelTree, Node

__all__ = ["INTO", "TARGET", "make_head", "make_labels"]

TARGET, INTO = "pushing something", ["left", "right"]
"""The class that edits split, and its subcategories."""

_ACTIONS = (
    "pulling",
    "moving",
    "sliding",
    "carrying",
    "throwing",
    "lifting",
    "rolling",
    "turning",
    "dropping",
    "folding",
)
_THINGS = ("something", "a box", "a cup", "a ball", "a book", "a chair", "a door", "a rope")
_MODIFIERS = ("left", "right", "up", "down", "slowly", "quickly")


def make_labels(n: int) -> list[str]:
    """Return groups of six while words last, then single classes; the last one is `TARGET`."""
    groups = (f"{a} {t} {m}" for a, t, m in itertools.product(_ACTIONS, _THINGS, _MODIFIERS))
    singles = (f"{number} times something else" for number in itertools.count())
    return [*itertools.islice(itertools.chain(groups, singles), n - 1), TARGET]


def make_head(n_classes: int, dim: int, *, n_splits: int = 0, depth: int = 1) -> Head:
    """Return a head of random rows with gated splits into two.

    The splits are in chains of `depth`, each below a separate root class. The root classes' rows
    are drawn first, so heads of one size share them whatever their splits are.
    """
    tree = LabelTree.from_labels(make_labels(n_classes))
    for split in range(n_splits):
        step = split % depth
        column = split // depth if step == 0 else len(tree) - 1
        children = [Node(f"{side} {split}", modifier=side) for side in INTO]
        tree = tree.split(column, children, composition="gated")
    rng = np.random.default_rng(0)
    return Head(
        tree=tree,
        weight=rng.standard_normal((len(tree), dim), np.float32) / np.float32(np.sqrt(dim)),
        bias=np.zeros(len(tree), np.float32),
        feature_space="f" * 64,
    )
