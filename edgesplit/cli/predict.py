"""The commands that watch videos: `predict`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgesplit.cli.options import (
    backend_options,
    bundle_option,
    json_option,
    open_backend,
    open_bundle,
    print_error,
    print_json,
)

if TYPE_CHECKING:
    from edgesplit._types import BackendName, VariantName

__all__ = ["predict"]


@click.command()
@click.argument("clips", nargs=-1, required=True, type=click.Path(path_type=Path))
@backend_options
@bundle_option
@json_option
def predict(
    clips: tuple[Path, ...],
    backend: BackendName,
    variant: VariantName | None,
    bundle_path: Path | None,
    as_json: bool,
) -> None:
    """Say what happens in video files; with --json one object a line.

    The score of each level is its probability. Of a video that is shorter than a clip it says how
    many frames were repeated. A file that cannot be read is reported, the others go on, and the
    exit code is 1.

    \b
    Example:
        edgesplit predict clips/*.mp4
    """
    from edgesplit.cli import screen
    from edgesplit.errors import ClipError
    from edgesplit.runtime import Runtime
    from edgesplit.video.clips import read_video

    out = screen.console()
    bundle = open_bundle(bundle_path)
    with Runtime(bundle, backend=open_backend(bundle, backend, variant).backend) as runtime:
        failed = 0
        for path in clips:
            try:
                clip = read_video(path, runtime.bundle.preprocessing)
            except ClipError as error:
                print_error(type(error).__name__, str(error), as_json=as_json, clip=str(path))
                failed += 1
                continue
            prediction = runtime.predict(clip.pixels)
            if as_json:
                content = {
                    "clip": str(path),
                    "n_repeated": clip.n_repeated,
                    **prediction.to_json(),
                }
                print_json(content, indent=None)
                continue
            screen.show_prediction(out, path.name, prediction)
            if clip.n_repeated:
                frames = f"{clip.n_repeated} of {runtime.bundle.preprocessing.frames} frames"
                click.echo(f"warning: {path.name} is short: {frames} are repeated", err=True)
    click.get_current_context().exit(1 if failed else 0)
