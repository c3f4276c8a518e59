"""Run an hour of stream faster than real time: is memory constant, and is every frame counted?

Part of `make soak`. Separately: python -m benchmarks.soak.stream
"""

import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import click
import numpy as np

from edgesplit.demo import unpack_demo
from edgesplit.runtime import Runtime, Stream
from edgesplit.runtime.stream import Decision, Frame, Source
from edgesplit.runtime.stream.sources import open_feed, parse_source
from edgesplit.video.preprocessing import Preprocessing

FPS = 30
PART_S = 60
"""Length of the file that is read repeatedly, in seconds."""


class _Hour:
    """A `Feed` that decodes a file repeatedly, with continuous timestamps."""

    rate: float | None = FPS
    damaged = 0

    def __init__(
        self, path: Path, preprocessing: Preprocessing, seconds: range, live: bool
    ) -> None:
        self._path, self._preprocessing, self._seconds = path, preprocessing, seconds
        self.live = live

    def __iter__(self) -> Iterator[Frame]:
        for start in self._seconds:
            feed = open_feed(parse_source(str(self._path)), self._preprocessing, timeout_s=10)
            for frame in feed:
                yield replace(frame, seconds=start + (frame.seconds or 0.0))
            feed.close()

    def close(self) -> None:
        """Do nothing: no file is open between two parts."""


def stream(seconds: int, *, live: bool, part_s: int = PART_S) -> dict[str, Any]:
    """Run H.264 at 30 frames a second through the demo's model, as fast as possible.

    Args:
        seconds: length of the stream.
        live: drop windows that come too fast, and interrupt and reopen the stream every `part_s`;
            otherwise read it without a break and drop none.
        part_s: length of the file that is read repeatedly, in seconds.
    """
    with tempfile.TemporaryDirectory() as folder:
        bundle = unpack_demo(Path(folder))
        path = _write_part(Path(folder) / "part.mp4", part_s)
        starts = range(0, seconds, part_s)
        left = iter(starts)
        source = Source("soak", "url" if live else "file", "soak", live=live)

        def open_source() -> _Hour:
            part = starts
            if live:
                start = next(left, None)
                if start is None:
                    opened.stop()
                    return _Hour(path, bundle.preprocessing, range(0), live)
                part = range(start, start + 1)
            return _Hour(path, bundle.preprocessing, part, live)

        begun, memory_mib, due = time.monotonic(), [], 0.0
        with Runtime(bundle) as runtime:
            opened = Stream(
                runtime,
                source,
                window_s=2,
                smooth=4,
                retry_s=(0.001, 0.001),
                open_source=open_source,
            )
            for event in opened:
                if isinstance(event, Decision) and event.start >= due:
                    memory_mib.append(resident_mib())
                    due += seconds / 10
            n = opened.accounting
    settled = n.used + n.unsampled + n.late + n.unfinished
    return {
        "seconds_of_stream": seconds,
        "policy": "latest" if live else "block",
        "exact": n.frames == settled and n.windows == n.predicted + n.dropped,
        "accounting": n.to_json(),
        "resident_mib_by_tenth": memory_mib,
        "lasted_s": round(time.monotonic() - begun, 1),
    }


def _write_part(path: Path, seconds: int) -> Path:
    rng = np.random.default_rng(0)
    texture = rng.integers(0, 256, (30, 40, 3), np.uint8).repeat(4, 0).repeat(4, 1)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=Fraction(FPS), options={"preset": "veryfast"})
        video.height, video.width, video.pix_fmt = 120, 160, "yuv420p"
        for index in range(seconds * FPS):
            picture = np.roll(texture, (index, 2 * index), (0, 1))
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
    return path


def resident_mib() -> float:
    """Return the resident memory of this process, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


@click.command()
@click.option("--seconds", default=3600, show_default=True)
def main(seconds: int) -> None:
    """Run both kinds and print their results; `make soak` writes them to a file."""
    for live in (False, True):
        click.echo(json.dumps(stream(seconds, live=live), indent=2))


if __name__ == "__main__":
    main()
