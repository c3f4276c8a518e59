"""Train a backbone with its head on the mixed-granularity labels of one half.

    python -m benchmarks.motion_split.train --half A --seed 0

Writes ``checkpoint.pt`` (state dict), ``labels.json`` (class index order) and ``train.json``.
On a busy machine set ``OMP_WAIT_POLICY=passive``: threads that spin while they wait made it five
times slower.
"""

import json
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import click
import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor, nn

from benchmarks.motion_split.classes import Family, Half, head_labels, label_digest
from benchmarks.motion_split.data import CACHE, Clips, label_indices, load_clips, mirror_indices
from benchmarks.motion_split.model import (
    FACTORIES,
    N_FRAMES,
    SIZE,
    Classifier,
    from_uint8,
    normalise,
    normalised_batches,
)
from edgesplit._types import Int64

BATCH = 64
N_HELDOUT = 3400


RATES: dict[Family, float] = {"cnn": 3e-3, "transformer": 1e-3}


def train(clips: Clips, half: Half, family: Family, *, seed: int, epochs: int) -> Classifier:
    """Train a model on the clips, with the classes of head ``half``."""
    torch.manual_seed(seed)
    model = FACTORIES[family](len(head_labels(half)))
    rate = RATES[family]
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.05)
    n_steps = epochs * (len(clips.fine) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, n_steps, pct_start=0.15)
    smoothed = 0.0
    with Progress() as progress:
        task = progress.add_task("train", total=n_steps)
        for step, (pictures, target) in enumerate(_batches(clips, half, seed, epochs)):
            loss = nn.functional.cross_entropy(model(pictures), target)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            smoothed += (loss.item() - smoothed) / min(step + 1, 100)
            progress.update(task, advance=1, description=f"train, loss {smoothed:.3f}")
    return model.eval()


def predict(model: Classifier, clips: Clips) -> Int64:
    """Return the class index of each clip."""
    with torch.inference_mode():
        parts = [model(pictures).argmax(1) for pictures in normalised_batches(clips.frames)]
    indices: Int64 = torch.cat(parts).numpy()
    return indices


def _batches(clips: Clips, half: Half, seed: int, epochs: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield shuffled, augmented batches with their class indices."""
    rng = np.random.default_rng(seed)
    classes, mirror = label_indices(half), mirror_indices()
    for _ in range(epochs):
        order = rng.permutation(len(clips.fine))
        for batch in range(len(order) // BATCH):
            chosen = np.sort(order[batch * BATCH : (batch + 1) * BATCH])
            fine = clips.fine[chosen]
            flip = rng.random(BATCH) < 0.5
            target = classes[np.where(flip, mirror[fine], fine)]
            pictures = from_uint8(torch.from_numpy(clips.frames[chosen]))
            yield augment(pictures, torch.from_numpy(flip)), torch.from_numpy(target)


def augment(pictures: Tensor, flip: Tensor) -> Tensor:
    """Mirror the chosen clips, and distort all as a camera, a codec and a scaler would.

    Args:
        pictures: ``[B, 3, T, H, W]`` in 0..1.
        flip: ``[B]``, True for clips to mirror.

    Returns:
        Normalised clips.
    """
    n_clips = len(pictures)
    pictures = torch.where(flip.view(-1, 1, 1, 1, 1), pictures.flip(-1), pictures)
    # Blur: a scaler's filter is wider or narrower than the renderer's one-pixel edges.
    blurred = nn.functional.avg_pool3d(
        pictures, (1, 3, 3), stride=1, padding=(0, 1, 1), count_include_pad=False
    )
    share = 0.6 * torch.rand(n_clips, 1, 1, 1, 1)
    pictures = torch.lerp(pictures, blurred, share)
    gain = 1 + 0.1 * torch.randn(n_clips, 3, 1, 1, 1)
    offset = 0.04 * torch.randn(n_clips, 3, 1, 1, 1)
    # Coarse noise stands for a codec's blocks, constant over a patch and a moment.
    blocks = 0.015 * torch.randn(n_clips, 3, N_FRAMES, SIZE // 4, SIZE // 4)
    blocks = blocks.repeat_interleave(4, 3).repeat_interleave(4, 4)
    return normalise((pictures * gain + offset + blocks).clamp(0, 1))


@click.command()
@click.option("--half", type=click.Choice(get_args(Half)), default="A", show_default=True)
@click.option("--family", type=click.Choice(get_args(Family)), default="cnn", show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--clips", "n_clips", default=30_000, show_default=True)
@click.option("--epochs", default=5, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Default: cache/FAMILY-HALF-SEED.")
def main(
    half: Half, family: Family, seed: int, n_clips: int, epochs: int, out: Path | None
) -> None:
    """Render, train, evaluate on held-out clips, and save."""
    torch.set_num_threads(2)
    out = out or CACHE / f"{family}-{half}-{seed}"
    out.mkdir(parents=True, exist_ok=True)
    clips = load_clips("train", seed, n_clips, size=SIZE, n_frames=N_FRAMES)
    heldout = load_clips("heldout", seed, N_HELDOUT, size=SIZE, n_frames=N_FRAMES)
    start = time.perf_counter()
    model = train(clips, half, family, seed=seed, epochs=epochs)
    train_s = time.perf_counter() - start
    accuracy = float(np.mean(predict(model, heldout) == label_indices(half)[heldout.fine]))
    torch.save(model.state_dict(), out / "checkpoint.pt")
    (out / "labels.json").write_text(json.dumps(head_labels(half), indent=1) + "\n")
    record = {
        "half": half,
        "family": family,
        "seed": seed,
        "clips": n_clips,
        "epochs": epochs,
        "heldout_accuracy": accuracy,
        "heldout_clips": N_HELDOUT,
        "train_s": round(train_s, 1),
        "label_digest": label_digest(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
    }
    (out / "train.json").write_text(json.dumps(record, indent=1) + "\n")
    click.echo(f"{out}: {accuracy:.1%} of held-out clips, trained in {train_s:.0f} s")


if __name__ == "__main__":
    main()
