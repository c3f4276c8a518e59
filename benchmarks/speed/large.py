"""Run a model above 2 GB from torch to a prediction: does it verify, and what does it need?

    python -m benchmarks.speed.large      # some minutes, 20 GB of memory, 3 GB of disk

The model has linear layers with 2.2 GB of random weights. Export, verification, one prediction and
a test with damaged weights each run in a subprocess, so that each has its own memory peak.
"""

import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.harness.results import ROOT, write_result
from benchmarks.harness.workers import run_module, tell
from edgesplit.video.preprocessing import Preprocessing

WIDTH, LAYERS = 8192, 8
SHAPE = Preprocessing(frames=4, height=32, width=32)
LABELS = [f"class {index}" for index in range(20)]


def export(folder: Path) -> dict[str, Any]:
    """Make the model and its bundle."""
    import torch
    from torch import nn

    from edgesplit.export import export_model

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv3d(3, WIDTH, 4, stride=4)
            self.layers = nn.Sequential(
                *(
                    layer
                    for _ in range(LAYERS)
                    for layer in (nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH), nn.GELU())
                )
            )
            self.head = nn.Linear(WIDTH, len(LABELS))

        def forward(self, clips: torch.Tensor) -> torch.Tensor:
            pooled = self.stem(clips).mean((2, 3, 4))
            logits: torch.Tensor = self.head(self.layers(pooled))
            return logits

    torch.manual_seed(0)
    report = export_model(Model(), labels=LABELS, output=folder / "lab.bundle", preprocessing=SHAPE)
    return {
        "backbone_bytes": report.backbone_bytes,
        "parity_features": float(f"{report.parity.features:.2g}"),
        "parity_logits": float(f"{report.parity.logits:.2g}"),
        "top1_agreement": report.parity.top1_agreement,
        "files": {
            file.name: file.stat().st_size for file in (folder / "lab.bundle").glob("backbone.*")
        },
    }


def verify(folder: Path) -> dict[str, Any]:
    """Check every file."""
    from edgesplit.bundle.bundle import open_bundle

    return {"problems": open_bundle(folder / "lab.bundle").verify()}


def predict(folder: Path) -> dict[str, Any]:
    """Open the bundle and decide a clip."""
    from edgesplit.runtime import Runtime

    with Runtime(folder / "lab.bundle") as runtime:
        clip = np.random.default_rng(0).random(runtime.clip_shape, np.float32)
        return {"label": runtime.predict(clip).label}


def damage(folder: Path) -> dict[str, Any]:
    """Change one byte in the middle of the weights; return the result of verification."""
    file = folder / "lab.bundle" / "backbone.data"
    with file.open("r+b") as data:
        data.seek(file.stat().st_size // 2)
        byte = data.read(1)[0]
        data.seek(-1, 1)
        data.write(bytes([byte ^ 1]))
    return verify(folder)


STEPS = {step.__name__: step for step in (export, verify, predict, damage)}


@click.command()
@click.option("--step", "served", nargs=2, type=str, hidden=True)
def main(served: tuple[str, str] | None) -> None:
    """Run every step, and write large.json."""
    if served:
        start = time.perf_counter()
        found = STEPS[served[0]](Path(served[1]))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        tell({**found, "s": round(time.perf_counter() - start, 1), "peak_bytes": peak})
        return
    content: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        for step in STEPS:
            _, last = run_module("benchmarks.speed.large", "--step", step, name)
            content[step] = json.loads(last)
            print(step, content[step], flush=True)
    print(write_result("large", content).relative_to(ROOT))


if __name__ == "__main__":
    main()
