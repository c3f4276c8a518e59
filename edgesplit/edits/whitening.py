"""Whitening: features of a class as points whose variance is equal in all directions.

With S the covariance of features around their class means and L its Cholesky factor, a feature x of
a class with the mean m becomes the point L^-1 (x - m). Distances between points are Mahalanobis
distances, and the best linear row for a Gaussian class is its mean point.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgesplit._types import Float64

__all__ = ["Whitening", "covariance_of", "distances"]

SHRINKAGE = 0.3
"""Share of the covariance that is made equal in all directions."""


class Whitening:
    """Transforms features to points, and rows for features to rows for points and back.

    A row v that scores features around the mean becomes L^T v; its scores do not change.
    """

    def __init__(self, mean: Float64, covariance: Float64) -> None:
        """Take the class's mean `(dim,)` and the covariance `(dim, dim)` within classes."""
        dim = len(covariance)
        level = _positive(float(np.trace(covariance)) / dim)
        shrunk = (1 - SHRINKAGE) * covariance + SHRINKAGE * level * np.eye(dim)
        self.mean = mean
        self._factor = np.linalg.cholesky(shrunk)
        self._inverse = np.linalg.inv(self._factor)

    def points(self, features: Float64) -> Float64:
        """Return the points `(clips, dim)` of features `(clips, dim)`."""
        return np.asarray((features - self.mean) @ self._inverse.T)

    def rows_for_points(self, rows: Float64) -> Float64:
        """Return rows `(n, dim)` for points, minus their mean, which distinguishes no rows."""
        return np.asarray((rows - rows.mean(axis=0)) @ self._factor)

    def rows_for_features(self, rows: Float64) -> Float64:
        """Return rows `(n, dim)` for features, from rows for points."""
        return np.asarray(rows @ self._inverse)


def covariance_of(clips: Sequence[Float64]) -> Float64:
    """Return a covariance `(dim, dim)`, equal in all directions, from a few labelled clips.

    It is the variance within subcategories, or, if that is 0 (one clip each, or equal clips), the
    variance of all clips.
    """
    dim, pooled = clips[0].shape[1], np.concatenate(clips)
    squares = sum(float(np.sum((part - part.mean(axis=0)) ** 2)) for part in clips)
    degrees = len(pooled) - len(clips)
    if not squares:
        squares = float(np.sum((pooled - pooled.mean(axis=0)) ** 2))
        degrees = max(1, len(pooled) - 1)
    return np.asarray(_positive(squares / (degrees * dim)) * np.eye(dim))


def distances(left: Float64, right: Float64) -> Float64:
    """Return squared distances `(n, m)` between points `(n, dim)` and `(m, dim)`, at least 0."""
    squares = np.sum(left**2, axis=1)[:, None] + np.sum(right**2, axis=1)
    return np.asarray(np.maximum(squares - 2 * left @ right.T, 0.0))


def _positive(variance: float) -> float:
    """Return a variance to divide by: 1 if nothing varies, so that features do not change."""
    return max(variance, 1e-12) if variance > 0 else 1.0
