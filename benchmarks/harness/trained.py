"""A trained head in a file: weights, features of clips with true labels, and training records.

Rules can be tested on such files in minutes, without torch, clips or training.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from edgesplit._types import Float32, Int64
from edgesplit.heads.head import Head
from edgesplit.heads.statistics import Statistics

__all__ = ["Arrays", "TrainedHead", "name_space", "shuffled"]

Arrays = dict[str, npt.NDArray[Any]]


def name_space(name: str) -> str:
    """Return a digest in place of a feature space, because no backbone is exported."""
    return hashlib.sha256(name.encode()).hexdigest()


def shuffled(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the rows in a fixed random order, because clips are made class by class."""
    return rows[np.random.default_rng(0).permutation(len(rows))]


@dataclass(frozen=True)
class TrainedHead(ABC):
    """A file of weights and features; subclasses define its classes."""

    path: Path

    SPACE: ClassVar[str] = name_space("trained")

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.path.stem

    @cached_property
    def _arrays(self) -> Arrays:
        with np.load(self.path, allow_pickle=False) as arrays:
            return dict(arrays)

    @cached_property
    def about(self) -> dict[str, Any]:
        """The records of the training."""
        about: dict[str, Any] = json.loads(str(self._arrays["about"]))
        return about

    @cached_property
    def head(self) -> Head:
        """The trained linear head."""
        arrays = self._arrays
        return Head.from_arrays(
            arrays["weight"], arrays["bias"], arrays["labels"].tolist(), feature_space=self.SPACE
        )

    def _part(self, name: str) -> tuple[Float32, Int64]:
        features, fine = self._arrays[name], self._arrays[f"{name}_fine"]
        return features.astype(np.float32), fine.astype(np.int64)

    @cached_property
    def unlabelled(self) -> Float32:
        """Unlabelled features `(clips, dim)`, shuffled."""
        return shuffled(self._part("unlabelled")[0])

    def statistics(self, n_clips: int | None = None) -> Statistics:
        """Return statistics of `n_clips` unlabelled clips; by default of all."""
        return Statistics.from_features(self.head, self.unlabelled[:n_clips])

    @cached_property
    def heldout(self) -> tuple[Float32, Int64]:
        """Held-out features `(clips, dim)` and their fine classes."""
        return self._part("heldout")

    @property
    @abstractmethod
    def labelled(self) -> Mapping[str, Float32]:
        """Features by fine label, of the collapsed categories, without held-out clips."""

    @property
    @abstractmethod
    def categories(self) -> dict[str, dict[str, str]]:
        """{coarse: {fine label: modifier}} of the collapsed categories."""

    @abstractmethod
    def truth(self, *split: str) -> list[str]:
        """Return the label of every held-out clip after a split of these categories."""
