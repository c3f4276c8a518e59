"""Read and write heads trained on real motion, mostly like those of Motion-Split.

`trained/spar-sides-0.npz` is committed; `train` makes `trained/shrec-*` if the data exist.

    for model in find_trained("spar-sides"):
        split_class(model.head, "pendulum", into=model.categories["pendulum"],
                    statistics=model.statistics(), taxonomy=model.taxonomy("pendulum"))
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from benchmarks.harness.trained import TrainedHead, name_space, shuffled
from benchmarks.real.data import AXES, Groups
from edgesplit._types import Float32, Int64

__all__ = ["LATER", "PARTS", "TRAINED", "RealHead", "coarse_labels", "find_trained", "save_trained"]

TRAINED = Path(__file__).parent / "trained"
LATER = TRAINED / "later"
"""Heads that were trained after a procedure was chosen, to test it; none is committed."""
OTHER_AXIS = {"shrec-fingers": "shrec-direction", "shrec-direction": "shrec-fingers"}
"""The other axis of a data set's labels."""
PARTS = ("train", "heldout")


@dataclass(frozen=True)
class RealHead(TrainedHead):
    """A file that `train` wrote, named after data set, axis and seed.

    `unlabelled` and `labelled` are the same clips, those of the training subjects; the network was
    never trained with the fine labels of collapsed categories.
    """

    SPACE: ClassVar[str] = name_space("real motion")

    @property
    def axis(self) -> str:
        """The axis, one of `AXES`."""
        axis: str = self.about["axis"]
        return axis

    @property
    def groups(self) -> Groups:
        """All groups of the axis, collapsed or not."""
        groups: Groups = self.about["groups"]
        return groups

    @property
    def fine_labels(self) -> list[str]:
        """The labels of the fine classes of `train` and `heldout`."""
        labels: list[str] = self.about["fine_labels"]
        return labels

    @property
    def categories(self) -> dict[str, dict[str, str]]:
        """{coarse: {fine label: modifier}} of the collapsed categories."""
        return {coarse: dict(self.groups[coarse]) for coarse in self.about["collapsed"]}

    def taxonomy(self, coarse: str) -> dict[str, dict[str, str]]:
        """Return a person's knowledge for this split: the groups whose labels the head has.

        It is the same for every class of a head.
        """
        if coarse not in self.categories:
            raise KeyError(coarse)
        return {
            name: dict(fine) for name, fine in self.groups.items() if name not in self.categories
        }

    def other_taxonomy(self) -> Groups | None:
        """Return the groups of the data set's other axis; None if it has only one axis.

        None of them varies as the collapsed classes' subcategories do.
        """
        if self.axis not in OTHER_AXIS:
            return None
        name = self.name.replace(self.axis, OTHER_AXIS[self.axis])
        return RealHead(self.path.with_stem(name)).groups

    @cached_property
    def train(self) -> tuple[Float32, Int64]:
        """Features `(clips, dim)` of the training subjects' clips and their fine classes."""
        return self._part("train")

    @cached_property
    def unlabelled(self) -> Float32:
        """Features `(clips, dim)` of the training subjects' clips, shuffled."""
        return shuffled(self.train[0])

    @cached_property
    def labelled(self) -> dict[str, Float32]:
        """Features by fine label, of the collapsed categories, without held-out clips."""
        features, fine = self.train
        wanted = [label for group in self.categories.values() for label in group]
        return {label: features[fine == self.fine_labels.index(label)] for label in wanted}

    def subjects(self, part: str) -> Int64:
        """Return `(clips,)`: the subject of each clip of one of `PARTS`."""
        return self._arrays[f"{part}_subject"].astype(np.int64)

    def truth(self, *split: str) -> list[str]:
        """Return the label of every held-out clip after a split of these categories."""
        collapsed = [coarse for coarse in self.categories if coarse not in split]
        names = coarse_labels(self.fine_labels, self.groups, collapsed)
        return [names[index] for index in self.heldout[1]]


def coarse_labels(labels: list[str], groups: Groups, collapsed: list[str]) -> list[str]:
    """Return the head's label for each fine label."""
    coarse = {label: name for name in collapsed for label in groups[name]}
    return [coarse.get(label, label) for label in labels]


def find_trained(*axes: str, folder: Path = TRAINED) -> Iterator[RealHead]:
    """Yield all trained heads of these axes; by default of all axes."""
    for axis in axes or AXES:
        yield from map(RealHead, sorted(folder.glob(f"{axis}-*.npz")))


def save_trained(
    path: Path,
    head: tuple[Float32, Float32, list[str]],
    parts: Mapping[str, tuple[Float32, Int64, Int64]],
    about: dict[str, Any],
) -> None:
    """Write a file for `RealHead`.

    Args:
        path: the file.
        head: weight `(classes, dim)`, bias `(classes,)` and labels.
        parts: features `(clips, dim)`, fine classes and subjects `(clips,)` of each of `PARTS`.
        about: the records of the training.
    """
    arrays: dict[str, Any] = {"about": np.array(json.dumps(about))}
    arrays |= dict(zip(("weight", "bias", "labels"), map(np.asarray, head), strict=True))
    for name in PARTS:
        features, fine, subject = parts[name]
        arrays[name] = features.astype(np.float16)
        arrays[f"{name}_fine"] = fine.astype(np.uint8)
        arrays[f"{name}_subject"] = subject.astype(np.uint8)
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(path, **arrays)
