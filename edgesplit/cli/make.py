"""The commands that make a bundle, or a part of it.

`export` makes it of a trained model, `demo` of what is shipped; `encoder` makes its text encoder.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgesplit.cli.options import bundle_option, json_option, open_bundle, print_json
from edgesplit.preprocessing import INTERPOLATIONS, LAYOUTS, SAMPLINGS, Preprocessing

if TYPE_CHECKING:
    from edgesplit.report import Report
    from edgesplit.runtime import Prediction

__all__ = ["demo", "encoder", "export"]

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


def _numbers(kind: type, *counts: int) -> Callable[[Any, Any, str], tuple[Any, ...]]:
    """A callback that reads numbers divided by commas or `x`: `0.5,0.5,0.5`, `112x112`."""

    def read(context: click.Context, parameter: click.Parameter, text: str) -> tuple[Any, ...]:
        try:
            numbers = tuple(kind(part) for part in text.replace("x", ",").split(","))
        except ValueError:
            numbers = ()
        if len(numbers) not in counts:
            wanted = " or ".join(map(str, counts))
            raise click.BadParameter(f"{text!r} is not {wanted} numbers", context, parameter)
        return numbers

    return read


@click.command()
@click.argument("model", metavar="MODULE:FACTORY")
@click.option(
    "--labels",
    "labels_path",
    required=True,
    type=_FILE,
    help="Class names in output order: a JSON list, {label: index}, or one per line.",
)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The bundle.")
@click.option("--checkpoint", type=_FILE, help="Weights: a state dict saved by torch.save.")
@click.option("--frames", required=True, type=click.IntRange(min=1), help="Frames in a clip.")
@click.option(
    "--size",
    required=True,
    callback=_numbers(int, 1, 2),
    metavar="H[xW]",
    help="Frame size in pixels.",
)
@click.option(
    "--sampling",
    required=True,
    type=click.Choice(SAMPLINGS),
    help="uniform: frames over the whole video; dense: every --stride-th frame.",
)
@click.option("--stride", type=click.IntRange(min=1), default=1, show_default=True)
@click.option(
    "--resize",
    type=click.IntRange(min=1),
    help="Scale the short side to this and crop the centre; default: scale to --size.",
)
@click.option(
    "--interpolation",
    type=click.Choice(INTERPOLATIONS),
    default="antialias",
    show_default=True,
    help="antialias, -bicubic: as Pillow, torchvision and Hugging Face scale frames; no-antialias: "
    "as OpenCV and torch's interpolate; the others are FFmpeg's.",
)
@click.option(
    "--layout",
    type=click.Choice(LAYOUTS),
    default="ncthw",
    show_default=True,
    help="Axis order that the model takes.",
)
@click.option(
    "--mean",
    callback=_numbers(float, 3),
    default="0,0,0",
    show_default=True,
    metavar="R,G,B",
    help="Of the training's normalisation, for pixels in 0..1; folded into the backbone.",
)
@click.option(
    "--std", callback=_numbers(float, 3), default="1,1,1", show_default=True, metavar="R,G,B"
)
@click.option("--head-layer", help="Dotted name of the last linear layer; found when not given.")
@click.option(
    "--calibrate",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of unlabelled videos: for statistics and the gate.",
)
@json_option
def export(
    model: str,
    labels_path: Path,
    output: Path,
    checkpoint: Path | None,
    head_layer: str | None,
    calibrate: Path | None,
    as_json: bool,
    size: tuple[int, ...],
    **spec: Any,
) -> None:
    """Turn a trained torch classifier into a bundle, once; needs the export extra.

    \b
    Example:
        edgesplit export mymodels.r3d:factory --checkpoint r3d.pt --labels labels.txt \\
            --frames 8 --size 112 --sampling uniform -o lab.bundle
    """
    from dataclasses import asdict

    from edgesplit import screen
    from edgesplit.clips import find_videos
    from edgesplit.export import export_model, load_labels, load_model

    try:
        preprocessing = Preprocessing(height=size[0], width=size[-1], **spec)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if max(preprocessing.mean) > 1 or max(preprocessing.std) > 1:
        click.echo("warning: --mean and --std are for pixels in 0..1; divide by 255?", err=True)
    if checkpoint is None:
        click.echo("warning: no --checkpoint: exporting the weights the factory makes", err=True)
    labels = load_labels(labels_path)
    with screen.notes().status("loading the model") as status:
        report = export_model(
            load_model(model, checkpoint=checkpoint, n_classes=len(labels)),
            labels=labels,
            output=output,
            preprocessing=preprocessing,
            head_layer=head_layer,
            clips=find_videos(calibrate) if calibrate else None,
            progress=status.update,
        )
    if as_json:
        click.echo(json.dumps(asdict(report), indent=2, default=str))
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

    from edgesplit import screen
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
    from edgesplit import screen
    from edgesplit.demo import edit_command, run_demo, unpack_demo

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
        click.echo(json.dumps(result.to_json(), indent=2, ensure_ascii=False))
    else:
        screen.show_demo(out, result)
