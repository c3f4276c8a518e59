"""The demo's bundle, with all its categories split at once."""

from pathlib import Path

import numpy as np

from benchmarks.motion_split.classes import taxonomy
from edgesplit.demo import ASSETS, unpack_demo
from edgesplit.edits.plan import Plan
from edgesplit.runtime.live.live_head import ServingHead


def test_a_plan_of_all_categories_changes_no_root_logit(
    tmp_path: Path,
) -> None:
    demo = unpack_demo(tmp_path)
    with np.load(ASSETS / "heldout.npz", allow_pickle=False) as arrays:
        features = arrays["features"]
    plan: Plan = dict(taxonomy("A"))
    assert len(plan) == 14
    edit = demo.split_classes(plan, accept_doubt=True)
    exported = edit.before
    before, after = ServingHead(exported), ServingHead(edit.head)
    old, new = before.evaluate(features), after.evaluate(features)
    n_root = len(exported.tree)
    assert new.logits[:, :n_root].tobytes() == old.logits.tobytes()
    assert new.probabilities[:, :n_root].tobytes() == old.probabilities.tobytes()
    at_root = [edit.head.tree.path(int(column))[0] for column in new.class_index]
    assert at_root == old.class_index.tolist()
    # What a zero-shot split made is no knowledge: all sources are exported, in any order of splits.
    known = {node.label for node in exported.tree}
    rows = {row.label: row for part in edit.report.splits for row in part.rows}
    assert all(source.label in known for row in rows.values() for source in row.sources)
    backwards = demo.split_classes(dict(reversed([*plan.items()])), accept_doubt=True)
    assert {row.label: row for part in backwards.report.splits for row in part.rows} == rows
    demo.publish(edit)
    assert demo.head().parent == exported.digest
    demo.rollback()
    assert demo.head().to_bytes() == exported.to_bytes()
