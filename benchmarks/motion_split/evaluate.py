"""How well do the split rules do on a trained backbone's held-out clips?

    python -m benchmarks.motion_split.evaluate benchmarks/motion_split/cache/cnn-A-0

Splits every collapsed category of the half, one at a time, with every rule and composition, and
scores it on the features that `features` wrote; --save also writes every row to
benchmarks/results. Chance is one over the number of subcategories.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.motion_split.classes import FINE_CLASSES, head_label, taxonomy
from benchmarks.results import write_result
from edgesplit.errors import EdgesplitError
from edgesplit.head import Head
from edgesplit.labels import COMPOSITIONS, Composition
from edgesplit.metrics import Score, score_split
from edgesplit.rules import RULES
from edgesplit.split import split_class


@dataclass(frozen=True)
class Row:
    """One category under one rule and composition."""

    category: str
    rule: str
    composition: Composition
    n_subcategories: int
    refused: str
    """Why the edit wanted --force; it was scored all the same. Empty when it did not."""
    score: Score


def load_head(directory: Path) -> Head:
    """The trained linear head of a model's folder."""
    weights = torch.load(directory / "checkpoint.pt", weights_only=True)
    labels = json.loads((directory / "labels.json").read_text())
    return Head.from_arrays(weights["head.weight"], weights["head.bias"], labels)


def evaluate(directory: Path) -> Iterator[Row]:
    """Scores every category of the half that the model in `directory` was trained on."""
    half = json.loads((directory / "train.json").read_text())["half"]
    head, heldout = load_head(directory), np.load(directory / "heldout.npz")
    for coarse, fine in taxonomy(half).items():
        truth = [
            c.label if c.coarse == coarse else head_label(c, half)
            for c in (FINE_CLASSES[index] for index in heldout["fine"])
        ]
        for rule in RULES:
            refused = _refusal(head, coarse, fine, rule)
            for composition in COMPOSITIONS:
                edit = split_class(
                    head, coarse, into=fine, rule=rule, composition=composition, force=True
                )
                score = score_split(head, edit.head, coarse, heldout["features"], truth)
                yield Row(coarse, rule, composition, len(fine), refused, score)


def _refusal(head: Head, coarse: str, fine: dict[str, str], rule: str) -> str:
    try:
        split_class(head, coarse, into=fine, rule=rule)
    except EdgesplitError as error:
        return str(error)
    return ""


def _table(rows: list[Row]) -> Table:
    names = ("rule", "composition", "generality", "in group", "locality", "(paper)", "churn")
    table = Table(*names, box=None, pad_edge=False)
    for rule in RULES:
        for composition in COMPOSITIONS:
            scores = [r.score for r in rows if (r.rule, r.composition) == (rule, composition)]
            means = [
                f"{np.mean([getattr(score, name) for score in scores]):.3f}"
                for name in ("generality", "in_group", "locality", "locality_paper")
            ]
            table.add_row(rule, composition, *means, str(sum(score.churn for score in scores)))
    return table


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, exists=True))
@click.option("--save", is_flag=True, help="Write every row to benchmarks/results.")
def main(directory: Path, save: bool) -> None:
    """Score every rule on the model in DIRECTORY."""
    rows = list(evaluate(directory))
    if save:
        trained = json.loads((directory / "train.json").read_text())
        content = {"train": trained, "rows": [asdict(row) for row in rows]}
        write_result(f"motion_split-{directory.name}", content)
    chance = np.mean([1 / row.n_subcategories for row in rows])
    out = Console(width=100)
    out.print(
        f"{directory}: mean over {len({r.category for r in rows})} categories, "
        f"chance in the group {chance:.3f}"
    )
    out.print(_table(rows))
    for row in rows:
        if row.composition == "gated" and row.rule == "alignment":
            mark = "  [asks first]" if row.refused else ""
            out.print(
                f"{row.category}: in group {row.score.in_group:.2f} of {row.n_subcategories}{mark}",
                markup=False,
            )


if __name__ == "__main__":
    main()
