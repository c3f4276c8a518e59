"""Trained backbones as the benchmark sees them: a head, and features of clips with their truth.

A file of `TRAINED` holds all of it, so that rules are tried in minutes, without torch, videos or
training. Features are rounded to float16, which moves no figure of the tables.
"""

import hashlib
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
from edgesplit._types import Float32, Int64
from edgesplit.heads.head import Head
from edgesplit.heads.statistics import Statistics

TRAINED = Path(__file__).parent / "trained"
PARTS = ("heldout", "unlabelled", "labelled")
SPACE = hashlib.sha256(b"motion split").hexdigest()
"""Stands for a feature space; nothing here is exported."""


@dataclass(frozen=True)
class Trained:
    """A file that `backbones` wrote."""

    path: Path

    @property
    def name(self) -> str:
        """Family, half and seed."""
        return self.path.stem

    @cached_property
    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        with np.load(self.path, allow_pickle=False) as arrays:
            return dict(arrays)

    @cached_property
    def about(self) -> dict[str, Any]:
        """What `train` recorded."""
        about: dict[str, Any] = json.loads(str(self._arrays["about"]))
        return about

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
        arrays = self._arrays
        return Head.from_arrays(
            arrays["weight"], arrays["bias"], arrays["labels"].tolist(), feature_space=SPACE
        )

    def _part(self, name: str) -> tuple[Float32, Int64]:
        features, fine = self._arrays[name], self._arrays[f"{name}_fine"]
        return features.astype(np.float32), fine.astype(np.int64)

    @cached_property
    def unlabelled(self) -> Float32:
        """`(clips, dim)`, shuffled: the clips were made class by class."""
        features, _ = self._part("unlabelled")
        return features[np.random.default_rng(0).permutation(len(features))]

    def statistics(self, n_clips: int | None = None) -> Statistics:
        """Of so many unlabelled clips; of all by default."""
        return Statistics.from_features(self.head, self.unlabelled[:n_clips])

    @cached_property
    def heldout(self) -> tuple[Float32, Int64]:
        """Features `(clips, dim)` and their fine classes."""
        return self._part("heldout")

    @cached_property
    def labelled(self) -> dict[str, Float32]:
        """Features by fine label, of the collapsed categories; neither unlabelled nor held out."""
        features, fine = self._part("labelled")
        return {FINE_CLASSES[index].label: features[fine == index] for index in np.unique(fine)}

    @property
    def categories(self) -> dict[str, dict[str, str]]:
        """{coarse: {fine label: modifier}} of the collapsed ones."""
        return {coarse: dict(fine) for coarse, fine in taxonomy(self.half).items()}

    def truth(self, *split: str) -> list[str]:
        """Label of every held-out clip when these categories are split."""
        classes = (FINE_CLASSES[index] for index in self.heldout[1])
        return [c.label if c.coarse in split else head_label(c, self.half) for c in classes]


def find_trained(paths: tuple[Path, ...] = ()) -> Iterator[Trained]:
    """The named files; else all that are there."""
    yield from map(Trained, paths or sorted(TRAINED.glob("*.npz")))


def save_trained(
    path: Path,
    head: tuple[Float32, Float32, list[str]],
    parts: dict[str, tuple[Float32, Int64]],
    about: dict[str, Any],
) -> None:
    """Writes a file for `Trained`: weight, bias and labels, `PARTS`, and what `train` recorded."""
    arrays: dict[str, Any] = {"about": np.array(json.dumps(about))}
    arrays |= dict(zip(("weight", "bias", "labels"), map(np.asarray, head), strict=True))
    for name in PARTS:
        features, fine = parts[name]
        if name == "labelled":
            collapsed = np.array([FINE_CLASSES[index].half == about["half"] for index in fine])
            features, fine = features[collapsed], fine[collapsed]
        arrays |= {name: features.astype(np.float16), f"{name}_fine": fine.astype(np.uint8)}
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(path, **arrays)
