"""Turn seeds into arrays: the clips of a split, rendered once and cached."""

import hashlib
import multiprocessing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import track

from benchmarks.motion_split.classes import (
    FINE_CLASSES,
    FINE_LABELS,
    Half,
    Split,
    clip_seed,
    head_label,
    head_labels,
    mirrored,
)
from benchmarks.motion_split.render import render_clip
from edgesplit._types import Int64, UInt8

CACHE = Path(__file__).parent / "cache"
_CHUNK = 85


@dataclass(frozen=True, eq=False)
class Clips:
    """Rendered clips and their classes.

    Attributes:
        frames: ``(n, n_frames, size, size, 3)`` uint8.
        fine: ``(n,)`` int64 index into ``FINE_LABELS``.
    """

    frames: UInt8
    fine: Int64


def load_clips(split: Split, seed: int, n_clips: int, *, size: int, n_frames: int) -> Clips:
    """Return the first clips of a split, the fine classes in turn; two processes render them."""
    fine = np.arange(n_clips) % len(FINE_CLASSES)
    name = f"{split}-{seed}-{n_clips}x{n_frames}x{size}-{_appearance_digest()}.npy"
    path = CACHE / "clips" / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npy")
        np.save(partial, _render_all(split, seed, n_clips, size, n_frames))
        partial.rename(path)
    return Clips(np.load(path, mmap_mode="r"), fine)


def label_indices(half: Half) -> Int64:
    """Return the index in head ``half`` for each fine class."""
    labels = head_labels(half)
    return np.array([labels.index(head_label(fine, half)) for fine in FINE_CLASSES])


def mirror_indices() -> Int64:
    """Return the index of the fine class of mirrored clips for each fine class."""
    return np.array([FINE_LABELS.index(mirrored(fine)) for fine in FINE_CLASSES])


def _render_all(split: Split, seed: int, n_clips: int, size: int, n_frames: int) -> UInt8:
    frames = np.empty((n_clips, n_frames, size, size, 3), np.uint8)
    starts = range(0, n_clips, _CHUNK)
    jobs = [
        (split, seed, range(start, min(start + _CHUNK, n_clips)), size, n_frames)
        for start in starts
    ]
    # Not forked: the caller may hold torch's threads.
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        rendered = pool.imap(_render_some, jobs)
        for start, part in track(
            zip(starts, rendered, strict=True), f"render {split}", total=len(jobs)
        ):
            frames[start : start + len(part)] = part
    return frames


def _render_some(job: tuple[Split, int, range, int, int]) -> UInt8:
    split, seed, indices, size, n_frames = job
    return np.stack(
        [
            render_clip(
                FINE_CLASSES[index % len(FINE_CLASSES)],
                clip_seed(split, seed, index),
                size=size,
                n_frames=n_frames,
            )
            for index in indices
        ]
    )


def _appearance_digest() -> str:
    """Return a digest of all code that determines the look of clips, so that none is stale."""
    sources = [Path(__file__).with_name(f"{name}.py") for name in _APPEARANCE]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]


_APPEARANCE = ("classes", "scene", "moves", "programs", "render")
