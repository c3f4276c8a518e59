"""Print engines and variants of a backbone, and the findings of `doctor`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgesplit.cli.render.console import escape, new_table, short

if TYPE_CHECKING:
    from rich.console import Console

    from edgesplit.backbone.graph import RangeReport
    from edgesplit.runtime.backends.artifacts import Made
    from edgesplit.runtime.backends.engines import Engine, Platform
    from edgesplit.runtime.backends.variants import Variant
    from edgesplit.runtime.device.doctor import Checkup

__all__ = ["show_checkup", "show_engine", "show_engines", "show_variant", "show_variants"]

_FOUND = "exists already; --rebuild replaces it"


def show_engine(out: Console, built: Made[Engine]) -> None:
    """Print an engine that was built or found, and how well it agrees with ONNX Runtime."""
    engine = built.artifact
    made = f"built in {built.seconds:.0f} s" if built.new else _FOUND
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
        n = engine.n_calibrated
        given = f"{n} clips" if n else "generated clips; --clips uses your clips"
        out.print(f"  {_ranges(engine.ranges)}; measured on {given}")


def show_engines(out: Console, engines: Sequence[Engine], platform: Platform | None) -> None:
    """Print the engines of the cache; those of another platform are dim."""
    if not engines:
        out.print("the cache has no engine; `edgesplit engine build` makes one")
        return
    columns = ("engine", "space", "precision", "batch", "size", "age", "built for", "runs here")
    table = new_table(*columns)
    for one in engines:
        fits = one.platform == platform
        table.add_row(
            one.key,
            short(one.feature_space),
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
    """Print a variant that was made or found, how well it agrees and how fast it is."""
    variant, agreement = added.artifact, added.artifact.agreement
    made = f"made in {added.seconds:.0f} s" if added.new else _FOUND
    out.print(f"variant [bold]{variant.name}[/] {variant.key} {made}")
    on = f", calibrated on {variant.n_calibrated} others" if variant.name == "int8" else ""
    out.print(
        f"  against fp32 on {agreement.n_clips} clips{on}: same decision on "
        f"{agreement.decisions:.1%}, "
        f"feature cosine {agreement.cosine:.4f} on the worst clip, logits differ by up to "
        f"{agreement.logits:.3f} of the largest"
    )
    out.print(
        f"  {variant.size_bytes / 1e6:.1f} MB; {variant.name} is {variant.speed:.2f} x as fast as "
        "fp32 on this machine" + (": [yellow]slower[/]" if variant.speed < 1 else "")
    )
    if variant.ranges:
        out.print(f"  {_ranges(variant.ranges)}")


def show_variants(out: Console, variants: Sequence[Variant]) -> None:
    """Print the variants of the cache."""
    if not variants:
        out.print("the cache has no variant; `edgesplit variant add` makes one")
        return
    about = ("same decision", "speed", "made (UTC)", "kept in fp32")
    table = new_table("key", "space", "variant", "size", *about)
    for one in variants:
        table.add_row(
            one.key,
            short(one.feature_space),
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
    """Print what a device can do and what to change, one line for each finding."""
    colours = {"fine": "green", "note": "yellow", "problem": "red"}
    width = max(len(finding.topic) for finding in checkup.findings)
    for finding in checkup.findings:
        status = f"[{colours[finding.status]}]{finding.status:<7}[/]"
        out.print(f"{status}  {finding.topic:<{width}}  {escape(finding.text)}")
        if finding.todo:
            out.print(f"{'':<{9 + width}}  [bold]->[/] {escape(finding.todo)}")
    if not checkup.usable:
        out.print("edgesplit cannot work on this device until the problems above are solved.")
