"""Low-shot rows: hand-worked votes, the pull, leaving one out; and through `split_class`."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edgesplit.bundle.bundle import Bundle
from edgesplit.bundle.videos import read_shots
from edgesplit.cli import main
from edgesplit.edits.estimate import PULL
from edgesplit.edits.fitting import low_shot
from edgesplit.edits.groups import known_groups
from edgesplit.edits.split import split_class
from edgesplit.edits.text_encoder import TextEncoder
from edgesplit.errors import ClipError, DoubtfulSplitError, EditError, FeatureSpaceError
from edgesplit.heads.head import Head

EYE = np.eye(2)
ZERO = np.zeros(2)
START = np.array([[1.0, 0.0], [-1.0, 0.0]])
INTO = ["left", "right"]


def test_a_row_is_the_mean_of_its_clips_votes_and_of_the_zero_shot_row() -> None:
    covariance = np.diag([2.0, 2.0])  # shrinking leaves it: it is equal in all directions
    fit = low_shot(
        START, [np.array([[4.0, 2.0]]), ZERO[None][:0]], mean=ZERO, covariance=covariance
    )
    expected = np.array([[(2 + PULL) / (1 + PULL), 1 / (1 + PULL)], [-1.0, 0.0]])
    np.testing.assert_allclose(fit.rows, expected)
    assert (fit.pull, fit.n_clips) == (PULL, 1)


def test_features_are_whitened_by_the_covariance() -> None:
    clips = [np.array([[1.0, 1.0]]), np.array([[-1.0, -1.0]])]
    fit = low_shot(
        0 * START, clips, mean=ZERO, covariance=np.diag([1.0, 9.0]), start_from="clips alone"
    )
    # 0.7 S + 0.3 * 5 I has 2.2 and 7.8 on its diagonal.
    np.testing.assert_allclose(fit.rows, [[1 / 2.2, 1 / 7.8], [-1 / 2.2, -1 / 7.8]])


def test_leaving_one_out_sees_a_start_that_points_the_wrong_way() -> None:
    rng = np.random.default_rng(0)
    clips = [0.1 * rng.standard_normal((4, 2)) + side for side in ([-1, 0], [1, 0])]
    wrong = low_shot(100 * START, clips, mean=ZERO, covariance=EYE)
    assert (wrong.pull, wrong.n_right) == (0.0, 8)
    right = low_shot(-START, clips, mean=ZERO, covariance=EYE)
    assert (right.pull, right.n_right) == (PULL, 8)


def test_left_out_means_left_out() -> None:
    """With two clips each, and no pull, every clip is judged by the other one alone."""
    clips = [np.array([[1.0, 0.0], [-3.0, 0.0]]), np.array([[-1.0, 0.0], [-1.5, 0.0]])]
    fit = low_shot(0 * START, clips, mean=ZERO, covariance=EYE, start_from="clips alone")
    scores = []
    for owner, (first, second) in enumerate(clips):
        for clip, rest in ((first, second), (second, first)):
            rows = [part.mean(axis=0) for part in clips]
            rows[owner] = rest
            scores.append(np.argmax(np.array(rows) @ clip) == owner)
    assert fit.n_right == sum(scores)


def test_without_statistics_the_clips_say_where_the_middle_is() -> None:
    clips = [np.array([[9.0, 1.0], [9.0, 3.0]]), np.array([[5.0, 2.0]])]
    fit = low_shot(0 * START, clips, mean=None, covariance=None, start_from="clips alone")
    np.testing.assert_allclose(fit.mean, [7, 2])
    assert fit.rows[0] @ (np.array([8, 2]) - fit.mean) > 0 > fit.rows[1] @ (clips[0][0] - fit.mean)


# Through split_class


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
    assert edit.report.shots.n_right == 10
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
    with pytest.raises(DoubtfulSplitError, match="a clip of each with --shots"):
        split_class(head, "pushing", into=into, encoder=encoder)
    clips = dict(zip(into, shots(head, 1).values(), strict=True))
    edit = split_class(head, "pushing", into=into, shots=clips, encoder=encoder)
    assert edit.report.doubts
    assert edit.report.shots is not None
    assert edit.report.shots.pull == 0
    with pytest.raises(DoubtfulSplitError):
        split_class(head, "pushing", into=into, shots={"blue": clips["blue"]}, encoder=encoder)


def test_wrong_clips_are_refused(head: Head, encoder: TextEncoder) -> None:
    def split(given: dict[str, np.ndarray]) -> None:
        split_class(head, "pushing", into=INTO, shots=given, encoder=encoder)

    clips = shots(head, 1)
    with pytest.raises(EditError, match="'down', which is none of 'left', 'right'"):
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
    assert "6 labelled clips (3, 3); text prior worth" in result.output
    assert "leave-one-out: 6 of 6 correct" in result.output


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
    with pytest.raises(ClipError, match=r"features of another backbone .* edgesplit features"):
        read_shots(folder, bundle)
    (folder / "left" / "f.npz").write_bytes(b"PK no archive")
    with pytest.raises(ClipError, match="no file of saved features"):
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
    with pytest.raises(ClipError, match="no file of saved features"):
        read_shots(folder, bundle)
    np.save(folder / "left" / "a.npy", np.zeros((2, bundle.dim + 1)))
    with pytest.raises(ClipError, match="from this bundle's backbone"):
        read_shots(folder, bundle)
