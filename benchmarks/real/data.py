"""Read recordings of real motion as clips for a small network, with the groups of their labels.

SPAR's file comes with seglearn, whose dependencies are not needed:

    python -m pip install --no-deps --target build/seglearn --group real

SHREC'17 is read from the folder EDGESPLIT_SHARED_DATA, `../shared/data` by default.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import numpy as np

from benchmarks.harness.results import ROOT
from edgesplit._types import Float32, Int64

__all__ = ["AXES", "SPAR_FILE", "Groups", "Motion", "load_motion", "name_group", "shared_data"]

AXES = ("spar-sides", "shrec-fingers", "shrec-direction")
"""The benchmarks: a data set, and the axis by which its collapsed classes are split."""
Groups = Mapping[str, Mapping[str, str]]
"""{coarse label: {fine label: modifier}}, like a taxonomy of edgesplit."""

SPAR_FILE = ROOT / "build" / "seglearn" / "seglearn" / "data" / "watch_dataset.npy"
SPAR_DIGEST = "eb122f23cdf06ef6bd6c6c5312958ec5cf9d038e2e6d457b8081662c75a42537"
# The file has the abbreviations; the names are those of its authors (github.com/dmbee/SPAR-dataset)
# without the equipment.
EXERCISES = {
    "PEN": "pendulum",
    "ABD": "abduction",
    "FEL": "forward elevation",
    "IR": "internal rotation",
    "ER": "external rotation",
    "TRAP": "lower trapezius row",
    "ROW": "bent over row",
}
SIDES = ("left", "right")
WINDOW, STRIDE = 128, 64  # 2.56 s at 50 Hz, half of it shared with the next
PALM = 1  # of the 22 joints; 0 is the wrist


@dataclass(frozen=True)
class Motion:
    """Clips of one data set, and the groups of their labels."""

    name: str
    """Name of the benchmark, one of `AXES`."""
    clips: Float32
    """Clips `(clips, channels, time)`."""
    fine: Int64
    """`(clips,)`: index of each clip's label in `labels`."""
    subject: Int64
    """`(clips,)`: subject of each clip."""
    labels: tuple[str, ...]
    groups: Groups
    """Groups of the labels, by the axis."""


def shared_data() -> Path:
    """Return the folder of public data."""
    return Path(os.environ.get("EDGESPLIT_SHARED_DATA", ROOT.parent / "shared" / "data"))


def load_motion(name: str) -> Motion | None:
    """Load one of `AXES`; return None if its file is missing.

    Raises:
        ValueError: SPAR's file is not the file of seglearn 1.2.5.
    """
    if name == "spar-sides":
        return _load_spar() if SPAR_FILE.exists() else None
    path = shared_data() / "real" / "shrec17.npz"
    return _load_shrec(path, name) if path.exists() else None


def _load_spar() -> Motion:
    """Load acceleration (g) and turning rate (rad/s), 6 channels at 50 Hz."""
    if hashlib.sha256(SPAR_FILE.read_bytes()).hexdigest() != SPAR_DIGEST:
        raise ValueError(f"{SPAR_FILE} is not the file of seglearn 1.2.5. Install that version.")
    # A pickle runs what it says, hence the digest.
    content = np.load(SPAR_FILE, allow_pickle=True).item()
    exercises = [EXERCISES[name] for name in content["y_labels"]]
    labels = tuple(f"{exercise} {side}" for exercise in exercises for side in SIDES)
    clips, fine, subject = [], [], []
    for recording, exercise, side, who in zip(
        *(content[key] for key in ("X", "y", "side", "subject")), strict=True
    ):
        for start in range(0, len(recording) - WINDOW + 1, STRIDE):
            clips.append(recording[start : start + WINDOW].T)
            fine.append(len(SIDES) * int(exercise) + int(side))
            subject.append(int(who))
    return Motion(
        "spar-sides",
        np.stack(clips).astype(np.float32),
        np.array(fine),
        np.array(subject),
        labels,
        {exercise: {f"{exercise} {side}": side for side in SIDES} for exercise in exercises},
    )


def _load_shrec(path: Path, name: str) -> Motion:
    """Load 22 joints in metres over 48 frames, relative to the palm, and the palm's movement."""
    with np.load(path, allow_pickle=False) as arrays:
        joints = arrays["X"].astype(np.float32).reshape(-1, 48, 22, 3)
        texts, subject = arrays["y"], arrays["subject"].astype(np.int64)
    palm = joints[:, :, PALM]
    shape = np.delete(joints - palm[:, :, None], PALM, axis=2).reshape(*palm.shape[:2], -1)
    way = palm - palm[:, :1]
    labels, fine = np.unique(texts, return_inverse=True)
    key = json.loads((shared_data() / "labels" / "shrec17.groups.json").read_text())
    return Motion(
        name,
        np.concatenate([shape, way], axis=2).transpose(0, 2, 1),
        fine.astype(np.int64),
        subject,
        tuple(labels.tolist()),
        dict(map(name_group, key[name.removeprefix("shrec-")])),
    )


def name_group(labels: list[str]) -> tuple[str, dict[str, str]]:
    """Return a group's shared text, and the modifier of each label, of at least one word.

    "swipe left with one finger" and "swipe right with one finger" share "swipe with one finger";
    "grab with one finger" and "grab with the whole hand" share "grab", without the "with".
    """
    texts = [label.split() for label in labels]
    start = _common(texts)
    most = min(map(len, texts)) - start - 1
    end = min(most, _common([text[::-1] for text in texts]))
    modifiers = [" ".join(text[start : len(text) - end]) for text in texts]
    shared = texts[0][:start] + texts[0][len(texts[0]) - end :]
    return " ".join(shared).removesuffix(" with"), dict(zip(labels, modifiers, strict=True))


def _common(texts: list[list[str]]) -> int:
    """Count the words that all texts begin with."""
    alike = (len(set(words)) == 1 for words in zip(*texts, strict=False))
    return len([*takewhile(bool, alike)])
