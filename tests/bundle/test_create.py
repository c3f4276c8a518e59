"""Creating a bundle, and what a failure leaves."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from edgesplit.backbone.identity import feature_space
from edgesplit.bundle.bundle import Bundle, open_bundle
from edgesplit.bundle.create import create_bundle
from edgesplit.errors import (
    BundleError,
    FeatureSpaceError,
)
from edgesplit.heads.head import Head
from edgesplit.heads.statistics import Statistics
from edgesplit.storage.files import part_path
from edgesplit.video.preprocessing import Preprocessing
from tests.bundles import (
    contents,
    failing,
    split_by_hand,
)


def test_a_new_bundle_has_the_documented_files(bundle: Bundle, head: Head) -> None:
    assert sorted(contents(bundle.path)) == [
        "HEAD",
        "backbone.onnx",
        "bundle.json",
        f"heads/{head.digest}.onnx",
        "log.jsonl",
        "stats.npz",
    ]
    assert (bundle.path / "HEAD").read_text() == f"{head.digest}\n"
    assert os.listdir(bundle.path.parent) == [bundle.path.name]


def test_opening_gives_back_what_was_put_in(
    bundle: Bundle,
    head: Head,
    backbone: bytes,
    preprocessing: Preprocessing,
    features: npt.NDArray[np.float32],
) -> None:
    opened = open_bundle(bundle.path)
    assert opened.live == head.digest
    assert opened.head().to_bytes() == head.to_bytes()
    assert opened.backbone() == backbone
    assert opened.preprocessing == preprocessing
    assert opened.feature_space == head.feature_space
    assert opened.dim == head.dim
    statistics = opened.statistics
    assert statistics is not None
    assert statistics.to_bytes() == Statistics.from_features(head, features).to_bytes()
    assert opened.verify() == []


def test_statistics_are_optional(
    tmp_path: Path, backbone: bytes, head: Head, preprocessing: Preprocessing
) -> None:
    bundle = create_bundle(
        tmp_path / "b", backbone=backbone, head=head, preprocessing=preprocessing
    )
    assert bundle.statistics is None
    bundle.publish(split_by_hand(head))
    assert bundle.verify() == []


def test_feature_space_depends_on_backbone_and_preprocessing_alone(
    backbone: bytes, preprocessing: Preprocessing
) -> None:
    space = feature_space(backbone, preprocessing)
    assert space == feature_space(bytes(backbone), replace(preprocessing))
    others = {
        feature_space(backbone + b"\0", preprocessing),
        feature_space(backbone, replace(preprocessing, sampling="dense")),
        feature_space(backbone, replace(preprocessing, mean=(0.5, 0.5, 0.5))),
    }
    assert len(others - {space}) == 3


def test_creating_over_something_is_refused(
    bundle: Bundle, backbone: bytes, head: Head, preprocessing: Preprocessing
) -> None:
    before = contents(bundle.path)
    with pytest.raises(BundleError, match=r"exists already. Choose another name"):
        create_bundle(bundle.path, backbone=backbone, head=head, preprocessing=preprocessing)
    assert contents(bundle.path) == before


def test_creating_with_a_foreign_head_leaves_nothing(
    tmp_path: Path, backbone: bytes, head: Head, preprocessing: Preprocessing
) -> None:
    foreign = replace(head, feature_space="")
    with pytest.raises(FeatureSpaceError, match="belongs to no feature space"):
        create_bundle(tmp_path / "b", backbone=backbone, head=foreign, preprocessing=preprocessing)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_creation_left_is_no_obstacle(
    tmp_path: Path, backbone: bytes, head: Head, preprocessing: Preprocessing
) -> None:
    (part_path(tmp_path / "b") / "heads").mkdir(parents=True)
    create_bundle(tmp_path / "b", backbone=backbone, head=head, preprocessing=preprocessing)
    assert open_bundle(tmp_path / "b").verify() == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize("call", ["fsync", "replace", "mkdir"])
def test_a_failed_creation_leaves_nothing(
    tmp_path: Path,
    backbone: bytes,
    head: Head,
    preprocessing: Preprocessing,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    code: int,
) -> None:
    # Python 3.10's pathlib holds its own reference to os.mkdir.
    monkeypatch.setattr(Path if call == "mkdir" else os, call, failing(code))
    with pytest.raises(BundleError, match=r"Cannot create .*/b: "):
        create_bundle(tmp_path / "b", backbone=backbone, head=head, preprocessing=preprocessing)
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []
    create_bundle(tmp_path / "b", backbone=backbone, head=head, preprocessing=preprocessing)
