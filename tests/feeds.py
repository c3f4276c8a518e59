"""Sources that tests make: frames with timestamps, and what goes wrong with them."""

import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from edgesplit.runtime.stream import Feed, Frame, Source

CAMERA = Source("rtsp://fake", "url", "rtsp://fake", live=True)
FILE = Source("fake.mp4", "file", "fake.mp4", live=False)
LIVE_PIPE = Source("pipe:0", "pipe", "standard input", live=True)


def frames(n: int, *, rate: float = 10.0, start: float = 0.0, size: int = 4) -> Iterator[Frame]:
    """Frames that come at once; each is of one grey."""
    for index in range(n):
        picture = np.full((size, size, 3), index % 251, np.uint8)
        yield Frame(
            seconds=start + index / rate,
            arrived=time.monotonic(),
            wall=time.time(),
            scale=lambda picture=picture: picture,  # type: ignore[misc]
        )


class FakeFeed:
    """See `edgesplit.runtime.stream.Feed`."""

    rate: float | None = 10.0
    damaged = 0

    def __init__(self, content: Iterable[Frame], *, live: bool) -> None:
        self._content = content
        self.live = live
        self.closed = False

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._content)

    def close(self) -> None:
        self.closed = True


def in_turn(*feeds: Feed | Exception) -> Callable[[], Feed]:
    """Opens one after another; an exception is what opening raises."""
    rest = iter(feeds)

    def open_next() -> Feed:
        feed = next(rest)
        if isinstance(feed, Exception):
            raise feed
        return feed

    return open_next
