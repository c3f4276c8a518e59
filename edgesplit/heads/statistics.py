"""What unlabelled clips say about a feature space: class means, covariance, a sample."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgesplit._types import Float32, Int64
from edgesplit.errors import BundleError, TooFewClipsError
from edgesplit.heads.head import Head

__all__ = ["MAX_SAMPLE", "MIN_CLIPS", "Statistics", "spread"]

MAX_SAMPLE = 2048
"""Features that are kept one by one."""

MIN_CLIPS = 5
"""Clips of a class whose mean is better than none (docs/method.md has the curve)."""


@dataclass(frozen=True, slots=True, eq=False)
class Statistics:
    """Means and covariance of features, by the class that the head itself decides.

    No labels are needed: a feature counts for the root class that wins it.
    """

    labels: tuple[str, ...]
    """The root classes at the time, in column order; a root class never leaves its column."""
    means: Float32
    """`(classes, dim)`; zeros where no clip was decided for the class."""
    counts: Int64
    """`(classes,)`: clips decided for each class."""
    covariance: Float32
    """`(dim, dim)`: of the features around their class means, shared by all classes."""
    sample: Float32
    """`(clips, dim)`: some of the features, spread evenly; the gate's golden features, too."""
    decided: Int64
    """`(clips,)`: column of the root class that each feature of the sample was decided for."""
    feature_space: str

    @classmethod
    def from_features(cls, head: Head, features: npt.ArrayLike) -> Statistics:
        """Statistics of `(clips, dim)` features under `head`.

        Raises:
            ValueError: there is no feature, or its size does not fit the head.
            BundleError: features are so large that logits or the covariance overflow.
        """
        batch = np.asarray(features, np.float32)
        if batch.ndim != 2 or not len(batch):
            raise ValueError(f"features have shape {batch.shape}, want (clips, {head.dim})")
        n_classes = len(head.tree.roots)
        with np.errstate(all="ignore"):  # what overflows is refused below
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
                "Check the backbone, and export the model again."
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
        """`(clips, dim)`: the sample's features that were decided for a root class."""
        found: Float32 = self.sample[self.decided == column]
        return found

    def check_counts(self) -> None:
        """Whether every class has the clips that its mean wants.

        Raises:
            TooFewClipsError: some have not; how many are wanted and how many there are.
        """
        thin = {
            label: count
            for label, count in zip(self.labels, self.counts.tolist(), strict=True)
            if count < MIN_CLIPS
        }
        if thin:
            fewest = sorted(thin.items(), key=lambda item: item[1])[:5]
            listed = ", ".join(f"{label!r} {count}" for label, count in fewest)
            raise TooFewClipsError(
                f"{self.counts.sum()} clips are too few: {MIN_CLIPS} of each class are wanted, and "
                f"{len(thin)} of {len(self.labels)} classes have fewer ({listed}"
                f"{', …' if len(thin) > len(fewest) else ''}). Statistics are made only once: add "
                "clips of these, or accept with --accept-few that their splits are not centred."
            )

    def to_bytes(self) -> bytes:
        """The statistics as an npz file."""
        buffer = io.BytesIO()
        np.savez(
            buffer,
            labels=np.array(self.labels),
            means=self.means,
            counts=self.counts,
            covariance=self.covariance,
            sample=self.sample,
            decided=self.decided,
            feature_space=np.array(self.feature_space),
        )
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Statistics:
        """The inverse of `to_bytes`.

        Raises:
            BundleError: the bytes are not a statistics file.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                return cls(
                    labels=tuple(str(label) for label in arrays["labels"]),
                    means=arrays["means"].astype(np.float32),
                    counts=arrays["counts"].astype(np.int64),
                    covariance=arrays["covariance"].astype(np.float32),
                    sample=arrays["sample"].astype(np.float32),
                    decided=arrays["decided"].astype(np.int64),
                    feature_space=str(arrays["feature_space"]),
                )
        except Exception as error:  # numpy raises many kinds on a damaged file
            raise BundleError("stats.npz is damaged. Restore it from a copy.") from error


def spread(n: int, n_wanted: int) -> Int64:
    """At most so many of n places, evenly over all: clips are often sorted by class."""
    return np.arange(0, n, max(1, -(-n // n_wanted)))
