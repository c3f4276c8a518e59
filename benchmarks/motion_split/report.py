"""The tables and pictures of Motion-Split, made from committed results.

    python -m benchmarks.motion_split.report

Reads motion_split.json, conditions.json, shots.json, confidence.json and antonyms.json in
benchmarks/results; writes motion_split.md there and docs/motion_split.svg.
"""

import json
from collections.abc import Iterator
from typing import Any

import click

from benchmarks.motion_split.plots import draw
from benchmarks.results import FOLDER

Result = dict[str, Any]


def markdown(grid: Result, conditions: Result, shots: Result, fits: Result, poles: Result) -> str:
    """All tables."""
    parts = [
        "# Motion-Split",
        "Made by `make grid`. Rules and constants were chosen on the development seeds; what is "
        "claimed is read off the test seeds. Generality and locality are means over splits, of "
        "single backbones; differences are means over categories, with a 95 % bootstrap interval.",
    ]
    for seeds, lines in grid["tables"].items():
        names = [model["name"] for model in grid["models"] if model["seeds"] == seeds]
        parts += [f"## {seeds.capitalize()} seeds: {', '.join(names)}", *_rules(grid, seeds, lines)]
    parts += ["## All categories of a half, one after another", *_sequence(grid)]
    parts += ["## One thing changed at a time", *_conditions(conditions)]
    parts += ["## A few labelled clips of each subcategory", *_shots(shots)]
    parts += ["## What a split expects of itself, and when it asks", *_fits(fits)]
    parts += ["## Opposites", *_poles(poles)]
    return "\n\n".join(parts) + "\n"


def _table(header: str, rows: Iterator[list[str]]) -> str:
    columns = header.count("|") + 1
    lines = [f"| {header} |", "|" + "---|" * columns]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _difference(values: list[float]) -> str:
    return "{:+.1f} [{:+.1f}, {:+.1f}]".format(*(100 * value for value in values))


def _rules(grid: Result, seeds: str, lines: list[Result]) -> list[str]:
    rows = (
        [
            line["rule"],
            line["composition"],
            "yes" if line["clips"] else "no",
            f"{line['generality']:.1%}",
            f"{line['in_group']:.1%}",
            f"{line['locality']:.2%}",
            f"{line['locality_paper']:.2%}",
            str(line["churn"]),
            _difference([line["difference"], *line["interval"]]),
        ]
        for line in lines
    )
    calibration = grid["calibration"][seeds]
    return [
        _table(
            "rule | composition | unlabelled clips | generality | in group | locality | (paper) | "
            f"churn | points against {grid['against']}",
            rows,
        ),
        f"Scores inside the default splits, {calibration['n_clips']} clips: expected calibration "
        f"error {calibration['error']:.3f}; {calibration['overconfident']:.1%} of the wrong "
        "answers claim 0.9 or more.",
    ]


def _sequence(grid: Result) -> list[str]:
    rows = (
        [
            line["model"],
            line["composition"],
            str(line["splits"]),
            str(line["flips_after_each"][-1]),
            f"{100 * line['largest_change_of_generality']:.1f}",
        ]
        for line in grid["sequence"]
    )
    header = "backbone | composition | splits | decisions flipped | largest change of a generality"
    seconds = grid["seconds"]
    return [
        _table(header, rows),
        f"A cell of the grid, one category under one rule, took {seconds['median']:.2f} s at the "
        f"median and {seconds['largest']:.2f} s at most, from features to score.",
    ]


def _conditions(conditions: Result) -> list[str]:
    rows = (
        [
            line["condition"],
            f"{line['generality']:.1%}",
            _difference(line["difference"]),
            f"{line['asks']:.0%}",
        ]
        for line in conditions["test"]
    )
    header = "the default split, test seeds | generality | points | wants --force"
    return [_table(header, rows)]


def _shots(shots: Result) -> list[str]:
    rows = (
        [
            line["start"],
            str(line["clips"]),
            f"{line['generality']:.1%}",
            *(
                _difference(line[name]) if name in line else ""
                for name in ("over_zero_shot", "over_copies", "over_fewer")
            ),
        ]
        for line in shots["tables"]["test"]
    )
    header = (
        "start, test seeds | clips each | generality | over zero-shot | over copies | over fewer"
    )
    return [_table(header, rows)]


def _fits(fits: Result) -> list[str]:
    rows = (
        [
            fit["fitted_on"],
            f"{fit['tried_on']}, {fit['n_splits']} splits",
            f"{fit['rank_correlation']:.2f}",
            f"{fit['rank_correlation_as_known']:.2f}",
            f"{fit['refused_of_failed']:.0%}",
            f"{fit['refused_of_others']:.0%}",
        ]
        for fit in fits["fits"]
    )
    kinds = (
        [
            line["kind"],
            str(line["n_splits"]),
            f"{line['gain']:.2f}",
            str(line["failed"]),
            str(line["failed_and_refused"]),
            str(line["refused"] - line["failed_and_refused"]),
        ]
        for line in fits["fits"][-1]["by_kind"]
    )
    return [
        _table(
            "fitted on | tried on | rank correlation | in the head's words | refused of those that "
            "failed | of the others",
            rows,
        ),
        "What is shipped, on the test seeds, by how the subcategories were asked for (gain: 0 is "
        "guessing, 1 always right; below 0.15 a split has failed):",
        _table(
            "asked for | splits | mean gain | failed | of these refused | others refused", kinds
        ),
    ]


def _poles(poles: Result) -> list[str]:
    rows = ([way["way"], f"{way['pole']:.1%}", f"{way['source']:.1%}"] for way in poles["ways"])
    last = poles["ways"][-1]
    return [
        f"{poles['subcategories']} subcategories of opposites, asked for in one wording and known "
        "in another (`python -m benchmarks.antonyms`): how many take the right source, of the two "
        "where the group is named, and of all that the head knows.",
        _table("way | right of two | right of all", rows),
        f"Of the default's {last['wrong_sources']} wrong sources {last['wrong_sources_doubted']} "
        f"want --force, of its {last['right_sources']} right ones {last['right_sources_doubted']}.",
    ]


@click.command()
def main() -> None:
    """Write the tables and the picture."""
    names = ("motion_split", "conditions", "shots", "confidence", "antonyms")
    results = [json.loads((FOLDER / f"{name}.json").read_text()) for name in names]
    path = FOLDER / "motion_split.md"
    path.write_text(markdown(*results))
    click.echo(path)
    click.echo(draw(results[0], results[2]))


if __name__ == "__main__":
    main()
