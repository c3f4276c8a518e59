"""The bundle: publishing, history, and what a crash, a full disk or a stranger may leave there."""

import errno
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest

from edgesplit.backbone.identity import feature_space
from edgesplit.bundle.bundle import Bundle, find_bundle, open_bundle
from edgesplit.bundle.create import create_bundle
from edgesplit.bundle.head_files import HeadFiles
from edgesplit.edits.edit import Edit
from edgesplit.edits.plan import Plan
from edgesplit.edits.request import SplitRequest
from edgesplit.errors import (
    BundleError,
    ConflictError,
    EditError,
    FeatureSpaceError,
    GateError,
    HeadError,
    TooFewClipsError,
)
from edgesplit.heads.head import Head
from edgesplit.heads.labels import Node
from edgesplit.heads.statistics import Statistics
from edgesplit.storage.files import Disk, Store, part_path
from edgesplit.video.preprocessing import Preprocessing

Snapshot = dict[str, bytes]


def split(bundle: Bundle, name: str = "pushing something") -> Edit:
    return bundle.split_class(
        name, into=["left", "right"], like="pulling something", accept_doubt=True
    )


def contents(folder: Path) -> Snapshot:
    """Every file but the lock, with its content."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def digests(bundle: Bundle) -> list[str]:
    return [version.digest for version in bundle.history()]


def log_lines(bundle: Bundle) -> list[str]:
    return (bundle.path / "log.jsonl").read_text().splitlines()


def head_file(bundle: Bundle, digest: str) -> Path:
    return bundle.path / "heads" / f"{digest}.onnx"


# Creating and opening


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
    # as earlier releases named it
    (tmp_path / f".b.{os.getpid()}.part" / "heads").mkdir(parents=True)
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


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "does not exist. `edgesplit export` makes a bundle"),
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
        ({"format": 2}, "bundle format 2, this edgesplit reads 1. Use the edgesplit release"),
        ({"format": None}, "bundle format None"),
        ({"dim": "many"}, "is damaged"),
        ({"dim": None}, "is damaged"),
        ({"preprocessing": 7}, "is damaged"),
        ({"preprocessing": {}}, "lacks or does not know"),
        ({"preprocessing": {"frames": 0}}, "lacks or does not know"),
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


# Finding


def test_bundle_is_found_by_argument_environment_folder_and_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(name: str) -> Path:
        (tmp_path / name).mkdir()
        (tmp_path / name / "bundle.json").touch()
        return tmp_path / name

    monkeypatch.chdir(tmp_path)
    with pytest.raises(BundleError, match=r"no bundle in .*EDGESPLIT_BUNDLE.*edgesplit demo"):
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


# Publishing


def test_publish_makes_an_edit_live_and_logs_it(bundle: Bundle, head: Head) -> None:
    edit = split(bundle)
    assert bundle.live == head.digest  # nothing is live before publish
    version = bundle.publish(edit)
    assert bundle.live == version.digest == edit.head.digest
    assert version.before == head.digest
    assert version.action == "split 'pushing something' into 'left', 'right' (gated)"
    assert bundle.head().labels == edit.head.labels
    assert bundle.history()[-1] == version
    assert json.loads(log_lines(bundle)[-1]) == version.to_json()
    assert bundle.verify() == []


def test_publish_is_seen_by_a_bundle_opened_before(bundle: Bundle) -> None:
    other = open_bundle(bundle.path)
    version = bundle.publish(split(bundle))
    assert other.live == version.digest
    assert other.history() == bundle.history()


def test_a_head_that_was_edited_elsewhere_goes_live(bundle: Bundle) -> None:
    data = split(bundle).head.to_bytes()
    version = bundle.publish(Head.from_bytes(data), action="from the lab")
    assert version.action.startswith("from the lab: + 'pushing something left', + ")
    assert bundle.head().to_bytes() == data


def test_publish_touches_nothing_but_head_log_and_the_new_head(bundle: Bundle) -> None:
    before = contents(bundle.path)
    version = bundle.publish(split(bundle))
    after = contents(bundle.path)
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {"HEAD", "log.jsonl", f"heads/{version.digest}.onnx"}
    assert after["log.jsonl"].startswith(before["log.jsonl"])


def test_second_publisher_gets_a_conflict_and_changes_nothing(bundle: Bundle) -> None:
    ours, theirs = split(bundle), split(bundle, "holding something")
    bundle.publish(theirs)
    before = contents(bundle.path)
    with pytest.raises(ConflictError, match=r"somebody published in between. Make the edit again"):
        bundle.publish(ours)
    assert contents(bundle.path) == before


def test_a_head_without_a_parent_is_a_conflict(bundle: Bundle) -> None:
    orphan = replace(split(bundle).head, parent="")
    with pytest.raises(ConflictError, match="was made from nothing"):
        bundle.publish(orphan)


def test_publishing_the_live_head_again_is_refused(bundle: Bundle) -> None:
    edit = split(bundle)
    bundle.publish(edit)
    with pytest.raises(EditError, match="is live already; nothing was published"):
        bundle.publish(edit)
    assert len(log_lines(bundle)) == 2


def split_by_hand(head: Head, **changes: Any) -> Head:
    """`head` with its class 4 split, published as if it came from elsewhere."""
    rows = np.ones((2, head.dim), np.float32)
    return Head(
        tree=head.tree.split(4, [Node("x"), Node("y")], composition="gated"),
        weight=changes.get("weight", np.concatenate([head.weight, rows])),
        bias=changes.get("bias", np.concatenate([head.bias, [0, 0]])),
        feature_space=changes.get("feature_space", head.feature_space),
        parent=head.digest,
    )


def test_a_head_of_another_feature_space_is_refused(bundle: Bundle, head: Head) -> None:
    before = contents(bundle.path)
    with pytest.raises(FeatureSpaceError, match=r"feature space 0{12}, the bundle has .*another"):
        bundle.publish(split_by_hand(head, feature_space="0" * 64))
    assert contents(bundle.path) == before


def test_a_head_of_another_size_is_refused(bundle: Bundle, head: Head) -> None:
    smaller = split_by_hand(head, weight=np.ones((8, 5)))
    with pytest.raises(FeatureSpaceError, match="features of 5 values, the backbone gives 8"):
        bundle.publish(smaller)


def test_a_changed_root_row_does_not_pass_the_gate(bundle: Bundle, head: Head) -> None:
    weight = np.concatenate([head.weight, np.ones((2, head.dim))])
    weight[1, 0] += 1e-6
    before = contents(bundle.path)
    with pytest.raises(GateError, match=r"1 labels.*'pulling something right'"):
        bundle.publish(split_by_hand(head, weight=weight))
    assert contents(bundle.path) == before


# History, rollback, merge


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
    with pytest.raises(BundleError, match=f"nothing to roll back to.*rollback {first.digest[:12]}"):
        bundle.rollback()


def test_rollback_to_a_named_head(bundle: Bundle, head: Head) -> None:
    bundle.publish(split(bundle))
    bundle.publish(split(bundle, "holding something"))
    assert bundle.rollback(head.digest[:8]).digest == head.digest


def test_first_head_cannot_be_rolled_back(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="no other was: nothing to roll back to"):
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


PLAN: Plan = {
    "pushing": ["left", "right"],
    "pushing something left": ["up", "down"],
    "holding": ["left", "right"],
}


def test_a_plan_goes_live_as_one_version(bundle: Bundle, head: Head) -> None:
    edit = bundle.split_classes(PLAN)
    assert bundle.live == head.digest
    assert bundle.check(edit).n_untouched == len(head.tree.roots)
    version = bundle.publish(edit)
    assert digests(bundle) == [head.digest, version.digest]
    assert version.action.startswith("plan: split 'pushing something', ")
    assert bundle.head().parent == head.digest
    assert len(list((bundle.path / "heads").iterdir())) == 2
    assert bundle.verify() == []


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


def test_a_plan_on_top_of_another_head_is_a_conflict(bundle: Bundle) -> None:
    edit = bundle.split_classes(PLAN)
    bundle.publish(split(bundle))
    with pytest.raises(ConflictError, match="somebody published in between"):
        bundle.publish(edit)


def test_a_flat_split_of_a_plan_says_what_it_flips(bundle: Bundle) -> None:
    edit = bundle.split_classes({"pushing": SplitRequest(["left", "right"], composition="flat")})
    assert "of the bundle's clips" in edit.report.warnings[0]


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


# Crashes


def test_a_torn_last_line_is_ignored_and_never_joined(bundle: Bundle, head: Head) -> None:
    with (bundle.path / "log.jsonl").open("a") as log:
        log.write('{"time": "2026-01-01T00:00:00.000Z", "from": "')
    assert digests(bundle) == [head.digest]
    version = bundle.publish(split(bundle))
    assert digests(bundle) == [head.digest, version.digest]
    assert bundle.verify() == []


@pytest.mark.parametrize("line", ["7", "[]", "null", '{"to": "x"}', "\x00" * 80, '{"to": 1'])
def test_foreign_lines_in_the_log_are_passed_over(bundle: Bundle, head: Head, line: str) -> None:
    with (bundle.path / "log.jsonl").open("a") as log:
        log.write(f"{line}\n")
    version = bundle.publish(split(bundle))
    assert digests(bundle) == [head.digest, version.digest]


def test_an_attempt_that_head_never_followed_is_not_history(bundle: Bundle, head: Head) -> None:
    lost = {"time": "2026-01-01T00:00:00.000Z", "from": head.digest, "to": "f" * 64, "action": "x"}
    with (bundle.path / "log.jsonl").open("a") as log:
        log.write(json.dumps(lost) + "\n")
    assert digests(bundle) == [head.digest]
    version = bundle.publish(split(bundle))
    assert digests(bundle) == [head.digest, version.digest]


def test_a_zero_length_head_is_repaired_by_its_next_publish(bundle: Bundle) -> None:
    edit = split(bundle)
    head_file(bundle, edit.head.digest).write_bytes(b"")  # as a power cut can leave it
    bundle.publish(edit)
    assert bundle.head().to_bytes() == edit.head.to_bytes()
    assert bundle.verify() == []


@pytest.mark.parametrize("data", [b"", b"garbage"], ids=["empty", "garbage"])
def test_a_damaged_head_is_refused(bundle: Bundle, head: Head, data: bytes) -> None:
    bundle.publish(split(bundle))
    head_file(bundle, head.digest).write_bytes(data)
    before = contents(bundle.path)
    with pytest.raises(BundleError, match="is damaged: its content has another digest"):
        bundle.rollback()
    assert contents(bundle.path) == before
    assert len(bundle.verify()) == 1


def test_a_head_file_that_is_no_head_is_refused_under_its_own_digest(bundle: Bundle) -> None:
    data = b"something else"
    digest = hashlib.sha256(data).hexdigest()
    head_file(bundle, digest).write_bytes(data)
    with pytest.raises(HeadError, match="not an ONNX file"):
        bundle.rollback(digest)


@pytest.mark.parametrize("text", ["", "abc", "X" * 64, "../" + "0" * 61, "\x00" * 65])
def test_a_damaged_head_pointer_is_named(bundle: Bundle, text: str) -> None:
    (bundle.path / "HEAD").write_text(text)
    with pytest.raises(BundleError, match=r"HEAD does not hold a digest. `edgesplit log`"):
        bundle.head()
    assert bundle.verify() != []


def move_away(path: Path) -> Path:
    """Moves a file or folder out of the bundle."""
    return path.rename(path.parent.parent / f"elsewhere {path.name}")


def test_a_head_pointer_that_is_a_link_is_refused_and_repaired(bundle: Bundle, head: Head) -> None:
    pointer = bundle.path / "HEAD"
    elsewhere = move_away(pointer)
    pointer.symlink_to(elsewhere)
    with pytest.raises(BundleError, match=r"HEAD: .*A link is not followed here"):
        bundle.head()
    assert bundle.verify() != []
    elsewhere.write_text("of another user")
    bundle.rollback(head.digest)
    assert not pointer.is_symlink()
    assert elsewhere.read_text() == "of another user"
    assert bundle.verify() == []


def test_a_head_pointer_that_is_a_pipe_is_refused_at_once(bundle: Bundle, head: Head) -> None:
    (bundle.path / "HEAD").unlink()
    os.mkfifo(bundle.path / "HEAD")
    with pytest.raises(BundleError, match=r"HEAD: It is not a regular file"):
        bundle.head()
    bundle.rollback(head.digest)
    assert bundle.verify() == []


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/null")])
def test_a_head_file_is_a_regular_file(bundle: Bundle, make: Callable[[Path], None]) -> None:
    file = head_file(bundle, "f" * 64)
    make(file)
    with pytest.raises(BundleError, match=r"No head of .* starts with 'ffff'"):
        bundle.head("ffff")
    (bundle.path / "HEAD").write_text("f" * 64)
    with pytest.raises(BundleError, match=r"not a regular file|A link is not followed here"):
        bundle.head()


def test_a_head_file_that_is_a_link_is_replaced_by_a_file(bundle: Bundle) -> None:
    edit = split(bundle)
    elsewhere = bundle.path.parent / "head.onnx"
    elsewhere.write_bytes(edit.head.to_bytes())
    head_file(bundle, edit.head.digest).symlink_to(elsewhere)
    bundle.publish(edit)
    assert not head_file(bundle, edit.head.digest).is_symlink()
    assert bundle.verify() == []


def test_heads_in_another_folder_are_refused_and_left_alone(busy: Bundle) -> None:
    elsewhere = move_away(busy.path / "heads")
    (busy.path / "heads").symlink_to(elsewhere)
    before = contents(elsewhere)
    for use in (
        lambda: busy.prune(1),
        lambda: busy.head(),
        lambda: busy.rollback(),
        lambda: busy.rollback("0000"),
    ):
        with pytest.raises(BundleError, match=r"heads is a link, and leads out of the bundle"):
            use()
    assert any("heads is a link" in problem for problem in busy.verify())
    assert contents(elsewhere) == before


def test_a_log_that_is_a_link_is_not_written_to(bundle: Bundle) -> None:
    elsewhere = move_away(bundle.path / "log.jsonl")
    (bundle.path / "log.jsonl").symlink_to(elsewhere)
    before = elsewhere.read_bytes()
    with pytest.raises(BundleError, match=r"Cannot publish to .*A link is not followed here"):
        bundle.publish(split(bundle))
    assert elsewhere.read_bytes() == before
    assert len(log_lines(bundle)) == 1


def test_a_head_pointer_moved_by_hand_can_be_rolled_back(bundle: Bundle, head: Head) -> None:
    edit = split(bundle)
    head_file(bundle, edit.head.digest).write_bytes(edit.head.to_bytes())
    (bundle.path / "HEAD").write_text(edit.head.digest)
    assert bundle.head().digest == edit.head.digest
    assert "HEAD was set by hand" in bundle.verify()[0]
    assert bundle.rollback().digest == head.digest
    assert bundle.verify() == []


def test_verify_misses_a_head_that_is_gone(bundle: Bundle, head: Head) -> None:
    bundle.publish(split(bundle))
    head_file(bundle, head.digest).unlink()
    assert "1 heads of the log are gone" in bundle.verify()[0]


def test_an_earlier_head_is_rolled_back_to_not_published(bundle: Bundle, head: Head) -> None:
    bundle.publish(split(bundle))
    bundle.publish(split(bundle, "holding something"))
    with pytest.raises(ConflictError, match=f"edgesplit rollback {head.digest[:12]}"):
        bundle.publish(head)


def test_check_runs_the_gate_and_publishes_nothing(bundle: Bundle) -> None:
    before = contents(bundle.path)
    assert bundle.check(split(bundle)).n_untouched == 6
    assert contents(bundle.path) == before


def test_a_flat_split_says_how_many_decisions_it_flips(bundle: Bundle) -> None:
    edit = bundle.split_class("pushing", into=["left", "right"], composition="flat")
    assert bundle.statistics is not None
    sample = bundle.statistics.sample
    old, new = edit.before.classify(sample), edit.head.classify(sample)
    flips = sum(not after.startswith(before) for before, after in zip(old, new, strict=True))
    assert flips > 0
    assert edit.report.warnings[0] == f"flat flips {flips} decisions on 64 of the bundle's clips"


def test_another_text_encoder_than_the_exports_is_named(bundle: Bundle) -> None:
    file = bundle.path / "bundle.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"text_encoder": "0" * 64}))
    edit = open_bundle(bundle.path).split_class("pushing", into=["left", "right"])
    assert "exported beside 000000000000" in edit.report.warnings[0]


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        (name, damage)
        for name in ("backbone.onnx", "stats.npz", "HEAD", "log.jsonl")
        for damage in ("flip", "cut", "remove")
        # The log is words; a flipped letter of it is not found, and decides nothing.
        if (name, damage) != ("log.jsonl", "flip")
    ],
)
def test_verify_finds_a_damaged_file(bundle: Bundle, name: str, damage: str) -> None:
    file = bundle.path / name
    if damage == "remove":
        file.unlink()
    else:
        data = file.read_bytes()
        half = len(data) // 2
        flipped = data[:half] + bytes([data[half] ^ 1]) + data[half + 1 :]
        file.write_bytes(flipped if damage == "flip" else data[:half])
    fresh = open_bundle(bundle.path)
    if damage == "remove" and name == "stats.npz":
        assert fresh.verify() == []  # optional
    else:
        assert fresh.verify() != []


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
    assert bundle.check(split(bundle)).n_features == 250  # of the clips; 64 are made up without
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
    assert said.startswith("7 clips are too few: 5 of each class are wanted, and ")
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


# A disk that does not take it


def failing(code: int) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> Any:
        raise OSError(code, os.strerror(code))

    return fail


@pytest.fixture
def read_only_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes every way of writing fail as on a read-only file system; the tests run as root."""
    os_open, path_open = os.open, Path.open
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT

    def guarded_os_open(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        return failing(errno.EROFS)() if flags & writing else os_open(path, flags, *args, **kwargs)

    def guarded_path_open(path: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        read_only = set(mode) <= set("rbt")
        return path_open(path, mode, *args, **kwargs) if read_only else failing(errno.EROFS)()

    def mount() -> None:
        monkeypatch.setattr(os, "open", guarded_os_open)
        monkeypatch.setattr(Path, "open", guarded_path_open)
        for call in ("mkdir", "rename", "replace", "unlink"):
            monkeypatch.setattr(os, call, failing(errno.EROFS))

    return mount


@pytest.mark.parametrize("lock_exists", [False, True])
def test_a_read_only_bundle_refuses_every_change_and_answers_every_question(
    bundle: Bundle,
    head: Head,
    read_only_disk: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    lock_exists: bool,
) -> None:
    first = bundle.publish(split(bundle))
    if not lock_exists:
        (bundle.path / ".lock").unlink(missing_ok=True)
    before = contents(bundle.path)
    edit = split(bundle, "holding something")
    read_only_disk()
    message = r"Cannot write to .*Read-only file system.*copy the bundle to a writable place"
    with pytest.raises(BundleError, match=message):
        bundle.publish(edit)
    with pytest.raises(BundleError, match=message):
        bundle.rollback()
    assert open_bundle(bundle.path).head().digest == first.digest
    assert digests(bundle) == [head.digest, first.digest]
    assert bundle.verify() == []
    monkeypatch.undo()
    assert contents(bundle.path) == before


# Renaming, dropping, pruning


def test_taking_a_rename_back_brings_the_very_bytes_back(bundle: Bundle, head: Head) -> None:
    bundle.publish(bundle.rename_class("holding", "keeping something"))
    assert bundle.head().labels[5] == "keeping something"
    version = bundle.publish(bundle.rename_class("keeping", "holding something"))
    assert version.digest == head.digest
    assert bundle.verify() == []


def test_a_head_renamed_elsewhere_says_so_in_the_log(bundle: Bundle) -> None:
    edit = bundle.rename_class("holding", "keeping something")
    version = bundle.publish(Head.from_bytes(edit.head.to_bytes()))
    assert version.action == "publish: 'holding something' -> 'keeping something'"


def test_dropping_a_subcategory_goes_live(bundle: Bundle) -> None:
    wide = bundle.split_class("pushing", into=["left", "right", "up"], accept_doubt=True)
    bundle.publish(wide)
    bundle.publish(bundle.drop_class("pushing something up"))
    assert "pushing something up" not in bundle.head().labels
    assert bundle.rollback().digest == wide.head.digest


def test_a_head_that_was_never_live_is_no_goal_of_a_rollback(bundle: Bundle, head: Head) -> None:
    # a weight was changed and the file renamed to its new digest: only the gate can tell
    forged = replace(head, weight=head.weight + 1, parent=head.digest)
    head_file(bundle, forged.digest).write_bytes(forged.to_bytes())
    before = contents(bundle.path)
    with pytest.raises(BundleError, match=r"was never live here.*edgesplit publish .*onnx"):
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


@pytest.fixture
def busy(bundle: Bundle) -> Bundle:
    """Five heads: the first, two splits, one of them undone, and a rename."""
    bundle.publish(split(bundle))
    bundle.publish(split(bundle, "holding something"))
    bundle.publish(bundle.merge_class("pushing something"))
    bundle.publish(bundle.rename_class("moving something up", "lifting something"))
    return bundle


def test_prune_keeps_the_heads_that_were_live_last(busy: Bundle) -> None:
    before = busy.history()
    newest = [version.digest for version in before]
    (busy.path / "heads" / f".{newest[0]}.onnx.17.part").touch()
    assert set(busy.prune(2, dry_run=True)) == set(newest[:3])
    assert {path.stem for path in (busy.path / "heads").glob("*.onnx")} == set(newest)
    gone = busy.prune(2)
    assert set(gone) == set(newest[:3])
    assert {path.name for path in (busy.path / "heads").iterdir()} == {
        f"{digest}.onnx" for digest in newest[3:]
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
    assert {path.name for path in heads.iterdir()} == others | {f"{busy.live}.onnx"}
    assert (heads / "backup.onnx").read_bytes() == b"mine"
    assert busy.verify() == []


def test_prune_removes_what_crashes_left(busy: Bundle) -> None:
    left = {
        "file": busy.path / ".HEAD.17.part",  # of earlier releases
        "now": part_path(busy.path / "log.jsonl"),
        "head": part_path(head_file(busy, "0" * 64)),
    }
    for path in left.values():
        path.touch()
    encoder = part_path(busy.path / "text")
    encoder.mkdir()
    (encoder / "encoder.onnx").touch()
    outside = busy.path.parent / "outside"
    outside.mkdir()
    (busy.path / ".HEAD.18.part").symlink_to(outside)
    busy.prune(1)
    assert list(busy.path.rglob("*.part")) == []
    assert outside.is_dir()


def test_after_a_prune_all_but_the_old_heads_can_be_had(busy: Bundle) -> None:
    first = busy.history()[0].digest
    busy.prune(2)
    with pytest.raises(BundleError, match=r"was pruned: only its entry in the log is left"):
        busy.rollback(first)
    back = busy.rollback()
    assert busy.history()[-1] == back
    with pytest.raises(BundleError, match="was pruned"):
        busy.rollback()
    version = busy.publish(split(busy, "moving something down"))
    assert busy.live == version.digest
    assert busy.verify() == []


def test_a_pruned_head_that_is_made_again_is_there_again(bundle: Bundle, head: Head) -> None:
    version = bundle.publish(split(bundle))
    bundle.prune(1)
    bundle.publish(bundle.merge_class("pushing something"))  # another head: the parent is gone
    assert bundle.head().parent == version.digest
    assert rows_of(bundle.head()) == rows_of(head)


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
    assert [path.stem for path in (busy.path / "heads").iterdir()] == [busy.live]


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
