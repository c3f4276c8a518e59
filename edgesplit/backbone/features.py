"""Features of videos, each computed once, and a cache that a killed run leaves usable.

The cache holds a file per video, so a kill costs one video. Its key is the feature space and, as
for make, the video's path, size and time of last change. A digest of the content would also know a
video that was moved, but reading a whole folder takes longer than a second run may; a moved video
is computed again.
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
from edgesplit.errors import BundleError, CacheError, ClipError
from edgesplit.limits import FEATURE_BYTES
from edgesplit.storage.files import Store, read_regular
from edgesplit.storage.user_cache import find_cached, make_cache, warn_of_cache

__all__ = ["Extract", "FeatureCache", "Features", "extract_all"]

Extract = Callable[[Path], Float32]
"""Takes a video file to its feature, `(dim,)`; raises ClipError if there is none."""

Video = TypeVar("Video")

_READING = 2
"""Raised when `read_clip` makes other pixels of the same video and preprocessing."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Features by the name of the video."""

    places: Mapping[str, int]
    """Row of the matrix by name."""
    matrix: Float32
    """Features `(videos, dim)`."""
    missing: Mapping[str, str]
    """Why a video has no feature, by name."""

    def pick(self, videos: Iterable[str]) -> Float32:
        """Return features `(videos, dim)`; KeyError if a video has none."""
        picked: Float32 = self.matrix[[self.places[video] for video in videos]]
        return picked

    def to_bytes(self, feature_space: str) -> bytes:
        """An npz file: names, features float32 `(clips, dim)`, feature_space."""
        names = np.array([*self.places], np.str_)
        return save_arrays(names=names, features=self.matrix, feature_space=feature_space)


class FeatureCache:
    """Takes videos to features `(dim,)`, from the user's cache where that has them.

    It goes on without a cache that cannot be written or trusted, with a warning; a damaged file is
    made again. Not safe from several threads.
    """

    def __init__(self, open_model: Callable[[], Extract], *, space: str, dim: int) -> None:
        """Name the model; it is not opened yet.

        Args:
            open_model: called once, at the first video that is not in the cache.
            space: the model's identity, a feature space.
            dim: size of its features.

        Raises:
            ValueError: `space` is not a digest; it names a folder of the cache.
        """
        check_digest(space)
        self._open_model = open_model
        self._model: Extract | None = None
        self._dim = dim
        self._folder = ("features", f"{space[:32]}-{_READING}")
        self._writable = True
        try:
            make_cache(*self._folder)
        except CacheError as error:
            warn_of_cache(error)
            self._writable = False

    def __call__(self, video: Path) -> Float32:
        """Return the feature of a video.

        Raises:
            ClipError: the video cannot be read, or its feature is not finite.
            ValueError: the model gives a feature of another size.
        """
        name = _name_of(video) if self._writable else None
        path = find_cached(*self._folder, name) if name else None
        if path is not None and (known := _read(path, self._dim)) is not None:
            return known
        if self._model is None:
            self._model = self._open_model()
        feature = self._model(video)
        if feature.shape != (self._dim,):
            raise ValueError(f"a feature has shape {feature.shape}, want ({self._dim},)")
        if not np.isfinite(feature).all():
            raise ClipError(f"The backbone makes no finite feature of {video}.")
        if path is not None:
            try:
                Store().replace_file(path, save_arrays(feature=feature))
            except OSError as error:
                _log.warning("features are not kept from here on: %s", error)
                self._writable = False
        return feature


def _name_of(video: Path) -> str | None:
    """Return the name of the file that keeps a video's feature; None if the video is missing."""
    try:
        about = video.stat()
    except OSError:  # reading the video then raises
        return None
    identity = f"{video.resolve()}\0{about.st_size}\0{about.st_mtime_ns}"
    name = hashlib.sha256(identity.encode(errors="surrogateescape")).hexdigest()
    return f"{name}.npz"


def _read(path: Path, dim: int) -> Float32 | None:
    try:
        feature = load_arrays(read_regular(path, FEATURE_BYTES), "feature")["feature"]
    except (BundleError, ValueError, KeyError):
        return None
    sound = feature.shape == (dim,) and feature.dtype == np.float32
    return feature if sound and np.isfinite(feature).all() else None


def extract_all(
    videos: Mapping[str, Video],
    extract: Callable[[Video], Float32],
    progress: Callable[[int, int], None] | None = None,
) -> Features:
    """Return the features of all videos that have one, in their order.

    Args:
        videos: files by their names.
        extract: takes a video to its feature.
        progress: gets the number of videos done, and of all.

    Raises:
        ClipError: no video can be read.
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
