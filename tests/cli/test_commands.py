"""The command line: what is typed, what is printed, what is written, how it ends."""

import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import click
import numpy as np
import pytest

from edgesplit.bundle.bundle import Bundle
from edgesplit.cli import main
from edgesplit.heads.head import Head
from tests.bundles import contents
from tests.commands import run, run_json
from tests.videos import encode, waves


@pytest.fixture
def here(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder holds one bundle."""
    monkeypatch.chdir(bundle.path.parent)
    return bundle.path.parent


def write_video(path: Path, n_frames: int = 4) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=12)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for index in range(n_frames):
            picture = np.full((32, 32, 3), 40 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


EDIT = ("edit", "--class", "pushing", "--into", "left,right")


def test_edit_makes_the_new_head_live_and_says_where_rows_came_from(
    here: Path, bundle: Bundle
) -> None:
    before = bundle.live
    result = run(*EDIT)
    assert result.exit_code == 0, result.output
    assert "pulling something left" in result.stdout
    assert bundle.live != before
    assert f"head {before[:12]} -> {bundle.live[:12]} is live" in result.stdout
    assert set(bundle.head().labels) >= {"pushing something left", "pushing something right"}


def test_edit_json_holds_the_whole_report(here: Path, bundle: Bundle) -> None:
    content = run_json(*EDIT)
    assert content["published"]
    assert content["head"] == bundle.live
    rows = content["report"]["rows"]
    assert [row["modifier"] for row in rows] == ["left", "right"]
    assert rows[0]["sources"][0]["label"] == "pulling something left"


def test_dry_run_prints_the_report_and_writes_nothing(here: Path, bundle: Bundle) -> None:
    before = contents(here)
    result = run(*EDIT, "--dry-run")
    assert result.exit_code == 0
    assert "dry run" in result.stdout
    assert contents(here) == before


def test_head_edited_elsewhere_is_published_from_its_file(here: Path, bundle: Bundle) -> None:
    old = bundle.live
    assert run(*EDIT, "--output", "head.onnx").exit_code == 0
    assert bundle.live == old
    head = Head.from_bytes((here / "head.onnx").read_bytes())
    assert run("publish", "head.onnx").exit_code == 0
    assert bundle.live == head.digest


def test_output_overwrites_nothing(here: Path) -> None:
    (here / "head.onnx").write_bytes(b"mine")
    result = run(*EDIT, "--output", "head.onnx")
    assert result.exit_code == 1
    assert "exists already" in result.stderr
    assert (here / "head.onnx").read_bytes() == b"mine"


def test_rollback_and_merge_bring_the_parents_very_bytes_back(here: Path, bundle: Bundle) -> None:
    parent, first = bundle.live, bundle.head().to_bytes()
    run(*EDIT)
    assert run("rollback").exit_code == 0
    assert (bundle.live, bundle.head().to_bytes()) == (parent, first)
    run(*EDIT)
    assert run("merge", "--class", "pushing something").exit_code == 0
    assert (bundle.live, bundle.head().to_bytes()) == (parent, first)


def test_log_lists_the_versions_the_newest_first(here: Path, bundle: Bundle) -> None:
    run(*EDIT)
    versions = run_json("log")
    assert [version["to"] for version in versions] == [bundle.live, bundle.head().parent]
    assert "split 'pushing something' into 'left', 'right'" in run("log").stdout


def test_log_says_which_head_was_live_at_a_moment(here: Path, bundle: Bundle) -> None:
    first = bundle.live
    run(*EDIT)
    went_live = bundle.history()[-1].time
    assert [version["to"] for version in run_json("log", "--at", went_live)] == [bundle.live]
    log = bundle.path / "log.jsonl"
    log.write_text(log.read_text().replace(went_live[:10], "2999-01-01").replace("2999", "2001", 1))
    shown = run("log", "--at", "2026-11-22 14:03")
    assert shown.exit_code == 0, shown.output
    assert first[:12] in shown.stdout
    assert bundle.live[:12] not in shown.stdout


def test_a_prune_makes_no_head_live(here: Path, bundle: Bundle) -> None:
    run(*EDIT)
    run("rename", "--class", "holding", "--to", "keeping something")
    went_live = bundle.history()[-1].time
    assert run("prune", "--keep", "1").exit_code == 0
    assert bundle.history()[-1].action.startswith("prune")
    result = run("log", "--at", "2999-01-01", "--json")
    (version,) = json.loads(result.stdout)
    assert (version["to"], version["time"]) == (bundle.live, went_live)
    assert result.stderr == "at 2999-01-01 00:00:00 UTC\n"


def test_log_says_that_nothing_was_live_yet(here: Path) -> None:
    result = run("log", "--at", "1970-01-01")
    assert result.exit_code == 1
    assert "No head was live at 1970-01-01 00:00:00 UTC" in result.stderr


def test_log_warns_of_a_clock_that_went_back(here: Path, bundle: Bundle) -> None:
    run(*EDIT)
    log = bundle.path / "log.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for line, year in zip(lines, ("2020", "1970"), strict=True):
        line["time"] = f"{year}-01-01T00:00:00.000Z"
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = run("log", "--at", "2024-01-01")
    assert "the clock was set back" in result.stderr
    assert len(result.stdout.splitlines()) == 3


def test_log_refuses_what_is_no_time(here: Path) -> None:
    result = run("log", "--at", "noon")
    assert result.exit_code == 2
    assert "'noon' is not a time. Write 14:03" in result.stderr


def test_rename_and_back(here: Path, bundle: Bundle) -> None:
    first = bundle.live
    result = run("rename", "--class", "holding", "--to", "keeping something")
    assert result.exit_code == 0, result.output
    assert "renamed 'holding something' to 'keeping something'" in result.stdout
    assert "keeping something" in bundle.head().labels
    difference = run_json("diff", first)
    assert difference["renamed"] == [{"before": "holding something", "after": "keeping something"}]
    assert "= holding something -> keeping something" in run("diff", first).stdout
    assert run("rename", "--class", "keeping", "--to", "holding something").exit_code == 0
    assert bundle.live == first


def test_drop_leaves_a_subcategory_out(here: Path, bundle: Bundle) -> None:
    run("edit", "--class", "pushing", "--into", "left,right,up", "--accept-doubt")
    result = run("drop", "--class", "pushing something up")
    assert result.exit_code == 0, result.output
    assert "dropped 'pushing something up'" in result.stdout
    assert bundle.head().labels[-2:] == ("pushing something left", "pushing something right")


def test_prune_removes_old_heads_and_says_which(here: Path, bundle: Bundle) -> None:
    exported = bundle.live
    run(*EDIT)
    first = bundle.live
    run("rename", "--class", "holding", "--to", "keeping something")
    before = contents(here)
    assert run_json("prune", "--keep", "1", "--dry-run") == {"pruned": [first], "removed": False}
    assert contents(here) == before
    result = run("prune", "--keep", "1")
    action = "split 'pushing something' into 'left', 'right' (gated)"
    assert (result.exit_code, result.stdout) == (0, f"{first[:12]}  {action}\n")
    assert run("rollback", exported).exit_code == 0  # the exported head is always kept
    assert "prune 1 head" in run("log").stdout
    assert run("verify").exit_code == 0
    assert run("prune", "--keep", "0").exit_code == 2


def test_show_prints_the_label_tree(here: Path) -> None:
    run(*EDIT)
    shown = run("show")
    assert "pushing something (gated)" in shown.stdout
    nodes = run_json("show")["nodes"]
    assert nodes[-1]["provenance"]["rule"] == "alignment"


def test_show_tells_what_the_labels_can_be_split_into(here: Path) -> None:
    shown = run("show", "--groups").stdout
    assert "can be split into" in shown
    axes = run_json("show", "--groups")["axes"]
    assert {"left", "right", "up", "down"} <= {word for axis in axes for word in axis["words"]}


def test_diff_names_what_an_edit_added(here: Path, bundle: Bundle) -> None:
    old = bundle.live
    run(*EDIT)
    difference = run_json("diff", old[:8])
    assert [n["label"] for n in difference["added"]] == [
        "pushing something left",
        "pushing something right",
    ]
    assert (difference["removed"], difference["changed"]) == ([], [])
    assert "+ pushing something left" in run("diff", old[:8]).stdout


def test_predict_prints_a_line_per_clip(here: Path, bundle: Bundle) -> None:
    clips = [write_video(here / name) for name in ("a.mp4", "b.mp4")]
    result = run("predict", *clips, "--json")
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [Path(line["clip"]).name for line in lines] == ["a.mp4", "b.mp4"]
    assert {line["head_digest"] for line in lines} == {bundle.live}


def test_predict_goes_on_after_a_file_that_is_no_video(here: Path) -> None:
    clips = [write_video(here / "a.mp4"), here / "none.mp4", write_video(here / "b.mp4")]
    result = run("predict", *clips, "--json")
    assert result.exit_code == 1
    assert "none.mp4 does not exist" in result.stderr
    assert len(result.stdout.splitlines()) == 2


def write_unscalable(path: Path) -> Path:
    """A video whose pictures are decoded, and whose colours FFmpeg cannot convert."""
    return encode(path, waves(4, 32, 32), colorspace="ycgco")


def test_predict_goes_on_after_a_picture_that_cannot_be_scaled(here: Path) -> None:
    clips = [write_unscalable(here / "a.mkv"), write_video(here / "b.mp4")]
    result = run("predict", *clips, "--json")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    error = json.loads(line)
    assert error["clip"] == str(here / "a.mkv")
    assert error["error"]["type"] == "ClipError"
    assert "a.mkv: A picture of 32x32" in error["error"]["message"]
    assert [json.loads(line)["clip"] for line in result.stdout.splitlines()] == [str(clips[1])]


def test_run_ends_with_an_error_at_a_picture_that_cannot_be_scaled(here: Path) -> None:
    path = write_unscalable(here / "a.mkv")
    result = run("run", "--source", path, "--window", "0.3")
    assert result.exit_code == 1
    assert "Error: A picture of 32x32" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_playlist_is_asked_for_by_its_option(here: Path) -> None:
    result = run("run", "--source", "a.mp4", "--window", "1", "--playlist")
    assert result.exit_code == 1
    assert "Only http:// and https:// sources can be playlists" in result.stderr


def test_verify_ends_with_one_when_a_head_is_damaged(here: Path, bundle: Bundle) -> None:
    assert run("verify").exit_code == 0
    path = bundle.path / "heads" / f"{bundle.live}.onnx"
    path.write_bytes(path.read_bytes()[:-1])
    result = run("verify")
    assert result.exit_code == 1
    assert "damaged" in result.stderr
    assert run("verify", "--json").exit_code == 1


# Folders of videos


@pytest.fixture
def clips(here: Path) -> Path:
    (here / "clips" / "more").mkdir(parents=True)
    for name in ("a.mp4", "more/b.mp4"):
        write_video(here / "clips" / name)
    (here / "clips" / "torn.mp4").write_bytes(b"torn")
    return here / "clips"


def test_features_are_written_beside_a_picture_that_cannot_be_scaled(clips: Path) -> None:
    write_unscalable(clips / "strange.mkv")
    content = run_json("features", clips, "-o", "features.npz")
    assert content["n_features"] == 2
    assert sorted(content["missing"]) == ["strange.mkv", "torn.mp4"]
    assert Path("features.npz").exists()


def test_features_are_written_with_their_names_and_space(clips: Path, bundle: Bundle) -> None:
    content = run_json("features", clips, "-o", "features.npz")
    assert content["n_features"] == 2
    assert content["feature_space"] == bundle.feature_space
    assert list(content["missing"]) == ["torn.mp4"]
    with np.load("features.npz", allow_pickle=False) as arrays:
        assert arrays["names"].tolist() == ["a.mp4", "more/b.mp4"]
        assert arrays["features"].shape == (2, bundle.dim)
        assert arrays["features"].dtype == np.float32
        assert str(arrays["feature_space"]) == bundle.feature_space
    again = run("features", clips, "-o", "features.npz")
    assert again.exit_code == 1
    assert "exists already" in again.stderr
    said = run("features", clips)
    assert said.exit_code == 0, said.output
    assert said.stdout.startswith("features of 2 videos\n  torn.mp4: ")


def test_features_of_no_readable_video_are_an_error(clips: Path) -> None:
    for name in ("a.mp4", "more/b.mp4"):
        (clips / name).write_bytes(b"torn")
    result = run("features", clips, "-o", "features.npz")
    assert result.exit_code == 1
    assert "None of 3 videos can be read." in result.stderr
    assert not Path("features.npz").exists()


def test_calibrate_gives_statistics_once(clips: Path, bundle: Bundle) -> None:
    (bundle.path / "stats.npz").unlink()
    refused = run("calibrate", clips)
    assert refused.exit_code == 1
    assert "2 clips are too few: " in refused.stderr
    assert not (bundle.path / "stats.npz").exists()
    content = run_json("calibrate", clips, "--accept-few")
    assert content["n_features"] == 2
    assert sum(content["clips"].values()) == 2
    assert list(content["missing"]) == ["torn.mp4"]
    assert run("verify").exit_code == 0
    assert run_json(*EDIT)["published"]
    again = run("calibrate", clips, "--accept-few")
    assert again.exit_code == 1
    assert "has statistics already" in again.stderr


def test_predict_says_that_a_video_is_short(here: Path, bundle: Bundle) -> None:
    video = write_video(here / "short.mp4", n_frames=1)
    result = run("predict", video)
    assert result.exit_code == 0
    assert "warning: short.mp4 is short: 1 of 2 frames are repeated" in result.stderr
    assert run_json("predict", video)["n_repeated"] == 1
    assert run_json("predict", write_video(here / "long.mp4"))["n_repeated"] == 0


WRONG = {
    "unknown class": (["edit", "--class", "pusing", "--into", "left,right"], "pushing something"),
    "ambiguous class": (["edit", "--class", "pulling", "--into", "a,b"], "matches 2 classes"),
    "duplicate subcategory": (["edit", "--class", "pushing", "--into", "left,Left"], "twice"),
    "empty subcategory": (["edit", "--class", "pushing", "--into", "left,"], "not a label"),
    "single subcategory": (["edit", "--class", "pushing", "--into", "left"], "at least two"),
    "existing label": (
        ["edit", "--class", "pushing", "--into", "pulling something left=left,x=right"],
        "already",
    ),
    "existing label as modifier": (
        ["edit", "--class", "pushing", "--into", "pulling something left,right"],
        "already exists",
    ),
    "duplicate label": (
        ["edit", "--class", "pushing", "--into", "a b=left,a b=right,c d=up"],
        "appears twice",
    ),
    "too many": (["edit", "--class", "pushing", "--into", "a,b,c"], "has at least 3 members"),
    "nothing alike": (["edit", "--class", "pushing", "--into", "red,blue"], "--accept-doubt"),
    "not split": (["merge", "--class", "pushing"], "not split"),
    "taken label": (
        ["rename", "--class", "holding", "--to", "Pushing something"],
        "already exists",
    ),
    "same label": (["rename", "--class", "holding", "--to", "holding something"], "already"),
    "root class": (["drop", "--class", "holding"], "Only subcategories can be dropped"),
    "no earlier head": (["rollback"], "first head"),
    "unknown digest": (["show", "ffffffff"], "No head of"),
    "not a bundle": (["show", "--bundle", "empty"], "not a bundle"),
    "no such bundle": (["show", "--bundle", "nowhere"], "does not exist"),
    "not a head": (["publish", "text.mp4"], "not an ONNX file"),
    "no video": (["predict", "text.mp4"], "not a video"),
    "empty video": (["predict", "empty.mp4"], "empty"),
    "missing video": (["predict", "missing.mp4"], "does not exist"),
}


@pytest.mark.parametrize(("arguments", "said"), WRONG.values(), ids=WRONG.keys())
def test_wrong_things_end_with_one_message_and_nothing_written(
    here: Path, arguments: list[str], said: str
) -> None:
    (here / "empty").mkdir()
    (here / "text.mp4").write_text("this is not a video\n" * 20)
    (here / "empty.mp4").touch()
    if "--bundle" not in arguments:
        arguments = [*arguments, "--bundle", "lab.bundle"]
    before = contents(here)
    result = run(*arguments)
    assert result.exit_code == 1, result.output
    assert said in result.stderr
    assert result.stderr.startswith("Error: ")
    assert contents(here) == before


def test_head_of_another_feature_space_is_refused(here: Path, bundle: Bundle, head: Head) -> None:
    other = Head(head.tree, head.weight, head.bias, "0" * 64, bundle.live)
    (here / "other.onnx").write_bytes(other.to_bytes())
    before = contents(bundle.path)
    result = run("publish", "other.onnx")
    assert result.exit_code == 1
    assert "feature space" in result.stderr
    assert contents(bundle.path) == before


DAMAGE = {
    "truncated": (lambda data: data[: len(data) // 2], "not an ONNX file"),
    "edited graph": (lambda data: data.replace(b"LogSoftmax", b"LogSoftmin"), "edited or damaged"),
    "edited class": (
        lambda data: data.replace(b"holding", b"folding"),
        "a separate edit",
    ),
}


@pytest.mark.parametrize(("damage", "said"), DAMAGE.values(), ids=DAMAGE.keys())
def test_damaged_head_file_is_refused(
    here: Path, bundle: Bundle, damage: Callable[[bytes], bytes], said: str
) -> None:
    run(*EDIT, "--output", "head.onnx")
    (here / "head.onnx").write_bytes(damage((here / "head.onnx").read_bytes()))
    before = contents(bundle.path)
    result = run("publish", "head.onnx")
    assert result.exit_code == 1
    assert said in result.stderr
    assert contents(bundle.path) == before


def test_labels_with_commas_are_quoted_as_csv(here: Path, bundle: Bundle) -> None:
    result = run("edit", "--class", "pushing", "--into", '"left, a bit",right', "--accept-doubt")
    assert result.exit_code == 0, result.output
    assert "pushing something left, a bit" in bundle.head().labels


def test_mixed_ways_of_naming_subcategories_are_a_usage_error(here: Path) -> None:
    result = run("edit", "--class", "pushing", "--into", "left,a=right")
    assert result.exit_code == 2
    assert "LABEL=MODIFIER" in result.stderr


def test_taxonomy_file_replaces_the_groups(here: Path, bundle: Bundle) -> None:
    moving = {"moving something up": "left", "moving something down": "right"}
    (here / "taxonomy.json").write_text(json.dumps({"moving": moving}))
    rows = run_json(*EDIT, "--taxonomy", "taxonomy.json", "--accept-doubt")["report"]["rows"]
    assert rows[0]["sources"][0]["label"] == "moving something up"


def test_taxonomy_that_is_none_is_refused(here: Path) -> None:
    (here / "taxonomy.json").write_text("[1, 2]")
    result = run(*EDIT, "--taxonomy", "taxonomy.json")
    assert result.exit_code == 1
    assert "not a taxonomy" in result.stderr


@pytest.fixture
def plan(here: Path) -> tuple[str, ...]:
    """A plan file, and the command for it; the last split is one of a subcategory."""
    text = "pushing: [left, right]\nholding: [up, down]\npushing something left: [up, down]\n"
    (here / "splits.yaml").write_text(text)
    return ("edit", "--plan", "splits.yaml")


def test_plan_goes_live_at_once_and_is_rolled_back_at_once(
    bundle: Bundle, plan: tuple[str, ...]
) -> None:
    first, data = bundle.live, bundle.head().to_bytes()
    result = run(*plan)
    assert result.exit_code == 0, result.output
    assert "split 3 classes" in result.stdout
    lines = result.stdout.splitlines()
    assert [line.split("  ")[0] for line in lines[2:5]] == [
        "pushing something",
        "holding something",
        "pushing something left",
    ]
    assert f"head {first[:12]} -> {bundle.live[:12]} is live" in result.stdout
    assert "pushing something left down" in bundle.head().labels
    (newest, _) = run_json("log")
    assert (newest["from"], newest["to"]) == (first, bundle.live)
    assert newest["action"].startswith("plan: split 'pushing something', 'holding something', ")
    assert run("rollback").exit_code == 0
    assert (bundle.live, bundle.head().to_bytes()) == (first, data)


def test_plan_is_tried_written_to_a_file_or_printed_like_one_split(
    here: Path, bundle: Bundle, plan: tuple[str, ...]
) -> None:
    first, before = bundle.live, contents(here)
    content = run_json(*plan, "--dry-run")
    assert not content["published"]
    assert [part["label"] for part in content["report"]["splits"]] == [
        "pushing something",
        "holding something",
        "pushing something left",
    ]
    assert "dry run" in run(*plan, "--dry-run").stdout
    assert contents(here) == before
    assert run(*plan, "-o", "head.onnx").exit_code == 0
    assert bundle.live == first
    assert run("publish", "head.onnx").exit_code == 0
    assert bundle.live == content["head"]


def test_refused_plan_changes_nothing_and_names_all_reasons(here: Path) -> None:
    (here / "splits.yaml").write_text(
        "pushing: [left, right]\nholding: [red, blue]\npulling something left: [red, blue]\n"
    )
    before = contents(here)
    result = run("edit", "--plan", "splits.yaml")
    assert result.exit_code == 1
    assert result.stderr.startswith(
        "Error: 2 of the plan's 3 splits were refused, so none was made:"
    )
    assert "\n  'holding': in doubt: " in result.stderr
    assert "\n  'pulling something left': in doubt: " in result.stderr
    assert contents(here) == before
    accepted = run("edit", "--plan", "splits.yaml", "--accept-doubt")
    assert accepted.exit_code == 0, accepted.output
    assert "doubt: holding something: no known labels differ as red" in accepted.stdout


def test_options_are_what_a_plan_leaves_open(here: Path) -> None:
    moving = {"moving something up": "left", "moving something down": "right"}
    (here / "taxonomy.json").write_text(json.dumps({"moving": moving}))
    (here / "splits.yaml").write_text(
        "pushing: [left, right]\nholding: {into: [left, right], composition: gated}\n"
    )
    options = ["--composition", "flat", "--rule", "retrieval", "--taxonomy", "taxonomy.json"]
    options.append("--accept-doubt")  # these clips are random
    result = run("edit", "--plan", "splits.yaml", *options, "--dry-run")
    assert result.stdout.count("flat: a class's logit grows by up to 0.69") == 1
    splits = run_json("edit", "--plan", "splits.yaml", *options)["report"]["splits"]
    assert [part["composition"] for part in splits] == ["flat", "gated"]
    assert [part["rule"] for part in splits] == ["retrieval", "retrieval"]
    assert splits[0]["rows"][0]["sources"][0]["label"] == "moving something up"


def test_clips_of_a_plan_are_read(here: Path, bundle: Bundle) -> None:
    for side, sign in (("left", 1), ("right", -1)):
        (here / "clips" / side).mkdir(parents=True)
        np.save(here / "clips" / side / "a.npy", np.full((2, bundle.dim), sign, np.float32))
    (here / "splits.yaml").write_text("pushing: {into: [left, right], shots: clips}\n")
    result = run("edit", "--plan", "splits.yaml")
    assert result.exit_code == 0, result.output
    assert "pushing something: 4 labelled clips (2, 2)" in result.stdout
    assert "split 1 class," in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("--plan", "splits.yaml", "--class", "pushing"),
        ("--plan", "splits.yaml", "--into", "left,right"),
        ("--plan", "splits.yaml", "--shots", "."),
        ("--plan", "none.yaml"),
        ("--plan", "."),
        ("--class", "pushing"),
        ("--into", "left,right"),
        (),
    ],
    ids=" ".join,
)
def test_a_plan_stands_in_for_class_and_into(
    here: Path, plan: tuple[str, ...], arguments: tuple[str, ...]
) -> None:
    before = contents(here)
    result = run("edit", *arguments)
    assert result.exit_code == 2
    assert "--plan" in result.stderr
    assert contents(here) == before


def test_what_is_no_plan_ends_with_one_message(here: Path) -> None:
    (here / "splits.yaml").write_text("pushing: [left\n")
    result = run("edit", "--plan", "splits.yaml")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: splits.yaml, line 2: ")


def test_merge_written_to_a_file_says_how_to_go_back(here: Path, bundle: Bundle) -> None:
    first = bundle.live
    run(*EDIT)
    result = run("merge", "--class", "pushing something", "-o", "merged.onnx")
    assert f"`edgesplit rollback {first[:12]}` makes it live" in result.stdout
    published = run("publish", "merged.onnx")
    assert published.exit_code == 1
    assert f"edgesplit rollback {first[:12]}" in published.stderr


def test_an_old_head_file_never_undoes_a_newer_edit(here: Path, bundle: Bundle) -> None:
    run(*EDIT, "-o", "head.onnx")
    assert run("publish", "head.onnx").exit_code == 0
    assert run("edit", "--class", "holding", "--into", "left,right").exit_code == 0
    newest = bundle.live
    result = run("publish", "head.onnx")
    assert result.exit_code == 1
    assert "was live in this bundle before" in result.stderr
    assert bundle.live == newest


def test_log_says_what_a_published_head_brought(here: Path) -> None:
    run(*EDIT, "-o", "head.onnx")
    run("publish", "head.onnx")
    assert "publish head.onnx: + 'pushing something left', + 'pushing" in run("log").stdout


def test_head_of_another_size_is_refused(here: Path, bundle: Bundle, head: Head) -> None:
    small = Head(head.tree, head.weight[:, :3], head.bias, head.feature_space, bundle.live)
    (here / "small.onnx").write_bytes(small.to_bytes())
    result = run("publish", "small.onnx")
    assert result.exit_code == 1
    assert "features of 3 values" in result.stderr


def test_dry_run_with_an_output_is_a_usage_error(here: Path) -> None:
    assert run(*EDIT, "--dry-run", "-o", "head.onnx").exit_code == 2
    assert run(*EDIT, "-o", "head.onnx", "--dry-run").exit_code == 2
    assert not (here / "head.onnx").exists()


def test_closed_pipe_is_no_error_message(bundle: Bundle) -> None:
    command = f"{sys.executable} -m edgesplit show --json --bundle '{bundle.path}' | true"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert "Error" not in done.stderr


def test_damaged_head_pointer_is_repaired_by_naming_a_head(here: Path, bundle: Bundle) -> None:
    run(*EDIT)
    live, first = bundle.live, bundle.head().parent
    (bundle.path / "HEAD").write_text("garbage")
    listed = run("log")
    assert listed.exit_code == 0
    assert live[:12] in listed.stdout
    assert "live " not in listed.stdout
    assert "does not hold a digest" in run("rollback").stderr
    entries = len(run_json("log"))
    assert run("rollback", "").exit_code == 1
    assert run("rollback", live[:8]).exit_code == 0
    assert bundle.live == live
    assert len(run_json("log")) == entries + 1  # the repair forgets nothing
    assert run("rollback", first[:8]).exit_code == 0
    assert run("verify").exit_code == 0


def test_subcategories_over_two_lines_are_a_usage_error_or_read(here: Path) -> None:
    result = run("edit", "--class", "pushing", "--into", 'left\r"x', "--dry-run")
    assert result.exit_code in (1, 2)
    assert result.exception is None or isinstance(result.exception, SystemExit)


@pytest.mark.parametrize("name", ["[cam1].bundle", "10:30.bundle"])
def test_odd_folder_names_are_shown_as_they_are(here: Path, bundle: Bundle, name: str) -> None:
    bundle.path.rename(here / name)
    shown = run("show", "--bundle", here / name)
    assert name in shown.stdout


def commands() -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for name, command in main.commands.items():
        if isinstance(command, click.Group):
            found |= {f"{name} {inner}": part for inner, part in command.commands.items()}
        else:
            found[name] = command
    return found


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_has_a_summary_an_example_and_json(name: str) -> None:
    command = commands()[name]
    assert command.help
    # The mark keeps click from filling the example's lines into one.
    assert "\b\nExample:" in inspect.cleandoc(command.help)
    assert f"edgesplit {name}" in command.help
    assert any("--json" in parameter.opts for parameter in command.params)


@pytest.mark.parametrize("name", ["", "engine", "variant"])
def test_no_summary_is_cut(name: str) -> None:
    shown = run(*name.split(), "--help")
    assert shown.exit_code == 0
    _usage, *lines = shown.stdout.splitlines()
    assert [line for line in lines if line.endswith("...")] == []
    group = main.commands[name] if name else main
    assert isinstance(group, click.Group)
    for command in group.commands.values():
        summary = inspect.cleandoc(command.help or "").splitlines()[0]
        assert len(summary) <= 45
        assert f"  {summary}" in shown.stdout


def test_every_option_has_a_help() -> None:
    silent = [
        f"{name} {option.opts[-1]}"
        for name, command in commands().items()
        for option in command.params
        if isinstance(option, click.Option) and not option.help
    ]
    assert silent == []


def test_help_lists_every_command_in_one_section() -> None:
    lines = run("--help").stdout.splitlines()
    listed = [line.split()[0] for line in lines[lines.index("Edit:") :] if line.startswith("  ")]
    assert sorted(listed) == sorted(main.commands)


def test_edit_runs_without_torch(bundle: Bundle) -> None:
    code = (
        "import sys; sys.modules.update(torch=None, transformers=None)\n"
        "from edgesplit.cli import main\n"
        f"main(['edit', '--class', 'pushing', '--into', 'left,right', '--bundle', '{bundle.path}'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_head_that_is_live_already_is_published_again_without_harm(
    here: Path, bundle: Bundle, tmp_path: Path
) -> None:
    file = tmp_path / "head.onnx"
    assert run(*EDIT, "-o", file).exit_code == 0
    assert run("publish", file).exit_code == 0
    before = contents(here)
    again = run("publish", file)
    assert (again.exit_code, again.stdout) == (0, f"head {bundle.live[:12]} is live already\n")
    assert run_json("publish", file)["to"] == bundle.live
    assert contents(here) == before
