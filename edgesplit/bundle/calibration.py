"""stats.npz: statistics of unlabelled clips. The file is written once and never changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy.typing as npt

from edgesplit.errors import BundleError, FeatureSpaceError
from edgesplit.heads.statistics import Statistics
from edgesplit.storage.files import lock, map_os_errors, read_regular

if TYPE_CHECKING:
    from edgesplit.bundle.bundle import Bundle

__all__ = ["STATISTICS_FILE", "calibrate", "check_uncalibrated", "read_statistics"]

STATISTICS_FILE = "stats.npz"


def read_statistics(folder: Path, feature_space: str, dim: int) -> Statistics:
    """Return the statistics of the bundle at `folder`.

    Raises:
        BundleError: the file is missing or damaged.
        FeatureSpaceError: it belongs to another bundle.
    """
    path = folder / STATISTICS_FILE
    statistics = Statistics.from_bytes(read_regular(path, follow_link=True))
    if statistics.feature_space != feature_space or statistics.sample.shape[1:] != (dim,):
        raise FeatureSpaceError(f"{path} belongs to another bundle. Restore it from a copy.")
    return statistics


def check_uncalibrated(folder: Path) -> None:
    """Raise BundleError if the bundle at `folder` has statistics already."""
    if (folder / STATISTICS_FILE).exists():
        raise BundleError(
            f"{folder} has statistics already, which edits were made with: they stay. "
            "Export the model anew to have others."
        )


def calibrate(bundle: Bundle, features: npt.ArrayLike, *, accept_few: bool) -> Statistics:
    """Give a bundle the statistics of unlabelled clips; see `Bundle.calibrate`."""
    statistics = Statistics.from_features(bundle.head(), features)
    if not accept_few:
        statistics.check_counts()
    with lock(bundle.path):
        check_uncalibrated(bundle.path)
        with map_os_errors("write statistics to", bundle.path):
            bundle.store.replace_file(bundle.path / STATISTICS_FILE, statistics.to_bytes())
    return statistics
