"""Features of videos, each computed once, and a cache that stays usable after a killed run.

The cache holds a file per video, so a kill costs one video. The key is the feature space and, as in
make, the video's path, size and time of last change. A digest of the content would also recognise a
moved video, but reading a complete folder takes too long for a second run. So a moved video is
computed again.
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
"""A function from a video file to its feature, `(dim,)`; it raises ClipError if it has none."""

Video = TypeVar("Video")

_READING = 2
"""Version of `read_clip`; incremented when it makes other pixels from the same video."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Features by the name of the video."""

    places: Mapping[str, int]
    """Rows of the matrix by name."""
    matrix: Float32
    """Features `(videos, dim)`."""
    missing: Mapping[str, str]
    """Reasons for missing features, by name."""

    def pick(self, videos: Iterable[str]) -> Float32:
        """Return features `(videos, dim)`; KeyError if a video has none."""
        picked: Float32 = self.matrix[[self.places[video] for video in videos]]
        return picked

    def to_bytes(self, feature_space: str) -> bytes:
        """Return an npz file: names, features float32 `(clips, dim)`, feature_space."""
        names = np.array([*self.places], np.str_)
        return save_arrays(names=names, features=self.matrix, feature_space=feature_space)


class FeatureCache:
    """A function from videos to features `(dim,)` that uses the user's cache.

    If the cache cannot be written or trusted, it warns and continues without it. A damaged file is
    computed again. Not safe from several threads.
    """

    def __init__(self, open_model: Callable[[], Extract], *, space: str, dim: int) -> None:
        """Set the model, which is not opened yet.

        Args:
            open_model: called once, at the first video that is not in the cache.
            space: the model's identity, a feature space.
            dim: size of the model's features.

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
            ValueError: the model makes a feature of another size.
        """
        name = _name_of(video) if self._writable else None
        path = find_cached(*self._folder, name) if name else None
        if path is not None and (known := _read(path, self._dim)) is not None:
            return known
        if self._model is None:
            self._model = self._open_model()
        feature = self._model(video)
        if feature.shape != (self._dim,):
            raise ValueError(f"a feature has shape {feature.shape}, not ({self._dim},)")
        if not np.isfinite(feature).all():
            raise ClipError(f"The backbone's feature of {video} is not finite. Check the video.")
        if path is not None:
            try:
                Store().replace_file(path, save_arrays(feature=feature))
            except OSError as error:
                _log.warning("features are no longer cached: %s", error)
                self._writable = False
        return feature


def _name_of(video: Path) -> str | None:
    """Return the name of a video's file in the cache; None if the video is missing."""
    try:
        about = video.stat()
    except OSError:  # reading the video then raises
        return None
    identity = f"{video.resolve()}\0{about.st_size}\0{about.st_mtime_ns}"
    name = hashlib.sha256(identity.encode(errors="surrogateescape")).hexdigest()
    return f"{name}.npz"


def _read(path: Path, dim: int) -> Float32 | None:
    try:
        feature = load_arrays(read_regular(path, FEATURE_BYTES), "feature", limit=FEATURE_BYTES)[
            "feature"
        ]
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
        videos: files by name.
        extract: function from a video to its feature.
        progress: called with the number of finished videos and the number of all videos.

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
        first = next(iter(missing.values()), "No video was given.")
        raise ClipError(f"None of {len(videos)} videos can be read. {first}")
    places = {name: place for place, name in enumerate(rows)}
    return Features(places, np.stack([*rows.values()]), missing)
