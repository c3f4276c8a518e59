"""Train the missing backbones of the benchmark, and extract their features.

    python -m benchmarks.motion_split.backbones

Everything takes two hours on two cores. The features are committed (`trained/`), so the grid does
not need this module; remove a file there to make it again.
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks.motion_split.classes import Family, Half
from benchmarks.motion_split.data import CACHE
from benchmarks.motion_split.models import TRAINED


@dataclass(frozen=True)
class Backbone:
    """The settings of a backbone's training."""

    family: Family
    half: Half
    seed: int
    epochs: int

    @property
    def name(self) -> str:
        """The name, made of family, half and seed."""
        return f"{self.family}-{self.half}-{self.seed}"

    @property
    def directory(self) -> Path:
        """The folder of its checkpoint."""
        return CACHE / self.name

    @property
    def features(self) -> Path:
        """The file of its features."""
        return TRAINED / f"{self.name}.npz"


BACKBONES = {
    backbone.name: backbone
    for backbone in (
        Backbone("cnn", "A", 0, 5),
        Backbone("cnn", "B", 0, 3),
        Backbone("cnn", "A", 1, 5),
        Backbone("cnn", "B", 1, 5),
        Backbone("transformer", "A", 0, 5),
        Backbone("transformer", "B", 0, 5),
        Backbone("cnn", "A", 100, 4),
        Backbone("cnn", "B", 100, 4),
        Backbone("cnn", "A", 101, 4),
        Backbone("cnn", "B", 101, 4),
        Backbone("transformer", "A", 100, 5),
        Backbone("transformer", "B", 100, 5),
    )
}


def make(backbone: Backbone) -> Path:
    """Train the backbone and extract its features if they are missing, in subprocesses.

    Returns:
        The file of features.
    """
    if not (backbone.directory / "checkpoint.pt").exists():
        options = {"family": backbone.family, "half": backbone.half, "seed": backbone.seed}
        options |= {"epochs": backbone.epochs}
        _run("train", *(f"--{name}={value}" for name, value in options.items()))
    if not backbone.features.exists():
        _run("features", str(backbone.directory))
    return backbone.features


def _run(module: str, *arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", f"benchmarks.motion_split.{module}", *arguments], check=True
    )


@click.command()
def main() -> None:
    """Make all missing features."""
    for backbone in BACKBONES.values():
        if not backbone.features.exists():
            click.echo(make(backbone))


if __name__ == "__main__":
    main()
