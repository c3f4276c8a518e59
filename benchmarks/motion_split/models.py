"""Trained backbones as the grid sees them: a head, statistics, held-out features with truth."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.motion_split.classes import (
    DEV_SEEDS,
    FINE_CLASSES,
    Half,
    head_label,
    taxonomy,
)
from benchmarks.motion_split.data import CACHE
from edgesplit.head import Head
from edgesplit.stats import Statistics

SPACE = "motion split"
"""Stands for a feature space; nothing here is exported."""


@dataclass(frozen=True)
class Trained:
    """A folder that `train` and `features` filled."""

    directory: Path

    @cached_property
    def about(self) -> dict[str, Any]:
        """What `train` recorded."""
        about: dict[str, Any] = json.loads((self.directory / "train.json").read_text())
        return {"family": "cnn", **about}

    @property
    def half(self) -> Half:
        """Whose categories are collapsed."""
        half: Half = self.about["half"]
        return half

    @property
    def seeds(self) -> str:
        """`dev` or `test`."""
        return "dev" if self.about["seed"] in DEV_SEEDS else "test"

    @cached_property
    def head(self) -> Head:
        """The trained linear head."""
        import torch

        weights = torch.load(self.directory / "checkpoint.pt", weights_only=True)
        labels = json.loads((self.directory / "labels.json").read_text())
        rows = (weights["head.weight"], weights["head.bias"])
        return Head.from_arrays(*rows, labels, feature_space=SPACE)

    @cached_property
    def unlabelled(self) -> npt.NDArray[np.float32]:
        """`(clips, dim)`, shuffled: the clips were made class by class."""
        with np.load(self.directory / "unlabelled.npz") as arrays:
            features: npt.NDArray[np.float32] = arrays["features"]
        return features[np.random.default_rng(0).permutation(len(features))]

    def statistics(self, n_clips: int | None = None) -> Statistics:
        """Of so many unlabelled clips; of all by default."""
        return Statistics.from_features(self.head, self.unlabelled[:n_clips])

    @cached_property
    def heldout(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Features and indices of their fine classes."""
        with np.load(self.directory / "heldout.npz") as arrays:
            return arrays["features"], arrays["fine"]

    @property
    def categories(self) -> dict[str, dict[str, str]]:
        """{coarse: {fine label: modifier}} of the collapsed ones."""
        return {coarse: dict(fine) for coarse, fine in taxonomy(self.half).items()}

    def truth(self, *split: str) -> list[str]:
        """Label of every held-out clip when these categories are split."""
        classes = (FINE_CLASSES[index] for index in self.heldout[1])
        return [c.label if c.coarse in split else head_label(c, self.half) for c in classes]


def find_trained(directories: tuple[Path, ...] = ()) -> Iterator[Trained]:
    """The named folders; else all complete ones in the cache."""
    folders = directories or sorted(CACHE.glob("*-?-*"))
    for directory in folders:
        if (directory / "unlabelled.npz").exists():
            yield Trained(directory)
