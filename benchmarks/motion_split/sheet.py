"""Draw contact sheets: a few frames of a clip of each class, for visual inspection.

python -m benchmarks.motion_split.sheet DIR --category pushing
"""

from pathlib import Path

import av
import click
import numpy as np

from benchmarks.motion_split.classes import CATEGORIES, FINE_CLASSES, FineClass, clip_seed
from benchmarks.motion_split.render import render_clip
from edgesplit._types import UInt8


def contact_sheet(classes: list[FineClass], *, seed: int, size: int, n_frames: int) -> UInt8:
    """Return one row of frames per class, ``(height, width, 3)`` uint8."""
    rows = [
        np.concatenate(render_clip(fine, seed + row, size=size, n_frames=n_frames), axis=1)
        for row, fine in enumerate(classes)
    ]
    return np.concatenate(rows)


def write_png(picture: UInt8, path: Path) -> None:
    """Write one RGB picture."""
    with av.open(str(path), "w", format="image2") as container:
        stream = container.add_stream("png", rate=1)
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = "rgb24"
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        container.mux([*stream.encode(frame), *stream.encode()])


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--category", default="", help="Only coarse categories that begin so.")
@click.option("--seed", default=0, show_default=True)
@click.option("--size", default=96, show_default=True)
@click.option("--frames", default=8, show_default=True)
def main(directory: Path, category: str, seed: int, size: int, frames: int) -> None:
    """Write one PNG per coarse category into DIRECTORY."""
    directory.mkdir(parents=True, exist_ok=True)
    for chosen in CATEGORIES:
        if chosen.coarse.startswith(category):
            classes = [fine for fine in FINE_CLASSES if fine.coarse == chosen.coarse]
            first = clip_seed("heldout", 0, 1000 * seed)
            sheet = contact_sheet(classes, seed=first, size=size, n_frames=frames)
            write_png(sheet, directory / f"{chosen.coarse.replace(' ', '-')}.png")


if __name__ == "__main__":
    main()
