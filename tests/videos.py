"""Videos that tests make: pictures in, a file out, shown as a display matrix says."""

import struct
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
Matrix = tuple[int, int, int, int]
"""a, b, c, d: a stored pixel is shown at x = a * column + c * row, y = b * column + d * row."""

TURNS: dict[int, Matrix] = {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1)}
TURNS[270] = (0, -1, 1, 0)
"""By degrees, clockwise: how a picture is turned to be shown."""


def encode(
    path: Path,
    pictures: Iterable[Picture],
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rate: Fraction = Fraction(12),
    ticks: Sequence[int] | None = None,
    **options: str,
) -> Path:
    """Writes a video of pictures of one size.

    Args:
        path: of the file.
        pictures: `(height, width, 3)` each.
        codec: of FFmpeg; as `pix_fmt`, and the codec's `options`.
        pix_fmt: see codec.
        rate: pictures a second.
        ticks: when each is shown, in parts of 1 / rate; one after another by default.
        options: see codec.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        for index, picture in enumerate(pictures):
            if not index:
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = pix_fmt
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.time_base = 1 / rate
            frame.pts = index if ticks is None else ticks[index]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def decode_jpeg(data: bytes) -> Picture:
    """`(height, width, 3)` of a JPEG picture."""
    with av.open(BytesIO(data), format="jpeg_pipe") as container:
        (frame,) = container.decode(video=0)
        return np.asarray(frame.to_ndarray(format="rgb24"))


def show_as(path: Path, matrix: Matrix) -> Path:
    """Gives an MP4 file a display matrix, in its track header: PyAV cannot write one."""
    content = bytearray(path.read_bytes())
    header = content.index(b"tkhd") + 4  # version and flags come first
    start = header + 4 + (32 if content[header] else 20) + 16
    a, b, c, d = (value << 16 for value in matrix)
    struct.pack_into(">9i", content, start, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    return path


def waves(n: int, height: int, width: int, *, grain: float = 0.0) -> Iterator[Picture]:
    """Coloured waves that drift; with grain, under noise and a chequered pattern."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    noise = np.random.default_rng(0).normal(0, grain, (height, width, 3)) if grain else 0.0
    for t in range(n):
        wave = [
            128 + 90 * np.sin((x + 5 * t) / (23 + 7 * c) + c) * np.cos((y - 3 * t) / (31 - 5 * c))
            for c in range(3)
        ]
        picture = np.stack(wave, axis=-1)
        if grain:
            picture += np.roll(noise, (2 * t, 3 * t), (0, 1))
            picture += 40 * ((x // 8 + y // 8 + t) % 2)[..., None]
        yield picture.clip(0, 255).astype(np.uint8)
