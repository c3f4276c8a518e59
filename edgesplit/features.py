"""Videos through a backbone, each once: features, and a cache that a killed run leaves usable.

The cache holds a file per video, so a kill costs one video. It goes by what made the feature, the
feature space, and by the video's path, size and time of last change, as make does. A digest of the
content would also know a video that was moved, but reading all of a folder takes as long as a
second run may take at most; a moved video is done again.
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from edgesplit.backbone import Backbone
from edgesplit.cache import find_cached, make_cache, warn_of_cache
from edgesplit.clips import find_videos, read_clip
from edgesplit.errors import CacheError, ClipError
from edgesplit.sessions import open_session
from edgesplit.store import Store, check_digest

if TYPE_CHECKING:
    from edgesplit.bundle import Bundle

__all__ = [
    "Extract",
    "Features",
    "backbone_of",
    "cached",
    "extract_all",
    "extract_folder",
    "open_backbone",
    "open_extractor",
]

Floats = npt.NDArray[np.float32]
Extract = Callable[[Path], Floats]
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
    matrix: Floats
    """`(videos, dim)`."""
    missing: Mapping[str, str]
    """Videos that have none, and why."""

    def pick(self, videos: Iterable[str]) -> Floats:
        """`(clips, dim)`: of videos that are all there."""
        picked: Floats = self.matrix[[self.places[video] for video in videos]]
        return picked

    def to_bytes(self, feature_space: str) -> bytes:
        """An npz file: names, features float32 `(clips, dim)`, feature_space."""
        buffer = io.BytesIO()
        np.savez(
            buffer,
            names=np.array([*self.places], np.str_),
            features=self.matrix,
            feature_space=np.array(feature_space),
        )
        return buffer.getvalue()


def open_backbone(backbone: Backbone) -> Callable[[Floats], Floats]:
    """Takes a clip to its feature, `(dim,)`.

    One at a time, as a device does: in a batch, a feature's last bits may depend on the others.
    """
    session = open_session(backbone, threads=0)

    def run(clip: Floats) -> Floats:
        (features,) = session.run(["features"], {"clip": clip[None]})
        return np.asarray(features[0], np.float32)

    return run


def backbone_of(bundle: Bundle) -> Extract:
    """Takes a video through a bundle's preprocessing and backbone."""
    run = open_backbone(bundle.backbone())
    return lambda video: run(read_clip(video, bundle.preprocessing))


def open_extractor(bundle: Bundle) -> Extract:
    """As `backbone_of`, with the cache; the backbone is read when a video needs it."""
    return cached(lambda: backbone_of(bundle), space=bundle.feature_space, dim=bundle.dim)


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

    def extract(video: Path) -> Floats:
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
                _write(path, feature)
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


def _read(path: Path, dim: int) -> Floats | None:
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            feature = arrays["feature"]
    except Exception:  # numpy and zipfile raise many kinds on a damaged file
        return None
    sound = feature.shape == (dim,) and feature.dtype == np.float32
    return feature if sound and np.isfinite(feature).all() else None


def _write(path: Path, feature: Floats) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, feature=feature)  # a zip archive's checksum finds a damaged one
    Store().replace_file(path, buffer.getvalue())


def extract_all(
    videos: Mapping[str, Video],
    extract: Callable[[Video], Floats],
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
    rows: dict[str, Floats] = {}
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


def extract_folder(
    folder: Path, bundle: Bundle, progress: Callable[[int, int], None] | None = None
) -> Features:
    """Features of the videos in a folder and below it, named by their paths from there.

    Args:
        folder: is searched by `find_videos`.
        bundle: whose backbone and preprocessing make them.
        progress: as in `extract_all`.

    Raises:
        ClipError: there is no video, or not a single one can be read.
    """
    videos = {path.relative_to(folder).as_posix(): path for path in find_videos(folder)}
    return extract_all(videos, open_extractor(bundle), progress)
