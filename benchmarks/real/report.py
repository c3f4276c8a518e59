"""Make the blocks of README.md and docs/ about real motion, expectations and label lists.

Reads real.json, real_shots.json, confidence.json, axes.json, tried.json and motion_split.json in
benchmarks/results; `make documents` writes the blocks into their documents.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.harness.results import read_result
from benchmarks.quality.expectation import CLAIM, MISS
from benchmarks.real.grid import AGAINST, DEFAULT, KNOWN
from edgesplit.heads.labels import Composition

__all__ = ["method_block", "readme_block", "results_blocks"]

Result = dict[str, Any]
Way = tuple[str, Composition, bool]

NAMES = {
    "spar-sides": "SPAR, left or right",
    "shrec-fingers": "SHREC'17, fingers",
    "shrec-direction": "SHREC'17, directions",
}
KNOWN_NAMES = dict(
    zip(KNOWN, ("labels alone", "a taxonomy", "groups of the other axis only"), strict=True)
)
BEFORE: Way = ("alignment-modifiers", "gated", True)
RETRIEVAL: Way = ("retrieval", "flat", False)
CENTRED: Way = ("alignment-mlp", "gated", True)
RULES: tuple[tuple[Way, str], ...] = (
    (DEFAULT, "the default"),
    (("alignment", "flat", True), ""),
    (("alignment", "gated", False), ""),
    (BEFORE, "the default before"),
    (("prototype", "gated", True), ""),
    (CENTRED, ""),
    (AGAINST, "the paper's"),
    (RETRIEVAL, "the paper's"),
    (("random-rows", "gated", False), "random directions"),
    (("copies", "gated", False), "all alike"),
)
"""Lines of the table of rules."""
SHOTS = (0, 1, 2, 3, 5, 10)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _points(line: Result) -> str:
    apart = [line["difference_in_group"], *line["interval_in_group"]]
    return "{:+.1f} [{:+.1f}, {:+.1f}]".format(*(100 * value for value in apart))


def _percent(value: float | None, digits: int = 1) -> str:
    return "" if value is None else f"{value:.{digits}%}"


def _line(lines: Iterable[Result], way: Way, known: str | None = None) -> Result:
    """Return the line of one way."""
    return next(
        line
        for line in lines
        if (line["rule"], line["composition"], line["clips"]) == way and line.get("known") == known
    )


def _conditions(real: Result) -> list[tuple[str, str, list[Result], Result]]:
    """Return axis, knowledge, the lines of all ways, and the limits."""
    return [
        (axis, known, content["ways"], content["limits"])
        for axis, content in real["tables"].items()
        for known in KNOWN
        if any(line["known"] == known for line in content["ways"])
    ]


def _name(axis: str, known: str) -> list[str]:
    return [NAMES[axis], KNOWN_NAMES[known]]


READ_ME = """
The default looks at unlabelled clips, the paper's rule at none; gated and centred like the
default, `alignment-mlp` comes to {centred}. Decided right among all classes, where a flat split
also wins clips back from other classes, default / paper's rule come to {whole}.
"""


def readme_block() -> str:
    """Return a table of real motion and Motion-Split: the default beside the paper's rule."""
    real, made = read_result("real"), read_result("motion_split")
    rows = []
    for axis, known, ways, limits in _conditions(real):
        if known != KNOWN[1]:
            default, against = _line(ways, DEFAULT, known), _line(ways, AGAINST, known)
            told = NAMES[axis] if known == KNOWN[0] else f"… {KNOWN_NAMES[known]}"
            rows.append(_compared(told, limits["chance"], default, against, default["asks"]))
    ways = made["tables"]["test"]
    mine = [
        row
        for row in made["rows"]
        if row["seeds"] == "test"
        and (row["rule"], row["composition"], row["n_clips"] > 0) == DEFAULT
    ]
    chance = sum(1 / row["n_subcategories"] for row in mine) / len(mine)
    refused = sum(row["asks"] for row in mine)
    default, against = _line(ways, DEFAULT), _line(ways, AGAINST)
    rows.append(_compared("Motion-Split, test seeds", chance, default, against, refused))
    header = ("right among the subcategories", "splits", "guessing", "default")
    more = ("`alignment-mlp` flat", "points", "locality", "its locality", "refused")
    sets = [(content["ways"], KNOWN[0]) for content in real["tables"].values()] + [(ways, None)]

    def listed(measure: str, *asked: Way) -> str:
        values = [
            " / ".join(_percent(_line(lines, way, known)[measure]) for way in asked)
            for lines, known in sets
        ]
        return f"{', '.join(values[:-1])} and, on Motion-Split, {values[-1]}"

    text = READ_ME.format(
        centred=listed("in_group", CENTRED), whole=listed("generality", DEFAULT, AGAINST)
    )
    return f"{_table((*header, *more), rows)}\n\n{' '.join(text.split())}"


def _compared(
    name: str, chance: float, default: Result, against: Result, refused: int
) -> Sequence[str]:
    return (
        name,
        str(default["splits"]),
        _percent(chance),
        f"**{_percent(default['in_group'])}**",
        _percent(against["in_group"]),
        _points(default),
        _percent(default["locality"], 2),
        _percent(against["locality"], 2),
        str(refused),
    )


def results_blocks() -> dict[str, str]:
    """Return the tables of docs/results.md."""
    real = read_result("real")
    return {
        "in-group": _in_group(real),
        "generality": _generality(real),
        "rules": _rules(real),
        "real-shots": _shots(),
        "expected": _expected(),
        "label-lists": _label_lists(),
        "tried-rules": _tried_rules(),
        "tried-measurements": _tried_measurements(),
    }


def _in_group(real: Result) -> str:
    rows = []
    for axis, known, ways, limits in _conditions(real):
        default, before, against, retrieval = (
            _line(ways, way, known) for way in (DEFAULT, BEFORE, AGAINST, RETRIEVAL)
        )
        rows.append(
            [
                *_name(axis, known),
                str(limits["splits"]),
                _percent(limits["chance"]),
                f"**{_percent(default['in_group'])}**",
                *(_percent(line["in_group"]) for line in (before, against, retrieval)),
                _points(default),
                _percent(limits["probe"]),
            ]
        )
    header = ("data", "known", "splits", "guessing", "default", "`alignment-modifiers`")
    more = ("`alignment-mlp` flat", "`retrieval` flat", "points", "supervised probe")
    return _table((*header, *more), rows)


def _generality(real: Result) -> str:
    rows = []
    for axis, known, ways, limits in _conditions(real):
        lines = [_line(ways, way, known) for way in (DEFAULT, AGAINST, RETRIEVAL)]
        rows.append(
            [
                *_name(axis, known),
                *(f"{line['generality']:.1%}" for line in lines),
                _percent(limits["ceiling"]),
                _percent(limits["gated_probe"]),
                " / ".join(_percent(line["locality"]) for line in lines),
                " / ".join(f"{line['churn']:,}" for line in lines),
                f"{lines[0]['asks']} of {lines[0]['splits']}",
            ]
        )
    header = ("data", "known", "default", "`alignment-mlp` flat", "`retrieval` flat")
    more = ("ceiling", "gated probe", "locality", "flips", "refused")
    return _table((*header, *more), rows)


def _rules(real: Result) -> str:
    rows = []
    for way, remark in RULES:
        lines = [_line(real["tables"][axis]["ways"], way, KNOWN[0]) for axis in NAMES]
        rule, composition, clips = way
        rows.append(
            [
                f"`{rule}`",
                composition,
                "yes" if clips else "no",
                *(f"{line['in_group']:.1%} / {line['locality']:.1%}" for line in lines),
                remark,
            ]
        )
    return _table(("rule", "composition", "unlabelled clips", *NAMES.values(), ""), rows)


def _shots() -> str:
    found = {
        (line["axis"], line["start"], line["clips"]): line["generality"]
        for line in read_result("real_shots")["table"]
    }
    rows = [
        [NAMES[axis], told, *(_percent(found[axis, start, n]) for n in SHOTS)]
        for axis in NAMES
        for start, told in (("alignment", "zero-shot rows"), ("copies", "copies of the class"))
    ]
    return _table(
        ("data", "rows start from", *("1 clip" if n == 1 else f"{n} clips" for n in SHOTS)), rows
    )


def _expected() -> str:
    rows = [
        [
            NAMES.get(data, data if data != "all" else "all of these"),
            str(line["n_splits"]),
            _percent(line["told"], 0),
            "{:.2f} [{:.2f}, {:.2f}]".format(line["rank_correlation"], *line["interval"]),
            _percent(line["claimed"]),
            _percent(line["came_out"]),
            f"{100 * line['error']:.1f}",
            f"{line['sure']}, {line['sure_and_wrong']}",
        ]
        for data, line in read_result("confidence")["left_out"].items()
    ]
    header = ("set left out", "splits", "told", "rank correlation", "claimed", "came out")
    return _table(
        (*header, "mean error, points", f"claim {CLAIM:.0%} or more, of these below {MISS:.0%}"),
        rows,
    )


REQUESTS = """
Of {requests} requests in the words of such lists, {right} find the axis that is meant; {asked} ask
though it is there, {none} ask because it is not, and {wrong} take another one.
"""


def _label_lists() -> str:
    found = read_result("axes")
    rows = [
        [
            line["list"],
            str(line["n_labels"]),
            str(line["key_pairs"]),
            str(line["pairs"]),
            _percent(line["precision"], 0),
            _percent(line["recall"], 0),
        ]
        for line in found["lists"]
    ]
    table = _table(("label list", "labels", "pairs wanted", "found", "precision", "recall"), rows)
    tally: Counter[str] = Counter()
    for line in found["counts"]:
        tally[line["answer"]] += line["requests"]
    text = REQUESTS.format(
        requests=tally.total(),
        right=tally["right"],
        asked=tally["asked"],
        none=tally["asked, none exists"],
        wrong=tally["wrong"],
    )
    return f"{table}\n\n{' '.join(text.split())}"


def _tried_rules() -> str:
    lines = read_result("tried")["rules"]
    sets = [name for name in lines[0] if name != "variant"]
    names = [_set_name(name) for name in sets]
    rows = [[line["variant"], *(_percent(line[name]) for name in sets)] for line in lines]
    return _table(("`alignment`", *names), rows)


def _set_name(name: str) -> str:
    axis, _, more = name.partition(", ")
    return ", ".join(filter(None, (NAMES.get(axis, axis), more)))


def _tried_measurements() -> str:
    rows = [
        [
            line["line"],
            f"{line['rank_correlation']:.2f}",
            f"{line['mean_rank_correlation_of_a_set']:.2f}",
            f"{100 * line['error_of_gain']:.1f}",
        ]
        for line in read_result("tried")["measurements"]
    ]
    header = ("the line", "rank correlation, all sets", "mean of the sets", "error of the gain")
    return _table(header, rows)


TRAVEL = """
Each set under the fit of the others: over all {n_splits} splits the rank correlation of the
expected and the real gain is {rank_correlation:.2f} [{low:.2f}, {high:.2f}]; on the sets of real
motion alone it is {ranks}. Of the {sure} splits that claim {claim:.0%} or more, {sure_and_wrong}
come out below {miss:.0%} ([confidence.json](../benchmarks/results/confidence.json)).
"""


def method_block() -> str:
    """Return the sentences of docs/method.md about the expectation on other data."""
    left_out = read_result("confidence")["left_out"]
    ranks = []
    for axis, name in NAMES.items():
        line = left_out[axis]
        low, high = line["interval"]
        ranks.append(f"{line['rank_correlation']:.2f} [{low:.2f}, {high:.2f}] ({name})")
    low, high = left_out["all"]["interval"]
    text = TRAVEL.format(
        **left_out["all"],
        low=low,
        high=high,
        ranks=", ".join(ranks[:-1]) + " and " + ranks[-1],
        claim=CLAIM,
        miss=MISS,
    )
    return " ".join(text.split())
