"""Figures that several benchmarks report."""

import numpy as np

from edgesplit._types import Float64

__all__ = ["interval", "rank_correlation"]

N_RESAMPLES = 10_000


def interval(differences: Float64) -> tuple[float, float, float]:
    """Return the mean and the 95 % bootstrap interval over categories."""
    rng = np.random.default_rng(0)
    means = rng.choice(differences, (N_RESAMPLES, len(differences))).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(differences.mean()), float(low), float(high)


def rank_correlation(left: Float64, right: Float64) -> float:
    """Return Spearman's rank correlation; ties, which are rare, are not averaged."""
    ranks = np.stack([np.argsort(np.argsort(values)) for values in (left, right)])
    matrix = np.atleast_2d(np.corrcoef(ranks))
    return float(matrix[0, 1])
