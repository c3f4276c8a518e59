"""Run every video through a model once, with a cache of features that survives a killed run.

Keys are names, while the cache of `edgesplit.backbone.features` reads the files. So a table can be
made without the videos, and 220,000 videos need only some thousand files. The cache is a folder of
small npz files, each with the names and the features of some videos. Writes are atomic; a damaged
file is removed and its videos are computed again. A folder belongs to one model and one folder of
videos. A changed video with the same name is not detected: remove the folder in that case.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from edgesplit._types import Float32
from edgesplit.backbone.features import Extract, Features
from edgesplit.errors import ClipError
from edgesplit.limits import FEATURE_BYTES
from edgesplit.storage.files import Store, map_os_errors, read_bytes
from edgesplit.storage.user_cache import make_cache
from edgesplit.video.clips import VIDEO_SUFFIXES

__all__ = ["CHUNK", "extract_all", "space_folder"]

CHUNK = 64
"""Number of videos in a file, and so the most that a killed run loses."""


def space_folder(root: Path | None, space: str, videos: Path) -> Path:
    """Return the folder for the features of a model and a folder of videos.

    Args:
        root: parent of all such folders; by default one in the user's cache.
        space: the model's identity, such as a feature space.
        videos: the folder of videos.
    """
    where = hashlib.sha256(str(videos.resolve()).encode()).hexdigest()
    return (root or make_cache("ssv2_split")) / f"{space[:16]}-{where[:8]}"


def extract_all(
    folder: Path,
    videos: Path,
    names: Sequence[str],
    open_model: Callable[[], Extract],
    *,
    dim: int,
    what: str = "features",
) -> Features:
    """Return the features of all videos, from the cache or computed now.

    Args:
        folder: the cache, see `space_folder`; created if it is missing.
        videos: the folder of videos.
        names: files in it; other video suffixes are accepted, because SSv2 comes in .webm.
        open_model: called only if a video must be computed.
        dim: size of the features.
        what: text of the progress bar.

    Raises:
        ClipError: there is no feature at all.
        BundleError: the cache is not writable.
    """
    with map_os_errors("write features to", folder):
        folder.mkdir(parents=True, exist_ok=True)
    known = _load(folder, dim)
    todo = [name for name in dict.fromkeys(names) if name not in known]
    missing: dict[str, str] = {}
    if todo:
        extract = open_model()
        fresh: dict[str, Float32] = {}
        try:
            for name in track(todo, what, console=Console(stderr=True)):
                try:
                    fresh[name] = _checked(extract(_find(videos, name)), dim)
                except ClipError as error:
                    missing[name] = str(error)
                if len(fresh) == CHUNK:
                    known.update(_saved(folder, fresh))
                    fresh = {}
        finally:  # an interrupted run keeps what it has
            known.update(_saved(folder, fresh))
    found = [name for name in dict.fromkeys(names) if name in known]
    if names and not found:
        raise ClipError(f"None of {len(missing)} videos can be read. {missing[names[0]]}")
    matrix = np.stack([known[name] for name in found]) if found else np.zeros((0, dim), np.float32)
    return Features({name: place for place, name in enumerate(found)}, matrix, missing)


def _find(videos: Path, name: str) -> Path:
    path = videos / name
    if path.is_file():
        return path
    others = (path.with_suffix(suffix) for suffix in sorted(VIDEO_SUFFIXES))
    return next((other for other in others if other.is_file()), path)


def _checked(feature: Float32, dim: int) -> Float32:
    if feature.shape != (dim,):  # the model and its folder of features do not belong together
        raise ValueError(f"a feature has shape {feature.shape}, want ({dim},)")
    if not np.isfinite(feature).all():
        raise ClipError("The model's feature of the video is not finite.")
    return feature


def _saved(folder: Path, features: Mapping[str, Float32]) -> Mapping[str, Float32]:
    """Write one file, named by its content, so that two concurrent runs do not conflict."""
    if features:
        buffer = io.BytesIO()
        np.savez(buffer, names=[*features], features=np.stack([*features.values()]))
        data = buffer.getvalue()
        with map_os_errors("write features to", folder):
            path = folder / f"{hashlib.sha256(data).hexdigest()[:16]}.npz"
            Store().replace_file(path, data)
    return features


def _load(folder: Path, dim: int) -> dict[str, Float32]:
    known: dict[str, Float32] = {}
    for path in sorted(folder.glob("*.npz")):
        data = read_bytes(path, FEATURE_BYTES)
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                names, features = arrays["names"].tolist(), arrays["features"]
            if features.shape != (len(names), dim) or features.dtype != np.float32:
                raise ValueError(f"features of shape {features.shape}")
        except (ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error):
            path.unlink(missing_ok=True)  # of a disk that lost its end; done again
            continue
        known.update(zip(names, features, strict=True))
    return known
