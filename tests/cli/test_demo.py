"""What is shipped does what the README's first lines say."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import edgesplit.demo
from edgesplit.bundle.bundle import Bundle
from edgesplit.demo import ASSETS, CLASS, INTO, run_demo, unpack_demo
from edgesplit.edits.rules import RULES
from edgesplit.errors import BundleError, DoubtfulSplitError, EdgesplitError
from edgesplit.heads.metrics import score_split
from edgesplit.runtime.live.live_head import ServingHead
from edgesplit.video.clips import read_clip


@pytest.fixture
def demo(tmp_path: Path) -> Bundle:
    return unpack_demo(tmp_path)


@pytest.fixture(scope="session")
def heldout() -> dict[str, npt.NDArray[Any]]:
    with np.load(ASSETS / "heldout.npz", allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    "into", [["left", "right"], ["right", "left"], ["up", "down"], ["down", "up"]], ids=",".join
)
def test_each_row_is_learned_from_the_matching_direction(
    demo: Bundle, rule: str, into: list[str]
) -> None:
    report = demo.split_class(CLASS, into=into, rule=rule, accept_doubt=True).report
    for row, modifier in zip(report.rows, into, strict=True):
        assert row.sources
        for source in row.sources:
            assert source.label.endswith(f" {modifier}")


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("name", "into"),
    [
        ("rolling", ["upwards", "downwards"]),
        ("shaking", ["slow", "quick"]),
        ("lifting", ["high", "low"]),
        ("rolling", ["to the left", "to the right"]),
    ],
)
def test_other_words_are_never_silently_learned_from_something_else(
    demo: Bundle, name: str, into: list[str], rule: str
) -> None:
    meant = {"upwards": "up", "downwards": "down", "slow": "slowly", "quick": "quickly"}
    meant |= {"high": "up", "low": "down", "to the left": "left", "to the right": "right"}
    try:
        rows = demo.split_class(name, into=into, rule=rule).report.rows
    except DoubtfulSplitError:
        return  # it asks, which is fine
    for row in rows:
        assert row.sources[0].label.endswith(f" {meant[row.modifier]}")


@pytest.mark.parametrize(
    "into",
    [
        ["diagonally", "vertically"],
        ["links", "rechts"],
        ["on monday", "on tuesday"],
        ["quite a long way to the side where the window is", "not as far, and to the other side"],
    ],
    ids=["nothing close", "foreign", "unrelated", "long"],
)
def test_what_the_head_has_no_words_for_is_asked_about(demo: Bundle, into: list[str]) -> None:
    with pytest.raises(DoubtfulSplitError, match=r"no known labels differ .*text match 0\.[0-2]"):
        demo.split_class(CLASS, into=into)


def test_other_words_make_nearly_the_rows_that_the_head_s_own_words_make(demo: Bundle) -> None:
    known, other = (
        demo.split_class("rolling", into=into).head
        for into in (["up", "down"], ["upwards", "downwards"])
    )
    for own, said in zip(known.weight[-2:], other.weight[-2:], strict=True):
        assert own @ said > 0.97 * np.linalg.norm(own) * np.linalg.norm(said)


def test_edit_changes_no_decision_outside_the_class_on_all_heldout_clips(
    demo: Bundle, heldout: dict[str, npt.NDArray[Any]]
) -> None:
    edit = demo.split_class(CLASS, into=INTO)
    before, after = ServingHead(edit.before), ServingHead(edit.head)
    old, new = before.evaluate(heldout["features"]), after.evaluate(heldout["features"])
    n_root = len(edit.before.tree)
    # In ONNX Runtime, to the bit: logits, probabilities, and the decision with its subcategories
    # counted as the class.
    assert new.logits[:, :n_root].tobytes() == old.logits.tobytes()
    assert new.probabilities[:, :n_root].tobytes() == old.probabilities.tobytes()
    at_root = [edit.head.tree.path(int(column))[0] for column in new.class_index]
    assert at_root == old.class_index.tolist()
    assert len(old.class_index) > 3000


def test_shipped_head_splits_pushing_far_better_than_chance(
    demo: Bundle, heldout: dict[str, npt.NDArray[Any]]
) -> None:
    edit = demo.split_class(CLASS, into=INTO)
    name = edit.report.label
    score = score_split(
        edit.before, edit.head, name, heldout["features"], heldout["labels"].tolist()
    )
    # Two subcategories: chance is 0.5. With some 90 clips its standard error is 0.05.
    assert score.in_group > 0.7
    assert (score.churn, score.locality) == (0, 1.0)


def test_shipped_clips_are_decided_for_their_class(demo: Bundle) -> None:
    from edgesplit.runtime import Runtime

    folder = demo.path.parent / "clips"
    truth = json.loads((folder / "truth.json").read_text())
    assert len(truth) == 12
    with Runtime(demo) as runtime:
        for name, label in truth.items():
            said = runtime.predict(read_clip(folder / name, demo.preprocessing)).label
            assert label.startswith(said)  # "pushing something left" is said as "pushing something"


def test_demo_shows_answers_change_where_they_should(tmp_path: Path, demo: Bundle) -> None:
    exported = demo.live
    said: list[object] = []
    result = run_demo(tmp_path, on_before=said.append, on_edit=said.append)
    assert len(said) == 2
    for answer in result.answers:
        if answer.before.label == "pushing something":
            assert answer.after.path[0].label == "pushing something"
            assert answer.after.label in ("pushing something left", "pushing something right")
        else:
            assert answer.after.label == answer.before.label
            assert answer.after.score == answer.before.score
    assert result.score.churn == 0
    assert result.n_predictions > 0
    json.dumps(result.to_json())
    assert demo.live == exported  # rolled back, for the user to try
    assert len(demo.history()) == 3


def test_demo_says_what_took_too_long(
    tmp_path: Path, demo: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert edgesplit.demo.SWAP_TIMEOUT_S >= 600  # a first edit took 156 s on an emulated ARM core
    monkeypatch.setattr("edgesplit.demo.SWAP_TIMEOUT_S", 0.0)
    # An edit that never ends: a real one may be live before twelve clips are predicted.
    never = tmp_path / "never"
    never.write_text("#!/bin/sh\nexec sleep 600\n")
    never.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(never))
    exported = demo.live
    with pytest.raises(EdgesplitError, match=r"took longer than .* loads the text encoder") as told:
        run_demo(tmp_path, on_before=lambda _: None, on_edit=lambda _: None)
    assert str(told.value).endswith("Its output: none.")
    assert demo.live == exported


def test_demo_never_replaces_the_users_own_files(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "my.mp4").write_bytes(b"mine")
    with pytest.raises(BundleError, match="not made by `edgesplit demo`"):
        unpack_demo(tmp_path, overwrite=True)
    assert (tmp_path / "clips" / "my.mp4").read_bytes() == b"mine"
    assert not (tmp_path / "motion.bundle").exists()


@pytest.mark.parametrize("name", ["clips", "motion.bundle"])
def test_demo_never_follows_a_link_or_replaces_a_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    for make in (
        lambda: (tmp_path / name).symlink_to(tmp_path / "elsewhere"),
        lambda: (tmp_path / name).write_text("mine"),
    ):
        make()
        with pytest.raises(BundleError, match="not made by `edgesplit demo`"):
            unpack_demo(tmp_path, overwrite=True)
        assert list((tmp_path / "elsewhere").iterdir()) == []
        (tmp_path / name).unlink()


def test_users_file_in_the_demos_bundle_stays(tmp_path: Path, demo: Bundle) -> None:
    (demo.path / "notes.txt").write_text("mine")
    with pytest.raises(BundleError, match="not made by `edgesplit demo`"):
        unpack_demo(tmp_path, overwrite=True)


def test_demo_overwrites_nothing_unless_told(tmp_path: Path, demo: Bundle) -> None:
    with pytest.raises(BundleError, match="exists already"):
        unpack_demo(tmp_path)
    unpack_demo(tmp_path, overwrite=True)
    assert demo.verify() == []
