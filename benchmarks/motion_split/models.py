"""Read and write trained backbones: a head, and features of clips with their true labels.

A file in `TRAINED` holds both, so that rules can be tested in minutes, without torch, videos or
training. Features are rounded to float16, which does not change the figures of the tables.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from benchmarks.harness.trained import TrainedHead, name_space
from benchmarks.motion_split.classes import (
    DEV_SEEDS,
    FINE_CLASSES,
    Half,
    head_label,
    taxonomy,
)
from edgesplit._types import Float32, Int64

TRAINED = Path(__file__).parent / "trained"
PARTS = ("heldout", "unlabelled", "labelled")


@dataclass(frozen=True)
class Trained(TrainedHead):
    """A file that `backbones` wrote, named after its family, half and seed."""

    SPACE: ClassVar[str] = name_space("motion split")

    @property
    def half(self) -> Half:
        """The half whose categories are collapsed."""
        half: Half = self.about["half"]
        return half

    @property
    def seeds(self) -> str:
        """The kind of seed: `dev` or `test`."""
        return "dev" if self.about["seed"] in DEV_SEEDS else "test"

    @cached_property
    def labelled(self) -> dict[str, Float32]:
        """Features by fine label, of the collapsed categories, not in the other two parts."""
        features, fine = self._part("labelled")
        return {FINE_CLASSES[index].label: features[fine == index] for index in np.unique(fine)}

    @property
    def categories(self) -> dict[str, dict[str, str]]:
        """{coarse: {fine label: modifier}} of the collapsed categories."""
        return {coarse: dict(fine) for coarse, fine in taxonomy(self.half).items()}

    def truth(self, *split: str) -> list[str]:
        """Return the label of every held-out clip after a split of these categories."""
        classes = (FINE_CLASSES[index] for index in self.heldout[1])
        return [c.label if c.coarse in split else head_label(c, self.half) for c in classes]


def find_trained(paths: tuple[Path, ...] = ()) -> Iterator[Trained]:
    """Yield the named files; by default all files in `TRAINED`."""
    yield from map(Trained, paths or sorted(TRAINED.glob("*.npz")))


def save_trained(
    path: Path,
    head: tuple[Float32, Float32, list[str]],
    parts: dict[str, tuple[Float32, Int64]],
    about: dict[str, Any],
) -> None:
    """Write a file for `Trained`: weight, bias and labels, `PARTS`, and the training's records."""
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
