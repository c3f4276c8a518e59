"""The commands that make a bundle, or a part of it.

`export` makes it of a trained model, `demo` of what is shipped; `encoder` makes its text encoder,
`fuse` one file of it for those who need that.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from edgesplit._types import VariantName
from edgesplit.cli.options import (
    bundle_option,
    check_new,
    json_option,
    open_bundle,
    print_json,
    replace_option,
    write_new,
)
from edgesplit.video.preprocessing import INTERPOLATIONS, LAYOUTS

if TYPE_CHECKING:
    from edgesplit.edits.report import Report
    from edgesplit.runtime import Prediction

__all__ = ["demo", "encoder", "export", "fuse"]

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


def _numbers(kind: type, *counts: int) -> Callable[[Any, Any, Any], Any]:
    """A callback that reads numbers divided by commas or `x`: `0.5,0.5,0.5`, `112x112`."""

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
    """A callback that reads `uniform` or `dense:STRIDE`."""
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
    help="uniform: frames over the whole video, as for Something-Something; dense:4: every fourth "
    "frame, as for Kinetics. No model's files say which.",
)
@click.option("--checkpoint", type=_FILE, help="Weights: a state dict saved by torch.save.")
@click.option(
    "--labels",
    "labels_path",
    type=_FILE,
    help="Class names in output order: a JSON list, {label: index}, or one per line.",
)
@click.option("--frames", type=click.IntRange(min=1), help="Frames in a clip.")
@click.option("--size", callback=_numbers(int, 1, 2), metavar="H[xW]", help="Frame size in pixels.")
@click.option(
    "--resize",
    type=click.IntRange(min=1),
    help="Scale the short side to this and crop the centre; else: scale to --size.",
)
@click.option(
    "--interpolation",
    type=click.Choice(INTERPOLATIONS),
    help="antialias, -bicubic: as Pillow, torchvision and Hugging Face scale frames; no-antialias: "
    "as OpenCV and torch's interpolate; the others are FFmpeg's. Else: antialias.",
)
@click.option(
    "--layout", type=click.Choice(LAYOUTS), help="Axis order that the model takes; else: ncthw."
)
@click.option(
    "--mean",
    callback=_numbers(float, 3),
    metavar="R,G,B",
    help="Of the training's normalisation, for pixels in 0..1; folded into the backbone.",
)
@click.option("--std", callback=_numbers(float, 3), metavar="R,G,B")
@click.option(
    "--head-layer",
    help="Dotted name of the linear layer that gives the classes, for a model with several heads; "
    "else: found.",
)
@click.option(
    "--calibrate",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of unlabelled videos: for statistics and the gate.",
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
    """Turn a trained torch classifier into a bundle, once; needs the export extra.

    MODEL is a Hugging Face folder or hub id (VideoMAE, TimeSformer, ViViT), mvd:vit-small with its
    authors' --checkpoint, torchvision:NAME, or package.module:factory. What it says of its classes
    and clips is taken and printed; options replace it. A factory says nothing: it needs --labels,
    --frames and --size.

    \b
    Example:
        edgesplit export models/videomae-base-ssv2 --sampling uniform -o lab.bundle
        edgesplit export mymodels.r3d:factory --checkpoint r3d.pt --labels labels.txt \\
            --frames 8 --size 112 --sampling dense:2 -o lab.bundle
    """
    from dataclasses import asdict

    from edgesplit.cli import screen
    from edgesplit.export import export_model, load_classifier, load_labels
    from edgesplit.video.clips import find_videos

    labels = load_labels(labels_path) if labels_path else None
    notes = screen.notes()
    with notes.status("loading the model"):
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
    screen.show_choices(notes, choices)
    with notes.status("looking for the head") as status:
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
        made_with = {
            "path": str(report.path),
            "preprocessing": preprocessing.to_json(),
            "origins": dict(choices.origins),
        }
        print_json({**asdict(report), **made_with})
    else:
        screen.show_export(screen.console(), report)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--model", help="Where the weights come from, for people; default: FOLDER's name.")
@bundle_option
@json_option
def encoder(folder: Path, model: str | None, bundle_path: Path | None, as_json: bool) -> None:
    """Give a bundle a text encoder of its own; needs the export extra.

    FOLDER is a local Hugging Face folder: a BERT or RoBERTa sentence encoder, or a CLIP.

    \b
    Example:
        edgesplit encoder models/bge-small-en-v1.5
    """
    from dataclasses import asdict

    from edgesplit.cli import screen
    from edgesplit.export import add_text_encoder

    bundle = open_bundle(bundle_path)
    with screen.notes().status("exporting the text encoder"):
        report = add_text_encoder(folder, bundle=bundle, model=model or folder.resolve().name)
    if as_json:
        print_json({**asdict(report), "path": str(report.path)})
    else:
        screen.show_encoder(screen.console(), report)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default="demo")
@click.option("--force", is_flag=True, help="Replace a demo that is in the folder already.")
@click.option("--no-edit", is_flag=True, help="Only put the bundle and its clips there.")
@json_option
def demo(folder: Path, force: bool, no_edit: bool, as_json: bool) -> None:
    """Predict clips, split a class from another process, and watch the answers change.

    \b
    Example:
        edgesplit demo
    """
    from edgesplit.cli import screen
    from edgesplit.cli.demo import edit_command, run_demo, unpack_demo

    out = screen.notes() if as_json else screen.console()
    bundle = unpack_demo(folder, force=force)
    n_clips = len(list((folder / "clips").glob("*.mp4")))
    out.print(f"{bundle.path} and {n_clips} clips in {folder / 'clips'}", markup=False)
    if no_edit:
        return

    def on_before(answers: Mapping[str, Prediction]) -> None:
        out.print("\nA runtime predicts the clips, over and over:")
        for name, prediction in answers.items():
            screen.show_prediction(out, name, prediction)
        command = shlex.join(["edgesplit", *edit_command(folder)])
        out.print(f"\nMeanwhile, in another process:\n[bold]$ {command}[/]")

    def on_edit(report: Report) -> None:
        screen.show_report(out, report)

    result = run_demo(folder, on_before=on_before, on_edit=on_edit)
    if as_json:
        print_json(result.to_json())
    else:
        screen.show_demo(out, result, folder)


@click.command()
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The file.")
@click.option("--head", "digest", help="Digest of a head of the bundle; by default the live one.")
@click.option("--variant", type=click.Choice(get_args(VariantName)), help="Take this variant.")
@replace_option
@bundle_option
@json_option
def fuse(
    output: Path,
    digest: str | None,
    variant: VariantName | None,
    replace: bool,
    bundle_path: Path | None,
    as_json: bool,
) -> None:
    """Write backbone and head as one ONNX file, for programs that take only one.

    Such a file cannot be edited: after an edit, fuse again, and build whatever is built from it
    again. That no other answer changes is promised of bundles, not of this: TensorRT, say, may
    choose other kernels for the same class when the head has another size.

    \b
    Example:
        edgesplit fuse -o model.onnx
    """
    from edgesplit.backbone.fuse import fuse_models
    from edgesplit.backbone.identity import inline
    from edgesplit.runtime.backends.variants import read_variant

    if not replace:
        check_new(output)
    bundle = open_bundle(bundle_path)
    fused = fuse_models(
        read_variant(bundle, variant) if variant else inline(bundle.backbone()),
        bundle.head(digest),
        clip_shape=bundle.preprocessing.clip_shape,
        optimize=variant != "fp16",
    )
    write_new(output, fused.data, replace=replace)
    if as_json:
        print_json(
            {
                "output": str(output),
                "head_digest": fused.head_digest,
                "size_bytes": len(fused.data),
                "difference": fused.difference,
            }
        )
        return
    click.echo(
        f"{output}: backbone and head {fused.head_digest[:12]}, {len(fused.data) / 1e6:.1f} MB\n"
        f"  logits differ by {fused.difference:.1g} of the largest from the two apart, in ONNX "
        "Runtime\n"
        "  after an edit, fuse again; what a compiler makes of it carries no promise of locality"
    )
    if variant == "fp16":
        click.echo(
            "warning: on a CPU open it with graph optimizations off: ONNX Runtime's end the "
            "process on some float16 graphs",
            err=True,
        )
