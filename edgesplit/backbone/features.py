"""Videos through a backbone, each once: features, and a cache that a killed run leaves usable.

The cache holds a file per video, so a kill costs one video. It goes by what made the feature, the
feature space, and by the video's path, size and time of last change, as make does. A digest of the
content would also know a video that was moved, but reading all of a folder takes as long as a
second run may take at most; a moved video is done again.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from edgesplit._data import check_digest, load_arrays, save_arrays
from edgesplit._types import Float32
from edgesplit.backbone.identity import Backbone
from edgesplit.backbone.session import open_session
from edgesplit.errors import CacheError, ClipError
from edgesplit.storage.files import Store
from edgesplit.storage.user_cache import find_cached, make_cache, warn_of_cache

__all__ = ["Extract", "Features", "cached", "extract_all", "open_backbone"]

Extract = Callable[[Path], Float32]
"""A video file to its feature, `(dim,)`; a ClipError where there is none."""

Video = TypeVar("Video")

_READING = 2
"""Another number when `read_clip` makes other pixels of the same video and preprocessing."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Features by the video's name."""

    places: Mapping[str, int]
    """Rows of the matrix."""
    matrix: Float32
    """`(videos, dim)`."""
    missing: Mapping[str, str]
    """Videos that have none, and why."""

    def pick(self, videos: Iterable[str]) -> Float32:
        """`(clips, dim)`: of videos that are all there."""
        picked: Float32 = self.matrix[[self.places[video] for video in videos]]
        return picked

    def to_bytes(self, feature_space: str) -> bytes:
        """An npz file: names, features float32 `(clips, dim)`, feature_space."""
        names = np.array([*self.places], np.str_)
        return save_arrays(names=names, features=self.matrix, feature_space=feature_space)


def open_backbone(backbone: Backbone) -> Callable[[Float32], Float32]:
    """Takes a clip to its feature, `(dim,)`.

    One at a time, as a device does: in a batch, a feature's last bits may depend on the others.
    """
    session = open_session(backbone, threads=0)

    def run(clip: Float32) -> Float32:
        (features,) = session.run(["features"], {"clip": clip[None]})
        return np.asarray(features[0], np.float32)

    return run


def cached(open_model: Callable[[], Extract], *, space: str, dim: int) -> Extract:
    """What a model says of a video, from the user's cache where that has it.

    A cache that cannot be written or trusted is done without, with a warning; a damaged file is
    made again.

    Args:
        open_model: called once, at the first video that is not in the cache.
        space: the model's identity, a feature space.
        dim: of its features.

    Raises:
        ValueError: `space` is no digest; it names a folder of the cache.
    """
    check_digest(space)
    opened: list[Extract] = []
    folder = ("features", f"{space[:32]}-{_READING}")
    keep = True
    try:
        make_cache(*folder)
    except CacheError as error:
        warn_of_cache(error)
        keep = False

    def extract(video: Path) -> Float32:
        nonlocal keep
        name = _name_of(video) if keep else None
        path = find_cached(*folder, name) if name else None
        if path is not None and (known := _read(path, dim)) is not None:
            return known
        if not opened:
            opened.append(open_model())
        feature = opened[0](video)
        if feature.shape != (dim,):
            raise ValueError(f"a feature has shape {feature.shape}, want ({dim},)")
        if not np.isfinite(feature).all():
            raise ClipError(f"The backbone makes no finite feature of {video}.")
        if path is not None:
            try:
                Store().replace_file(path, save_arrays(feature=feature))
            except OSError as error:
                _log.warning("features are not kept from here on: %s", error)
                keep = False
        return feature

    return extract


def _name_of(video: Path) -> str | None:
    """The name of the file that keeps a video's feature; None when there is no such video."""
    try:
        about = video.stat()
    except OSError:  # reading it will say what is wrong
        return None
    identity = f"{video.resolve()}\0{about.st_size}\0{about.st_mtime_ns}"
    name = hashlib.sha256(identity.encode(errors="surrogateescape")).hexdigest()
    return f"{name}.npz"


def _read(path: Path, dim: int) -> Float32 | None:
    try:
        feature = load_arrays(path.read_bytes(), "feature")["feature"]
    except (OSError, ValueError, KeyError):
        return None
    sound = feature.shape == (dim,) and feature.dtype == np.float32
    return feature if sound and np.isfinite(feature).all() else None


def extract_all(
    videos: Mapping[str, Video],
    extract: Callable[[Video], Float32],
    progress: Callable[[int, int], None] | None = None,
) -> Features:
    """Features of all videos that have one, in their order.

    Args:
        videos: files by their names.
        extract: makes a feature of one.
        progress: called with the number of videos done and of all.

    Raises:
        ClipError: not a single video can be read.
    """
    rows: dict[str, Float32] = {}
    missing: dict[str, str] = {}
    for done, (name, path) in enumerate(videos.items(), start=1):
        try:
            rows[name] = extract(path)
        except ClipError as error:
            missing[name] = str(error)
        if progress is not None:
            progress(done, len(videos))
    if not rows:
        first = next(iter(missing.values()), "There is none.")
        raise ClipError(f"None of {len(videos)} videos can be read. {first}")
    places = {name: place for place, name in enumerate(rows)}
    return Features(places, np.stack([*rows.values()]), missing)
