"""The command of the benchmark; see the package."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import track

from benchmarks.harness.results import save_result
from benchmarks.ssv2_split.evaluate import (
    DEFAULT_WAYS,
    Row,
    Splitter,
    Way,
    draw_shots,
    head_of,
)
from benchmarks.ssv2_split.features import extract_all, space_folder
from benchmarks.ssv2_split.layout import HalfName, Layout, load_layout
from benchmarks.ssv2_split.table import published_for, render, summarise
from benchmarks.ssv2_split.vlm_gate import LocalClip, clip_space, gate_rows, gated_videos
from edgesplit.backbone.features import Features
from edgesplit.bundle.bundle import Bundle, open_bundle
from edgesplit.bundle.videos import backbone_of
from edgesplit.errors import EdgesplitError

GATE = " gate"
MAX_LISTED = 10
"""Largest number of unreadable videos that are listed; --json lists all."""

Ways = tuple[Way, ...]
ARGUMENT = click.Path(path_type=Path, exists=True, file_okay=False)


def _ways(_: click.Context, __: click.Parameter, texts: Sequence[str]) -> Ways:
    try:
        return tuple(dict.fromkeys(map(Way.from_text, texts))) or DEFAULT_WAYS
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command()
@click.argument("data", type=ARGUMENT)
@click.option("--videos", type=ARGUMENT, required=True, help="Folder of the videos.")
@click.option("--bundle", type=ARGUMENT, required=True, help="With the base model of this half.")
@click.option("--half", type=click.Choice(["A", "B"]), default="A", show_default=True)
@click.option(
    "--rule",
    "ways",
    multiple=True,
    callback=_ways,
    metavar="RULE[:COMPOSITION]",
    help="Repeatable. Default: the paper's retrieval and alignment-mlp, flat, and the default "
    "edit, gated.",
)
@click.option("--induced", is_flag=True, help="Learn from induced groups, not from the scheme.")
@click.option("--shots", default=0, type=click.IntRange(0), help="Labelled clips of each, as well.")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(1), help="Draws of it.")
@click.option("--vlm", type=ARGUMENT, help="Local Hugging Face CLIP: the VLM gate, as well.")
@click.option("--cache", type=click.Path(path_type=Path, file_okay=False), help="For features.")
@click.option("--json", "as_json", is_flag=True, help="Print everything, by category, as JSON.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="A file for that.")
def main(
    data: Path,
    videos: Path,
    bundle: Path,
    half: HalfName,
    ways: Ways,
    induced: bool,
    shots: int,
    seeds: int,
    vlm: Path | None,
    cache: Path | None,
    as_json: bool,
    output: Path | None,
) -> None:
    """Score the splits of BUNDLE's base model on DATA, a folder like SSv2-Split.

    One pass over the videos fills a cache of features; a stopped run continues from the cache.
    """
    try:
        layout = load_layout(data, half)
        opened = open_bundle(bundle)
        head = head_of(opened, layout)  # before hours of videos
        features = features_of(opened, layout, videos, cache, n_shots=shots, n_seeds=seeds)
        taxonomy = None if induced else layout.taxonomy
        splitter = Splitter(head, features, opened.text_encoder, opened.statistics, taxonomy)
        rows = [
            row
            for category in track(layout.categories, "splits", console=Console(stderr=True))
            for row in splitter.rows(category, ways, shots, seeds)
        ]
        if vlm is not None:
            rows += gate(vlm, layout, splitter, videos, cache)
    except EdgesplitError as error:
        raise click.ClickException(str(error)) from error
    lines, published = summarise(rows), published_for(data.resolve().name, half)
    about = describe(layout, opened, features, knowledge="induced" if induced else "scheme")
    content = {
        "about": about,
        "table": [line.to_json() for line in lines],
        "published": [asdict(line) for line in published],
        "rows": [row.to_json() for row in rows],
        "missing": dict(features.missing),
    }
    if as_json:
        click.echo(json.dumps(content, indent=2))
    else:
        title = f"{data.resolve().name}-{half}, {len(layout.categories)} categories"
        Console().print(render(title, lines, published))
        click.echo("\n".join(remarks(about, rows, features, any(published))))
    if output is not None:
        click.echo(save_result(output, content), err=True)


def features_of(
    bundle: Bundle, layout: Layout, videos: Path, cache: Path | None, *, n_shots: int, n_seeds: int
) -> Features:
    """Return the features of all evaluation clips, and of the drawn labelled clips."""
    draws = [
        clip.video
        for category in layout.categories
        for seed in range(n_seeds if n_shots else 0)
        for clip in draw_shots(category, n_shots, seed)
    ]
    return extract_all(
        space_folder(cache, bundle.feature_space, videos),
        videos,
        [*layout.videos, *draws],
        lambda: backbone_of(bundle),
        dim=bundle.dim,
        what="backbone",
    )


def gate(
    folder: Path, layout: Layout, splitter: Splitter, videos: Path, cache: Path | None
) -> list[Row]:
    """Return the rows of the VLM gate, after a pass over the videos that it needs."""
    model = LocalClip(folder)
    seen = [v for c in layout.categories for v in gated_videos(splitter.head, c, splitter.features)]
    images = extract_all(
        space_folder(cache, clip_space(folder), videos),
        videos,
        seen,
        lambda: model.image,
        dim=model.dim,
        what="CLIP",
    )
    name = folder.resolve().name + GATE
    return list(gate_rows(name, splitter, layout.categories, images, model.texts))


def describe(
    layout: Layout, bundle: Bundle, features: Features, *, knowledge: str
) -> dict[str, Any]:
    """Return a description of the measured data and model."""
    videos = layout.videos
    return {
        "data": layout.folder.resolve().name,
        "half": layout.half,
        "feature_space": bundle.feature_space,
        "head": bundle.live,
        "text_encoder": bundle.text_encoder.digest,
        "statistics": bundle.statistics is not None,
        "knowledge": knowledge,
        "n_categories": len(layout.categories),
        "n_derived": sum(category.derived for category in layout.categories),
        "n_ambiguous": sum(category.n_ambiguous for category in layout.categories),
        "n_videos": len(videos),
        "n_missing": sum(video in features.missing for video in videos),
    }


def remarks(
    about: dict[str, Any], rows: Sequence[Row], features: Features, published: bool
) -> Iterator[str]:
    """Yield the remarks below the table, in sentences."""
    yield (
        "Published figures are comparable only with the authors' videos and backbone, and their "
        "text encoder (CLIP ViT-L/14)."
        if published
        else "Nothing is published of this half."
    )
    yield (
        "Generality: mean over categories of the accuracy on a category's clips. Locality (paper): "
        "the unedited model may not answer the category; unmasked: it may. Mean: of generality and "
        "locality (paper)."
    )
    if any(row.way.endswith(GATE) for row in rows):
        yield (
            "A gate changes no answer outside the category, so its unmasked locality is 100; the "
            "paper's also counts the base model's mistakes into the category, which a gate keeps."
        )
    if about["n_derived"]:
        yield f"{about['n_derived']} categories' sets are derived from val.csv and the scheme."
    if about["n_ambiguous"]:
        yield (
            f"{about['n_ambiguous']} clips are in no set: their fine label is also the name of the "
            "category that is split."
        )
    labelled = len(features.missing) - about["n_missing"]
    yield (
        f"{about['n_missing']} of {about['n_videos']} evaluation videos could not be read; they "
        "count nowhere." + (f" Nor could {labelled} labelled ones." if labelled else "")
    )
    for video, reason in list(features.missing.items())[:MAX_LISTED]:
        yield f"  {video}: {reason}"
    if len(features.missing) > MAX_LISTED:
        yield f"  and {len(features.missing) - MAX_LISTED} more; --json names all."
    refused: dict[tuple[str, int, str], set[str]] = {}
    for row in rows:
        if row.score is None:
            refused.setdefault((row.way, row.n_shots, row.refused), set()).add(row.category)
    for (way, n_shots, reason), names in refused.items():
        with_shots = f" with {n_shots} labelled clips of each" if n_shots else ""
        yield f"Not split by {way}{with_shots}: {len(names)}, such as {min(names)!r}: {reason}"


if __name__ == "__main__":
    main()
