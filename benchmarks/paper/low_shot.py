"""The paper's low-shot rule: only the new rows are trained, started from the zero-shot rows.

Cross-entropy over all classes, AdamW with the paper's constants (rate and decay 1e-3, cosine,
batches of 16, 100 epochs, dropout 0.25 before the head); flat, as in the paper. It uses no
unlabelled clips.
"""

from dataclasses import replace

import numpy as np

from edgesplit._types import Float32, Float64, Int64
from edgesplit.heads.head import Head

__all__ = ["train_rows"]

RATE, DECAY, EPOCHS, BATCH, DROPOUT = 1e-3, 1e-3, 100, 16, 0.25
BETAS = (0.9, 0.999)


def train_rows(split: Head, clips: Float32, owner: Int64, *, seed: int = 0) -> Head:
    """Return the head with the rows of its last, flat split trained.

    Args:
        split: the head after a flat zero-shot split.
        clips: features `(clips, dim)` of labelled clips.
        owner: `(clips,)`: index of each clip's subcategory in the split.
        seed: seed of the order of clips and of the dropout.
    """
    tree = split.tree
    parent = tree[len(tree) - 1].parent
    assert parent is not None
    assert tree[parent].composition == "flat"
    children = [*tree.children(parent)]
    kept = [column for column in tree.roots if column != parent]
    other = split.weight[kept].astype(np.float64), split.bias[kept].astype(np.float64)
    own = np.column_stack([split.weight[children], split.bias[children]]).astype(np.float64)
    own += np.append(split.weight[parent], split.bias[parent])  # the file's rows are relative
    trained = _adamw(own, other, clips.astype(np.float64), owner, np.random.default_rng(seed))
    trained -= np.append(split.weight[parent], split.bias[parent])
    weight, bias = split.weight.copy(), split.bias.copy()
    weight[children], bias[children] = trained[:, :-1], trained[:, -1]
    return replace(split, weight=weight, bias=bias)


def _adamw(
    rows: Float64,
    other: tuple[Float64, Float64],
    clips: Float64,
    owner: Int64,
    rng: np.random.Generator,
) -> Float64:
    """Return the trained rows `(children, dim + 1)`, the bias last."""
    rows, first, second, step = rows.copy(), np.zeros_like(rows), np.zeros_like(rows), 0
    n_steps = EPOCHS * -(-len(clips) // BATCH)
    for _ in range(EPOCHS):
        for batch in np.array_split(rng.permutation(len(clips)), -(-len(clips) // BATCH)):
            kept = rng.random((len(batch), clips.shape[1])) >= DROPOUT
            seen = np.column_stack([clips[batch] * kept / (1 - DROPOUT), np.ones(len(batch))])
            logits = np.column_stack([seen @ rows.T, seen[:, :-1] @ other[0].T + other[1]])
            shares = np.exp(logits - logits.max(axis=1, keepdims=True))
            shares /= shares.sum(axis=1, keepdims=True)
            apart = shares[:, : len(rows)] - np.eye(len(rows))[owner[batch]]
            slope = apart.T @ seen / len(batch)
            step += 1
            first = BETAS[0] * first + (1 - BETAS[0]) * slope
            second = BETAS[1] * second + (1 - BETAS[1]) * slope**2
            rate = RATE * (1 + np.cos(np.pi * step / n_steps)) / 2
            move = first / (1 - BETAS[0] ** step)
            move /= np.sqrt(second / (1 - BETAS[1] ** step)) + 1e-8
            rows -= rate * (move + DECAY * rows)
    return rows
