"""Commands of the workstation, which need the export extra: `export`, `encoder`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from edgesplit.cli.options import FILE, FOLDER, bundle_options, json_option, open_bundle
from edgesplit.cli.render.console import console, notes, print_json
from edgesplit.video.preprocessing import INTERPOLATIONS, LAYOUTS

__all__ = ["encoder", "export"]


def _numbers(kind: type, *counts: int) -> Callable[[Any, Any, Any], Any]:
    """A callback that parses numbers separated by commas or `x`: `0.5,0.5,0.5`, `112x112`."""

    def read(
        context: click.Context, parameter: click.Parameter, text: str | None
    ) -> tuple[Any, ...] | None:
        if text is None:
            return None
        try:
            numbers = tuple(kind(part) for part in text.replace("x", ",").split(","))
        except ValueError:
            numbers = ()
        if len(numbers) not in counts:
            wanted = " or ".join(map(str, counts))
            raise click.BadParameter(f"{text!r} is not {wanted} numbers", context, parameter)
        return numbers

    return read


def _sampling(context: click.Context, parameter: click.Parameter, text: str) -> tuple[str, int]:
    """Parse `uniform` or `dense:STRIDE`."""
    kind, _, stride = text.partition(":")
    if text == "uniform":
        return "uniform", 1
    if kind == "dense" and stride.isdecimal() and int(stride):
        return "dense", int(stride)
    message = f"{text!r} is neither uniform nor dense:STRIDE, such as dense:4"
    raise click.BadParameter(message, context, parameter)


@click.command()
@click.argument("model")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The bundle.")
@click.option(
    "--sampling",
    required=True,
    callback=_sampling,
    metavar="uniform|dense:STRIDE",
    help="uniform: frames spread over the whole video, as for Something-Something; dense:4: every "
    "fourth frame, as for Kinetics. No model's files say which.",
)
@click.option("--checkpoint", type=FILE, help="Weights: a state dict saved by torch.save.")
@click.option(
    "--labels",
    "labels_path",
    type=FILE,
    help="Class names in output order: a JSON list, {label: index}, or one per line.",
)
@click.option("--frames", type=click.IntRange(min=1), help="Frames in a clip.")
@click.option("--size", callback=_numbers(int, 1, 2), metavar="H[xW]", help="Frame size in pixels.")
@click.option(
    "--resize",
    type=click.IntRange(min=1),
    help="Scale the short side to this and crop the centre (default: scale to --size).",
)
@click.option(
    "--interpolation",
    type=click.Choice(INTERPOLATIONS),
    help="antialias, -bicubic: as Pillow, torchvision and Hugging Face scale frames; no-antialias: "
    "as OpenCV and torch's interpolate; area: as FFmpeg (default: antialias).",
)
@click.option(
    "--layout", type=click.Choice(LAYOUTS), help="Axis order of the model's input (default: ncthw)."
)
@click.option(
    "--mean",
    callback=_numbers(float, 3),
    metavar="R,G,B",
    help="Mean of the training's normalisation, for pixels in 0..1; folded into the backbone.",
)
@click.option(
    "--std",
    callback=_numbers(float, 3),
    metavar="R,G,B",
    help="Standard deviation of the same normalisation.",
)
@click.option(
    "--head-layer",
    help="Dotted name of the linear layer that gives the classes; needed only for a model with "
    "several heads.",
)
@click.option(
    "--calibrate",
    type=FOLDER,
    help="Folder of unlabelled videos, for statistics and the gate.",
)
@json_option
def export(
    model: str,
    output: Path,
    sampling: tuple[str, int],
    checkpoint: Path | None,
    labels_path: Path | None,
    size: tuple[int, ...] | None,
    head_layer: str | None,
    calibrate: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Turn a trained torch model into a bundle.

    Needs the export extra. MODEL is a Hugging Face folder or hub id (VideoMAE, TimeSformer,
    ViViT), mvd:vit-small with its authors' --checkpoint, torchvision:NAME, or
    package.module:factory. What its files say about classes and clips is used and printed; options
    replace it. A factory says nothing: it needs --labels, --frames and --size.

    \b
    Example:
        edgesplit export models/videomae-base-ssv2 --sampling uniform -o lab.bundle
        edgesplit export mymodels.r3d:factory --checkpoint r3d.pt --labels labels.txt \\
            --frames 8 --size 112 --sampling dense:2 -o lab.bundle
    """
    from edgesplit.cli.render.bundle import show_choices, show_export
    from edgesplit.export import export_model, load_classifier, load_labels
    from edgesplit.video.clips import find_videos

    labels = load_labels(labels_path) if labels_path else None
    talk = notes()
    with talk.status("loading the model"):
        classifier = load_classifier(
            model, checkpoint=checkpoint, n_classes=len(labels) if labels else None
        )
    if classifier.warning:
        click.echo(f"warning: {classifier.warning}", err=True)
    height, width = (size[0], size[-1]) if size else (None, None)
    kind, stride = sampling
    choices = classifier.settle(
        labels=labels, height=height, width=width, sampling=kind, stride=stride, **options
    )
    preprocessing = choices.preprocessing
    if max(preprocessing.mean) > 1 or max(preprocessing.std) > 1:
        click.echo("warning: --mean and --std are for pixels in 0..1; divide by 255?", err=True)
    show_choices(talk, choices)
    with talk.status("looking for the head") as status:
        report = export_model(
            classifier.model,
            labels=choices.labels,
            output=output,
            preprocessing=preprocessing,
            head_layer=head_layer,
            clips=find_videos(calibrate) if calibrate else None,
            progress=status.update,
        )
    if as_json:
        content = {
            **asdict(report),
            "path": str(report.path),
            "preprocessing": preprocessing.to_json(),
            "origins": dict(choices.origins),
        }
        print_json(content)
    else:
        show_export(console(), report)


@click.command()
@click.argument("folder", type=FOLDER)
@click.option("--model", help="Model name to record in encoder.json (default: folder name).")
@bundle_options
def encoder(folder: Path, model: str | None, bundle_path: Path | None, as_json: bool) -> None:
    """Give a bundle its own text encoder.

    Needs the export extra. FOLDER is a local Hugging Face folder: a BERT or RoBERTa sentence
    encoder, or a CLIP.

    \b
    Example:
        edgesplit encoder models/bge-small-en-v1.5
    """
    from edgesplit.cli.render.bundle import show_encoder
    from edgesplit.export import add_text_encoder

    bundle = open_bundle(bundle_path)
    with notes().status("exporting the text encoder"):
        report = add_text_encoder(folder, bundle=bundle, model=model or folder.resolve().name)
    if as_json:
        print_json({**asdict(report), "path": str(report.path)})
    else:
        show_encoder(console(), report)
