"""Identify the tail: the operation between a model's last linear layer and its output.

    rows [N, C] of the linear layer  ->  times a constant  ->  softmax or log-softmax  ->  output

A bundle's scores are the softmax of its head. They equal the model's scores only for the tails that
`find_tail` accepts; all others are refused. A tail is found by comparing values on clips, not by
reading the model's code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

__all__ = ["SAME", "Tail", "describe_difference", "find_tail", "relative_difference"]

_Logarithmic = Literal["softmax", "log-softmax"]

SAME = 1e-5
"""Largest difference of equal outputs. The same tensor gives 0; a mean may sum in another order."""

_TINY = float(np.finfo(np.float32).tiny)  # keeps 0 / 0 at 0
_FLOOR: dict[_Logarithmic, float] = {"softmax": -69.0, "log-softmax": -np.inf}
"""Smallest logarithms that are compared: float32 is imprecise for probabilities below 1e-30."""
_LOG_ROUNDING = 2e-6  # rounding of float32 probabilities near 1, whose logarithms are near 0


@dataclass(frozen=True, slots=True)
class Tail:
    """A constant factor, and optionally a function after it."""

    scale: float = 1.0
    """Positive factor, the same for all clips and classes."""

    function: Literal["", "softmax", "log-softmax"] = ""

    def difference(self, rows: Tensor, output: Tensor) -> float:
        """Return the difference of `output` from this tail of `rows`, relative to the largest.

        Softmax and log-softmax are compared by logarithms, relative to their range.

        Args:
            rows: `(N, C)` float32, output of the linear layer.
            output: `(N, C)` float32, output of the model.
        """
        if not self.function:
            return relative_difference(rows * self.scale, output)
        logs = _logarithms(output, self.function)
        wanted = (rows.double() * self.scale).log_softmax(1).clamp(min=_FLOOR[self.function])
        error = float((wanted - logs).abs().max())
        spread = float((logs.amax(1, keepdim=True) - logs).max())
        # The comparison is false for NaN, so NaN is returned.
        return 0.0 if error <= _LOG_ROUNDING else (error - _LOG_ROUNDING) / max(spread, _TINY)


def find_tail(rows: Tensor, output: Tensor) -> Tail | None:
    """Return the tail that turns the rows into the output to 1e-5, or None.

    Args:
        rows: `(N, C)` float32, output of the linear layer.
        output: `(N, C)` float32, output of the model.
    """
    tails = [Tail(), Tail(_fit_scale(rows, output))]
    for function in _FLOOR:
        logs = _logarithms(output, function)
        best = logs.argmax(1, keepdim=True)
        known = logs > _FLOOR[function]
        # The logarithms of a softmax differ from the logits by one number per clip.
        x, y = ((values - values.gather(1, best)) * known for values in (rows, logs))
        fitted = _fit_scale(x, y)
        if fitted > 0:  # NaN if only the best class is known, which determines no factor
            tails += [Tail(1.0, function), Tail(fitted, function)]
    for tail in tails:
        if tail.scale > 0 and tail.difference(rows, output) <= SAME:
            return tail
    return None


def describe_difference(rows: Tensor, output: Tensor) -> str:
    """Return the operation after the layer, as far as values determine it, for an error."""
    if bool(((output < 1e-30) & (output >= 0) | (output == 1)).all()):
        return "all scores of these clips are 0 or 1, which hides any factor: return the logits"
    odds = torch.logit(output)  # NaN where the output is no probability
    scale = _fit_scale(rows, odds)
    if scale > 0 and relative_difference(torch.sigmoid(rows * scale), output) <= SAME:
        return (
            "a sigmoid per class follows it, while a bundle's scores are a softmax over all classes"
        )
    for axes, meaning in (
        ((0, 1), "a constant that is not positive"),
        ((1,), "a different factor for each clip: something is normalised after the layer"),
        ((0,), "a different factor for each class"),
    ):
        products, squares = ((rows * other).sum(axes, keepdim=True) for other in (output, rows))
        factors = products / squares
        if relative_difference(rows * factors, output) <= SAME:
            of = f"by {float(factors[0, 0]):.3g}, " if len(axes) == 2 else "by "
            return f"it is multiplied {of}{meaning}"
    return "an operation follows it that edgesplit does not support"


def relative_difference(values: Tensor, reference: Tensor) -> float:
    """Return max |values - reference| / max |reference|; 0 when both are all zeros."""
    largest = float((values - reference).abs().max())
    return largest / max(float(reference.abs().max()), _TINY)


def _logarithms(output: Tensor, function: _Logarithmic) -> Tensor:
    """Return the float64 logarithms of probabilities; NaN where the output is negative."""
    logs = output.double()
    return logs.log().clamp(min=_FLOOR[function]) if function == "softmax" else logs


def _fit_scale(rows: Tensor, output: Tensor) -> float:
    """Return the factor `s` for which `s * rows` is nearest to the output; NaN without one.

    A shorter decimal that is almost as near is preferred: the last bits of sums differ between
    CPUs, and the factor becomes part of the head.
    """
    x, y = rows.double(), output.double()
    fitted = float((x * y).sum() / (x * x).sum())

    def error(scale: float) -> float:
        return float((x * scale - y).abs().max())

    decimals = (float(f"{fitted:.{digits}g}") for digits in range(1, 8))
    nearest = error(fitted)
    return next((one for one in decimals if error(one) <= 2 * nearest), fitted)
