"""Render a record of `edgesplit bench` as Markdown and as a self-contained HTML page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from edgesplit.runtime.bench.charts import bars, curve, short
from edgesplit.runtime.bench.latency import ITEMS, START_ITEMS

__all__ = ["to_html", "to_table", "to_verdicts"]

Record = Mapping[str, Any]
Row = tuple[str, ...]
Presentation = tuple[list[str], list[str]]
"""Notes, and charts as SVG."""

DESCRIPTIONS = {
    "latency.prediction": "prediction, from the video file",
    "latency.decode": "decoding the file",
    "latency.scale": "scaling the frames",
    "latency.stack": "stacking the frames",
    "latency.copy": "checks and copies before the backend",
    "latency.backbone": "backbone, with the backend's own copies",
    "latency.head": "head",
    "latency.path": "finding the decision's labels",
    "latency.cold": "cold start: first prediction of a new process",
    "latency.start_python": "cold start: Python and imports",
    "latency.start_open": "cold start: opening bundle, backbone and head",
    "latency.start_first": "cold start: prediction",
    "swap.publish_to_result": "from a publish to the first result by its head",
    "swap.build": "building and checking the new head, in the background",
    "swap.prediction_null": "prediction of a decoded clip, without swaps",
    "swap.prediction_swaps": "prediction of a decoded clip, with swaps",
    "edit.process_new_texts": "`edgesplit edit`, new texts",
    "edit.process": "`edgesplit edit`, texts cached",
    "edit.warm_new_texts": "edit in a warm process, new texts",
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
"""Descriptions of the items that a comparison times."""

_STYLE = """
:root { color-scheme: light dark; --data: #2f6db3; --warning: #c8641c; --line: #8884; }
@media (prefers-color-scheme: dark) { :root { --data: #6fa8e6; --warning: #ec9a5c; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2.2rem; }
table { border-collapse: collapse; font-size: .87rem; width: 100%; }
th, td { text-align: right; padding: .2rem .5rem; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; }
.wide { overflow-x: auto; } .note { opacity: .75; font-size: .9rem; }
.quick { border: 1px solid var(--warning); padding: .4rem .7rem; }
svg { width: 100%; height: auto; margin: 1rem 0; font: 12px sans-serif; fill: currentColor; }
svg .title { font-weight: bold; font-size: 13px; }
.grid, .axis { stroke: var(--line); fill: none; }
.bar { fill: var(--data); } .line { fill: none; stroke: var(--data); stroke-width: 2; }
"""


@dataclass(frozen=True, slots=True)
class _Section:
    """The text, charts and table of one answer."""

    heading: str
    notes: list[str]
    charts: list[str] = field(default_factory=list)
    """SVG."""
    header: Row = ()
    rows: list[Row] = field(default_factory=list)


def to_table(record: Record) -> str:
    """Return the record as Markdown."""
    lines = [f"# {_heading(record)}", "", *_about(record), ""]
    for section in _sections(record):
        lines += [f"## {section.heading}", ""]
        if section.rows:
            lines += [*_rows(section.header, section.rows), ""]
        lines += [f"{note}\n" for note in section.notes]
    return "\n".join(lines).rstrip() + "\n"


def to_verdicts(comparison: Record) -> str:
    """Return a comparison, as `Comparison.to_json` gives it, as Markdown."""
    limit = comparison["limit"]
    note = (
        f"{comparison['of']} against {comparison['against']}, in turns. A ratio above 1 means that "
        f"the first takes longer. `slower`: the complete 95 % interval is above {1 + limit:.2f}; "
        f"`same`: the complete interval is within {limit:.0%} of 1."
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
    """Return the record as one HTML page without scripts or external files."""
    parts = [f"<h1>{escape(_heading(record))}</h1>"]
    for place, line in enumerate(_about(record)):
        kind = ' class="quick"' if record["quick"] and not place else ""
        parts.append(f"<p{kind}>{_inline(line)}</p>")
    for section in _sections(record):
        parts += [f"<h2>{escape(section.heading)}</h2>", *section.charts]
        if section.rows:
            head = _html_row("th", section.header)
            body = "".join(_html_row("td", row) for row in section.rows)
            parts.append(f'<div class="wide"><table>{head}{body}</table></div>')
        parts += [f'<p class="note">{_inline(note)}</p>' for note in section.notes]
    title = escape(_heading(record))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _html_row(tag: str, cells: Row) -> str:
    return f"<tr>{''.join(f'<{tag}>{_inline(cell)}</{tag}>' for cell in cells)}</tr>"


def _inline(text: str) -> str:
    """Return HTML, with Markdown's code marks as tags."""
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
        lines.append("Measured with `--quick`: too short for figures that can be quoted.")
    lines.append(
        f"{record['summary']}; edgesplit {record['edgesplit']}, Python {device['python']}, "
        f"{versions}; {record['made']}."
    )
    lines.append(
        f"{bundle['classes']} classes, {bundle['dim']} features, clips of {shape}, head "
        f"{bundle['head'][:12]}."
    )
    if (others := record["others"]) is not None:
        lines.append(f"Other programs used {others:.0%} of the processor time during the run.")
    reference = record["reference"]
    if reference["ms"] is not None:
        lines.append(
            "Times are in ms. `times reference` compares machines: it is the time divided by the "
            f"time of a fixed computation just before it ({reference['what']}, "
            f"{short(reference['ms'])} ms)."
        )
    return lines


def _sections(record: Record) -> Iterator[_Section]:
    for question, found in record["answers"].items():
        if "refused" in found:
            yield _Section(question, [f"Not measured: {found['refused']}"])
            continue
        p50 = {one["name"]: float(one["p50"]) for one in found["figures"]}
        notes, charts = _PRESENTATIONS[question](found["facts"], p50)
        table = _figure_table if found["figures"] else _split_table
        yield _Section(question, notes, charts, *table(found))


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


def _present_latency(facts: Record, p50: Mapping[str, float]) -> Presentation:
    low, high = facts["p90_interval"]
    notes = [
        f"{facts['backend']}; {facts['clip']}. One clip after another for {facts['seconds']:g} s "
        f"(MLPerf's SingleStream requires 600 s): {facts['predictions_a_second']:.1f} predictions "
        f"per second; p90 is between {short(low)} and {short(high)} ms (95 % interval)."
    ]
    if facts["joules_a_prediction"] is not None:
        notes.append(f"{facts['joules_a_prediction']:.3g} J per prediction (complete module).")
    before, after = facts["temperatures_c"]
    if before and after:
        zone = max(after, key=lambda name: float(after[name]))
        start = f"{before[zone]:.0f}" if zone in before else "unknown"
        notes.append(f"{zone}: {start} °C before, {after[zone]:.0f} °C after.")
    if facts["slowed_down"] is not None:
        notes.append(f"The machine was throttled {facts['slowed_down']} times during the run.")
    charts = [
        _bars("Parts of a warm prediction", [f"latency.{name}" for name in ITEMS], p50),
        _bars("Parts of a cold start", [f"latency.start_{name}" for name in START_ITEMS], p50),
        _curve(
            "Warm predictions, from the fastest to the 99th percentile",
            facts["curve_ms"][:-1],  # the slowest would hide the others
            "predictions",
        ),
    ]
    return notes, charts


def _present_swap(facts: Record, p50: Mapping[str, float]) -> Presentation:
    null, swaps = (facts[f"p99_{kind}_interval"] for kind in ("null", "swaps"))
    note = (
        f"Another process published {facts['published']} heads, one about every "
        f"{facts['every_s']:g} s; {facts['seen']} of them decided a prediction. p99 of a "
        f"prediction is between {short(null[0])} and {short(null[1])} ms without swaps, and "
        f"between {short(swaps[0])} and {short(swaps[1])} ms with swaps (95 % intervals)."
    )
    title = "From a publish to the first result by its head"
    return [note], [_curve(title, facts["curve_ms"], "publishes")]


def _present_edit(facts: Record, p50: Mapping[str, float]) -> Presentation:
    split, head, backbone = facts["split"], facts["head_bytes"], facts["backbone_bytes"]
    note = (
        f"{split['class']} into {', '.join(split['into'])}. The edit ships a head of {head:,} "
        f"bytes, {facts['shipped']:.2%} of the backbone's {backbone:,} bytes, which do not change."
    )
    sizes = [("head, shipped", head / 1e3), ("backbone, not shipped", backbone / 1e3)]
    charts = [
        _bars("An edit", list(p50), p50),
        bars("Bytes sent to a device", sizes, axis="kilobytes", unit="kB"),
    ]
    return [note], charts


def _present_locality(facts: Record, p50: Mapping[str, float]) -> Presentation:
    note = f"On {facts['n_features']:,} features ({facts['features']}), with the runtime's session."
    return [note], []


_PRESENTATIONS = {
    "latency": _present_latency,
    "swap": _present_swap,
    "edit": _present_edit,
    "locality": _present_locality,
}
"""Function by question that presents the facts of an answer and the medians of its figures."""


def _bars(title: str, names: Sequence[str], p50: Mapping[str, float]) -> str:
    rows = [(DESCRIPTIONS[name].replace("`", ""), p50[name]) for name in names]
    return bars(title, rows, axis="milliseconds, medians", unit="ms")


def _curve(title: str, percentiles: Sequence[float], of: str) -> str:
    return curve(title, percentiles, x=f"percentile of {of}", y="milliseconds")
