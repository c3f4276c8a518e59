"""Features of videos, by a bundle's preprocessing and backbone.

A folder of labelled clips, for low-shot edits, has a sub-folder for each subcategory:

clips/left/a.mp4      a video, for the bundle's backbone
clips/right/b.npy     saved features of that backbone, (dim,) or (clips, dim)
clips/right/c.npz     a file written by `edgesplit features -o`
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgesplit._data import load_arrays
from edgesplit._types import Float32
from edgesplit.backbone.backends import OrtBackend
from edgesplit.backbone.features import Extract, FeatureCache, Features, extract_all
from edgesplit.errors import ClipError
from edgesplit.limits import ARRAYS_BYTES
from edgesplit.storage.files import read_regular
from edgesplit.video.clips import VIDEO_SUFFIXES, find_videos, read_clip

if TYPE_CHECKING:
    from edgesplit.bundle.bundle import Bundle

__all__ = [
    "backbone_of",
    "extract_folder",
    "open_extractor",
    "read_clips",
    "read_features",
    "read_shots",
]

_SAVED = (".npy", ".npz")
_FORM = "Give a folder of videos, or a file written by `edgesplit features FOLDER -o features.npz`."


def backbone_of(bundle: Bundle) -> Extract:
    """Return a function from a video file to its feature."""
    backend = OrtBackend(bundle.backbone())
    # One clip at a time, as on a device: in a batch, the last bits may depend on the others.
    return lambda video: backend.run(read_clip(video, bundle.preprocessing)[None])[0]


def open_extractor(bundle: Bundle) -> Extract:
    """Return `backbone_of(bundle)` with a cache; the backbone is read at the first cache miss."""
    return FeatureCache(lambda: backbone_of(bundle), space=bundle.feature_space, dim=bundle.dim)


def extract_folder(
    folder: Path, bundle: Bundle, progress: Callable[[int, int], None] | None = None
) -> Features:
    """Return features of the videos in a folder and below it, named by their paths from there.

    Args:
        folder: folder for `find_videos`.
        bundle: bundle with the backbone and preprocessing.
        progress: as in `extract_all`.

    Raises:
        ClipError: there is no video, or none can be read.
    """
    videos = {path.relative_to(folder).as_posix(): path for path in find_videos(folder)}
    return extract_all(videos, open_extractor(bundle), progress)


def read_clips(
    source: Path, bundle: Bundle, progress: Callable[[int, int], None] | None = None
) -> Features:
    """Return features of the clips of a folder, or of a file of saved features, by name.

    Args:
        source: a folder of videos, as for `extract_folder`; or a file, as for `read_features`.
        bundle: bundle with the backbone of the features.
        progress: as in `extract_all`.

    Raises:
        ClipError: there is no clip, or the features are not from this bundle's backbone.
    """
    if source.is_dir():
        return extract_folder(source, bundle, progress)
    return read_features(source, bundle)


def read_features(file: Path, bundle: Bundle) -> Features:
    """Read a file of `edgesplit features -o`, or an npy file, whose rows are named by number.

    Raises:
        ClipError: the file cannot be read, or its features are not from this bundle's backbone.
    """
    names, matrix = _load(file, bundle.feature_space)
    if matrix.ndim != 2 or matrix.shape[1] != bundle.dim or not np.isfinite(matrix).all():
        raise ClipError(
            f"{file} has features of shape {matrix.shape}. Give finite numbers of shape "
            f"(clips, {bundle.dim}) from this bundle's backbone."
        )
    if not len(matrix):
        raise ClipError(f"{file} has no features. Make it again with `edgesplit features`.")
    names = [str(place) for place in range(len(matrix))] if names is None else names
    places = {name: place for place, name in enumerate(names)}
    if len(names) != len(matrix) or len(places) != len(names):
        raise ClipError(
            f"{file} names {len(places)} clips but has {len(matrix)} features. "
            "Make it again with `edgesplit features`."
        )
    odd = [name for name in names if "\0" in name]
    if odd:
        raise ClipError(
            f"{file} names a clip {odd[0]!r}, which is not a valid file name. Make it again with "
            "`edgesplit features`."
        )
    return Features(places, matrix, {})


def read_shots(
    folder: Path, bundle: Bundle, progress: Callable[[int, int], None] | None = None
) -> dict[str, Float32]:
    """Return the features `(clips, dim)` of the files in each sub-folder, by its name.

    Args:
        folder: folder whose sub-folders are named after subcategories, by modifier or full label.
        bundle: bundle with the backbone.
        progress: called with the number of files read and the number of all files.

    Raises:
        ClipError: there is no sub-folder with a clip, or a file cannot be read.
    """
    found: list[tuple[str, Path]] = []
    for part in sorted(folder.iterdir()):
        if part.name.startswith(".") or not part.is_dir():
            continue
        files = sorted(part.iterdir())
        clips = [file for file in files if file.suffix.lower() in (*VIDEO_SUFFIXES, *_SAVED)]
        others = [file.name for file in files if not file.name.startswith(".")]
        if others and not clips:
            raise ClipError(
                f"{part} has no video or saved features ({', '.join(_SAVED)}), only files such as "
                f"{others[0]}. Put its clips there."
            )
        found += [(part.name, file) for file in clips]
    if not found:
        raise ClipError(
            f"{folder} has no sub-folder with a video or saved features ({', '.join(_SAVED)}). "
            "Name each sub-folder after a subcategory and put its clips there."
        )
    extract = open_extractor(bundle)
    shots: dict[str, list[Float32]] = {}
    for done, (name, file) in enumerate(found, start=1):
        saved = file.suffix.lower() in _SAVED
        loaded = read_features(file, bundle).matrix if saved else extract(file)[None]
        shots.setdefault(name, []).append(loaded)
        if progress is not None:
            progress(done, len(found))
    return {name: np.concatenate(rows) for name, rows in shots.items()}


def _load(file: Path, feature_space: str) -> tuple[list[str] | None, Float32]:
    """Return the names, None if the file has none, and the features."""
    if file.suffix.lower() in VIDEO_SUFFIXES:
        raise ClipError(f"{file} is a single video. {_FORM}")
    data = read_regular(file, ARRAYS_BYTES, follow_link=True, error_class=ClipError)
    try:
        arrays = load_arrays(data, "feature_space", "features")
        if "" in arrays:
            return None, np.atleast_2d(np.asarray(arrays[""], np.float32))
        space, features = str(arrays["feature_space"]), np.asarray(arrays["features"], np.float32)
        names = [str(name) for name in load_arrays(data, "names")["names"].tolist()]
    except (ValueError, TypeError) as error:
        raise ClipError(f"{file} is not a file of saved features. {_FORM}") from error
    if space != feature_space:
        raise ClipError(
            f"{file} has features of another backbone ({space[:12]}; the bundle has "
            f"{feature_space[:12]}). Make it again with `edgesplit features`."
        )
    return names, features
