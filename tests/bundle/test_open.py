"""Opening and finding a bundle, and what is not one."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgesplit.bundle.bundle import Bundle, find_bundle, open_bundle
from edgesplit.errors import (
    BundleError,
)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "does not exist. Check the path; `edgesplit export` makes a bundle"),
        (lambda path: path.mkdir(), "is not a bundle"),
        (lambda path: path.write_text("{}"), "is not a bundle"),
    ],
    ids=["missing", "empty folder", "file"],
)
def test_what_is_not_a_bundle_is_not_opened(
    tmp_path: Path, make: Callable[[Path], object], message: str
) -> None:
    make(tmp_path / "b")
    with pytest.raises(BundleError, match=message):
        open_bundle(tmp_path / "b")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "bundle format 2; this edgesplit reads 1. Use the edgesplit release"),
        ({"format": None}, "bundle format None"),
        ({"dim": "many"}, "is damaged"),
        ({"dim": None}, "is damaged"),
        ({"preprocessing": 7}, "is damaged"),
        ({"preprocessing": {}}, "missing or unknown fields"),
        ({"preprocessing": {"frames": 0}}, "missing or unknown fields"),
        ({"feature_space": "/tmp/absolute/path"}, "is damaged"),
        ({"feature_space": "../../" + "0" * 58}, "is damaged"),
        ({"feature_space": None}, "is damaged"),
        ({"text_encoder": "other"}, "is damaged"),
        ({"text_encoder": "F" * 64}, "is damaged"),
    ],
    ids=str,
)
def test_bundle_json_that_is_not_right_is_refused(
    bundle: Bundle, change: dict[str, Any], message: str
) -> None:
    file = bundle.path / "bundle.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(BundleError, match=message):
        open_bundle(bundle.path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7", "\ufffd", '{"format":1}'])
def test_bundle_json_that_is_something_else_is_refused(bundle: Bundle, text: str) -> None:
    (bundle.path / "bundle.json").write_text(text)
    with pytest.raises(BundleError, match=r"(is damaged|has no).*Restore it from a copy"):
        open_bundle(bundle.path)


def test_bundle_is_found_by_argument_environment_folder_and_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(name: str) -> Path:
        (tmp_path / name).mkdir()
        (tmp_path / name / "bundle.json").touch()
        return tmp_path / name

    monkeypatch.chdir(tmp_path)
    with pytest.raises(BundleError, match=r"holds no bundle.*EDGESPLIT_BUNDLE.*edgesplit demo"):
        find_bundle()
    child = make("child.bundle")
    assert find_bundle() == child
    make("other.bundle")
    with pytest.raises(BundleError, match=r"several bundles: child\.bundle, other\.bundle\. Name"):
        find_bundle()
    (tmp_path / "bundle.json").touch()
    assert find_bundle() == tmp_path
    monkeypatch.setenv("EDGESPLIT_BUNDLE", "elsewhere")
    assert find_bundle() == Path("elsewhere")
    assert find_bundle("given") == Path("given")


def test_a_half_made_bundle_is_not_found(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    (bundle.path.parent / ".other.bundle.17.part").mkdir()
    (bundle.path.parent / ".other.bundle.17.part" / "bundle.json").touch()
    monkeypatch.chdir(bundle.path.parent)
    assert find_bundle() == bundle.path


def read_all(path: Path) -> None:
    bundle = open_bundle(path)
    bundle.backbone()
    assert bundle.statistics is not None


@pytest.mark.parametrize("name", ["stats.npz", "backbone.onnx", "bundle.json"])
def test_a_pipe_in_place_of_a_file_is_not_waited_for(bundle: Bundle, name: str) -> None:
    (bundle.path / name).unlink()
    os.mkfifo(bundle.path / name)
    with pytest.raises(BundleError, match=f"{name}.*not a regular file|no {name} in it"):
        read_all(bundle.path)


def test_a_file_that_is_a_link_is_read(bundle: Bundle, tmp_path: Path) -> None:
    for name in ("stats.npz", "backbone.onnx", "bundle.json"):
        (bundle.path / name).rename(tmp_path / name)
        (bundle.path / name).symlink_to(tmp_path / name)
    again = open_bundle(bundle.path)
    assert again.statistics is not None
    assert again.verify() == []
