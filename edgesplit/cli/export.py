"""Commands for a workstation with the export extra: `export`, `encoder`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from edgesplit.cli.options import FILE, FOLDER, Parsed, bundle_options, json_option, open_bundle
from edgesplit.cli.render.bundle import show_choices, show_encoder, show_export
from edgesplit.cli.render.console import echo, notes, print_result, timed_steps
from edgesplit.video.preprocessing import INTERPOLATIONS, LAYOUTS

__all__ = ["encoder", "export"]


def _size(text: str) -> tuple[int, int]:
    """Parse `112` or `112x112`."""
    sides = [int(side) for side in text.replace("x", ",").split(",")]
    height, width = sides * 2 if len(sides) == 1 else sides
    return height, width


def _colours(text: str) -> tuple[float, ...]:
    """Parse `0.5,0.5,0.5`."""
    red, green, blue = map(float, text.replace("x", ",").split(","))
    return red, green, blue


def _sampling(text: str) -> tuple[str, int]:
    """Parse `uniform` or `dense:STRIDE`."""
    kind, _, stride = text.partition(":")
    if text == "uniform":
        return "uniform", 1
    if kind == "dense" and stride.isdecimal() and int(stride):
        return "dense", int(stride)
    raise ValueError(text)


SIZE = Parsed(_size, "not 1 or 2 numbers")
THREE = Parsed(_colours, "not 3 numbers")


@click.command()
@click.argument("model")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="Bundle to create."
)
@click.option(
    "--sampling",
    required=True,
    type=Parsed(_sampling, "neither uniform nor dense:STRIDE, such as dense:4"),
    metavar="uniform|dense:STRIDE",
    help="uniform: frames spread over the complete video, as for Something-Something; dense:4: "
    "every fourth frame, as for Kinetics. Model files do not contain this setting.",
)
@click.option("--checkpoint", type=FILE, help="Weights: a state dict saved by torch.save.")
@click.option(
    "--labels",
    "labels_path",
    type=FILE,
    help="Class names in output order: a JSON list, {label: index}, or one per line.",
)
@click.option("--frames", type=click.IntRange(min=1), help="Frames in a clip.")
@click.option("--size", type=SIZE, metavar="H[xW]", help="Frame size in pixels.")
@click.option(
    "--resize",
    type=click.IntRange(min=1),
    help="Scale the short side to this many pixels and crop the centre (default: scale to --size).",
)
@click.option(
    "--interpolation",
    type=click.Choice(INTERPOLATIONS),
    help="antialias, antialias-bicubic: as in Pillow, torchvision and Hugging Face; no-antialias: "
    "as in OpenCV and torch's interpolate; area: as in FFmpeg (default: antialias).",
)
@click.option(
    "--layout", type=click.Choice(LAYOUTS), help="Axis order of the model's input (default: ncthw)."
)
@click.option(
    "--mean",
    type=THREE,
    metavar="R,G,B",
    help="Mean of the normalisation in training, for pixels in 0..1; folded into the backbone.",
)
@click.option(
    "--std", type=THREE, metavar="R,G,B", help="Standard deviation of the same normalisation."
)
@click.option(
    "--head-layer",
    help="Dotted name of the linear layer that gives the classes; needed only for a model with "
    "several heads.",
)
@click.option(
    "--calibrate", type=FOLDER, help="Folder of unlabelled videos, for statistics and the gate."
)
@json_option
def export(
    model: str,
    output: Path,
    sampling: tuple[str, int],
    checkpoint: Path | None,
    labels_path: Path | None,
    size: tuple[int, int] | None,
    head_layer: str | None,
    calibrate: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Turn a trained torch model into a bundle.

    Needs the export extra. MODEL is a Hugging Face folder or hub id (VideoMAE, TimeSformer,
    ViViT), mvd:vit-small with its authors' --checkpoint, torchvision:NAME, or
    package.module:factory. Classes and clip settings in the model's files are used and printed;
    options override them. A factory has no such files: give --labels, --frames and --size.

    \b
    Example:
        edgesplit export models/videomae-base-ssv2 --sampling uniform \\
            -o lab.bundle
        edgesplit export mymodels.r3d:factory --checkpoint r3d.pt \\
            --labels labels.txt --frames 8 --size 112 --sampling dense:2 \\
            -o lab.bundle
    """
    from edgesplit.edits.groups import find_knowledge
    from edgesplit.export import check_request, export_model, load_classifier
    from edgesplit.heads.labels import LabelTree
    from edgesplit.video.clips import find_videos

    height, width = size or (None, None)
    kind, stride = sampling
    options |= {"height": height, "width": width, "sampling": kind, "stride": stride}
    labels = check_request(
        model, output=output, labels_path=labels_path, checkpoint=checkpoint, options=options
    )
    talk = notes()
    with timed_steps("loading the model", silent=as_json):
        classifier = load_classifier(
            model, checkpoint=checkpoint, n_classes=len(labels) if labels else None
        )
    if classifier.warning:
        echo(f"warning: {classifier.warning}", err=True)
    choices = classifier.settle(labels=labels, **options)
    preprocessing = choices.preprocessing
    if max(preprocessing.mean) > 1 or max(preprocessing.std) > 1:
        echo(
            "warning: --mean and --std are for pixels in 0..1; divide them by 255 if yours are "
            "for 0..255",
            err=True,
        )
    show_choices(talk, choices)
    with timed_steps("looking for the head", silent=as_json) as on_step:
        report = export_model(
            classifier.model,
            labels=choices.labels,
            output=output,
            preprocessing=preprocessing,
            head_layer=head_layer,
            clips=find_videos(calibrate) if calibrate else None,
            progress=on_step,
        )
    made = {"preprocessing": preprocessing.to_json(), "origins": dict(choices.origins)}
    content = {**asdict(report), "path": str(report.path), **made}
    known = find_knowledge(LabelTree.from_labels(choices.labels))
    print_result(as_json, content | {"knowledge": known.to_json()}, show_export, report, known)
    statistics = open_bundle(report.path).statistics
    if statistics is not None and (few := statistics.describe_few()):
        echo(
            f"warning: {few}: splits of these are not centred, and statistics cannot be added "
            "again. Export again with more clips of them.",
            err=True,
        )


@click.command()
@click.argument("folder", type=FOLDER)
@click.option("--model", help="Model name to record in encoder.json (default: folder name).")
@bundle_options
def encoder(folder: Path, model: str | None, bundle_path: Path | None, as_json: bool) -> None:
    """Give a bundle its own text encoder.

    Needs the export extra. FOLDER is a local Hugging Face folder with a BERT or RoBERTa sentence
    encoder or a CLIP model.

    \b
    Example:
        edgesplit encoder models/bge-small-en-v1.5
    """
    from edgesplit.export import add_text_encoder

    bundle = open_bundle(bundle_path)
    with notes().status("exporting the text encoder"):
        report = add_text_encoder(folder, bundle=bundle, model=model or folder.resolve().name)
    content = {**asdict(report), "path": str(report.path)}
    print_result(as_json, content, show_encoder, report)
