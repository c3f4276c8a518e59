"""Make the tables and pictures of Motion-Split from committed results.

    python -m benchmarks.motion_split.report

Reads motion_split.json, conditions.json, shots.json, confidence.json and antonyms.json in
benchmarks/results; writes motion_split.md there and docs/motion_split.svg. `make documents` writes
the blocks of docs/results.md and docs/method.md.
"""

from collections.abc import Iterator
from typing import Any

import click

from benchmarks.harness.results import FOLDER, read_result
from benchmarks.motion_split.grid import AGAINST
from benchmarks.motion_split.wordings import KINDS
from edgesplit.edits.rules import DEFAULT_RULE
from edgesplit.heads.labels import COMPOSITIONS

Result = dict[str, Any]
SEEDS = ("dev", "test")
DEFAULT = (DEFAULT_RULE, "gated", True)


def markdown() -> str:
    """Return all tables, as in motion_split.md."""
    grid, conditions, shots, fits, poles = (
        read_result(name)
        for name in ("motion_split", "conditions", "shots", "confidence", "antonyms")
    )
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
    header = "the default split, test seeds | generality | points | wants --accept-doubt"
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
        "in another (`python -m benchmarks.quality.antonyms`): how many take the right source, of "
        "the two where the group is named, and of all that the head knows.",
        _table("way | right of two | right of all", rows),
        f"Of the default's {last['wrong_sources']} wrong sources {last['wrong_sources_doubted']} "
        f"want --accept-doubt, of its {last['right_sources']} right ones "
        f"{last['right_sources_doubted']}.",
    ]


QUOTED: tuple[tuple[str, str, bool, str], ...] = (
    (DEFAULT_RULE, "gated", True, "the default"),
    (DEFAULT_RULE, "flat", True, ""),
    ("alignment-modifiers", "gated", True, "the default before"),
    ("alignment-mlp", "gated", True, ""),
    ("prototype", "gated", True, ""),
    (DEFAULT_RULE, "gated", False, ""),
    ("alignment-mlp", "flat", False, "the paper's"),
    ("retrieval", "flat", False, "the paper's"),
    ("random-rows", "gated", False, "random directions"),
    ("copies", "gated", False, "all alike: the first takes all"),
)
"""Lines of the table in docs/results.md."""


SEEDS_TEXT = """
Mean over the test seeds' backbones ({tests}; everything was chosen on {n_dev} others). The last
figures are points of generality against the paper's rule, over categories, with a 95 %
bootstrap interval.
"""

GRID_TEXT = """
Churn counts decisions outside the split that flipped, over all {splits} splits. Scores inside
the default splits have an expected calibration error of {error:.3f}, and {overconfident:.1%} of
the wrong answers claim 0.9 or more. What a split expects of itself agrees in rank with what
happens to {ranks:.2f} (Spearman). Splitting all categories of a half one after another flips
{gated_flips} decisions between classes ({flat_flips} where the splits are flat) and changes a
split's generality by {lost:.1f} points at most. One labelled clip of each subcategory brings
generality to {one:.1%}, ten to {ten:.1%}; a logistic regression on all 60 there are comes to
{probe:.1%}.
"""

WRONG_WAY = "turning the camera"
WRONG_WAY_TEXT = """
Means hide a wide spread. A camera that turns left moves the picture to the right, so that splits
of "{name}" come out at {mean:.0%} over all {n} backbones, where guessing is {chance:.0%}, and at
{least:.0%} at least; {refused} of them are refused, the others expect up to {expected:.0%}.
"""

DOUBTS_TEXT = """
A split that is expected to gain less than {bound:.2f} is refused unless `--accept-doubt` is given;
without clips, one whose texts are trusted less than {trust_bound:.2f}. On the {n_splits} splits of
Motion-Split's test seeds, asked for in the head's words, other words, German, misspelt, and in
words that have nothing to do with them, expected and real gain agree in rank to {ranks:.2f}, and to
{ranks_known:.2f} in the head's own words. Of the splits that came out near guessing or below it,
{refused_of_failed:.0%} are refused, of the others {refused_of_others:.0%}, most of these asked for
in unrelated, misspelt or German words. In the head's own words {failed} of {n_known} splits fail,
of which {failed_and_refused} are refused, and {others} of the others: a refusal means something,
and the lack of one proves nothing.
"""

SHOTS_TEXT = """
On the test seeds one clip of each subcategory adds {one:.1f} points to the zero-shot split; ten
add {ten:.1f} and reach {share:.0%} of what a logistic regression on 60 clips each does.
Starting from the zero-shot rows instead of copies of the class is worth {start_one:.1f} points
at one clip and {start_ten:.1f} at ten ([shots.json](../benchmarks/results/shots.json)).
"""


def _fill_in(template: str, **values: Any) -> str:
    return " ".join(template.format(**values).split())


def results_block() -> str:
    """Return the block of docs/results.md, for the test seeds."""
    grid, fits, shots = (read_result(name) for name in ("motion_split", "confidence", "shots"))
    lines = {(w["rule"], w["composition"], w["clips"]): w for w in grid["tables"]["test"]}
    rows = []
    for rule, composition, clips, remark in QUOTED:
        line = lines[rule, composition, clips]
        apart = _difference([line["difference"], *line["interval"]])
        rows.append(
            [
                rule,
                composition,
                "yes" if clips else "no",
                f"{line['generality']:.1%}",
                f"{line['locality']:.2%}",
                str(line["churn"]),
                "" if (rule, composition, clips) == AGAINST else apart,
                remark,
            ]
        )
    names = {seeds: [m["name"] for m in grid["models"] if m["seeds"] == seeds] for seeds in SEEDS}
    by_composition = {
        composition: [
            line
            for line in grid["sequence"]
            if (line["composition"], line["seeds"]) == (composition, "test")
        ]
        for composition in COMPOSITIONS
    }
    flips = {
        composition: sum(line["flips_after_each"][-1] for line in sequence)
        for composition, sequence in by_composition.items()
    }
    header = "rule | composition | unlabelled clips | generality | locality | churn | points | "
    text = [
        _fill_in(SEEDS_TEXT, tests=", ".join(names["test"]), n_dev=len(names["dev"])),
        _table(header, iter(rows)),
        _fill_in(
            GRID_TEXT,
            splits=lines[AGAINST]["splits"],
            **grid["calibration"]["test"],
            ranks=fits["fits"][-1]["rank_correlation_as_known"],
            gated_flips=flips["gated"],
            flat_flips=flips["flat"],
            lost=100 * max(x["largest_change_of_generality"] for x in by_composition["gated"]),
            one=_shot(shots, 1)["generality"],
            ten=_shot(shots, 10)["generality"],
            probe=_shot(shots, 60)["generality"],
        ),
    ]
    return "\n\n".join([*text, _wrong_way(grid)])


def _wrong_way(grid: Result) -> str:
    """Return the results of the category that transfers the wrong way."""
    mine = [
        row
        for row in grid["rows"]
        if row["category"] == WRONG_WAY
        and (row["rule"], row["composition"], row["n_clips"] > 0) == DEFAULT
    ]
    accuracies = [row["generality"] for row in mine]
    return _fill_in(
        WRONG_WAY_TEXT,
        name=WRONG_WAY,
        mean=sum(accuracies) / len(mine),
        least=min(accuracies),
        n=len(mine),
        chance=1 / mine[0]["n_subcategories"],
        refused=sum(row["asks"] for row in mine),
        expected=max(row["expected"] for row in mine if not row["asks"]),
    )


def method_blocks() -> dict[str, str]:
    """Return the blocks of docs/method.md."""
    fits, shots = read_result("confidence"), read_result("shots")
    shipped = fits["fits"][-1]
    known = next(line for line in shipped["by_kind"] if line["kind"] == KINDS[0])
    zero, one, ten, probe = (_shot(shots, n) for n in (0, 1, 10, 60))
    return {
        "doubts": _fill_in(
            DOUBTS_TEXT,
            **{name: shipped[name] for name in ("bound", "trust_bound", "n_splits")},
            **{name: shipped[name] for name in ("refused_of_failed", "refused_of_others")},
            **{name: known[name] for name in ("failed", "failed_and_refused")},
            ranks=shipped["rank_correlation"],
            ranks_known=shipped["rank_correlation_as_known"],
            n_known=known["n_splits"],
            others=known["refused"] - known["failed_and_refused"],
        ),
        "shots": _fill_in(
            SHOTS_TEXT,
            one=100 * (one["generality"] - zero["generality"]),
            ten=100 * (ten["generality"] - zero["generality"]),
            share=ten["generality"] / probe["generality"],
            start_one=100 * one["over_copies"][0],
            start_ten=100 * ten["over_copies"][0],
        ),
    }


def _shot(shots: Result, n: int) -> Result:
    """Return the line for `n` clips; for 60, the line of the probe."""
    wanted = ("probe", 60) if n == 60 else (DEFAULT_RULE, n)
    lines: list[Result] = shots["tables"]["test"]
    return next(line for line in lines if (line["start"], line["clips"]) == wanted)


@click.command()
def main() -> None:
    """Write the tables and the picture."""
    from benchmarks.motion_split.plots import draw

    path = FOLDER / "motion_split.md"
    path.write_text(markdown())
    click.echo(path)
    click.echo(draw(read_result("motion_split"), read_result("shots")))


if __name__ == "__main__":
    main()
