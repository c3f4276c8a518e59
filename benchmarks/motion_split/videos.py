"""Write held-out clips as H.264 files.

python -m benchmarks.motion_split.videos DIR --label "pushing something left" --index 0
"""

from pathlib import Path

import av
import click

from benchmarks.motion_split.classes import FINE_CLASSES, FINE_LABELS, FineClass, clip_seed
from benchmarks.motion_split.render import render_clip
from edgesplit._types import UInt8

SIZE = 192
N_FRAMES = 24
FPS = 12


def heldout_video(fine: FineClass, index: int, *, seed: int = 0) -> UInt8:
    """Return held-out clip ``index`` of a class at full size, ``(N_FRAMES, SIZE, SIZE, 3)`` uint8.

    The same scene as clip ``index * 85 + class`` of ``data.load_clips("heldout", seed, ...)``.
    """
    position = index * len(FINE_CLASSES) + FINE_CLASSES.index(fine)
    return render_clip(fine, clip_seed("heldout", seed, position), size=SIZE, n_frames=N_FRAMES)


def write_video(frames: UInt8, path: Path) -> None:
    """Write an MP4; the same frames give the same bytes with the same libx264."""
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        # One thread: x264's rate control depends on the number of threads. No macroblock tree:
        # on CPUs with AVX-512 it gives other bytes every time.
        options = {"crf": "24", "threads": "1", "flags": "+bitexact", "x264-params": "mbtree=0"}
        stream = container.add_stream("libx264", rate=FPS, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--label", type=click.Choice(FINE_LABELS), multiple=True, help="Default: all.")
@click.option("--index", default=0, show_default=True, help="Which held-out clip of the class.")
def main(directory: Path, label: tuple[str, ...], index: int) -> None:
    """Write held-out clips of the labels into DIRECTORY."""
    directory.mkdir(parents=True, exist_ok=True)
    for fine in FINE_CLASSES:
        if fine.label in (label or FINE_LABELS):
            path = directory / f"{fine.label.replace(' ', '-')}-{index}.mp4"
            write_video(heldout_video(fine, index), path)
            click.echo(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
