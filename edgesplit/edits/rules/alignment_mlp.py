"""The paper's alignment: a small network from texts to rows, trained on the head's knowledge.

As described in "Let's Split Up" (ICLR 2026): one hidden layer of 384 with GELU, mean squared error,
AdamW at 1e-3 with a cosine schedule, batches of 10, at most 100 epochs, with early stopping on a
moving average of the training cosine. It is written in numpy, so that a device needs no torch;
tests/edits/test_alignment_mlp.py compares every step with torch. Two details differ from the paper:
our encoder's embeddings have length 1 (the paper's are not normalised), and the seed is fixed.

Training is chaotic: CPUs that differ in one last bit may give visibly different rows. The closed
form in `alignment` is not chaotic.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from edgesplit._threads import single_threaded_blas
from edgesplit._types import Float64, Int64
from edgesplit.edits.rules.base import Transfer, TransferProblem, cosines
from edgesplit.errors import EditError

__all__ = ["AdamW", "EarlyStop", "Network", "alignment_mlp"]

HIDDEN, BATCH, EPOCHS = 384, 10, 100
RATE, DECAY = 1e-3, 0.01
EMA, PATIENCE, DELTA = 0.95, 5, 1e-3

_erf = np.frompyfunc(math.erf, 1, 1)


def alignment_mlp(problem: TransferProblem) -> Transfer:
    """Return rows v_s = g(modifier text of s), with a network g trained on texts and vectors.

    The pairs are (modifier text, modifier vector) of every known label, (label text, row) of every
    label, with or without a group, and (group name, group mean).

    Raises:
        EditError: the problem lacks the labels' rows.
    """
    labels, names, means = problem.labels, problem.group_names, problem.group_rows
    if labels is None or names is None or means is None:
        raise EditError("The rule alignment-mlp needs the rows of all labels. Use split_class.")
    pairs = (
        np.concatenate([problem.known.modifiers, labels.texts, names]),
        np.concatenate([problem.vectors, labels.rows, means]),
    )
    network = _trained(*(part.tobytes() for part in pairs), pairs[0].shape[1], pairs[1].shape[1])
    rows = network.forward(problem.wanted.modifiers)[0]
    return Transfer(
        rows=rows,
        # A network has no sources; the similarity to the known vectors takes their place.
        weights=np.maximum(_cosine(rows[:, None], problem.vectors[None]), 0),
        similarities=cosines(problem.wanted.centred, problem.known.centred),
    )


@lru_cache(maxsize=4)  # a head's pairs are the same for every class that is split
def _trained(texts: bytes, targets: bytes, dim_text: int, dim: int) -> Network:
    return train(
        np.frombuffer(texts).reshape(-1, dim_text), np.frombuffer(targets).reshape(-1, dim)
    )


@single_threaded_blas
def train(texts: Float64, targets: Float64) -> Network:
    """Train a network on pairs, `(n, text dim)` and `(n, dim)`."""
    rng = np.random.default_rng(0)
    network = Network.start(rng, texts.shape[1], targets.shape[1])
    optimizer, stop = AdamW(network.parameters), EarlyStop()
    for epoch in range(EPOCHS):
        rate = cosine_rate(epoch)
        similarities = []
        for batch in _batches(rng, len(texts)):
            outputs, gradients = network.gradients(texts[batch], targets[batch])
            similarities.append(_cosine(outputs, targets[batch]))
            optimizer.step(gradients, rate)
        if stop.after(float(np.mean(np.concatenate(similarities)))):
            break
    return network


def cosine_rate(epoch: int) -> float:
    """Return the learning rate of an epoch, counted from 0; it is 0 after the last epoch."""
    return 0.5 * RATE * (1 + math.cos(math.pi * epoch / EPOCHS))


def _batches(rng: np.random.Generator, n: int) -> Iterator[Int64]:
    order = rng.permutation(n)
    for start in range(0, n, BATCH):
        yield order[start : start + BATCH]


def _cosine(outputs: Float64, targets: Float64) -> Float64:
    lengths = np.linalg.norm(outputs, axis=-1) * np.linalg.norm(targets, axis=-1)
    return np.asarray((outputs * targets).sum(axis=-1) / np.maximum(lengths, 1e-8))


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """Linear, GELU, linear. The parameters are weight `(out, in)`, bias `(out,)`, weight, bias."""

    parameters: list[Float64]

    @classmethod
    def start(cls, rng: np.random.Generator, dim_text: int, dim: int) -> Network:
        """Return a network with torch's initial parameters: uniform within 1/sqrt(inputs)."""
        parameters: list[Float64] = []
        for n_in, n_out in ((dim_text, HIDDEN), (HIDDEN, dim)):
            bound = 1 / math.sqrt(n_in)
            parameters += [
                rng.uniform(-bound, bound, (n_out, n_in)),
                rng.uniform(-bound, bound, n_out),
            ]
        return cls(parameters)

    def forward(self, texts: Float64) -> tuple[Float64, Float64, Float64]:
        """Return outputs `(n, dim)`, the hidden values x, and P(x), where the GELU is x P(x)."""
        first, first_bias, second, second_bias = self.parameters
        inner = texts @ first.T + first_bias
        normal = _normal(inner)
        return (inner * normal) @ second.T + second_bias, inner, normal

    def gradients(self, texts: Float64, targets: Float64) -> tuple[Float64, list[Float64]]:
        """Return outputs, and the gradients of the mean squared error in the parameters' order."""
        outputs, inner, normal = self.forward(texts)
        error = 2 * (outputs - targets) / outputs.size
        density = np.exp(-0.5 * inner**2) / math.sqrt(2 * math.pi)
        back = (error @ self.parameters[2]) * (normal + inner * density)
        outer = error.T @ (inner * normal)
        return outputs, [back.T @ texts, back.sum(axis=0), outer, error.sum(axis=0)]


def _normal(values: Float64) -> Float64:
    """Return the normal distribution function P(x) of each value x."""
    return np.asarray(0.5 + 0.5 * np.asarray(_erf(values / math.sqrt(2)), np.float64))


@dataclass(slots=True, eq=False)
class AdamW:
    """Adam with decoupled weight decay; changes the parameters in place."""

    parameters: list[Float64]
    steps: int = 0
    first: list[Float64] = field(init=False)
    second: list[Float64] = field(init=False)
    scratch: list[Float64] = field(init=False)

    def __post_init__(self) -> None:
        self.first = [np.zeros_like(parameter) for parameter in self.parameters]
        self.second = [np.zeros_like(parameter) for parameter in self.parameters]
        self.scratch = [np.empty_like(parameter) for parameter in self.parameters]

    def step(self, gradients: list[Float64], rate: float) -> None:
        """Make one step with torch's constants; gradients are overwritten.

        All operations are in place: allocating arrays takes longer than the arithmetic.
        """
        self.steps += 1
        corrections = 1 - 0.9**self.steps, 1 - 0.999**self.steps
        moments = zip(
            self.parameters, gradients, self.first, self.second, self.scratch, strict=True
        )
        for parameter, gradient, first, second, scratch in moments:
            np.subtract(gradient, first, out=scratch)
            scratch *= 0.1
            first += scratch
            np.square(gradient, out=gradient)
            gradient -= second
            gradient *= 0.001
            second += gradient
            parameter *= 1 - rate * DECAY
            np.divide(second, corrections[1], out=scratch)
            np.sqrt(scratch, out=scratch)
            scratch += 1e-8
            np.multiply(first, rate, out=gradient)
            gradient /= corrections[0]
            gradient /= scratch
            parameter -= gradient


@dataclass(slots=True)
class EarlyStop:
    """Early stopping when a moving average has not grown for `PATIENCE` epochs."""

    average: float = math.nan
    best: float = -math.inf
    waited: int = 0

    def after(self, value: float) -> bool:
        """Return True to stop after an epoch with this value."""
        start = math.isnan(self.average)
        self.average = value if start else EMA * self.average + (1 - EMA) * value
        if self.average > self.best + DELTA:
            self.best, self.waited = self.average, 0
        else:
            self.waited += 1
        return self.waited >= PATIENCE
