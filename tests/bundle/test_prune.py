"""Pruning old heads."""

import pytest

from edgesplit.bundle.bundle import Bundle
from edgesplit.errors import (
    BundleError,
)
from edgesplit.heads.head import Head
from edgesplit.storage.files import part_path
from tests.bundles import head_file, split


def test_prune_keeps_the_heads_that_were_live_last(busy: Bundle) -> None:
    before = busy.history()
    newest = [version.digest for version in before]
    part_path(head_file(busy, newest[0])).touch()
    assert set(busy.prune(2, dry_run=True)) == set(newest[1:3])
    assert {path.stem for path in (busy.path / "heads").glob("*.onnx")} == set(newest)
    gone = busy.prune(2)
    assert set(gone) == set(newest[1:3])  # never the exported head
    assert {path.name for path in (busy.path / "heads").iterdir()} == {
        f"{digest}.onnx" for digest in (newest[0], *newest[3:])
    }
    assert busy.history()[:-1] == before
    last = busy.history()[-1]
    assert (last.digest, last.before, last.pruned) == (busy.live, busy.live, gone)
    assert busy.verify() == []
    assert busy.prune(2) == ()
    assert busy.history()[-1] == last


def test_prune_and_look_ups_touch_no_other_file(busy: Bundle) -> None:
    heads = busy.path / "heads"
    others = {
        *("backup.onnx", "abcdef.onnx", "A" * 64 + ".onnx", "a" * 63 + ".onnx", "a" * 64),
        *("a" * 64 + ".onnx.onnx", "b" * 64 + ".onnx"),
    }
    for name in others:
        (heads / name).write_bytes(b"mine")
    (heads / ("b" * 64 + ".onnx")).unlink()
    (heads / ("b" * 64 + ".onnx")).symlink_to("backup.onnx")
    for prefix in ("backup", "abcdef", "aaaa", "AAAA", "bbbb"):
        with pytest.raises(BundleError, match=r"No head of .* starts"):
            busy.head(prefix)
    assert not set(busy.prune(1, dry_run=True)) & {name.partition(".")[0] for name in others}
    busy.prune(1)
    assert {path.name for path in heads.iterdir()} == others | {
        f"{digest}.onnx" for digest in (busy.live, busy.history()[0].digest)
    }
    assert (heads / "backup.onnx").read_bytes() == b"mine"
    assert busy.verify() == []


def test_prune_removes_what_crashes_left(busy: Bundle) -> None:
    left = {
        "pointer": part_path(busy.path / "HEAD"),
        "log": part_path(busy.path / "log.jsonl"),
        "head": part_path(head_file(busy, "0" * 64)),
    }
    for path in left.values():
        path.touch()
    encoder = part_path(busy.path / "text")
    encoder.mkdir()
    (encoder / "encoder.onnx").touch()
    outside = busy.path.parent / "outside"
    outside.mkdir()
    part_path(busy.path / "HEAD").symlink_to(outside)
    busy.prune(1)
    assert list(busy.path.rglob("*.part")) == []
    assert outside.is_dir()


def test_after_a_prune_all_but_the_old_heads_can_be_had(busy: Bundle) -> None:
    _, second = (version.digest for version in busy.history()[:2])
    busy.prune(2)
    with pytest.raises(BundleError, match=r"was pruned: only its log entry remains"):
        busy.rollback(second)
    back = busy.rollback()
    assert busy.history()[-1] == back
    with pytest.raises(BundleError, match="was pruned"):
        busy.rollback()
    version = busy.publish(split(busy, "moving something down"))
    assert busy.live == version.digest
    assert busy.verify() == []


def test_a_pruned_head_that_is_made_again_is_there_again(bundle: Bundle, head: Head) -> None:
    renamed = bundle.publish(bundle.rename_class("holding", "keeping something"))
    version = bundle.publish(split(bundle))
    assert bundle.prune(1) == (renamed.digest,)
    bundle.publish(bundle.merge_class("pushing something"))  # another head: the parent is gone
    assert bundle.head().parent == version.digest
    assert rows_of(bundle.head())[:2] == rows_of(head)[:2]


def rows_of(head: Head) -> tuple[bytes, bytes, tuple[str, ...]]:
    return head.weight.tobytes(), head.bias.tobytes(), head.labels


def test_a_head_kept_by_a_rollback_counts_as_live_last(busy: Bundle) -> None:
    first = busy.history()[0].digest
    busy.rollback(first)
    gone = busy.prune(2)
    assert first not in gone
    assert len(gone) == 3


def test_prune_keeps_the_live_head_at_least(busy: Bundle) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        busy.prune(0)
    busy.prune(1)
    left = {path.stem for path in (busy.path / "heads").iterdir()}
    assert left == {busy.live, busy.history()[0].digest}  # and the exported head


def test_a_rollback_at_the_first_head_names_no_pruned_one(bundle: Bundle, head: Head) -> None:
    bundle.publish(split(bundle))
    bundle.rollback()
    with pytest.raises(BundleError, match="To return to the head that was live last"):
        bundle.rollback()
    bundle.prune(1)
    with pytest.raises(BundleError, match="no other head is kept, so no rollback is possible"):
        bundle.rollback()
    assert bundle.live == head.digest
