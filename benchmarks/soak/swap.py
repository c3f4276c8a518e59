"""Do head swaps disturb a stream, and how soon does a published head decide?

    python -m benchmarks.soak.swap      # four minutes

The demo model predicts 30 frames a second, with a window for every frame, while another process
publishes one of two heads about ten times a second. The same stream without publishes (the null)
runs in turns with it. Every result is checked in numpy against the head that it names.
"""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.harness.results import ROOT, write_result
from edgesplit._types import Float32
from edgesplit.bundle.bundle import Bundle
from edgesplit.demo import unpack_demo
from edgesplit.heads.head import Head
from edgesplit.runtime import FunctionBackend, OrtBackend, Prediction, Runtime, Stream
from edgesplit.runtime.bench.swap import (
    Publish,
    find_first_results,
    read_publishes,
    start_publisher,
)
from edgesplit.runtime.stream import Decision, Frame, Source, Swapped

FPS = 30.0
WINDOW_S = 0.5
PUBLISH_S = 0.1
BLOCK_S = 21.0
BLOCKS = 5
"""Number of blocks of each kind: 5 x 20 s x 10 swaps a second are 1,000 swaps."""
RESAMPLES = 2000
CAMERA = Source("made", "url", "a camera of 30 frames a second", live=True)


@dataclass
class Block:
    """One run of the stream."""

    results: list[tuple[float, Decision]] = field(default_factory=list)
    """Decisions with the times of their reports, by the monotonic clock."""
    features: list[Float32] = field(default_factory=list)
    """Feature of each decision."""
    published: list[Publish] = field(default_factory=list)
    n_swapped: int = 0

    def first_results(self) -> list[tuple[Publish, float]]:
        """Return each publish whose head decided a window, with the time of the first decision."""
        results = [(at, decision.prediction.head_digest) for at, decision in self.results]
        return find_first_results(self.published, results)


class Camera:
    """A feed with 30 frames of noise a second, in real time."""

    rate: float | None = FPS
    damaged = 0

    def __init__(self, seconds: float, shape: tuple[int, int], *, live: bool) -> None:
        self.live = live
        self._n = round(seconds * FPS)
        self._pictures = np.random.default_rng(0).integers(0, 256, (64, *shape, 3), np.uint8)

    def __iter__(self) -> Iterator[Frame]:
        begun = time.monotonic()
        for index in range(self._n):
            time.sleep(max(0.0, begun + index / FPS - time.monotonic()))
            picture = self._pictures[index % len(self._pictures)]
            yield Frame(
                seconds=index / FPS,
                arrived=time.monotonic(),
                wall=time.time(),
                scale=lambda picture=picture: picture,  # type: ignore[misc]
            )

    def close(self) -> None:
        """Do nothing: no source is open."""


def watch(
    bundle: Bundle, heads: tuple[str, str], *, seconds: float, publish: bool, live: bool
) -> Block:
    """Run the stream once, with or without publishes."""
    block = Block()
    inner = OrtBackend(bundle.backbone(), threads=1)

    def run(clips: Float32) -> Float32:
        features = inner.run(clips)
        block.features.append(features[0].copy())
        return features

    shape = bundle.preprocessing.height, bundle.preprocessing.width
    n_swaps = round((seconds - 1) / PUBLISH_S) if publish else 0
    with (
        Runtime(bundle, backend=FunctionBackend(run)) as runtime,
        start_publisher(bundle, heads, n_swaps=n_swaps, every_s=PUBLISH_S) as publisher,
    ):
        stream = Stream(
            runtime,
            CAMERA,
            window_s=WINDOW_S,
            stride_s=1 / FPS,
            recent=0,
            stall_s=60,
            open_source=lambda: Camera(seconds + 5, shape, live=live),
        )
        for event in stream:
            if isinstance(event, Decision):
                if not block.results:
                    publisher.write("go")
                block.results.append((time.monotonic(), event))
                if event.end >= seconds:  # the camera goes on a little longer
                    stream.stop()
            elif isinstance(event, Swapped):
                block.n_swapped += 1
        block.published = read_publishes(publisher)
    return block


def wrong(prediction: Prediction, head: Head, feature: Float32) -> bool:
    """Return True if a result differs from that of the named head in numpy."""
    result = head.evaluate(feature)
    path = head.path(int(result.class_index[0]), result.probabilities[0])
    labels = tuple(step.label for step in path) == tuple(step.label for step in prediction.path)
    pairs = zip(path, prediction.path, strict=False)
    close = all(abs(one.probability - two.probability) <= 1e-4 for one, two in pairs)
    return not (labels and close)


def count_faults(block: Block, heads: dict[str, Head]) -> dict[str, int]:
    """Count windows that were lost, reported twice, or differ from the decision of their head."""
    numbers = [decision.number for _, decision in block.results]
    expected = max(numbers) + 1  # windows that wait when the stream is stopped are not reported
    pairs = zip(block.results, block.features, strict=True)
    return {
        "windows": expected,
        "lost": expected - len(set(numbers)),
        "twice": len(numbers) - len(set(numbers)),
        "mixed": sum(
            wrong(decision.prediction, heads[decision.prediction.head_digest], feature)
            for (_, decision), feature in pairs
        ),
    }


def milliseconds(blocks: list[Block]) -> Float32:
    """Return the milliseconds of backbone and head of every prediction."""
    timings = [
        decision.prediction.timings for block in blocks for _, decision in block.results[WARM_UP:]
    ]
    return np.array([t.backbone_ms + t.head_ms for t in timings], np.float32)


WARM_UP = round(FPS)
"""Number of windows at the begin of a block that are left out: its first second."""


def p99_interval(values: Float32) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the 99th percentile."""
    rng = np.random.default_rng(0)
    resampled = rng.choice(values, (RESAMPLES, len(values)))
    low, high = np.percentile(np.percentile(resampled, 99, axis=1), [2.5, 97.5])
    return float(low), float(high)


def measure(block_s: float, n_blocks: int, *, live: bool = True) -> dict[str, Any]:
    """Run both kinds of blocks in turns; return their figures.

    Args:
        block_s: seconds of a block.
        n_blocks: number of blocks of each kind.
        live: treat the feed as a camera: if the machine stalls, newer windows replace older ones,
            which are counted as lost. Otherwise reading waits.
    """
    with tempfile.TemporaryDirectory() as folder:
        bundle = unpack_demo(Path(folder))
        first = bundle.live
        second = bundle.publish(bundle.split_class("pushing", into=["left", "right"])).digest
        heads = {digest: bundle.head(digest) for digest in (first, second)}
        kinds: dict[str, list[Block]] = {"null": [], "swaps": []}
        for _ in range(n_blocks):
            for kind, blocks in kinds.items():
                publish = kind == "swaps"
                blocks.append(
                    watch(bundle, (first, second), seconds=block_s, publish=publish, live=live)
                )
        faults = [count_faults(block, heads) for blocks in kinds.values() for block in blocks]
    null, swaps = (milliseconds(kinds[kind]) for kind in ("null", "swaps"))
    found = [one for block in kinds["swaps"] for one in block.first_results()]
    from_start = np.array([1e3 * (first - one.begun) for one, first in found])
    from_end = np.array([1e3 * (first - one.ended) for one, first in found])
    interval = p99_interval(null)
    return {
        "published": sum(len(block.published) for block in kinds["swaps"]),
        "swaps": sum(block.n_swapped for block in kinds["swaps"]),
        **{key: sum(found[key] for found in faults) for key in faults[0]},
        "prediction_ms": {
            "null_p50": _ms(np.median(null)),
            "null_p99": _ms(np.percentile(null, 99)),
            "null_p99_interval": [_ms(value) for value in interval],
            "swaps_p50": _ms(np.median(swaps)),
            "swaps_p99": _ms(np.percentile(swaps, 99)),
            "p99_difference": _ms(np.percentile(swaps, 99) - np.percentile(null, 99)),
        },
        "publish_to_result_ms": {
            "n": len(from_end),
            "from_the_beginning_p50": _ms(np.median(from_start)),
            "from_its_end_p50": _ms(np.median(from_end)),
            "from_its_end_p99": _ms(np.percentile(from_end, 99)),
        },
    }


def _ms(value: Any) -> float:
    return round(float(value), 2)


@click.command()
@click.option("--block-s", default=BLOCK_S, show_default=True)
@click.option("--blocks", default=BLOCKS, show_default=True)
def main(block_s: float, blocks: int) -> None:
    """Measure, and write swap.json."""
    found = measure(block_s, blocks)
    click.echo(found)
    content = {"fps": FPS, "block_s": block_s, "blocks": blocks, **found}
    click.echo(write_result("swap", content).relative_to(ROOT))


if __name__ == "__main__":
    main()
