"""Where edgesplit keeps what it can always make again: text embeddings, engines, variants."""

from __future__ import annotations

import os
from pathlib import Path

from edgesplit.errors import EdgesplitError

__all__ = ["cache_folder"]


def cache_folder() -> Path:
    """Return the user's cache folder for edgesplit; it need not exist yet.

    It is EDGESPLIT_CACHE, else XDG_CACHE_HOME/edgesplit, else ~/.cache/edgesplit. The environment
    is read on every call.

    Raises:
        EdgesplitError: none of them is set and the user has no home folder, as some services do.
    """
    if chosen := os.environ.get("EDGESPLIT_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(base):  # the XDG specification says to ignore a relative one
        return Path(base) / "edgesplit"
    try:
        return Path.home() / ".cache" / "edgesplit"
    except RuntimeError as error:
        raise EdgesplitError(
            "This user has no home folder to cache in. Set EDGESPLIT_CACHE to a folder."
        ) from error
