"""Measures of how two arrays of features or logits differ."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgesplit._types import Float32, Float64

__all__ = ["relative_difference", "row_cosines", "row_distances"]

_TINY = float(np.finfo(np.float32).tiny)
"""Smallest divisor, so that 0 / 0 is 0."""


def relative_difference(values: Float32, reference: Float32) -> float:
    """Return the largest difference of an element, divided by the reference's largest element.

    Both arrays have the same shape and are not empty. The result is NaN if a value is NaN.
    """
    largest = float(np.abs(reference).max())
    return float(np.abs(values - reference).max()) / max(largest, _TINY)


def row_cosines(rows: npt.ArrayLike, reference: npt.ArrayLike) -> Float64:
    """Return the cosine of each row of `(n, dim)` and its reference row; 0 for a row of zeros."""
    found, wanted = np.asarray(rows, np.float64), np.asarray(reference, np.float64)
    return np.asarray((found * wanted).sum(axis=1) / (_lengths(found) * _lengths(wanted)))


def row_distances(rows: npt.ArrayLike, reference: npt.ArrayLike) -> Float64:
    """Return the distance of each row from its reference row, divided by that row's length."""
    found, wanted = np.asarray(rows, np.float64), np.asarray(reference, np.float64)
    return np.asarray(np.linalg.norm(found - wanted, axis=1) / _lengths(wanted))


def _lengths(rows: Float64) -> Float64:
    return np.asarray(np.maximum(np.linalg.norm(rows, axis=1), _TINY))
