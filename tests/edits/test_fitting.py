"""Labelled clips through `split_class`, and folders of them; votes are in test_answers.py."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edgesplit.bundle.bundle import Bundle
from edgesplit.bundle.videos import read_shots
from edgesplit.cli import main
from edgesplit.edits.answers import LEAST_PULL, MORE_PULL
from edgesplit.edits.groups import known_groups
from edgesplit.edits.split import split_class
from edgesplit.edits.text_encoder import TextEncoder
from edgesplit.errors import ClipError, DoubtfulSplitError, EditError, FeatureSpaceError
from edgesplit.heads.head import Head

INTO = ["left", "right"]


def shots(head: Head, n: int, *, dim: int | None = None) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    middle = rng.standard_normal(dim or head.dim)
    return {
        name: 0.1 * rng.standard_normal((n, dim or head.dim)) + side * middle
        for name, side in (("left", 2), ("right", -2))
    }


def test_clips_decide_and_the_head_tells_how_many(head: Head, encoder: TextEncoder) -> None:
    clips = shots(head, 5)
    edit = split_class(head, "pushing", into=INTO, shots=clips, encoder=encoder)
    column = edit.head.tree.find("pushing something")
    children = edit.head.tree.children(column)
    for child, features in zip(children, clips.values(), strict=True):
        scores = edit.head.evaluate(features.astype(np.float32)).logits
        part = scores[:, children.start : children.stop]
        assert (part.argmax(axis=1) == child - children.start).all()
        assert edit.head.tree[child].provenance.n_clips == 5
    assert edit.report.shots is not None
    assert edit.report.shots.clips == (5, 5)
    assert LEAST_PULL <= edit.report.shots.pull <= LEAST_PULL + MORE_PULL
    assert Head.from_bytes(edit.head.to_bytes()).tree == edit.head.tree


@pytest.mark.parametrize(("n", "known"), [(4, False), (5, True)])
def test_rows_with_five_clips_are_knowledge(
    n: int, known: bool, head: Head, encoder: TextEncoder
) -> None:
    edit = split_class(head, "pushing", into=INTO, shots=shots(head, n), encoder=encoder)
    tree = edit.head.tree
    groups = known_groups(tree, target=tree.find("holding something"))
    labels = {member.label for group in groups for member in group.members}
    assert ("pushing something left" in labels) == known


def test_clips_of_every_subcategory_stand_in_for_doubtful_texts(
    head: Head, encoder: TextEncoder
) -> None:
    into = ["blue", "heavy"]
    with pytest.raises(DoubtfulSplitError, match=r"a labelled clip of each \(--shots\)"):
        split_class(head, "pushing", into=into, encoder=encoder)
    clips = dict(zip(into, shots(head, 1).values(), strict=True))
    edit = split_class(head, "pushing", into=into, shots=clips, encoder=encoder)
    assert edit.report.doubts
    assert edit.report.shots is not None
    assert edit.report.shots.pull == 0
    assert edit.report.shots.n_right == 0
    with pytest.raises(DoubtfulSplitError, match=r"a labelled clip of 'heavy', too \(--shots\)"):
        split_class(head, "pushing", into=into, shots={"blue": clips["blue"]}, encoder=encoder)


def test_without_statistics_the_clips_say_where_the_middle_is(
    head: Head, encoder: TextEncoder
) -> None:
    clips = {name: part + 9 for name, part in shots(head, 5).items()}
    edit = split_class(head, "pushing", into=INTO, shots=clips, encoder=encoder)
    children = edit.head.tree.children(edit.head.tree.find("pushing something"))
    middle = np.mean([part.mean(axis=0) for part in clips.values()], axis=0)
    rows, bias = edit.head.weight[children.start :], edit.head.bias[children.start :]
    np.testing.assert_allclose(rows @ middle + bias, 0, atol=1e-2)
    for side, part in enumerate(clips.values()):
        assert ((part @ rows.T + bias).argmax(axis=1) == side).all()
    shot = edit.report.shots
    assert shot is not None
    assert (shot.separation, shot.moved_share, shot.neither_share) == (None, 0, 0)
    assert edit.report.expected is None


def test_texts_that_get_the_clips_right_are_hardly_moved_by_them(
    head: Head, encoder: TextEncoder
) -> None:
    zero_shot = split_class(head, "pushing", into=INTO, encoder=encoder).head.weight[-2:]
    across = zero_shot[0] - zero_shot[1]
    sides = {"left": 1, "right": -1}
    right = {name: np.tile(sign * across, (5, 1)) for name, sign in sides.items()}
    wrong = {name: -part for name, part in right.items()}
    told = split_class(head, "pushing", into=INTO, shots=right, encoder=encoder).report.shots
    against = split_class(head, "pushing", into=INTO, shots=wrong, encoder=encoder).report.shots
    assert told is not None
    assert against is not None
    assert (told.n_right, told.confirmed) == (10, True)
    assert (against.n_right, against.confirmed) == (0, False)
    assert told.pull > 2 * against.pull


def test_clips_of_some_leave_the_others_to_the_text(head: Head, encoder: TextEncoder) -> None:
    clips = {"left": shots(head, 2)["left"]}
    report = split_class(head, "pushing", into=INTO, shots=clips, encoder=encoder).report
    assert "no labelled clip shows 'right': its row is from text only" in report.warnings
    assert report.shots is not None
    assert report.shots.clips == (2, 0)


def test_wrong_clips_are_refused(head: Head, encoder: TextEncoder) -> None:
    def split(given: dict[str, np.ndarray]) -> None:
        split_class(head, "pushing", into=INTO, shots=given, encoder=encoder)

    clips = shots(head, 1)
    with pytest.raises(
        EditError, match=r"'down', which is not a subcategory.* are 'left', 'right'"
    ):
        split({"down": clips["left"]})
    with pytest.raises(FeatureSpaceError, match="3 values"):
        split(shots(head, 1, dim=3))
    with pytest.raises(EditError, match="no labelled clip"):
        split({"left": clips["left"][:0]})
    with pytest.raises(ValueError, match="finite"):
        split({"left": clips["left"] * np.nan})


# Folders


def test_saved_features_are_read_and_the_command_uses_them(tmp_path: Path, bundle: Bundle) -> None:
    for name, features in shots(bundle.head(), 3).items():
        (tmp_path / "clips" / name).mkdir(parents=True)
        np.save(tmp_path / "clips" / name / "a.npy", features[0])
        np.save(tmp_path / "clips" / name / "b.npy", features[1:])
    read = read_shots(tmp_path / "clips", bundle)
    assert {name: part.shape for name, part in read.items()} == {
        "left": (3, bundle.dim),
        "right": (3, bundle.dim),
    }
    command = [
        "edit",
        "--class",
        "pushing",
        "--into",
        "left,right",
        "--shots",
        str(tmp_path / "clips"),
    ]
    result = CliRunner().invoke(main, [*command, "--bundle", str(bundle.path)])
    assert result.exit_code == 0, result.output
    assert "6 labelled clips (3, 3)" in result.output


def test_what_features_saved_is_read(tmp_path: Path, bundle: Bundle) -> None:
    rows = np.random.default_rng(0).standard_normal((3, bundle.dim)).astype(np.float32)

    def save(space: str) -> None:
        names = np.array(["a", "b", "c"])
        np.savez(folder / "left" / "f.npz", names=names, features=rows, feature_space=space)

    folder = tmp_path / "clips"
    (folder / "left").mkdir(parents=True)
    save(bundle.feature_space)
    np.testing.assert_array_equal(read_shots(folder, bundle)["left"], rows)
    save("f" * 64)
    with pytest.raises(ClipError, match=r"features of another backbone .*`edgesplit features`"):
        read_shots(folder, bundle)
    (folder / "left" / "f.npz").write_bytes(b"PK no archive")
    with pytest.raises(ClipError, match="not a file of saved features"):
        read_shots(folder, bundle)
    save(bundle.feature_space)
    (folder / "right").mkdir()
    (folder / "right" / "notes.txt").touch()
    with pytest.raises(ClipError, match=r"right has no video or saved features .* notes\.txt"):
        read_shots(folder, bundle)


def test_folders_without_clips_are_refused(tmp_path: Path, bundle: Bundle) -> None:
    folder = tmp_path / "clips"
    (folder / "left").mkdir(parents=True)
    with pytest.raises(ClipError, match="no sub-folder with a video"):
        read_shots(folder, bundle)
    (folder / "left" / "a.npy").write_bytes(b"no array")
    with pytest.raises(ClipError, match="not a file of saved features"):
        read_shots(folder, bundle)
    np.save(folder / "left" / "a.npy", np.zeros((2, bundle.dim + 1)))
    with pytest.raises(ClipError, match="from this bundle's backbone"):
        read_shots(folder, bundle)
