"""A record of `edgesplit bench` for people: a Markdown table, and a page that needs no network."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from edgesplit.runtime.bench.charts import COLOURS, Series, bars, curves, short
from edgesplit.runtime.bench.latency import ITEMS, START_ITEMS

__all__ = ["to_html", "to_table", "to_verdicts"]

Record = Mapping[str, Any]
Row = tuple[str, ...]

WORDS = {
    "latency.prediction": "prediction, from the video file",
    "latency.decode": "frames out of the file",
    "latency.scale": "frames to their size",
    "latency.stack": "frames into one array",
    "latency.copy": "checks and copies before the backend",
    "latency.backbone": "backbone, with the backend's own copies",
    "latency.head": "head",
    "latency.path": "the decision in words",
    "latency.cold": "first prediction of a new process",
    "latency.start_python": "of it Python and imports",
    "latency.start_open": "of it opening bundle, backbone and head",
    "latency.start_first": "of it the prediction",
    "swap.publish_to_result": "from a publish to the first result by its head",
    "swap.build": "building and checking the new head, beside",
    "swap.prediction_null": "prediction (decoded clip), nobody publishing",
    "swap.prediction_swaps": "prediction (decoded clip), heads being swapped",
    "edit.process_new_texts": "`edgesplit edit`, texts never seen",
    "edit.process": "`edgesplit edit`, texts cached",
    "edit.warm_new_texts": "edit in a warm process, texts never seen",
    "edit.warm": "edit in a warm process, texts cached",
    "edit.publish": "publish, gate included",
}
"""What figures are, for people."""

COMPARED = {
    "prediction": "prediction of a decoded clip",
    "decode": "a clip out of its video",
    "head": "head and decision",
    "edit": "edit, texts cached",
}
"""Descriptions of what a comparison times."""

_GROWTH = {
    "run": "head, one feature",
    "session": "opening a head",
    "edit": "edit, texts cached",
    "read": "reading the history",
    "publish": "publish",
}
_PARTS = {
    "decode": "decode",
    "scale": "scale",
    "stack": "stack",
    "copy": "check and copy",
    "backbone": "backbone",
    "head": "head",
    "path": "path",
}
_START = {"python": "Python and imports", "open": "opening", "first": "first prediction"}

_STYLE = """
:root { color-scheme: light dark; --c0: #2f6db3; --c1: #c8641c; --c2: #2c8a57; --c3: #a63d6a;
  --c4: #7a5cb8; --c5: #8a7a1f; --c6: #708090; --line: #8884; }
@media (prefers-color-scheme: dark) { :root { --c0: #6fa8e6; --c1: #ec9a5c; --c2: #67c493;
  --c3: #e284ac; --c4: #b49be8; --c5: #cdbb58; --c6: #9fb0c0; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2.2rem; }
table { border-collapse: collapse; font-size: .87rem; width: 100%; }
th, td { text-align: right; padding: .2rem .5rem; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; }
.wide { overflow-x: auto; } .note { opacity: .75; font-size: .9rem; }
.quick { border: 1px solid var(--c1); padding: .4rem .7rem; }
svg { width: 100%; height: auto; margin: 1rem 0; font: 12px sans-serif; fill: currentColor; }
svg .title { font-weight: bold; font-size: 13px; }
.grid, .axis { stroke: var(--line); fill: none; }
""" + "".join(
    f".f{n} {{ fill: var(--c{n}); }} "
    f".s{n} {{ fill: none; stroke: var(--c{n}); stroke-width: 2; }}\n"
    for n in range(COLOURS)
)


def to_table(record: Record) -> str:
    """The record as Markdown."""
    lines = [f"# {_heading(record)}", "", *_about(record), ""]
    for heading, notes, header, rows in _sections(record):
        lines += [f"## {heading}", ""]
        if rows:
            lines += [*_rows(header, rows), ""]
        lines += [f"{note}\n" for note in notes]
    return "\n".join(lines).rstrip() + "\n"


def to_verdicts(comparison: Record) -> str:
    """Return a comparison, as `Comparison.to_json` gives it, as Markdown."""
    limit = comparison["limit"]
    note = (
        f"{comparison['of']} against {comparison['against']}, in turns. A ratio above 1 means that "
        f"it takes longer; `slower` means that the whole 95 % interval is above {1 + limit:.2f}, "
        f"`same` that all of it is within {limit:.0%}."
    )
    rows: list[Row] = [
        (
            COMPARED[one["name"]],
            f"{one['ratio']:.3f}",
            f"{one['low']:.3f} to {one['high']:.3f}",
            one["word"],
        )
        for one in comparison["verdicts"]
    ]
    return "\n".join([note, "", *_rows(("", "ratio", "interval", "verdict"), rows)]) + "\n"


def _rows(header: Row, rows: list[Row]) -> list[str]:
    table = [header, ("---",) * len(header), *rows]
    return [f"| {' | '.join(row)} |" for row in table]


def to_html(record: Record) -> str:
    """The record as one page: no script, nothing that is fetched."""
    parts = [f"<h1>{escape(_heading(record))}</h1>"]
    for place, line in enumerate(_about(record)):
        kind = ' class="quick"' if record["quick"] and not place else ""
        parts.append(f"<p{kind}>{_inline(line)}</p>")
    for heading, notes, header, rows in _sections(record):
        parts.append(f"<h2>{escape(heading)}</h2>")
        parts += _charts(record, heading)
        if rows:
            head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
            body = "".join(
                "<tr>" + "".join(f"<td>{_inline(cell)}</td>" for cell in row) + "</tr>"
                for row in rows
            )
            parts.append(f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>')
        parts += [f'<p class="note">{_inline(note)}</p>' for note in notes]
    title = escape(_heading(record))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _inline(text: str) -> str:
    """Markdown's code marks, as HTML."""
    pieces = [escape(piece) for piece in text.split("`")]
    return "".join(f"<code>{p}</code>" if n % 2 else p for n, p in enumerate(pieces))


def _heading(record: Record) -> str:
    return f"edgesplit bench: {record['bundle']['name']}"


def _about(record: Record) -> list[str]:
    bundle, device = record["bundle"], record["device"]
    shape = "x".join(map(str, bundle["clip_shape"]))
    versions = ", ".join(f"{name} {number}" for name, number in device["versions"].items())
    lines = []
    if record["quick"]:
        lines.append("A quick look (`--quick`): too short for figures to be quoted.")
    lines.append(
        f"{record['summary']}; edgesplit {record['edgesplit']}, Python {device['python']}, "
        f"{versions}; {record['made']}."
    )
    lines.append(
        f"{bundle['classes']} classes, {bundle['dim']} features, clips of {shape}, head "
        f"{bundle['head'][:12]}."
    )
    if (others := record["others"]) is not None:
        lines.append(f"Other work took {others:.0%} of the machine meanwhile.")
    reference = record["reference"]
    if reference["ms"] is not None:
        lines.append(
            f"Reference: {reference['what']}, {short(reference['ms'])} ms. Times are in ms."
        )
    return lines


def _sections(record: Record) -> list[tuple[str, list[str], Row, list[Row]]]:
    """Heading, notes, header and rows of each answer."""
    sections: list[tuple[str, list[str], Row, list[Row]]] = []
    for question, found in record["answers"].items():
        if "refused" in found:
            sections.append((question, [f"Not measured: {found['refused']}"], (), []))
            continue
        table = _TABLES.get(question, _times)
        sections.append((question, _NOTES[question](found["facts"]), *table(found)))
    return sections


def _times(found: Record) -> tuple[Row, list[Row]]:
    header = ("", "n", "p50", "p90", "p95", "p99", "in references")
    rows = []
    for one in found["figures"]:
        ratios = sorted(value / base for value, base in one["blocks"])
        rows.append(
            (
                WORDS[one["name"]],
                f"{one['n']:,}",
                *(short(one[p]) for p in ("p50", "p90", "p95", "p99")),
                short(ratios[len(ratios) // 2]),
            )
        )
    return header, rows


def _locality(found: Record) -> tuple[Row, list[Row]]:
    header: Row = (
        "split",
        "composition",
        "largest difference of another logit",
        "decisions changed",
    )
    rows: list[Row] = [
        (
            f"{one['class']} into {', '.join(one['into'])}",
            one["composition"],
            f"{one['largest_logit_difference']:g}",
            f"{one['decisions_changed']:,}",
        )
        for one in found["facts"]["splits"]
    ]
    return header, rows


def _growth(found: Record) -> tuple[Row, list[Row]]:
    costs: dict[tuple[str, str], dict[str, str]] = {}
    for one in found["figures"]:
        _, axis, size, what = one["name"].split(".")
        costs.setdefault((axis, f"{int(size):,}"), {})[what] = short(one["p50"])
    rows = [(*place, *(cost.get(what, "") for what in _GROWTH)) for place, cost in costs.items()]
    return ("against", "size", *_GROWTH.values()), rows


_TABLES = {"locality": _locality, "growth": _growth}


def _latency_notes(facts: Record) -> list[str]:
    low, high = facts["p90_interval"]
    notes = [
        f"{facts['backend']}; {facts['clip']}. One clip after another for {facts['seconds']:g} s "
        f"(MLPerf's SingleStream, which asks for 600 s): {facts['predictions_a_second']:.1f} a "
        f"second; p90 of the prediction lies between {short(low)} and {short(high)} ms (95 %)."
    ]
    if facts["joules_a_prediction"] is not None:
        notes.append(f"{facts['joules_a_prediction']:.3g} J of the whole module a prediction.")
    before, after = facts["temperatures_c"]
    if before and after:
        zone = max(after, key=lambda name: float(after[name]))
        start = f"{before[zone]:.0f}" if zone in before else "unknown"
        notes.append(f"{zone}: {start} °C before, {after[zone]:.0f} °C after.")
    if facts["slowed_down"] is not None:
        notes.append(f"The machine slowed itself down {facts['slowed_down']} times meanwhile.")
    return notes


def _swap_notes(facts: Record) -> list[str]:
    null, swaps = (facts[f"p99_{kind}_interval"] for kind in ("null", "swaps"))
    return [
        f"{facts['published']} heads were published by another process, one each "
        f"{facts['every_s']:g} s or so; {facts['seen']} of them were seen to decide. p99 of a "
        f"prediction lies between {short(null[0])} and {short(null[1])} ms with nobody publishing, "
        f"between {short(swaps[0])} and {short(swaps[1])} ms during swaps (95 %)."
    ]


def _edit_notes(facts: Record) -> list[str]:
    split = facts["split"]
    return [
        f"{split['class']} into {', '.join(split['into'])}. A head of {facts['head_bytes']:,} "
        f"bytes is shipped, the backbone of {facts['backbone_bytes']:,} bytes stays: "
        f"{facts['shipped']:.2%} of it."
    ]


def _locality_notes(facts: Record) -> list[str]:
    return [f"On {facts['n_features']:,} features, {facts['features']}, by the runtime's session."]


def _growth_notes(facts: Record) -> list[str]:
    powers = facts["exponent_of_classes"]
    said = ", ".join(f"{_GROWTH[what]} with power {power:.2f}" for what, power in powers.items())
    return [
        f"Medians. Random rows, {facts['classes']} classes of {facts['dim']} features where "
        f"nothing else is said. With the number of classes grows: {said} (a fit through all sizes)."
    ]


_NOTES = {
    "latency": _latency_notes,
    "swap": _swap_notes,
    "edit": _edit_notes,
    "locality": _locality_notes,
    "growth": _growth_notes,
}


def _charts(record: Record, question: str) -> list[str]:
    found = record["answers"].get(question, {"figures": []})
    p50 = {one["name"]: float(one["p50"]) for one in found["figures"]}
    draw = {"latency": _latency, "swap": _swap, "edit": _edit, "growth": _growth_charts}
    return draw[question](p50, found["facts"]) if p50 and question in draw else []


def _latency(p50: Mapping[str, float], facts: Record) -> list[str]:
    parts = {_PARTS[name]: p50[f"latency.{name}"] for name in ITEMS}
    start = {_START[name]: p50[f"latency.start_{name}"] for name in START_ITEMS}
    curve = facts["curve_ms"]
    points = tuple((100 * n / (len(curve) - 1), ms) for n, ms in enumerate(curve[:-1]))
    return [
        bars("Parts of a warm prediction", [("medians", parts)], axis="milliseconds", unit="ms"),
        bars("The first of a process", [("medians", start)], axis="milliseconds", unit="ms"),
        curves(
            "Warm predictions, from the fastest to the 99th of a hundred",
            [Series("prediction", points)],
            x="percentile of predictions",
            y="milliseconds",
        ),
    ]


def _swap(p50: Mapping[str, float], facts: Record) -> list[str]:
    curve = facts["curve_ms"]
    points = tuple((100 * n / (len(curve) - 1), ms) for n, ms in enumerate(curve))
    return [
        curves(
            "From a publish to the first result by its head",
            [Series("publish to result", points)],
            x="percentile of publishes",
            y="milliseconds",
        )
    ]


def _edit(p50: Mapping[str, float], facts: Record) -> list[str]:
    rows = [(WORDS[name].replace("`", ""), {"median": ms}) for name, ms in p50.items()]
    sizes = [("head, shipped", facts["head_bytes"]), ("backbone, stays", facts["backbone_bytes"])]
    return [
        bars("An edit", rows, axis="milliseconds, medians", unit="ms"),
        bars(
            "What a device is sent for it",
            [(label, {"size": size / 1e3}) for label, size in sizes],
            axis="kilobytes",
            unit="kB",
        ),
    ]


def _growth_charts(p50: Mapping[str, float], facts: Record) -> list[str]:
    axes: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for name, ms in p50.items():
        _, axis, size, what = name.split(".")
        axes.setdefault(axis, {}).setdefault(_GROWTH[what], []).append((float(size), ms))
    units = {"history": "edits in the history", "nesting": "splits below one another"}
    return [
        curves(
            f"Cost against {axis}",
            [Series(name, tuple(points)) for name, points in lines.items()],
            x=units.get(axis, f"number of {axis}"),
            y="milliseconds, medians",
            logarithmic=True,
        )
        for axis, lines in axes.items()
    ]
