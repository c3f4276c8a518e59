"""Extract the features of held-out, unlabelled and labelled clips with a trained model.

    python -m benchmarks.motion_split.features cache/cnn-A-0

Reads `checkpoint.pt`, `labels.json` and `train.json` of the folder; writes trained/cnn-A-0.npz,
which holds all data that rules are tested on; see `models.Trained`.
"""

import json
from pathlib import Path

import click
import torch

from benchmarks.motion_split.classes import FINE_LABELS, Split
from benchmarks.motion_split.data import Clips, load_clips
from benchmarks.motion_split.model import (
    FACTORIES,
    N_FRAMES,
    SIZE,
    Classifier,
    normalised_batches,
)
from benchmarks.motion_split.models import TRAINED, save_trained
from edgesplit._types import Float32

N_CLASSES = len(FINE_LABELS)
# Part, split, first clip, clips: the same number of each fine class. Shots are taken from
# `labelled`, whose clips are neither among those that statistics see nor among the held-out.
CLIPS: tuple[tuple[str, Split, int, int], ...] = (
    ("heldout", "heldout", 0, 47 * N_CLASSES),
    ("unlabelled", "unlabelled", 0, 24 * N_CLASSES),
    ("labelled", "unlabelled", 24 * N_CLASSES, 60 * N_CLASSES),
)


def load_model(directory: Path) -> Classifier:
    """Load the trained model of a folder, in evaluation mode."""
    about = json.loads((directory / "train.json").read_text())
    n_classes = len(json.loads((directory / "labels.json").read_text()))
    model = FACTORIES[about.get("family", "cnn")](n_classes)
    model.load_state_dict(torch.load(directory / "checkpoint.pt", weights_only=True))
    return model.eval()


def extract_features(model: Classifier, clips: Clips) -> Float32:
    """Return the features ``(n, FEATURE_DIM)`` float32, one row per clip."""
    with torch.inference_mode():
        parts = [model.features(pictures) for pictures in normalised_batches(clips.frames)]
    features: Float32 = torch.cat(parts).numpy()
    return features


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, exists=True))
def main(directory: Path) -> None:
    """Write the features of the model in DIRECTORY."""
    click.echo(write_features(directory))


def write_features(directory: Path) -> Path:
    """Render the clips, run the model, and write the file; return its path."""
    torch.set_num_threads(2)
    model = load_model(directory)
    about = json.loads((directory / "train.json").read_text())
    parts = {}
    for name, split, first, n_clips in CLIPS:
        loaded = load_clips(split, about["seed"], first + n_clips, size=SIZE, n_frames=N_FRAMES)
        clips = Clips(loaded.frames[first:], loaded.fine[first:])
        parts[name] = extract_features(model, clips), clips.fine
    weight, bias = (part.detach().numpy() for part in (model.head.weight, model.head.bias))
    labels = json.loads((directory / "labels.json").read_text())
    path = TRAINED / f"{directory.name}.npz"
    save_trained(path, (weight, bias, labels), parts, about)
    return path


if __name__ == "__main__":
    main()
