"""Split every category of a half, one at a time, and score it on cached features.

Locality is the paper's: over unrelated_set, correct after the split / correct before it with the
coarse class masked. The locality without the mask is given beside it
(`edgesplit.heads.metrics.Score`). Generality is over a category's clips, then the mean over
categories.

The evaluation clips are only used for scoring. Statistics are the bundle's own, if it has any.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.paper.baselines import BASELINES, find_rule
from benchmarks.ssv2_split.layout import Category, Clip, Layout, LayoutError
from edgesplit._types import Float32
from edgesplit.backbone.features import Features
from edgesplit.bundle.bundle import Bundle
from edgesplit.edits.groups import Taxonomy
from edgesplit.edits.rules import DEFAULT_RULE, RULES
from edgesplit.edits.split import split_class
from edgesplit.edits.text_encoder import TextEncoder
from edgesplit.errors import EditError, LabelError
from edgesplit.heads.head import Head
from edgesplit.heads.label_text import words
from edgesplit.heads.labels import COMPOSITIONS, Composition
from edgesplit.heads.metrics import Score, score_split
from edgesplit.heads.statistics import Statistics

__all__ = ["DEFAULT_WAYS", "Row", "Splitter", "Way", "draw_shots", "head_of", "readable"]

PAPERS = ("alignment-mlp", "retrieval")
NO_SHOTS = -1
"""Seed of a split without drawn clips."""


@dataclass(frozen=True)
class Way:
    """A way to split a category: rule and composition."""

    rule: str
    composition: Composition

    @classmethod
    def from_text(cls, text: str) -> Way:
        """Parse RULE or RULE:COMPOSITION; by default the paper's rules are flat.

        Raises:
            ValueError: the rule or composition is unknown.
        """
        rule, _, wanted = text.partition(":")
        known = (*RULES, *BASELINES)
        if rule not in known:
            raise ValueError(f"{rule!r} is not a rule; give one of {', '.join(known)}")
        wanted = wanted or ("flat" if rule in PAPERS else "gated")
        for composition in COMPOSITIONS:
            if composition == wanted:
                return cls(rule, composition)
        raise ValueError(f"{wanted!r} is not a composition; give one of {', '.join(COMPOSITIONS)}")

    def __str__(self) -> str:
        return f"{self.rule} {self.composition}"


DEFAULT_WAYS = (Way("retrieval", "flat"), Way("alignment-mlp", "flat"), Way(DEFAULT_RULE, "gated"))
"""The two rules of the paper, and the default edit."""


@dataclass(frozen=True)
class Row:
    """The result of one category, split in one way."""

    way: str
    category: str
    n_subcategories: int
    n_shots: int
    """Labelled clips of each subcategory; 0 is zero-shot."""
    seed: int
    """Seed of the labelled clips; -1 without."""
    score: Score | None
    refused: str = ""
    """Reason why there is no score; empty with a score."""

    def to_json(self) -> dict[str, Any]:
        """Return a flat JSON object."""
        own = {name: getattr(self, name) for name in ("way", "category", "n_subcategories")}
        own |= {"n_shots": self.n_shots, "seed": None if self.seed == NO_SHOTS else self.seed}
        return own | (self.score.to_json() if self.score else {"refused": self.refused})


def head_of(bundle: Bundle, layout: Layout) -> Head:
    """Return the live head, with the layout's labels.

    Labels are compared column by column, without case, brackets and punctuation, because SSv2 also
    exists with "[something]".

    Raises:
        LayoutError: the labels differ, or a class is split already.
    """
    head = bundle.head()
    where = f"{bundle.path}'s head"
    if len(head.tree) != len(head.tree.roots):
        raise LayoutError(f"{where} has splits. Roll it back to the head that was exported.")
    found = [node.label for node in head.tree]
    if len(found) != len(layout.labels):
        raise LayoutError(
            f"{where} has {len(found)} labels, {layout.folder / layout.half / 'labels.json'} has "
            f"{len(layout.labels)}. {_first_differences(found, layout.labels)}"
        )
    if list(map(words, found)) != list(map(words, layout.labels)):
        raise LayoutError(
            f"{where} does not have the labels of {layout.folder / layout.half / 'labels.json'} in "
            f"their order. {_first_differences(found, layout.labels)}"
        )
    return Head.from_arrays(head.weight, head.bias, layout.labels, feature_space=head.feature_space)


def _first_differences(found: Sequence[str], wanted: Sequence[str]) -> str:
    differing = [
        f"{i}: {a!r}, want {b!r}"
        for i, (a, b) in enumerate(zip(found, wanted, strict=False))
        if words(a) != words(b)
    ]
    first = "; ".join(differing[:3]) or "All that both have are the same"
    return f"{first}. Export the model with the labels of labels.json, or try the other --half."


def readable(clips: Sequence[Clip], features: Features) -> tuple[Float32, list[str]]:
    """Return features `(clips, dim)` and true labels of the clips whose video could be read."""
    there = [clip for clip in clips if clip.video in features.places]
    return features.pick(clip.video for clip in there), [clip.label for clip in there]


def draw_shots(category: Category, n_shots: int, seed: int) -> list[Clip]:
    """Draw up to `n_shots` clips of each subcategory from ft_set."""
    rng = np.random.default_rng(seed)
    drawn = []
    for label in category.fine:
        pool = [clip for clip in category.shots if clip.label == label]
        drawn += [pool[place] for place in rng.permutation(len(pool))[:n_shots]]
    return drawn


@dataclass(frozen=True)
class Splitter:
    """Splits and scores categories; holds the data of all splits."""

    head: Head
    features: Features
    encoder: TextEncoder
    statistics: Statistics | None
    """Statistics of the bundle, for gated splits; flat splits, as in the paper, do not use them."""
    taxonomy: Taxonomy | None
    """Taxonomy; None induces the groups from the head's labels."""

    def row(self, category: Category, way: Way, n_shots: int = 0, seed: int = NO_SHOTS) -> Row:
        """Split and score a category. Doubts are ignored; `refused` holds the reason of a failure.

        With shots, all of a way's rows start from its zero-shot rows and are fitted as in
        `edgesplit edit --shots`, which is not the paper's training.
        """
        row = Row(str(way), category.name, len(category.fine), n_shots, seed, None)
        shots = self._shots(category, n_shots, seed) if n_shots else None
        if shots is not None and not any(map(len, shots.values())):
            return replace(row, refused="no clip of ft_set can be read")
        try:
            edit = split_class(
                self.head,
                category.name,
                into=dict(zip(category.fine, category.modifiers, strict=True)),
                rule=find_rule(way.rule),
                composition=way.composition,
                statistics=self.statistics if way.composition == "gated" else None,
                taxonomy=self.taxonomy,
                shots=shots,
                accept_doubt=True,
                encoder=self.encoder,
            )
        except (EditError, LabelError) as error:
            return replace(row, refused=str(error))
        if edit.report.rule != way.rule:
            return replace(row, refused=f"{edit.report.rule} would stand in for {way.rule}")
        clips = readable((*category.target, *category.other), self.features)
        return replace(row, score=score_split(self.head, edit.head, category.name, *clips))

    def rows(
        self, category: Category, ways: Sequence[Way], n_shots: int, n_seeds: int
    ) -> Iterator[Row]:
        """Yield all ways for one category: without shots, and with the shots of every seed."""
        for way in ways:
            yield self.row(category, way)
            if n_shots:
                for seed in range(n_seeds):
                    yield self.row(category, way, n_shots, seed)

    def _shots(self, category: Category, n_shots: int, seed: int) -> dict[str, Float32]:
        features, labels = readable(draw_shots(category, n_shots, seed), self.features)
        names = np.array(labels, dtype=object)
        return {label: features[names == label] for label in category.fine}
