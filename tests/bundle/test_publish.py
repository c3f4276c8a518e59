"""Publishing an edit, a plan or a head, and what is refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgesplit.bundle.bundle import Bundle, open_bundle
from edgesplit.edits.request import SplitRequest
from edgesplit.errors import (
    ConflictError,
    EditError,
    FeatureSpaceError,
    GateError,
)
from edgesplit.heads.head import Head
from tests.bundles import PLAN, contents, digests, log_lines, split, split_by_hand


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
    with pytest.raises(ConflictError, match=r"another publish came first. Make the edit again"):
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


def test_a_head_of_another_feature_space_is_refused(bundle: Bundle, head: Head) -> None:
    before = contents(bundle.path)
    with pytest.raises(FeatureSpaceError, match=r"feature space 0{12}, the bundle has .*another"):
        bundle.publish(split_by_hand(head, feature_space="0" * 64))
    assert contents(bundle.path) == before


def test_a_head_of_another_size_is_refused(bundle: Bundle, head: Head) -> None:
    smaller = split_by_hand(head, weight=np.ones((8, 5)))
    with pytest.raises(FeatureSpaceError, match="features of 5 values, but the backbone makes 8"):
        bundle.publish(smaller)


def test_a_changed_root_row_does_not_pass_the_gate(bundle: Bundle, head: Head) -> None:
    weight = np.concatenate([head.weight, np.ones((2, head.dim))])
    weight[1, 0] += 1e-6
    before = contents(bundle.path)
    with pytest.raises(GateError, match=r"1 labels.*'pulling something right'"):
        bundle.publish(split_by_hand(head, weight=weight))
    assert contents(bundle.path) == before


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


def test_a_plan_on_top_of_another_head_is_a_conflict(bundle: Bundle) -> None:
    edit = bundle.split_classes(PLAN)
    bundle.publish(split(bundle))
    with pytest.raises(ConflictError, match="another publish came first"):
        bundle.publish(edit)


def test_a_flat_split_of_a_plan_says_what_it_flips(bundle: Bundle) -> None:
    edit = bundle.split_classes({"pushing": SplitRequest(["left", "right"], composition="flat")})
    assert "of the bundle's clips" in edit.report.warnings[0]


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
    assert edit.report.warnings[0] == (
        f"flat changes the class of {flips} decisions on 64 of the bundle's clips"
    )


def test_another_text_encoder_than_the_exports_is_named(bundle: Bundle) -> None:
    file = bundle.path / "bundle.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"text_encoder": "0" * 64}))
    edit = open_bundle(bundle.path).split_class("pushing", into=["left", "right"])
    assert "exported with 000000000000" in edit.report.warnings[0]


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


def test_a_split_with_answers_about_the_clips_of_the_bundle_goes_live(bundle: Bundle) -> None:
    assert bundle.statistics is not None
    features, into = bundle.statistics.sample, ["left", "right"]
    chosen = bundle.choose_clips("pushing", SplitRequest(into), features, 2)
    answers = dict(zip(chosen.tolist(), into, strict=True))
    edit = bundle.split_class("pushing", SplitRequest(into, features=features, answers=answers))
    version = bundle.publish(edit)
    assert bundle.live == version.digest
    assert [node.provenance.n_clips for node in bundle.head().tree.nodes[-2:]] == [1, 1]


# Flat heads from elsewhere


def grabbing(bundle: Bundle, bias: float) -> Head:
    """A flat split of a class whose first subcategory gets `bias` more."""
    head = bundle.split_class(
        "pushing something", into=["left", "right"], composition="flat", accept_doubt=True
    ).head
    more = head.bias.copy()
    more[-2] += bias
    return replace(head, bias=more)


def test_a_flat_head_that_takes_many_decisions_is_refused(bundle: Bundle) -> None:
    head = grabbing(bundle, 1e6)
    before = contents(bundle.path)
    with pytest.raises(GateError, match=r"changes \d+ of 64 decisions .*--accept-changes"):
        bundle.publish(head)
    assert contents(bundle.path) == before
    assert bundle.publish(head, accept_changes=True).digest == head.digest
    # Undoing it is never refused.
    bundle.publish(bundle.merge_class("pushing something"))
    bundle.rollback(head.digest)


def test_a_flat_head_that_takes_few_decisions_is_published(bundle: Bundle) -> None:
    gate = bundle.check(bundle.split_class("pushing", into=["left", "right"], composition="flat"))
    assert gate.n_decided == 64
    assert 0 <= gate.n_changed < 0.25 * gate.n_decided
    assert bundle.check(split(bundle)).n_decided == 0  # a gated one changes none


def test_a_head_several_edits_ahead_names_the_one_that_is_missing(
    bundle: Bundle, tmp_path: Path
) -> None:
    other = open_bundle(shutil.copytree(bundle.path, tmp_path / "other.bundle"))
    first = other.publish(split(other))
    second = other.publish(other.rename_class("pushing something", "shoving something"))
    with pytest.raises(
        ConflictError, match=rf"made from {first.digest[:12]}, which was never live here"
    ):
        bundle.publish(other.head(second.digest))
    bundle.publish(other.head(first.digest))
    assert bundle.publish(other.head(second.digest)).digest == second.digest
