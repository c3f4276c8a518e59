"""Videos through a bundle's preprocessing and backbone -> features."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edgesplit.backbone.backends import OrtBackend
from edgesplit.backbone.features import Extract, FeatureCache, Features, extract_all
from edgesplit.video.clips import find_videos, read_clip

if TYPE_CHECKING:
    from edgesplit.bundle.bundle import Bundle

__all__ = ["backbone_of", "extract_folder", "open_extractor"]


def backbone_of(bundle: Bundle) -> Extract:
    """Return a function from a video file to its feature."""
    backend = OrtBackend(bundle.backbone())
    # One clip at a time, as on a device: in a batch, the last bits may depend on the others.
    return lambda video: backend.run(read_clip(video, bundle.preprocessing)[None])[0]


def open_extractor(bundle: Bundle) -> Extract:
    """Return `backbone_of(bundle)` with a cache; the backbone is read when a video needs it."""
    return FeatureCache(lambda: backbone_of(bundle), space=bundle.feature_space, dim=bundle.dim)


def extract_folder(
    folder: Path, bundle: Bundle, progress: Callable[[int, int], None] | None = None
) -> Features:
    """Return features of the videos in a folder and below it, named by their paths from there.

    Args:
        folder: is searched by `find_videos`.
        bundle: whose backbone and preprocessing make them.
        progress: as in `extract_all`.

    Raises:
        ClipError: there is no video, or not a single one can be read.
    """
    videos = {path.relative_to(folder).as_posix(): path for path in find_videos(folder)}
    return extract_all(videos, open_extractor(bundle), progress)
