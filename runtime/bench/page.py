"""A record of `edgesplit bench` as a Markdown table, and as a page that fetches nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from edgesplit.runtime.bench.charts import COLOURS, bars, curve, short
from edgesplit.runtime.bench.latency import ITEMS, START_ITEMS

__all__ = ["to_html", "to_table", "to_verdicts"]

Record = Mapping[str, Any]
Row = tuple[str, ...]

DESCRIPTIONS = {
    "latency.prediction": "prediction, from the video file",
    "latency.decode": "decoding the file",
    "latency.scale": "scaling the frames",
    "latency.stack": "stacking the frames",
    "latency.copy": "checks and copies before the backend",
    "latency.backbone": "backbone, with the backend's own copies",
    "latency.head": "head",
    "latency.path": "finding the decision's labels",
    "latency.cold": "first prediction of a new process",
    "latency.start_python": "its Python and imports",
    "latency.start_open": "its opening of bundle, backbone and head",
    "latency.start_first": "its prediction",
    "swap.publish_to_result": "from a publish to the first result by its head",
    "swap.build": "building and checking the new head, in the background",
    "swap.prediction_null": "prediction of a decoded clip, nobody publishing",
    "swap.prediction_swaps": "prediction of a decoded clip, heads being swapped",
    "edit.process_new_texts": "`edgesplit edit`, texts new",
    "edit.process": "`edgesplit edit`, texts cached",
    "edit.warm_new_texts": "edit in a warm process, texts new",
    "edit.warm": "edit in a warm process, texts cached",
    "edit.publish": "publish, gate included",
}
"""Descriptions of the figures."""

COMPARED = {
    "prediction": "prediction of a decoded clip",
    "decode": "reading a clip from its video",
    "head": "head and decision",
    "edit": "edit, texts cached",
}
"""Descriptions of what a comparison times."""

_PARTS = {name: name for name in ITEMS} | {"copy": "check and copy"}
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
    """Return the record as Markdown."""
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
    """Return the record as one HTML page without scripts, which fetches nothing."""
    parts = [f"<h1>{escape(_heading(record))}</h1>"]
    for place, line in enumerate(_about(record)):
        kind = ' class="quick"' if record["quick"] and not place else ""
        parts.append(f"<p{kind}>{_inline(line)}</p>")
    for heading, notes, header, rows in _sections(record):
        parts.append(f"<h2>{escape(heading)}</h2>")
        found = record["answers"][heading]
        if found["figures"]:
            p50 = {one["name"]: float(one["p50"]) for one in found["figures"]}
            parts += _PRESENTATIONS[heading].charts(p50, found["facts"])
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
    """Return HTML with Markdown's code marks as tags."""
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
        lines.append("Measured with `--quick`: too short for figures to be quoted.")
    lines.append(
        f"{record['summary']}; edgesplit {record['edgesplit']}, Python {device['python']}, "
        f"{versions}; {record['made']}."
    )
    lines.append(
        f"{bundle['classes']} classes, {bundle['dim']} features, clips of {shape}, head "
        f"{bundle['head'][:12]}."
    )
    if (others := record["others"]) is not None:
        lines.append(f"Other programs took {others:.0%} of the machine meanwhile.")
    reference = record["reference"]
    if reference["ms"] is not None:
        lines.append(
            "Times are in ms. `times reference` compares machines: it is the time divided by that "
            f"of a fixed computation just before it ({reference['what']}, "
            f"{short(reference['ms'])} ms)."
        )
    return lines


def _sections(record: Record) -> list[tuple[str, list[str], Row, list[Row]]]:
    """Return heading, notes, header and rows of each answer."""
    sections: list[tuple[str, list[str], Row, list[Row]]] = []
    for question, found in record["answers"].items():
        if "refused" in found:
            sections.append((question, [f"Not measured: {found['refused']}"], (), []))
            continue
        shown = _PRESENTATIONS[question]
        sections.append((question, shown.notes(found["facts"]), *shown.table(found)))
    return sections


def _figure_table(found: Record) -> tuple[Row, list[Row]]:
    header = ("", "n", "p50", "p90", "p95", "p99", "times reference")
    rows = []
    for one in found["figures"]:
        ratios = sorted(value / base for value, base in one["blocks"])
        rows.append(
            (
                DESCRIPTIONS[one["name"]],
                f"{one['n']:,}",
                *(short(one[p]) for p in ("p50", "p90", "p95", "p99")),
                short(ratios[len(ratios) // 2]),
            )
        )
    return header, rows


def _split_table(found: Record) -> tuple[Row, list[Row]]:
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


def _latency_charts(p50: Mapping[str, float], facts: Record) -> list[str]:
    parts = {_PARTS[name]: p50[f"latency.{name}"] for name in ITEMS}
    start = {_START[name]: p50[f"latency.start_{name}"] for name in START_ITEMS}
    return [
        bars("Parts of a warm prediction", [("medians", parts)], axis="milliseconds", unit="ms"),
        bars("The first of a process", [("medians", start)], axis="milliseconds", unit="ms"),
        curve(
            "Warm predictions, from the fastest to the 99th of a hundred",
            facts["curve_ms"][:-1],  # the slowest would hide the others
            x="percentile of predictions",
            y="milliseconds",
        ),
    ]


def _swap_charts(p50: Mapping[str, float], facts: Record) -> list[str]:
    return [
        curve(
            "From a publish to the first result by its head",
            facts["curve_ms"],
            x="percentile of publishes",
            y="milliseconds",
        )
    ]


def _edit_charts(p50: Mapping[str, float], facts: Record) -> list[str]:
    rows = [(DESCRIPTIONS[name].replace("`", ""), {"median": ms}) for name, ms in p50.items()]
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


@dataclass(frozen=True)
class _Presentation:
    """How the answer to a question is shown."""

    notes: Callable[[Record], list[str]]
    """Sentences, from the facts."""
    charts: Callable[[Mapping[str, float], Record], list[str]] = lambda p50, facts: []
    """SVG, from the medians by name and the facts."""
    table: Callable[[Record], tuple[Row, list[Row]]] = _figure_table
    """Header and rows, from the answer."""


_PRESENTATIONS = {
    "latency": _Presentation(_latency_notes, _latency_charts),
    "swap": _Presentation(_swap_notes, _swap_charts),
    "edit": _Presentation(_edit_notes, _edit_charts),
    "locality": _Presentation(_locality_notes, table=_split_table),
}
