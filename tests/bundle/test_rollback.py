"""Rolling back, merging, and naming heads by their digests."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from edgesplit.bundle.bundle import Bundle
from edgesplit.bundle.head_files import HeadFiles
from edgesplit.errors import (
    BundleError,
    EditError,
    GateError,
)
from edgesplit.heads.head import Head
from tests.bundles import PLAN, contents, digests, head_file, split


def test_rollback_brings_the_very_bytes_back(bundle: Bundle, head: Head) -> None:
    first = bundle.publish(split(bundle))
    before = contents(bundle.path)
    version = bundle.rollback()
    assert bundle.live == head.digest
    assert bundle.head().to_bytes() == head.to_bytes()
    assert version.action == f"rollback to {head.digest[:12]}"
    assert digests(bundle) == [head.digest, first.digest, head.digest]
    heads = {name for name in contents(bundle.path) if name.startswith("heads/")}
    assert heads == {name for name in before if name.startswith("heads/")}


def test_rollback_walks_back_through_the_edits(bundle: Bundle, head: Head) -> None:
    first = bundle.publish(split(bundle))
    bundle.publish(split(bundle, "holding something"))
    assert bundle.rollback().digest == first.digest
    assert bundle.rollback().digest == head.digest
    with pytest.raises(BundleError, match=f"no earlier head .*rollback {first.digest[:12]}"):
        bundle.rollback()


def test_rollback_to_a_named_head(bundle: Bundle, head: Head) -> None:
    bundle.publish(split(bundle))
    bundle.publish(split(bundle, "holding something"))
    assert bundle.rollback(head.digest[:8]).digest == head.digest


def test_first_head_cannot_be_rolled_back(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="no other head is kept, so no rollback is possible"):
        bundle.rollback()


def test_rollback_to_an_unknown_head_names_the_log(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match=r"No head of .* starts with 'abcdef'. `edgesplit log`"):
        bundle.rollback("abcdef")


def test_rollback_to_the_live_head_is_refused(bundle: Bundle, head: Head) -> None:
    with pytest.raises(EditError, match="is live already"):
        bundle.rollback(head.digest)


def test_merging_the_last_split_brings_the_parents_digest_back(bundle: Bundle) -> None:
    first = bundle.publish(split(bundle))
    second = bundle.publish(split(bundle, "holding something"))
    assert bundle.publish(bundle.merge_class("holding something")).digest == first.digest
    assert digests(bundle)[-2:] == [second.digest, first.digest]


def test_merging_an_earlier_split_keeps_the_later_one(bundle: Bundle) -> None:
    bundle.publish(split(bundle))
    bundle.publish(split(bundle, "holding something"))
    version = bundle.publish(bundle.merge_class("pushing something"))
    labels = bundle.head(version.digest).labels
    assert "pushing something" in labels
    assert "holding something left" in labels


def test_merging_without_the_parents_file_still_works(bundle: Bundle, head: Head) -> None:
    bundle.publish(split(bundle))
    head_file(bundle, head.digest).unlink()
    merged = bundle.merge_class("pushing something").head
    assert merged.labels == head.labels
    assert merged.parent == bundle.live


def test_rollback_undoes_a_plan_and_brings_the_very_bytes_back(bundle: Bundle, head: Head) -> None:
    bundle.publish(bundle.split_classes(PLAN))
    assert bundle.rollback().digest == head.digest
    assert bundle.head().to_bytes() == head.to_bytes()


def test_merge_undoes_one_split_of_a_plan_with_those_below_it(bundle: Bundle, head: Head) -> None:
    bundle.publish(bundle.split_classes(PLAN))
    merged = bundle.publish(bundle.merge_class("pushing something"))
    assert [label for label in bundle.head().labels if label.endswith(("left", "right"))] == [
        "pulling something left",
        "pulling something right",
        "holding something left",
        "holding something right",
    ]
    assert merged.before == bundle.head().parent
    # Then all labels and rows are as before the plan, but the parent is the head between.
    bundle.publish(bundle.merge_class("holding something"))
    assert bundle.head().tree == head.tree
    assert bundle.live != head.digest


def test_merging_all_that_a_plan_split_brings_the_parent_back(bundle: Bundle, head: Head) -> None:
    nested = dict(list(PLAN.items())[:2])
    bundle.publish(bundle.split_classes(nested))
    assert bundle.publish(bundle.merge_class("pushing something")).digest == head.digest


@pytest.mark.parametrize("length", [4, 12, 64])
def test_a_head_is_named_by_the_start_of_its_digest(
    bundle: Bundle, head: Head, length: int
) -> None:
    assert bundle.head(head.digest[:length]).digest == head.digest


@pytest.mark.parametrize("prefix", ["", "abc", "../HEAD", "x" * 64, "*"])
def test_other_names_of_heads_are_refused(bundle: Bundle, prefix: str) -> None:
    with pytest.raises(BundleError, match=r"heads? of .* starts? with|is too short"):
        bundle.head(prefix)


def test_an_ambiguous_prefix_is_refused(bundle: Bundle) -> None:
    for tail in "12":
        head_file(bundle, "abcd" + tail * 60).touch()
    with pytest.raises(BundleError, match=r"2 heads of .* start with 'abcd'"):
        bundle.head("abcd")


def test_a_head_that_was_never_live_is_no_goal_of_a_rollback(bundle: Bundle, head: Head) -> None:
    # a weight was changed and the file renamed to its new digest: only the gate can tell
    forged = replace(head, weight=head.weight + 1, parent=head.digest)
    head_file(bundle, forged.digest).write_bytes(forged.to_bytes())
    before = contents(bundle.path)
    with pytest.raises(BundleError, match=r"never live in this bundle.*edgesplit publish .*onnx"):
        bundle.rollback(forged.digest)
    with pytest.raises(GateError, match="change 6 labels"):
        bundle.publish(bundle.head(forged.digest))
    assert contents(bundle.path) == before


def test_an_ancestor_is_a_goal_of_a_rollback_without_a_log(bundle: Bundle, head: Head) -> None:
    bundle.publish(split(bundle))
    bundle.publish(split(bundle, "holding something"))
    (bundle.path / "log.jsonl").unlink()
    assert bundle.rollback(head.digest).digest == head.digest


def test_a_walk_through_parents_ends(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    # Nobody can make such files; a walk that hangs a device must not depend on it.
    around = {
        digest * 64: SimpleNamespace(digest=digest * 64, parent=parent * 64)
        for digest, parent in ("ab", "bc", "ca")
    }
    monkeypatch.setattr(
        "edgesplit.bundle.head_files.has_head", lambda folder, digest: digest in around
    )
    monkeypatch.setattr(HeadFiles, "read", lambda self, digest: around[digest])
    first = cast(Head, around["a" * 64])
    assert [head.digest[0] for head in bundle.heads.ancestors(first)] == ["b", "c"]
    around["b" * 64].parent = "b" * 64
    assert [head.digest[0] for head in bundle.heads.ancestors(first)] == ["b"]
    around["b" * 64].parent = ""
    assert [head.digest[0] for head in bundle.heads.ancestors(first)] == ["b"]


def test_a_whole_digest_is_found_without_listing_the_heads(
    bundle: Bundle, head: Head, monkeypatch: pytest.MonkeyPatch
) -> None:
    def listing(folder: Path) -> list[str]:
        raise AssertionError("the heads were listed")

    monkeypatch.setattr("edgesplit.bundle.head_files.head_files", listing)
    assert bundle.head(head.digest).digest == head.digest
    with pytest.raises(AssertionError, match="listed"):
        bundle.head(head.digest[:12])
