"""Measure how the default split depends on texts, by changing one condition at a time.

    python -m benchmarks.motion_split.conditions [--float32 FOLDER]

Conditions: groups from a taxonomy instead of the labels; other text encoders; labels of the head
that are misspelt, or exchanged with one another; subcategories in other words. Every category of
every trained backbone is split; differences are over categories, with 95 % bootstrap intervals.
Doubts are counted, but do not stop a split. `--float32` adds the packaged encoder's original, a
local Hugging Face folder of all-MiniLM-L6-v2. Writes benchmarks/results/conditions.json.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.harness.figures import interval
from benchmarks.harness.results import write_result
from benchmarks.motion_split.classes import FINE_LABELS, taxonomy
from benchmarks.motion_split.models import Trained, find_trained
from benchmarks.motion_split.wordings import KINDS, misspell, with_labels, wordings
from edgesplit._types import Float32, Float64
from edgesplit.edits.edit import Edit
from edgesplit.edits.split import split_class
from edgesplit.edits.text_encoder import TextEncoder
from edgesplit.heads.head import Head
from edgesplit.heads.label_text import words
from edgesplit.heads.labels import LabelTree
from edgesplit.heads.metrics import score_split
from edgesplit.heads.statistics import Statistics

AS_IT_IS = "as it is"
DIM = 384

Splits = Callable[[Trained, Head, str, dict[str, str], Statistics], Iterator[Edit]]


class Made(TextEncoder):
    """An encoder without meaning: a text is the sum of random vectors of its parts."""

    def __init__(self, parts: Callable[[str], Sequence[str]]) -> None:
        super().__init__(Path(), digest="", dim=DIM, max_tokens=128)
        self.parts = parts

    def encode(self, texts: Sequence[str]) -> Float32:
        """Return the embeddings `(len(texts), DIM)`, float32 rows of length 1."""
        rows = np.array([np.sum([_vector(part) for part in self.parts(text)], 0) for text in texts])
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


class Reference(TextEncoder):
    """A Hugging Face encoder in torch and float32."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, digest="", dim=DIM, max_tokens=128)
        self.known: dict[str, Float32] = {}

    def encode(self, texts: Sequence[str]) -> Float32:
        """Return the embeddings `(len(texts), DIM)`, float32 rows of length 1."""
        from edgesplit.export.text_encoder import reference_embeddings

        missing = sorted(set(texts) - set(self.known))
        if missing:
            rows = reference_embeddings(self.folder, missing)
            self.known.update(zip(missing, rows, strict=True))
        return np.stack([self.known[text] for text in texts])


def _vector(part: str) -> Float64:
    return np.random.default_rng(zlib.crc32(part.encode())).standard_normal(DIM)


def _triples(text: str) -> list[str]:
    padded = f"  {' '.join(words(text))} "
    return [padded[i : i + 3] for i in range(len(padded) - 2)]


@dataclass(frozen=True)
class Condition:
    """One way to split all categories."""

    name: str
    splits: Splits
    relabel: Callable[[Head], Head] = lambda head: head
    """Function that changes the texts of a head's labels."""


@dataclass(frozen=True)
class Row:
    """One category of one backbone under one condition, mean over its wordings."""

    condition: str
    seeds: str
    category: str
    generality: float
    asks: float
    """Share of the edits that would have needed --accept-doubt."""


def _split(**changed: Any) -> Splits:
    def splits(
        model: Trained, head: Head, coarse: str, fine: dict[str, str], statistics: Statistics
    ) -> Iterator[Edit]:
        yield split_class(
            head, coarse, into=fine, statistics=statistics, accept_doubt=True, **changed
        )

    return splits


def _with_taxonomy(
    model: Trained, head: Head, coarse: str, fine: dict[str, str], statistics: Statistics
) -> Iterator[Edit]:
    known = taxonomy("B" if model.half == "A" else "A")
    yield from _split(taxonomy=known)(model, head, coarse, fine, statistics)


def _in_other_words(kind: str) -> Splits:
    def splits(
        model: Trained, head: Head, coarse: str, fine: dict[str, str], statistics: Statistics
    ) -> Iterator[Edit]:
        for its_kind, texts in wordings([*fine.values()]):
            if its_kind == kind:
                said = [*fine] if kind == KINDS[0] else [f"{coarse} {text}" for text in texts]
                worded = dict(zip(said, texts, strict=True))
                for edit in _split()(model, head, coarse, worded, statistics):
                    named = with_labels(edit.head, dict(zip(said, fine, strict=True)))
                    yield replace(edit, head=named)

    return splits


def _relabel(share: float, change: Callable[[list[str], np.random.Generator], list[str]]) -> Any:
    """Return a function that changes a share of the labels that a split can learn from."""

    def relabel(head: Head) -> Head:
        rng = np.random.default_rng(0)
        known = [i for i, label in enumerate(head.labels) if label in FINE_LABELS]
        chosen = rng.permutation(known)[: round(share * len(known))].tolist()
        nodes = [*head.tree]
        for column, text in zip(chosen, change([nodes[i].label for i in chosen], rng), strict=True):
            nodes[column] = replace(nodes[column], label=text)
        return replace(head, tree=LabelTree(tuple(nodes)))

    return relabel


def _misspelt(labels: list[str], rng: np.random.Generator) -> list[str]:
    return [misspell(label, rng) for label in labels]


def _exchanged(labels: list[str], rng: np.random.Generator) -> list[str]:
    return labels[1:] + labels[:1]


def conditions(float32: Path | None) -> list[Condition]:
    """Return all conditions; the first one changes nothing."""
    found = [
        Condition(AS_IT_IS, _split()),
        Condition("groups from the taxonomy", _with_taxonomy),
        Condition("encoder: bag of words", _split(encoder=Made(words))),
        Condition("encoder: bag of letter triples", _split(encoder=Made(_triples))),
    ]
    if float32 is not None:
        encoder = Reference(float32)
        found.append(Condition("encoder: all-MiniLM-L6-v2, float32", _split(encoder=encoder)))
    for share in (0.1, 0.3):
        found += [
            Condition(f"{share:.0%} of labels misspelt", _split(), _relabel(share, _misspelt)),
            Condition(f"{share:.0%} of labels exchanged", _split(), _relabel(share, _exchanged)),
        ]
    return found + [Condition(f"asked for: {kind}", _in_other_words(kind)) for kind in KINDS[1:]]


def rows(model: Trained, condition: Condition) -> Iterator[Row]:
    """Measure all categories of one backbone."""
    head = condition.relabel(model.head)
    statistics = Statistics.from_features(head, model.unlabelled)
    for coarse, fine in model.categories.items():
        truth = model.truth(coarse)
        edits = [*condition.splits(model, head, coarse, fine, statistics)]
        scores = [score_split(head, e.head, coarse, model.heldout[0], truth) for e in edits]
        yield Row(
            condition.name,
            model.seeds,
            coarse,
            float(np.mean([score.generality for score in scores])),
            float(np.mean([bool(edit.report.doubts) for edit in edits])),
        )


def summarise(found: Sequence[Row], names: Sequence[str]) -> list[dict[str, Any]]:
    """Return one line per condition: means over backbones, then over categories."""

    def by_category(name: str, value: str) -> dict[str, float]:
        values: dict[str, list[float]] = {}
        for row in found:
            if row.condition == name:
                values.setdefault(row.category, []).append(getattr(row, value))
        return {category: float(np.mean(part)) for category, part in values.items()}

    reference = by_category(AS_IT_IS, "generality")
    lines = []
    for name in names:
        mine = by_category(name, "generality")
        apart = np.array([mine[category] - reference[category] for category in mine])
        lines.append(
            {
                "condition": name,
                "generality": round(float(np.mean([*mine.values()])), 4),
                "difference": [round(value, 4) for value in interval(apart)],
                "asks": round(float(np.mean([*by_category(name, "asks").values()])), 4),
            }
        )
    return lines


@click.command()
@click.option("--float32", type=click.Path(path_type=Path, exists=True, file_okay=False))
def main(float32: Path | None) -> None:
    """Measure all trained backbones."""
    models = [*find_trained()]
    all_of_them = conditions(float32)
    found = [
        row
        for model in track(models, "conditions")
        for condition in all_of_them
        for row in rows(model, condition)
    ]
    names = [condition.name for condition in all_of_them]
    content: dict[str, Any] = {"models": [model.name for model in models]}
    for seeds in ("dev", "test"):
        part = [row for row in found if row.seeds == seeds]
        if not part:
            continue
        content[seeds] = summarise(part, names)
        table = Table("condition", "generality", "difference", "asks", title=f"{seeds} seeds")
        for line in content[seeds]:
            shown = "{:+.3f} [{:+.3f}, {:+.3f}]".format(*line["difference"])
            asks = f"{line['asks']:.0%}"
            table.add_row(line["condition"], f"{line['generality']:.3f}", shown, asks)
        Console(width=110).print(table)
    click.echo(write_result("conditions", content))


if __name__ == "__main__":
    main()
