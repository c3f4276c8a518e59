"""Measure low-shot splits of heads trained on real motion: the gain of a few labelled clips.

    python -m benchmarks.real.shots

Clips are drawn at random from the training subjects, as in benchmarks.motion_split.shots; groups
are induced from the labels. Writes benchmarks/results/real_shots.json, with every row.
"""

from dataclasses import asdict
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.harness.low_shot import STARTS, low_shot
from benchmarks.real.grid import write_if_whole
from benchmarks.real.models import find_trained

N_SHOTS = (0, 1, 2, 3, 5, 10)
N_DRAWS = 4


def summarise(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a line per axis, start and number of clips: means over splits and draws."""
    found: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault((row["axis"], row["start"], row["n_clips"]), []).append(row)
    return [
        {
            "axis": axis,
            "start": start,
            "clips": n,
            "generality": round(float(np.mean([row["generality"] for row in part])), 4),
            "in_group": round(float(np.mean([row["in_group"] for row in part])), 4),
            "churn": sum(row["churn"] for row in part),
        }
        for (axis, start, n), part in found.items()
    ]


@click.command()
def main() -> None:
    """Measure all trained heads."""
    rows = []
    for model in track([*find_trained()], "low-shot"):
        for shot in low_shot(model, N_SHOTS, N_DRAWS):
            content = asdict(shot)
            score = {key: round(value, 5) for key, value in content.pop("score").items()}
            rows.append({"axis": model.axis, "seed": model.about["seed"], **content, **score})
    lines = summarise(rows)
    shown = Table("axis", "start", *map(str, N_SHOTS), title="generality, by labelled clips each")
    for axis in dict.fromkeys(line["axis"] for line in lines):
        for start in STARTS:
            mine = [x for x in lines if (x["axis"], x["start"]) == (axis, start)]
            shown.add_row(axis, start, *(f"{line['generality']:.3f}" for line in mine))
    Console(width=110).print(shown)
    axes = {row["axis"] for row in rows}
    click.echo(write_if_whole("real_shots", {"table": lines, "rows": rows}, axes))


if __name__ == "__main__":
    main()
