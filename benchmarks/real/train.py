"""Train small networks on real motion, with half of the categories collapsed.

    python -m benchmarks.real.train spar-sides
    python -m benchmarks.real.train              # all axes whose data exist
    python -m benchmarks.real.train --later      # other heads, to test choices made on the first

Writes `trained/AXIS-SEED.npz`; see `models.RealHead`. Existing files are kept. Held-out clips are
of subjects that the network never saw. Each head takes less than a minute on one core.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.real.data import AXES, Motion, load_motion
from benchmarks.real.models import LATER, TRAINED, coarse_labels, save_trained
from edgesplit._types import Float32, Int64

SEEDS = tuple(range(6))
LATER_SEEDS = tuple(range(6, 12))
N_FOLDS = len(SEEDS) // 2
BATCH, N_STEPS, RATE = 64, 600, 3e-3
WIDTH = 64
SHIFT = 4
"""Largest number of time steps that a batch is shifted."""


class Network(nn.Module):
    """A network of three convolutions over time; the feature is each channel's mean and maximum."""

    def __init__(self, n_channels: int, n_classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i in range(3):
            layers.append(nn.Conv1d(WIDTH if i else n_channels, WIDTH, 5, padding=2, bias=False))
            layers += [nn.BatchNorm1d(WIDTH), nn.ReLU()]
            layers += [nn.MaxPool1d(2)] if i < 2 else []
        self.layers = nn.Sequential(*layers)
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(2 * WIDTH, n_classes)

    def features(self, clips: Tensor) -> Tensor:
        """Return the features `(clips, 128)` of `(clips, channels, time)`."""
        found = self.layers(clips)
        return torch.cat([found.mean(2), found.amax(2)], 1)

    def forward(self, clips: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.head(self.drop(self.features(clips)))
        return logits


def choose_collapsed(motion: Motion, seed: int) -> list[str]:
    """Return half of the categories; an odd seed returns the other half of the previous even seed.

    For the axis of directions, either the one-finger or the whole-hand category is chosen, of
    swipes and of rotations each; a split learns from the other. Three pairs of seeds split every
    category three times.
    """
    names = list(motion.groups)
    rng = np.random.default_rng(seed // 2)
    if motion.name == "shrec-direction":
        kinds = [name.split(" ", 1)[0] for name in names]
        first = {kind: int(rng.integers(2)) for kind in dict.fromkeys(kinds)}
        places = {
            kind: [n for n, k in zip(names, kinds, strict=True) if k == kind] for kind in first
        }
        return [places[kind][(first[kind] + seed) % 2] for kind in first]
    order = rng.permutation(len(names))
    half = len(names) // 2
    chosen = order[half:] if seed % 2 else order[:half]
    return [names[i] for i in sorted(chosen)]


def choose_heldout(motion: Motion, seed: int) -> Int64:
    """Return the held-out subjects, a third of all.

    Two seeds, which collapse one half of the categories each, hold out the same subjects. So over
    all seeds, every clip is held out once when its category is split.
    """
    subjects = np.random.default_rng(0).permutation(np.unique(motion.subject))
    return np.sort(np.array_split(subjects, N_FOLDS)[seed // 2 % N_FOLDS])


def train(clips: Float32, target: Int64, n_classes: int, *, seed: int) -> Network:
    """Train a network on standardised clips `(clips, channels, time)`; return it for evaluation."""
    torch.manual_seed(seed)
    network = Network(clips.shape[1], n_classes)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, N_STEPS, pct_start=0.15)
    for batch, wanted in _batches(clips, target, seed):
        loss = nn.functional.cross_entropy(network(batch), wanted)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return network.eval()


def _batches(clips: Float32, target: Int64, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches with random scale, time shift and noise."""
    rng = np.random.default_rng(seed)
    n_frames = clips.shape[2]
    for _ in range(N_STEPS):
        chosen = rng.choice(len(clips), BATCH, replace=False)
        # What is shifted in from outside repeats the first or the last moment.
        moments = np.arange(n_frames) + rng.integers(-SHIFT, SHIFT + 1)
        batch = clips[chosen][:, :, moments.clip(0, n_frames - 1)]
        larger, noise = rng.normal(1, 0.1, (BATCH, 1, 1)), rng.normal(0, 0.05, batch.shape)
        yield (
            torch.from_numpy((batch * larger + noise).astype(np.float32)),
            torch.from_numpy(target[chosen]),
        )


def make_head(motion: Motion, seed: int, path: Path) -> dict[str, Any]:
    """Train one head and write its file; return its records, which are in the file, too."""
    start = time.perf_counter()
    collapsed, away = choose_collapsed(motion, seed), choose_heldout(motion, seed)
    fine_labels = list(motion.labels)
    names = coarse_labels(fine_labels, motion.groups, collapsed)
    labels = list(dict.fromkeys(names))
    target = np.array([labels.index(name) for name in names])[motion.fine]
    heldout = np.isin(motion.subject, away)
    seen = motion.clips[~heldout]
    mean, scale = seen.mean((0, 2), keepdims=True), seen.std((0, 2), keepdims=True)
    clips = (motion.clips - mean) / (scale + 1e-6)
    network = train(clips[~heldout], target[~heldout], len(labels), seed=seed)
    with torch.inference_mode():
        features = network.features(torch.from_numpy(clips))
        decided = network.head(features).argmax(1).numpy()
    weight, bias = (part.detach().numpy() for part in (network.head.weight, network.head.bias))
    about = {
        "axis": motion.name,
        "seed": seed,
        "collapsed": collapsed,
        "heldout_subjects": away.tolist(),
        "heldout_accuracy": round(float(np.mean((decided == target)[heldout])), 4),
        "train_accuracy": round(float(np.mean((decided == target)[~heldout])), 4),
        "steps": N_STEPS,
        "train_s": round(time.perf_counter() - start, 1),
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
        "fine_labels": fine_labels,
        "groups": motion.groups,
    }
    parts = {
        name: (features.numpy()[part], motion.fine[part], motion.subject[part])
        for name, part in (("train", ~heldout), ("heldout", heldout))
    }
    save_trained(path, (weight, bias, labels), parts, about)
    return about


@click.command()
@click.argument("axes", nargs=-1, type=click.Choice(AXES))
@click.option("--later", is_flag=True, help="Train six other heads of each, into LATER.")
def main(axes: Sequence[str], later: bool) -> None:
    """Train the missing heads of these AXES; by default of all."""
    torch.set_num_threads(1)
    folder, seeds = (LATER, LATER_SEEDS) if later else (TRAINED, SEEDS)
    for axis in axes or AXES:
        missing = [seed for seed in seeds if not (folder / f"{axis}-{seed}.npz").exists()]
        motion = load_motion(axis) if missing else None
        if missing and motion is None:
            click.echo(f"{axis}: the data are missing, see benchmarks/real/data.py")
        for seed in missing if motion else ():
            assert motion is not None
            about = make_head(motion, seed, folder / f"{axis}-{seed}.npz")
            click.echo(
                f"{axis}-{seed}: {about['heldout_accuracy']:.1%} of held-out clips, "
                f"{about['train_s']} s"
            )


if __name__ == "__main__":
    main()
