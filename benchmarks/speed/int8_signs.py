"""Could one int8 file, signed as TensorRT needs it, also serve ONNX Runtime's CPU kernels?

    python -m benchmarks.speed.int8_signs      # a minute

The demo's CNN is calibrated on half of its clips and compared with fp32 on the others; speed is
measured in alternating blocks, as in `variant add`, several times.
"""

import tempfile
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.harness.results import ROOT, read_timings, write_timing
from edgesplit.backbone.identity import inline
from edgesplit.backbone.int8 import to_int8
from edgesplit.demo import unpack_demo
from edgesplit.runtime import OrtBackend
from edgesplit.runtime.backends.agreement import compare_backends
from edgesplit.runtime.backends.variants import measure_speed
from edgesplit.video.clips import find_videos, read_clip

ROUNDS = 9


def measure() -> dict[str, Any]:
    """Measure speed and agreement of both, relative to fp32."""
    with tempfile.TemporaryDirectory() as name:
        bundle = unpack_demo(Path(name))
        videos = find_videos(Path(name) / "clips")
        clips = np.stack([read_clip(video, bundle.preprocessing) for video in videos])
        own, head = inline(bundle.backbone()), bundle.head()
    full = OrtBackend(own)
    found = {}
    for kind, signed in (("unsigned", False), ("signed", True)):
        other = OrtBackend(to_int8(own, clips[::2], signed=signed).data)
        agreement = compare_backends(full, other, head=head, clips=clips[1::2])
        speeds = [measure_speed(full, other, clips[1]) for _ in range(ROUNDS)]
        found[kind] = {
            "times_fp32": round(float(np.median(speeds)), 2),
            "range": [round(min(speeds), 2), round(max(speeds), 2)],
            "cosine": round(agreement.cosine, 5),
        }
    return found


def read_sentence() -> str:
    """Return the sentence of docs/engines.md, from the committed results."""
    found = [
        f"{one['unsigned']['times_fp32']:.2f} x as fast as fp32 unsigned and "
        f"{one['signed']['times_fp32']:.2f} x signed on {one['made']['machine']}, ONNX Runtime "
        f"{one['made']['onnxruntime']}"
        for one in read_timings("int8_signs")
    ]
    return (
        "One signed file for both would cost the CPU what int8 is for: the demo's CNN is "
        f"{'; '.join(found)} (`python -m benchmarks.speed.int8_signs`)."
    )


@click.command()
def main() -> None:
    """Measure, and write the machine's result."""
    found = measure()
    click.echo(found)
    click.echo(write_timing("int8_signs", {"rounds": ROUNDS, **found}).relative_to(ROOT))


if __name__ == "__main__":
    main()
