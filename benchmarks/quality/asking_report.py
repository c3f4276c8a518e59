"""Make the blocks of docs/ about answers: the tables of results.md, a paragraph of method.md.

Reads asking.json, refit_tried.json and asking_limits.json in benchmarks/results; `make documents`
writes the blocks.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.harness.results import read_result

__all__ = ["limits_block", "method_block", "readme_block", "results_blocks"]

Line = dict[str, Any]
NAMES = {
    "spar-sides": "SPAR, left or right",
    "shrec-fingers": "SHREC'17, fingers",
    "shrec-direction": "SHREC'17, directions",
    "Motion-Split": "Motion-Split",
}
PER = (1, 2, 3)
WAYS = ("chosen clips", "random clips", "medoid", "spread", "paper's low-shot")
TEXT, ROUNDS, PROBE = "text alone", "in rounds", "probe"


def results_blocks() -> dict[str, str]:
    """Return the tables of docs/results.md, by name."""
    content = read_result("asking")
    return {
        "asking": _generality(content["table"]),
        "below-text": _below(content["table"]),
        "answered-expected": _expected(content["expected"]),
        "refit-tried": _tried(read_result("refit_tried")["variants"]),
        "asking-limits": _limits(read_result("asking_limits")["table"]),
    }


def method_block() -> str:
    """Return the figures of docs/method.md."""
    lines = read_result("asking")["table"]
    parts = []
    for data in ("spar-sides", "shrec-fingers", "shrec-direction", "Motion-Split, test seeds"):
        text, two = _find(lines, data, TEXT), _find(lines, data, WAYS[0], 2)
        some, rounds = _find(lines, data, WAYS[1], 2), _find(lines, data, ROUNDS)
        parts.append(
            f"{_name(data)} {_percent(text)} from text, {_percent(two)} with two answers for each "
            f"subcategory ({_percent(some)} about random clips), {_percent(rounds)} in rounds with "
            f"{rounds['per']:.1f} on average"
        )
    return (
        f"Generality: {'; '.join(parts)} ([asking.json](../benchmarks/results/asking.json), "
        "`python -m benchmarks.quality.asking`)."
    )


def limits_block() -> str:
    """Return the item of docs/method.md about limits of answers."""
    lines = read_result("asking_limits")["table"]
    worst = max(line["below_text"][1] for line in lines if line["way"] == "uneven")
    sets = [*dict.fromkeys(line["data"] for line in lines)]
    by = {(line["data"], line["way"]): line["generality"][2] for line in lines}
    lost = [by[data, "as it is"] - by[data, "wrong answers"] for data in sets]
    return (
        "- The figures above are of classes whose subcategories are about equally frequent. Where "
        "one is six times as\n  frequent as the others, answers gain less, and up to "
        f"{worst:.0%} of the splits of a set end below the split from text.\n- They are of "
        "answers that are true. With one of eight wrong, two answers each come out "
        f"{100 * min(lost):.1f} to\n  {100 * max(lost):.1f} points lower, by set "
        "([results.md](results.md#answers))."
    )


def readme_block() -> str:
    """Return the effect of the demo's answers, for README.md."""
    demo = read_result("asking_limits")["demo"]
    return (
        f"Of the {demo['clips']} clips that were not asked about, {demo['right_by_text']} are "
        f"right without the answers and {demo['right_by_answers']} with them (guessing gets "
        f"{demo['clips'] // 4}; `python -m benchmarks.quality.asking_limits`). So "
        f"{demo['expected']:.0%} was too much: use the figure to compare splits."
    )


def _generality(lines: Sequence[Line]) -> str:
    header = ["data", "splits", TEXT]
    header += [f"{way}: {' / '.join(map(str, PER))}" for way in WAYS]
    header += ["in rounds (answers each)", "probe"]
    rows = []
    for data in _sets(lines):
        text, rounds = _find(lines, data, TEXT), _find(lines, data, ROUNDS)
        row = [_name(data), str(text["splits"] // 4), _percent(text)]
        for way in WAYS:
            row.append(" / ".join(_percent(_find(lines, data, way, per)) for per in PER))
        row += [f"{_percent(rounds)} ({rounds['per']:.2f})", _percent(_find(lines, data, PROBE))]
        rows.append(row)
    return _table(header, rows)


def _below(lines: Sequence[Line]) -> str:
    ways = WAYS[:2]
    rows = []
    for data in _sets(lines):
        row = [_name(data)]
        for way in ways:
            shares = (_find(lines, data, way, per)["below_text"] for per in PER)
            row.append(" / ".join(f"{share:.0%}" for share in shares))
        row.append(f"{_find(lines, data, ROUNDS)['below_text']:.0%}")
        rows.append(row)
    header = ["data", *(f"{way}: {' / '.join(map(str, PER))}" for way in ways), "in rounds"]
    return _table(header, rows)


def _expected(told: dict[str, Any]) -> str:
    rows = []
    for data, line in told.items():
        if data == "all sets":
            continue
        for per in PER:
            part = line[str(per)]
            rows.append(
                [
                    _name(data),
                    str(per),
                    f"{part['claimed']:.1%}",
                    f"{part['came_out']:.1%}",
                    f"{100 * part['error']:.1f}",
                    f"{part['sure']:.0%}",
                    f"{part['sure_and_wrong']:.0%}",
                ]
            )
    header = ["set left out", "answers each", "claimed", "came out", "mean error, points"]
    return _table([*header, "claim 90% or more", "… and come out below 75%"], rows)


def _tried(lines: Sequence[Line]) -> str:
    sets = [name for name in lines[0] if name != "variant"]
    rows = [
        [line["variant"], *(" / ".join(f"{value:.1%}" for value in line[name]) for name in sets)]
        for line in lines
    ]
    return _table(["variant", *map(_name, sets)], rows)


def _limits(lines: Sequence[Line]) -> str:
    rows = [
        [
            _name(line["data"]),
            line["way"],
            " / ".join(f"{value:.1%}" for value in line["generality"]),
            " / ".join(f"{share:.0%}" for share in line["below_text"]),
        ]
        for line in lines
    ]
    return _table(["data", "", "text alone / 1 / 2 answers", "below text: 1 / 2"], rows)


def _sets(lines: Sequence[Line]) -> list[str]:
    return [*dict.fromkeys(line["data"] for line in lines)]


def _find(lines: Sequence[Line], data: str, way: str, per: int | None = None) -> Line:
    return next(
        line
        for line in lines
        if line["data"] == data and line["way"] == way and per in (None, line["per"])
    )


def _name(data: str) -> str:
    first, _, more = data.partition(", ")
    return ", ".join(filter(None, (NAMES[first], more)))


def _percent(line: Line) -> str:
    return f"{line['generality']:.1%}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])
