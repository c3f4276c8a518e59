"""Statistics of unlabelled clips in a feature space: class means, covariance and a sample."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from edgesplit._data import load_arrays, save_arrays
from edgesplit._types import Float32, Int64
from edgesplit.errors import BundleError, TooFewClipsError
from edgesplit.heads.head import Head
from edgesplit.limits import STATISTICS_BYTES

__all__ = ["MAX_SAMPLE", "MIN_CLASS_CLIPS", "Statistics", "spread"]

MAX_SAMPLE = 2048
"""Maximum number of features in the sample."""

MIN_CLASS_CLIPS = 5
"""Minimum clips of a class for a mean that is better than none (curve in docs/method.md)."""


@dataclass(frozen=True, slots=True, eq=False)
class Statistics:
    """Means and covariance of features, by the class that the head decides.

    No labels are needed: a feature counts for the root class that the head decides.
    """

    labels: tuple[str, ...]
    """Root classes at that time, in column order; a root class never changes its column."""
    means: Float32
    """`(classes, dim)`: mean feature of each class; zeros for a class without clips."""
    counts: Int64
    """`(classes,)`: number of clips decided for each class."""
    covariance: Float32
    """`(dim, dim)`: covariance of the features around their class means, shared by all classes."""
    sample: Float32
    """`(clips, dim)`: some of the features, spread evenly; also the gate's golden features."""
    decided: Int64
    """`(clips,)`: column of the root class decided for each feature of the sample."""
    feature_space: str

    @classmethod
    def from_features(cls, head: Head, features: npt.ArrayLike) -> Statistics:
        """Return the statistics of `(clips, dim)` features under `head`.

        Raises:
            ValueError: there is no feature, or its size does not fit the head.
            BundleError: features are so large that logits or the covariance overflow.
        """
        batch = np.asarray(features, np.float32)
        if batch.ndim != 2 or not len(batch):
            raise ValueError(
                f"features have shape {batch.shape}, the head needs (clips, {head.dim})"
            )
        n_classes = len(head.tree.roots)
        with np.errstate(all="ignore"):  # an overflow is refused below
            result = head.evaluate(batch)
        decided = result.class_index
        owner = np.array([head.tree.path(int(column))[0] for column in decided], np.int64)
        counts = np.bincount(owner, minlength=n_classes)
        sums = np.zeros((n_classes, head.dim))
        np.add.at(sums, owner, batch)
        means = sums / np.maximum(counts, 1)[:, None]
        around = batch - means[owner]
        degrees = max(1, len(batch) - int((counts > 0).sum()))
        with np.errstate(over="ignore"):
            covariance = (around.T @ around / degrees).astype(np.float32)
        if not (np.isfinite(result.logits).all() and np.isfinite(covariance).all()):
            raise BundleError(
                f"The features are too large for statistics: up to {np.abs(batch).max():.2g}. "
                "Check the backbone and export the model again."
            )
        kept = spread(len(batch), MAX_SAMPLE)
        return cls(
            labels=tuple(head.tree[column].label for column in head.tree.roots),
            means=means.astype(np.float32),
            counts=counts.astype(np.int64),
            covariance=covariance,
            sample=batch[kept],
            decided=owner[kept],
            feature_space=head.feature_space,
        )

    def of_class(self, column: int) -> Float32:
        """Return the sample's features `(clips, dim)` of the root class at `column`."""
        found: Float32 = self.sample[self.decided == column]
        return found

    def describe_few(self) -> str:
        """Return which classes have fewer than MIN_CLASS_CLIPS clips; empty if none has."""
        few = {
            label: count
            for label, count in zip(self.labels, self.counts.tolist(), strict=True)
            if count < MIN_CLASS_CLIPS
        }
        if not few:
            return ""
        fewest = sorted(few.items(), key=lambda item: item[1])[:5]
        listed = ", ".join(f"{label!r} {count}" for label, count in fewest)
        return (
            f"{len(few)} of {len(self.labels)} classes have fewer than {MIN_CLASS_CLIPS} clips "
            f"({listed}{', …' if len(few) > len(fewest) else ''})"
        )

    def check_counts(self) -> None:
        """Raise TooFewClipsError if a class has fewer than MIN_CLASS_CLIPS clips."""
        if few := self.describe_few():
            raise TooFewClipsError(
                f"{self.counts.sum()} clips are too few: {few}. Statistics can be added only once: "
                "add clips of these classes, or use --accept-few; splits of these classes are then "
                "not centred."
            )

    def to_bytes(self) -> bytes:
        """Return the statistics as an npz file."""
        return save_arrays(**{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def from_bytes(cls, data: bytes) -> Statistics:
        """Return the statistics that `to_bytes` wrote.

        Raises:
            BundleError: the bytes are not a statistics file.
        """
        try:
            arrays = load_arrays(
                data, *(field.name for field in fields(cls)), limit=STATISTICS_BYTES
            )
            statistics = cls(
                labels=tuple(map(str, arrays["labels"])),
                means=arrays["means"].astype(np.float32),
                counts=arrays["counts"].astype(np.int64),
                covariance=arrays["covariance"].astype(np.float32),
                sample=arrays["sample"].astype(np.float32),
                decided=arrays["decided"].astype(np.int64),
                feature_space=str(arrays["feature_space"]),
            )
            statistics._check()
            return statistics
        except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
            raise BundleError(f"stats.npz is damaged ({error}). Restore it from a copy.") from error

    def _check(self) -> None:
        """Raise ValueError unless the arrays fit each other, as those of `from_features` do."""
        n_classes, dim, n_clips = len(self.labels), self.means.shape[-1], len(self.sample)
        shapes = {
            "means": (n_classes, dim),
            "counts": (n_classes,),
            "covariance": (dim, dim),
            "sample": (n_clips, dim),
            "decided": (n_clips,),
        }
        for name, wanted in shapes.items():
            array = getattr(self, name)
            if array.shape != wanted:
                raise ValueError(f"{name} has shape {array.shape}, want {wanted}")
            if not np.isfinite(array).all():
                raise ValueError(f"{name} has a value that is not finite")
        if not 0 < n_clips <= MAX_SAMPLE or self.counts.min() < 0:
            raise ValueError(f"a sample of {n_clips} clips, counts from {self.counts.min()}")
        if self.decided.min() < 0 or self.decided.max() >= n_classes:
            raise ValueError("a clip was decided for a class that does not exist")
        if n_clips != min(MAX_SAMPLE, self.counts.sum()):
            raise ValueError(f"a sample of {n_clips} clips of {self.counts.sum()}")
        if (np.bincount(self.decided, minlength=n_classes) > self.counts).any():
            raise ValueError("the sample has more clips of a class than were counted")
        covariance = self.covariance
        if not np.allclose(
            covariance, covariance.T, rtol=1e-3, atol=1e-6 * np.abs(covariance).max()
        ):
            raise ValueError("covariance is not symmetric")
        if np.diagonal(covariance).min() < 0:
            raise ValueError("covariance has a negative variance")


def spread(n: int, n_wanted: int) -> Int64:
    """Return at most `n_wanted` of n indices, spread evenly: clips are often sorted by class."""
    n_wanted = min(n, n_wanted)
    return np.arange(n_wanted) * n // max(n_wanted, 1)
