"""Every release opens, edits, publishes and rolls back the bundles of the releases before it.

tests/data/bundle-0.1 is what 0.1.0 left on disk: the demo's bundle after
`edgesplit edit --class pushing --into left,right` and
`edgesplit edit --class rolling --into left,right --composition flat`. It is never written again;
a later format number adds a folder beside it.
"""

import hashlib
import shutil
from pathlib import Path

import pytest

from edgesplit.bundle.bundle import Bundle, open_bundle
from edgesplit.demo import ASSETS, unpack_demo
from edgesplit.runtime import Runtime
from edgesplit.video.clips import read_clip

OLD = Path(__file__).parents[1] / "data" / "bundle-0.1"

EXPORTED = "6ddece008a2b46eb958bf2d3af60a60b4291794ae42b1dc0bc7dc33869012e53"
GATED = "44534b7536dea14c639788f731caafe1b13832af8011481829b0218d455caa3e"
FLAT = "2398249844d0e305f69ddcc8fdeb9538a89fa1605ebb3a2a0594a9b863f33999"

DECISIONS = {
    EXPORTED: "2b682546c5ec2519f29ae80204fa9808afb1cb45f6a36ea3b6d107eb248310d0",
    GATED: "707af8d037960e01ef6bf489a42880964e15f0a129479cfbc3fb84882b50ae12",
    FLAT: "b093ee03c9dd87e4648025165adfe76dcc54f8faf1e63e53d0f5b1fcf985765e",
}
"""sha256 of the labels, a line each, that each head gives to the 2,040 features of stats.npz. The
nearest tie among them is 4e-4 of a logit wide, hundreds of times what sums in float32 differ by."""

CLIP = ASSETS / "clips" / "pushing-something-left-1.mp4"


@pytest.fixture
def old(tmp_path: Path) -> Bundle:
    shutil.copytree(OLD, tmp_path / "old.bundle")
    return open_bundle(tmp_path / "old.bundle")


def test_an_old_bundle_opens_whole(old: Bundle) -> None:
    assert old.verify() == []
    assert [version.digest for version in old.history()] == [EXPORTED, GATED, FLAT]
    assert old.live == FLAT
    assert old.head(EXPORTED).to_bytes() == (OLD / "heads" / f"{EXPORTED}.onnx").read_bytes()


@pytest.mark.parametrize("digest", DECISIONS)
def test_old_heads_decide_as_they_did(old: Bundle, digest: str) -> None:
    assert old.statistics is not None
    labels = old.head(digest).classify(old.statistics.sample)
    assert hashlib.sha256("\n".join(labels).encode()).hexdigest() == DECISIONS[digest]


def test_an_old_bundle_is_edited_published_and_rolled_back(old: Bundle) -> None:
    clip = read_clip(CLIP, old.preprocessing)
    with Runtime(old) as runtime:
        assert runtime.predict(clip).label == "pushing something left"
        nested = old.split_class("pushing something left", into=["slowly", "quickly"])
        version = old.publish(nested)
        runtime.swap_head(version.digest)
        assert runtime.predict(clip).label.startswith("pushing something left ")
    assert old.history()[-1].digest == old.live == nested.head.digest
    assert old.merge_class("pushing something left").head.to_bytes() == old.head(FLAT).to_bytes()
    for digest in (FLAT, GATED, EXPORTED):
        old.rollback()
        assert old.live == digest
        assert old.head().to_bytes() == (OLD / "heads" / f"{digest}.onnx").read_bytes()
    assert old.verify() == []


def test_an_edit_of_an_old_bundle_gives_what_it_gives_of_todays(
    old: Bundle, tmp_path: Path
) -> None:
    # Not what it gave then: rules get better. The demo's bundle has the same head and clips.
    old.rollback(EXPORTED)
    today = unpack_demo(tmp_path / "demo")
    of_old, of_today = (b.split_class("pushing", into=["left", "right"]) for b in (old, today))
    assert of_old.head.to_bytes() == of_today.head.to_bytes()
