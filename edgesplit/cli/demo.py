"""The command `demo`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgesplit.cli.options import json_option
from edgesplit.cli.render.console import console, escape, notes, print_result
from edgesplit.cli.render.edits import show_demo, show_report
from edgesplit.cli.render.stream import show_prediction

if TYPE_CHECKING:
    from edgesplit.runtime import Prediction

__all__ = ["demo"]


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default="demo")
@click.option("--overwrite", is_flag=True, help="Replace a demo that exists in the folder.")
@click.option("--no-edit", is_flag=True, help="Only write the bundle and its clips.")
@json_option
def demo(folder: Path, overwrite: bool, no_edit: bool, as_json: bool) -> None:
    """Watch a split go live on shipped clips.

    FOLDER (default: demo) receives a bundle and its clips. The command predicts the clips while
    another process splits a class of the bundle.

    \b
    Example:
        edgesplit demo
    """
    from edgesplit.demo import edit_command, run_demo, unpack_demo

    out = notes() if as_json else console()
    bundle = unpack_demo(folder, overwrite=overwrite)
    n_clips = len(list((folder / "clips").glob("*.mp4")))
    out.print(f"{bundle.path} and {n_clips} clips in {folder / 'clips'}", markup=False)
    if no_edit:
        return

    def on_before(answers: Mapping[str, Prediction]) -> None:
        out.print("\nA runtime predicts the clips again and again:")
        for name, prediction in answers.items():
            show_prediction(out, name, prediction)
        command = shlex.join(["edgesplit", *edit_command(folder)])
        out.print(f"\nMeanwhile, in another process:\n[bold]$ {escape(command)}[/]")

    result = run_demo(folder, on_before=on_before, on_edit=lambda report: show_report(out, report))
    print_result(as_json, result.to_json(), show_demo, result, folder)
