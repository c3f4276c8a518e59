"""Read the authors' files, and derive missing ones.

    group_scheme.json     {"group_scheme": {coarse: [fine, …]}, "A": [coarse, …], "B": […]}
    A/labels.json         {label: index}: A's categories coarse, all others fine
    A/val.csv, train.csv  rows `video,index`, no header
    A/Bending something/  a folder per category of A, with rows alike:
        equivalent_set.csv    clips of its subcategories, for generality
        unrelated_set.csv     all other clips, for locality
        ft_set.csv            training clips of its subcategories

In the last three, indices beyond labels.json are the category's subcategories, in the scheme's
order. In SSv2 that is alphabetical; if another order was used, the other half's val.csv contradicts
it, which is an error.

Missing files of a category are derived: both halves list the same videos, and each half is fine
where the other is coarse. A clip with the label "Bending something" in A/val.csv has its fine label
in B/val.csv. This reproduces the given files of three SSv2-A categories row by row
(tests/test_ssv2_split.py). ft_set is derived from both train.csv files in the same way, but no
given file confirms it; without train.csv there are no shots.

In FineGym-A a text is both a coarse category and a fine label of another group, so one index means
both. When that category is split, no answer is right for clips of the fine label: they are in
neither set, but are counted.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

from edgesplit.edits.groups import Taxonomy
from edgesplit.errors import EdgesplitError, LabelError
from edgesplit.heads.label_text import check_label, differing_words

__all__ = ["Category", "Clip", "HalfName", "Layout", "LayoutError", "load_layout", "modifiers"]

HalfName = Literal["A", "B"]
Scheme = Mapping[str, tuple[str, ...]]
"""{coarse category: its fine labels}."""


class LayoutError(EdgesplitError):
    """The folder does not have the authors' layout, or a bundle does not belong to it."""


class Clip(NamedTuple):
    """A row of a CSV file."""

    video: str
    label: str


@dataclass(frozen=True)
class Category:
    """A coarse category to split, and the clips to score the split on."""

    name: str
    fine: tuple[str, ...]
    """Subcategories in the order of their indices; some may have no clip."""
    target: tuple[Clip, ...]
    """Clips of the subcategories (equivalent_set)."""
    other: tuple[Clip, ...]
    """All other clips (unrelated_set)."""
    shots: tuple[Clip, ...]
    """Training clips (ft_set); empty if the file is missing and cannot be derived."""
    derived: bool
    """True if target or other is derived."""
    n_ambiguous: int
    """Number of clips of a fine label of the same text, which are in neither set."""

    @property
    def modifiers(self) -> list[str]:
        """The modifiers of the subcategories; see `modifiers`."""
        return modifiers(self.fine)


@dataclass(frozen=True)
class Layout:
    """One half of a benchmark."""

    folder: Path
    half: HalfName
    labels: tuple[str, ...]
    """Classes of the base model, by index."""
    scheme: Scheme
    categories: tuple[Category, ...]

    @property
    def videos(self) -> tuple[str, ...]:
        """The names of all evaluation clips, each once, in order."""
        clips = (clip for c in self.categories for part in (c.target, c.other) for clip in part)
        return tuple(dict.fromkeys(clip.video for clip in clips))

    @cached_property
    def taxonomy(self) -> Taxonomy:
        """The authors' knowledge for a split: groups whose fine labels this half's model has.

        Their modifier files are not known; modifiers are the differences between a group's labels.
        """
        split = {category.name for category in self.categories}
        return {
            coarse: dict(zip(fine, modifiers(fine), strict=True))
            for coarse, fine in self.scheme.items()
            if coarse not in split and len(fine) > 1
        }


def modifiers(labels: Sequence[str]) -> list[str]:
    """Return the words in which labels differ, or the labels if the words do not distinguish them.

    For example, "Plugging something into something" adds no word to "Plugging something into
    something but pulling it right out".
    """
    try:
        found = [check_label(modifier) for modifier in differing_words(labels)]
    except LabelError:  # no word is left of one of them
        return list(labels)
    return found if len({text.casefold() for text in found}) == len(found) else list(labels)


def load_layout(folder: Path, half: HalfName) -> Layout:
    """Read one half of SSv2-Split or FineGym-Split.

    Raises:
        LayoutError: a file is missing and cannot be derived, is damaged, or contradicts another.
    """
    scheme, halves = _load_scheme(folder / "group_scheme.json")
    labels = _load_labels(folder / half / "labels.json", scheme, halves[half])
    twin: HalfName = "B" if half == "A" else "A"
    twin_labels = folder / twin / "labels.json"
    read = _Reader(
        folder / half,
        labels,
        folder / twin,
        _load_labels(twin_labels, scheme, halves[twin]) if twin_labels.is_file() else (),
    )
    categories = tuple(read.category(raw, name, scheme[name]) for raw, name in halves[half].items())
    return Layout(folder, half, labels, scheme, categories)


class _Reader:
    """Reads or derives the sets of one half's categories; every file is read once."""

    def __init__(
        self, folder: Path, labels: Sequence[str], twin: Path, twin_labels: Sequence[str]
    ) -> None:
        self.folder, self.labels = folder, labels
        self.twin, self.twin_labels = twin, twin_labels
        self._pairs: dict[str, list[tuple[Clip, str]]] = {}

    def category(self, folder: str, name: str, fine: tuple[str, ...]) -> Category:
        columns = [*self.labels, *fine]
        paths = {
            part: self.folder / folder / f"{part}_set.csv"
            for part in ("equivalent", "unrelated", "ft")
        }
        given = {part: _read_rows(p, columns) for part, p in paths.items() if p.is_file()}
        target, n_ambiguous = given.get("equivalent"), 0
        if target is None or self._can_pair("val.csv"):
            pairs = self._paired("val.csv", needed_for=paths["equivalent"])
            derived = _of_category(pairs, name, fine)
            n_ambiguous = sum(clip.label == name for clip, _ in pairs) - len(derived)
            target = derived if target is None else target
            _check_labels(paths["equivalent"], target, dict(derived))
        if "unrelated" not in given:
            pairs = self._paired("val.csv", needed_for=paths["unrelated"])
            given["unrelated"] = [clip for clip, _ in pairs]
        if "ft" not in given and self._can_pair("train.csv"):
            given["ft"] = _of_category(self._paired("train.csv", paths["ft"]), name, fine)
        stray = next((clip for clip in target if clip.label not in fine), None)
        if stray is not None:
            raise LayoutError(f"{paths['equivalent']} has {stray.video} as {stray.label!r}.")
        return Category(
            name=name,
            fine=fine,
            target=tuple(target),
            other=tuple(clip for clip in given["unrelated"] if clip.label != name),
            shots=tuple(given.get("ft", ())),
            derived=not (paths["equivalent"].is_file() and paths["unrelated"].is_file()),
            n_ambiguous=n_ambiguous,
        )

    def _can_pair(self, name: str) -> bool:
        files = (self.folder / name, self.twin / name)
        return bool(self.twin_labels) and all(file.is_file() for file in files)

    def _paired(self, name: str, needed_for: Path) -> list[tuple[Clip, str]]:
        """Return every clip of a file of this half, with its label in the other half."""
        if name not in self._pairs:
            twin = self.twin / name
            missing = [p for p in (self.folder / name, twin) if not p.is_file()]
            missing += [] if self.twin_labels else [self.twin / "labels.json"]
            if missing:
                raise LayoutError(
                    f"{needed_for} is missing, and so is {missing[0]}, which it could be derived "
                    "from. Copy one of them there."
                )
            labels = dict(_read_rows(twin, self.twin_labels))
            clips = _read_rows(self.folder / name, self.labels)
            unknown = next((clip.video for clip in clips if clip.video not in labels), None)
            if unknown is not None:
                raise LayoutError(
                    f"{self.folder / name} has {unknown}, {twin} has not: nothing can be derived "
                    "from files of different videos."
                )
            self._pairs[name] = [(clip, labels[clip.video]) for clip in clips]
        return self._pairs[name]


def _check_labels(path: Path, clips: Sequence[Clip], derived: Mapping[str, str]) -> None:
    """Raise LayoutError if a given set labels its clips differently from the halves."""
    for clip in clips:
        if derived.get(clip.video, clip.label) != clip.label:
            raise LayoutError(
                f"{path} has {clip.video} as {clip.label!r}, the other half's val.csv as "
                f"{derived[clip.video]!r}: the indices do not follow the group scheme's order."
            )


def _of_category(pairs: Sequence[tuple[Clip, str]], name: str, fine: Sequence[str]) -> list[Clip]:
    """Return the clips with the label `name` in one half, with their fine labels of the other."""
    known = set(fine)
    return [Clip(clip.video, at) for clip, at in pairs if clip.label == name and at in known]


def _load_scheme(path: Path) -> tuple[Scheme, dict[HalfName, dict[str, str]]]:
    """Return the scheme, and each half's categories by the name of their folder."""
    content = _load_json(path)
    try:
        scheme = {
            check_label(coarse): tuple(check_label(label) for label in fine)
            for coarse, fine in content["group_scheme"].items()
        }
        halves: dict[HalfName, dict[str, str]] = {
            "A": {coarse: check_label(coarse) for coarse in content["A"]},
            "B": {coarse: check_label(coarse) for coarse in content["B"]},
        }
    except (KeyError, TypeError, AttributeError, LabelError) as error:
        raise LayoutError(
            f'{path} is not a group scheme ({error!r}). It must have "group_scheme", "A" and "B".'
        ) from error
    unknown = [name for half in halves.values() for name in half.values() if name not in scheme]
    if unknown:
        raise LayoutError(f"{path} has no group {unknown[0]!r}, but splits it.")
    return scheme, halves


def _load_labels(path: Path, scheme: Scheme, split: Mapping[str, str]) -> tuple[str, ...]:
    """Return the labels by index; the scheme determines the labels, but not their order."""
    content = _load_json(path)
    try:
        by_index = {index: check_label(label) for label, index in content.items()}
    except (AttributeError, TypeError, LabelError) as error:
        raise LayoutError(f"{path} does not map labels to indices ({error}).") from error
    if sorted(by_index) != list(range(len(content))):
        raise LayoutError(f"{path}: the indices are not 0 to {len(content) - 1}, each once.")
    labels = tuple(by_index[index] for index in range(len(by_index)))
    coarse = set(split.values())
    # A set: in FineGym-A a text is both, and one label.
    expected = coarse | {label for c, fine in scheme.items() if c not in coarse for label in fine}
    odd = sorted(expected.symmetric_difference(labels))
    if odd:
        where = "the scheme" if odd[0] in expected else path.name
        raise LayoutError(
            f"{path} does not follow the group scheme: {len(odd)} labels are in one of them only, "
            f"such as {odd[0]!r} (in {where})."
        )
    return labels


def _load_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise LayoutError(
            f"{path} cannot be read ({error.strerror}). Give the folder SSv2-Split or "
            "FineGym-Split as its authors publish it."
        ) from error
    except ValueError as error:
        raise LayoutError(f"{path} is not JSON ({error}). Copy it again.") from error


def _read_rows(path: Path, labels: Sequence[str]) -> list[Clip]:
    """Return the clips of a CSV file, whose indices are places in `labels`."""
    clips = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, row in enumerate(csv.reader(file), start=1):
                if not row:
                    continue
                if len(row) != 2 or not row[1].isdecimal() or int(row[1]) >= len(labels):
                    raise LayoutError(
                        f"{path}, line {number}: {','.join(row)!r} is not a video and an index "
                        f"below {len(labels)}."
                    )
                clips.append(Clip(row[0], labels[int(row[1])]))
    except (OSError, ValueError, csv.Error) as error:
        raise LayoutError(f"{path} cannot be read ({error}). Copy it again.") from error
    return clips
