"""Print a bundle's history and labels, differences of heads, and the report of an export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edgesplit.cli.render.console import escape, new_table, short
from edgesplit.cli.render.edits import sources_text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.tree import Tree

    from edgesplit.bundle.bundle import Bundle
    from edgesplit.bundle.history import Version
    from edgesplit.edits.groups import Knowledge
    from edgesplit.export import Choices, EncoderReport, ExportReport
    from edgesplit.heads.diff import HeadDiff
    from edgesplit.heads.head import Head

__all__ = [
    "show_bundle",
    "show_choices",
    "show_diff",
    "show_encoder",
    "show_export",
    "show_groups",
    "show_history",
    "show_videos",
]


def show_history(out: Console, versions: Sequence[Version], *, live: str) -> None:
    """Print the history, newest first; `live` is the digest of the live head."""
    table = new_table("", "head", "time (UTC)", "action")
    for place, version in enumerate(reversed(versions)):
        mark = "[green]live[/]" if place == 0 and version.digest == live else ""
        table.add_row(
            mark, short(version.digest), escape(version.time[:19]), escape(version.action)
        )
    out.print(table)


def show_bundle(out: Console, bundle: Bundle, head: Head) -> None:
    """Print a bundle's identity and its label tree."""
    from rich.tree import Tree

    out.print(
        f"[bold]{escape(str(bundle.path))}[/]  head {short(head.digest)}  "
        f"feature space {short(bundle.feature_space)}"
    )
    shape = "x".join(map(str, bundle.preprocessing.clip_shape))
    spec = bundle.preprocessing
    out.print(
        f"clip {shape} ({spec.layout}, {spec.sampling} sampling), {bundle.dim} features, "
        f"{len(head.labels)} classes"
    )
    tree = Tree("classes")
    branches: dict[int, Tree] = {}
    for column, node in enumerate(head.tree):
        above = tree if node.parent is None else branches[node.parent]
        style = f" [dim]({node.composition})[/]" if node.composition else ""
        branches[column] = above.add(escape(node.label) + style)
    out.print(tree)


_BY = {
    "space": "directions and places",
    "body": "parts of the body",
    "verbs": "opposite verbs",
    "repeated": "the same words for several actions",
    "count": "numbers",
}
"""Kinds of differences between labels, in words; other kinds are printed unchanged."""
_MAX_NAMED = 6


def show_groups(out: Console, known: Knowledge) -> None:
    """Print what a class can be split into from text, by axis, and the labels that do not help."""
    if known.axes:
        out.print("From text, a class of this head can be split into:")
        table = new_table("subcategories", "known from", "why")
        for axis in known.axes:
            names = [known.groups[g].name for g in axis.groups]
            table.add_row(
                escape(_listed(axis.words)),
                escape(_listed(names, 2)),
                _BY.get(axis.by.partition(" ")[0], axis.by),
            )
        out.print(table)
    else:
        out.print(_NO_AXIS)
    if known.siblings:
        out.print("Weaker: these labels begin alike, but their endings are of different kinds:")
        for group in known.siblings:
            words = _listed([member.modifier for member in group.members])
            out.print(f"  [bold]{escape(group.name)}[/]  {escape(words)}")
    if known.alone:
        out.print(f"{len(known.alone)} labels have no counterpart: {escape(_listed(known.alone))}")


_NO_AXIS = (
    "No two labels of this head differ in one modifier only, so text alone cannot split a class. "
    "Show a clip of each subcategory (`edit --shots`), answer questions (`ask`), or list the "
    "groups in a file (--taxonomy)."
)


def _listed(texts: Sequence[str], most: int = _MAX_NAMED) -> str:
    more = len(texts) - most
    return ", ".join(texts[:most]) + (f", and {more} more" if more > 0 else "")


def _show_knowledge(out: Console, known: Knowledge) -> None:
    """Print the short form, at the end of an export."""
    if not known.axes:
        out.print(f"  {_NO_AXIS}")
        return
    axes = "; ".join(_listed(axis.words) for axis in known.axes[:2])
    more = f"; {len(known.axes) - 2} more ways" if len(known.axes) > 2 else ""
    out.print(f"  from text, a class can be split into {escape(axes)}{more}")
    out.print("  `edgesplit show --groups` lists all of them")


def show_diff(out: Console, diff: HeadDiff) -> None:
    """Print added, removed and changed labels."""
    for node in diff.added:
        rule = f"{escape(node.provenance.rule)}: {sources_text(node.provenance.sources)}"
        out.print(f"[green]+ {escape(node.label)}[/]  [dim]{rule}[/]")
    for label in diff.removed:
        out.print(f"[red]- {escape(label)}[/]")
    for rename in diff.renamed:
        out.print(f"[cyan]= {escape(rename.before)}[/] -> {escape(rename.after)}")
    for label in diff.changed:
        out.print(f"[yellow]~ {escape(label)}[/]  changed")
    for split in diff.resplit:
        change = f"{split.before or 'not split'} -> {split.after or 'not split'}"
        out.print(f"[cyan]/ {escape(split.label)}[/]  [dim]{change}[/]")
    out.print(f"{diff.n_equal} labels are the same, bit for bit")


def show_choices(out: Console, choices: Choices) -> None:
    """Print the settings of a new bundle, by their origin."""
    clip = choices.preprocessing
    shown = {
        "labels": f"{len(choices.labels)} labels",
        "frames": f"{clip.frames} frames",
        "height": f"{clip.height}x{clip.width}",
        "layout": clip.layout,
        "sampling": clip.sampling + (f":{clip.stride}" if clip.sampling == "dense" else ""),
        "resize": f"short side {clip.resize}" if clip.resize else "full frame",
        "interpolation": clip.interpolation,
        "mean": "mean " + ",".join(f"{value:g}" for value in clip.mean),
        "std": "std " + ",".join(f"{value:g}" for value in clip.std),
    }
    by_origin: dict[str, list[str]] = {}
    for name, text in shown.items():
        by_origin.setdefault(choices.origins[name], []).append(text)
    width = max(map(len, by_origin))
    for origin, texts in by_origin.items():
        out.print(f"{origin:<{width}}  {', '.join(texts)}", markup=False)


def show_export(out: Console, report: ExportReport, known: Knowledge) -> None:
    """Print what was exported and how well it agrees with torch."""
    out.print(f"[bold]{escape(str(report.path))}[/]  feature space {short(report.feature_space)}")
    out.print(
        f"  backbone {report.backbone_bytes / 1e6:.1f} MB, {report.feature_dim} features; head "
        f"{report.head_layer!r}, {report.n_classes} classes"
    )
    if report.scale != 1:
        out.print(f"  the constant factor {report.scale:.6g} after this layer is part of the head")
    parity = report.parity
    out.print(
        f"  parity with torch over {parity.n_clips} clips: features {parity.features:.1e}, logits "
        f"{parity.logits:.1e} (relative), top-1 {parity.top1_agreement:.0%}"
    )
    if report.n_features:
        out.print(f"  statistics and a sample for the gate from {report.n_features} clips")
        if report.missing:
            show_videos(out, f"  {len(report.missing)} videos could not be read:", report.missing)
    else:
        out.print(
            "  no statistics and no clips for the gate: `edgesplit calibrate CLIPS` adds both"
        )
    _show_knowledge(out, known)


def show_encoder(out: Console, report: EncoderReport) -> None:
    """Print what was exported, how well it agrees with torch, and which edits use it."""
    out.print(f"[bold]{escape(str(report.path))}[/]  text encoder {short(report.digest)}")
    out.print(
        f"  {report.size_bytes / 1e6:.1f} MB, embeddings of {report.dim} values, texts of up to "
        f"{report.max_tokens} tokens; cosine with torch {report.cosine:.4f}"
    )
    out.print("  the next edit embeds its texts again; the rows of earlier edits do not change")


def show_videos(out: Console, summary: str, missing: Mapping[str, str]) -> None:
    """Print a summary, then the videos that could not be read, each with its reason."""
    out.print(summary, markup=False)
    for name, reason in missing.items():
        out.print(f"  {name}: {reason}", markup=False)
