"""How results look on a terminal. Every command can print JSON instead; see `cli`."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

if TYPE_CHECKING:
    from edgesplit.backbone.ranges import RangeReport
    from edgesplit.bundle.bundle import Bundle
    from edgesplit.bundle.history import Version
    from edgesplit.cli.demo import DemoResult
    from edgesplit.edits.report import Report, ShotReport
    from edgesplit.export import Choices, EncoderReport, ExportReport
    from edgesplit.heads.diff import HeadDiff
    from edgesplit.heads.head import Head
    from edgesplit.heads.labels import Source
    from edgesplit.runtime.backends.artifacts import Made
    from edgesplit.runtime.backends.engines import Engine, Platform
    from edgesplit.runtime.backends.variants import Variant
    from edgesplit.runtime.device.doctor import Checkup
    from edgesplit.runtime.live.runtime import Prediction

__all__ = [
    "console",
    "notes",
    "path_text",
    "progress",
    "show_bundle",
    "show_checkup",
    "show_choices",
    "show_demo",
    "show_diff",
    "show_encoder",
    "show_engine",
    "show_engines",
    "show_export",
    "show_history",
    "show_missing",
    "show_prediction",
    "show_report",
    "show_variant",
    "show_variants",
]

WIDE = 200
SHORT = 12
"""Characters of a digest that people see."""


def console() -> Console:
    """Where results go: standard output, never cut to a width when it is not a terminal."""
    return Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDE)


def notes() -> Console:
    """Where talk goes: standard error, so that results can be piped."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr while something lasts; what it gives takes the number done and of all."""
    with Progress(console=notes(), transient=True) as shown:
        task = shown.add_task(what, total=None)
        yield lambda done, n: shown.update(task, completed=done, total=n)


def show_missing(out: Console, missing: Mapping[str, str]) -> None:
    """Prints the videos that could not be read, and why."""
    for name, reason in missing.items():
        out.print(f"  {name}: {reason}", markup=False)


def show_report(out: Console, report: Report) -> None:
    """Prints what an edit did and how far to trust it."""
    if report.action == "plan":
        _show_plan(out, report)
    elif report.action == "rename":
        out.print(f"renamed [bold]{escape(report.label)}[/] to [bold]{escape(report.to)}[/]")
    elif report.action != "split":
        done = {"merge": "merged", "drop": "dropped"}[report.action]
        out.print(f"{done} [bold]{escape(report.label)}[/]")
    else:
        into = " | ".join(escape(row.modifier) for row in report.rows)
        out.print(f"split [bold]{escape(report.label)}[/] into [bold]{into}[/]")
        out.print(f"  rule {report.rule}, composition {report.composition}")
        table = Table("new class", "learned from", "margin", box=None, pad_edge=False)
        for row in report.rows:
            margin = f"{row.margin:+.2f}" if row.runner_up else ""
            table.add_row(escape(row.label), _sources(row.sources), margin)
        out.print(table)
        out.print(f"  likeness {report.likeness:.2f} of texts; {_expectation(report)}")
    growth = max(part.roll_up_growth for part in (report, *report.splits))
    if growth:
        out.print(
            f"  [yellow]flat[/]: {'a' if report.splits else 'the'} class's logit grows by up to "
            f"{growth:.2f} (log of the number of subcategories), so it wins more often than before"
        )
    out.print(f"  logits of {report.n_untouched} root classes untouched, bit for bit")
    for part in (report, *report.splits):
        of = f"{escape(part.label)}: " if report.splits and part.label else ""
        if part.shots is not None:
            out.print(f"  {of}{_clips(part.shots)}")
        for doubt in part.doubts:
            out.print(f"  [yellow]doubt[/]: {of}{escape(doubt)}")
        for warning in part.warnings:
            out.print(f"  [yellow]warning[/]: {of}{escape(warning)}")


def _show_plan(out: Console, report: Report) -> None:
    """A line for each split of a plan."""
    n_splits = len(report.splits)
    out.print(f"split [bold]{n_splits} class{'es' * (n_splits > 1)}[/], one after another")
    table = Table("class", "into", "likeness", "margin", "expected", box=None, pad_edge=False)
    for split in report.splits:
        margins = [row.margin for row in split.rows if row.runner_up]
        tie = any(row.near_tie for row in split.rows)
        table.add_row(
            escape(split.label),
            escape(" | ".join(row.modifier for row in split.rows)),
            f"{split.likeness:.2f}",
            f"[{'yellow' if tie else 'none'}]{min(margins):+.2f}[/]" if margins else "",
            f"{split.estimate.accuracy:.0%} (guessing {1 / len(split.rows):.0%})"
            if split.estimate
            else "",
        )
    out.print(table)


def _clips(shots: ShotReport) -> str:
    """What labelled clips did to a split, in words."""
    start = f"a zero-shot row counts as {shots.pull:g} clips"
    return (
        f"{sum(shots.clips)} labelled clips ({', '.join(map(str, shots.clips))}), of which "
        f"{shots.n_right} come out right when left out; "
        f"{start if shots.pull else 'the texts were left out'}"
    )


def _expectation(report: Report) -> str:
    """What unlabelled clips say of a split, in words."""
    if report.estimate is None:
        return "whether clips agree, only clips tell"
    return (
        f"expected right in {report.estimate.accuracy:.0%} of cases (guessing "
        f"{1 / len(report.rows):.0%}), centred on {report.n_clips} clips"
    )


def _sources(sources: Sequence[Source]) -> str:
    return escape(", ".join(source.label for source in sources[:2])) or "nothing"


def path_text(prediction: Prediction) -> Text:
    """The decision level by level: `pushing something 0.91 > pushing something left 0.74`."""
    steps = [f"{step.label} {step.probability:.2f}" for step in prediction.path]
    return Text(" > ".join(steps))


def show_prediction(out: Console, name: str, prediction: Prediction) -> None:
    """Prints one line per clip."""
    line = Text(f"{name}  ", style="dim").append_text(path_text(prediction))
    line.append(f"  [head {prediction.head_digest[:SHORT]}]", style="dim")
    out.print(line)


def show_history(out: Console, versions: Sequence[Version], *, live: str) -> None:
    """Prints the history, the newest first; `live` is the live head's digest."""
    table = Table("", "head", "time (UTC)", "action", box=None, pad_edge=False)
    for place, version in enumerate(reversed(versions)):
        mark = "[green]live[/]" if place == 0 and version.digest == live else ""
        table.add_row(mark, version.digest[:SHORT], version.time[:19], escape(version.action))
    out.print(table)


def show_bundle(out: Console, bundle: Bundle, head: Head) -> None:
    """Prints a bundle's identity and its label tree."""
    out.print(
        f"[bold]{escape(str(bundle.path))}[/]  head {head.digest[:SHORT]}  "
        f"feature space {bundle.feature_space[:SHORT]}"
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


def show_diff(out: Console, diff: HeadDiff) -> None:
    """Prints added, removed and changed labels."""
    for node in diff.added:
        rule = f"{node.provenance.rule}: {_sources(node.provenance.sources)}"
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
    """Prints what a bundle will be made with, by where it was found."""
    clip = choices.preprocessing
    shown = {
        "labels": f"{len(choices.labels)} labels",
        "frames": f"{clip.frames} frames",
        "height": f"{clip.height}x{clip.width}",
        "layout": clip.layout,
        "sampling": clip.sampling + (f":{clip.stride}" if clip.sampling == "dense" else ""),
        "resize": f"short side {clip.resize}" if clip.resize else "whole frame",
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


def show_export(out: Console, report: ExportReport) -> None:
    """Prints what was exported and how well it agrees with torch."""
    out.print(f"[bold]{escape(str(report.path))}[/]  feature space {report.feature_space[:SHORT]}")
    out.print(
        f"  backbone {report.backbone_bytes / 1e6:.1f} MB, {report.feature_dim} features; head "
        f"{report.head_layer!r}, {report.n_classes} classes"
    )
    if report.scale != 1:
        out.print(f"  the constant factor {report.scale:.6g} that follows it is part of the head")
    parity = report.parity
    out.print(
        f"  parity with torch over {parity.n_clips} clips: features {parity.features:.1e}, logits "
        f"{parity.logits:.1e} (relative), top-1 {parity.top1_agreement:.0%}"
    )
    if report.n_features:
        out.print(f"  statistics and a sample for the gate from {report.n_features} clips")
        if report.missing:
            out.print(f"  {len(report.missing)} videos could not be read:")
            show_missing(out, report.missing)
    else:
        out.print(
            "  no statistics, and no clips for the gate: `edgesplit calibrate CLIPS` adds both"
        )


def show_encoder(out: Console, report: EncoderReport) -> None:
    """Prints what was exported, how well it agrees with torch, and from when on it counts."""
    out.print(f"[bold]{escape(str(report.path))}[/]  text encoder {report.digest[:SHORT]}")
    out.print(
        f"  {report.size_bytes / 1e6:.1f} MB, embeddings of {report.dim} values, texts of up to "
        f"{report.max_tokens} tokens; cosine with torch {report.cosine:.4f}"
    )
    out.print("  the next edit embeds its texts anew; rows that earlier edits made stay")


def show_engine(out: Console, built: Made[Engine]) -> None:
    """Prints what was built, or that it was there, and how well it agrees with ONNX Runtime."""
    engine = built.artifact
    made = (
        f"built in {built.seconds:.0f} s"
        if built.new
        else "is there already; --rebuild replaces it"
    )
    out.print(f"engine [bold]{engine.key}[/] {made}")
    out.print(
        f"  {engine.precision}, batch {engine.batch}, {engine.size_bytes / 1e6:.1f} MB; "
        f"{escape(engine.gpu)}, CUDA {engine.cuda}, {engine.tensorrt}"
    )
    agreement = engine.agreement
    out.print(
        f"  features agree with ONNX Runtime's: cosine {agreement.cosine:.5f}, distance "
        f"{agreement.distance:.1e}, on the worst of {agreement.n_clips} clips"
    )
    if engine.ranges:
        given = "made clips; --clips measures on yours"
        if engine.n_calibrated:
            given = f"{engine.n_calibrated} clips"
        out.print(f"  {_ranges(engine.ranges)}; measured on {given}")


def show_engines(out: Console, engines: Sequence[Engine], *, platform: Platform | None) -> None:
    """Prints the engines of the cache; those of another platform are dim."""
    if not engines:
        out.print("there is no engine; `edgesplit engine build` makes one")
        return
    names = ("engine", "space", "precision", "batch", "size", "age", "for", "here")
    table = Table(*names, box=None, pad_edge=False)
    for one in engines:
        fits = one.platform == platform
        table.add_row(
            one.key,
            one.feature_space[:SHORT],
            one.precision,
            str(one.batch),
            f"{one.size_bytes / 1e6:.1f} MB",
            _age(one.age_s),
            escape(f"{one.gpu}, CUDA {one.cuda}, {one.tensorrt}"),
            "[green]yes[/]" if fits else "no",
            style="" if fits else "dim",
        )
    out.print(table)


def show_variant(out: Console, added: Made[Variant]) -> None:
    """Prints what was made, or that it was there, how well it agrees and how fast it is."""
    variant, agreement = added.artifact, added.artifact.agreement
    made = (
        f"made in {added.seconds:.0f} s" if added.new else "is there already; --rebuild replaces it"
    )
    out.print(f"variant [bold]{variant.name}[/] {variant.key} {made}")
    on = f", calibrated on {variant.n_calibrated} others" if variant.name == "int8" else ""
    out.print(
        f"  against fp32 on {agreement.n_clips} clips{on}: the same decision in "
        f"{agreement.decisions:.1%}, feature cosine {agreement.cosine:.4f} on the worst, logits up "
        f"to {agreement.logits:.3f} of the largest apart"
    )
    out.print(
        f"  {variant.size_bytes / 1e6:.1f} MB; {variant.name} is {variant.speed:.2f} x as fast as "
        "fp32 on this machine" + (": [yellow]slower[/]" if variant.speed < 1 else "")
    )
    if variant.ranges:
        out.print(f"  {_ranges(variant.ranges)}")


def show_variants(out: Console, variants: Sequence[Variant]) -> None:
    """Prints the variants of the cache."""
    if not variants:
        out.print("there is no variant; `edgesplit variant add` makes one")
        return
    names = (
        "key",
        "space",
        "variant",
        "size",
        "same decision",
        "speed",
        "made (UTC)",
        "kept in fp32",
    )
    table = Table(*names, box=None, pad_edge=False)
    for one in variants:
        table.add_row(
            one.key,
            one.feature_space[:SHORT],
            one.name,
            f"{one.size_bytes / 1e6:.1f} MB",
            f"{one.agreement.decisions:.1%} of {one.agreement.n_clips}",
            f"{one.speed:.2f} x",
            one.made[:19],
            f"{one.ranges.n_kept}, {_largest(one.ranges)}" if one.ranges else "",
        )
    out.print(table)


def _ranges(ranges: RangeReport) -> str:
    return (
        f"{ranges.n_kept} of {ranges.n_operators} operators stay in fp32 because of the range of "
        f"their values; largest value {_largest(ranges)}"
    )


def _largest(ranges: RangeReport) -> str:
    return f"{ranges.largest:.3g} in {escape(ranges.value)}"


def _age(seconds: float) -> str:
    for unit, length_s in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length_s:
            return f"{seconds / length_s:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def show_checkup(out: Console, checkup: Checkup) -> None:
    """Prints what a device can do and what to change, a line for each finding."""
    colours = {"fine": "green", "note": "yellow", "problem": "red"}
    width = max(len(finding.topic) for finding in checkup.findings)
    for finding in checkup.findings:
        status = f"[{colours[finding.status]}]{finding.status:<7}[/]"
        out.print(f"{status}  {finding.topic:<{width}}  {escape(finding.text)}")
        if finding.todo:
            out.print(f"{'':<{9 + width}}  [bold]->[/] {escape(finding.todo)}")
    if not checkup.usable:
        out.print("edgesplit cannot work here until the problems above are solved.")


def show_demo(out: Console, result: DemoResult, folder: Path) -> None:
    """Prints the answers that changed, the figures, and how to go on in the folder."""
    table = Table("clip", "shows", "before", "after", box=None, pad_edge=False)
    for answer in result.answers:
        before, after = answer.before.label, answer.after.label
        style = "green" if after == answer.truth else "red"
        same = "[dim]as before[/]" if before == after else f"[{style}]{escape(after)}[/]"
        table.add_row(answer.clip, escape(answer.truth), escape(before), same)
    out.print("\nThe runtime swapped the head in while it went on predicting:")
    out.print(table)
    score = result.score
    figures = Table("", "", box=None, pad_edge=False, show_header=False)
    rows = (
        ("generality", f"{score.generality:.1%} of {score.n_target} clips of the new classes"),
        ("locality", f"{score.locality:.2%} of what was right before, {score.n_other} other clips"),
        ("locality (paper)", f"{score.locality_paper:.2%}, the coarse class masked before"),
        ("churn", f"{score.churn} of {result.n_heldout} decisions changed outside the split"),
        ("edit", f"{result.edit_ms:.0f} ms; {result.edit_again_ms:.0f} ms with the texts embedded"),
        ("publish", f"{result.publish_ms:.0f} ms, the gate included"),
        ("swap", f"{result.swap_ms:.1f} ms to build and check, beside the predictions"),
        ("predictions", f"{result.n_predictions} meanwhile"),
        (
            "shipped",
            f"{result.head_bytes / 1e3:.0f} kB head; the {result.backbone_bytes / 1e6:.1f} "
            "MB backbone stayed",
        ),
    )
    for name, text in rows:
        figures.add_row(name, text)
    out.print(f"\nOver {result.n_heldout} held-out clips (shipped as features):")
    out.print(figures)
    out.print(
        "\nThe edit was rolled back, byte for byte. Now you:\n"
        f"$ cd {shlex.quote(str(folder))}{_activate(folder)}\n"
        "$ edgesplit edit --class pushing --into left,right\n"
        "$ edgesplit predict clips/*.mp4"
    )


def _activate(folder: Path) -> str:
    """How this environment's commands are found in a shell; nothing where they are already."""
    script = Path(sys.prefix) / "bin" / "activate"
    if shutil.which("edgesplit") or not script.is_file():
        return ""
    return f" && . {shlex.quote(os.path.relpath(script, folder))}"
