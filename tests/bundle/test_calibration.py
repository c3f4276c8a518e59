"""Giving statistics to a bundle that has none."""

import errno
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from edgesplit.bundle.bundle import Bundle, open_bundle
from edgesplit.bundle.gate import MAX_GOLDEN
from edgesplit.errors import (
    BundleError,
    FeatureSpaceError,
    TooFewClipsError,
)
from edgesplit.heads.head import Head
from edgesplit.heads.statistics import Statistics
from edgesplit.storage.files import Disk, Store
from tests.bundles import (
    contents,
    split,
    split_by_hand,
)


def uncalibrated(bundle: Bundle) -> Bundle:
    (bundle.path / "stats.npz").unlink()
    return open_bundle(bundle.path)


def enough(head: Head) -> npt.NDArray[np.float32]:
    """Features that the head decides for each of its classes five times at least."""
    found = np.random.default_rng(3).standard_normal((4000, head.dim)).astype(np.float32)
    assert np.bincount(head.evaluate(found).class_index, minlength=len(head.labels)).min() >= 5
    return found


def test_a_bundle_without_statistics_is_given_some_once(bundle: Bundle, head: Head) -> None:
    bundle = uncalibrated(bundle)
    assert bundle.statistics is None
    other = open_bundle(bundle.path)
    features = enough(head)
    statistics = bundle.calibrate(features)
    assert statistics.counts.sum() == len(features)
    for opened in (bundle, other, open_bundle(bundle.path)):  # whoever had it open sees them, too
        assert opened.statistics is not None
        assert opened.statistics.to_bytes() == statistics.to_bytes()
    assert bundle.verify() == []
    assert bundle.check(split(bundle)).n_features == MAX_GOLDEN
    before = (bundle.path / "stats.npz").read_bytes()
    with pytest.raises(BundleError, match="has statistics already"):
        bundle.calibrate(features[:3000])
    assert (bundle.path / "stats.npz").read_bytes() == before


def test_too_few_clips_are_refused_with_their_numbers(bundle: Bundle, head: Head) -> None:
    bundle = uncalibrated(bundle)
    few = enough(head)[:7]
    counts = Statistics.from_features(head, few).counts
    with pytest.raises(TooFewClipsError) as refused:
        bundle.calibrate(few)
    said = str(refused.value)
    assert said.startswith("7 clips are too few: ")
    assert f"{(counts < 5).sum()} of {len(counts)} classes have fewer" in said
    assert f"{head.labels[int(counts.argmin())]!r} {counts.min()}" in said
    assert not (bundle.path / "stats.npz").exists()
    bundle.calibrate(few, accept_few=True)
    assert bundle.verify() == []


def test_a_calibration_that_fails_leaves_nothing(bundle: Bundle, head: Head) -> None:
    uncalibrated(bundle)
    before = contents(bundle.path)

    class Full(Disk):
        def rename(self, source: Path, target: Path) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    full = open_bundle(bundle.path, store=Store(Full()))
    with pytest.raises(BundleError, match=r"Cannot write statistics to .* full"):
        full.calibrate(enough(head))
    assert contents(bundle.path) == before
    with pytest.raises(ValueError, match="features have shape"):
        bundle.calibrate(np.zeros((3, head.dim + 1)))


def test_statistics_of_another_backbone_are_refused(bundle: Bundle, head: Head) -> None:
    other = replace(head, feature_space="0" * 64)
    small = Head.from_arrays(np.ones((2, 3)), np.zeros(2), "ab", feature_space=head.feature_space)
    for foreign in (other, small):
        statistics = Statistics.from_features(foreign, np.ones((2, foreign.dim)))
        (bundle.path / "stats.npz").write_bytes(statistics.to_bytes())
        with pytest.raises(FeatureSpaceError, match="belongs to another bundle"):
            open_bundle(bundle.path).publish(split_by_hand(head))
