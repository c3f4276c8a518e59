"""`edgesplit ask`: what is asked, shown, saved and split, by a person and by a program."""

import base64
import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from click.testing import Result

from edgesplit._data import save_arrays
from edgesplit.bundle.bundle import Bundle
from edgesplit.bundle.questions import Questions
from edgesplit.bundle.videos import extract_folder
from edgesplit.cli.render.sheet import Card, sheet_html
from edgesplit.cli.replies import Key, read_reply
from edgesplit.demo import ASSETS, unpack_demo
from edgesplit.edits.request import SplitRequest
from edgesplit.errors import EditError
from edgesplit.video.previews import read_preview
from tests.bundles import contents
from tests.commands import run, run_json
from tests.videos import decode_jpeg

ASK = ("ask", "--class", "pushing", "--into", "left,right", "--from")
SAVED = "ask-pushing-something.csv"
SHEET = "ask-pushing-something.html"


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """The demo in the current folder: its bundle, twelve clips, and features of more."""
    monkeypatch.chdir(tmp_path)
    bundle = unpack_demo(tmp_path)
    with np.load(ASSETS / "heldout.npz", allow_pickle=False) as arrays:
        features, labels = arrays["features"], arrays["labels"].tolist()
    mine = [place for place, label in enumerate(labels) if label.startswith("pushing")]
    names = [f"yard/{place} {labels[place]}.mp4" for place in mine]
    Path("features.npz").write_bytes(
        save_arrays(
            names=np.array(names), features=features[mine], feature_space=bundle.feature_space
        )
    )
    return bundle


class Typed(NamedTuple):
    """What became of a command that somebody typed into."""

    exit_code: int
    stdout: str
    output: str
    """Both streams."""


def typed(lines: str, *arguments: str | Path) -> Typed:
    """A command in a process of its own, which reads these lines and then the end of its input.

    Not in click's runner: that of click 8.1 has no end of input.
    """
    command = [sys.executable, "-m", "edgesplit", *map(str, arguments)]
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        command,
        input=lines,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | {"PYTHONPATH": root, "COLUMNS": "120", "PYTHONIOENCODING": "utf-8"},
    )
    return Typed(done.returncode, done.stdout, done.stdout + done.stderr)


def saved(path: str = SAVED) -> dict[str, str]:
    with Path(path).open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["clip", "answer"]
    return {clip: answer for clip, answer in rows}  # noqa: C416  # rows are lists


def side(name: str) -> str:
    """What a clip shows, by its name."""
    (found,) = re.findall("left|right", name)
    return str(found)


# Somebody answers


def test_two_answers_split_the_class(demo: Bundle) -> None:
    before = demo.live
    done = typed("1\n2\n\n", *ASK, "clips")
    assert done.exit_code == 0, done.output
    assert demo.live != before
    assert saved() == {f"pushing-something-{one}-2.mp4": one for one in ("left", "right")}
    shown = done.output
    assert "1 left, 2 right, n neither, ? cannot tell, b back, q stop" in shown
    assert re.search(r"1 +clips/pushing-something-left-2\.mp4 +2\.0 s", shown)
    assert re.search(r"left +pushing-something-left-2\.mp4 +left", shown)
    assert "these answers confirm the split" in shown
    assert "expected accuracy: 95 % without answers, 95 % with them (chance 50 %)" in shown
    assert "another round is expected to gain little" in shown
    assert "text alone: 2 of 2 correct" in shown
    assert shown.count("expected accuracy") == 2  # before and after, none of it twice
    assert "2 labelled clips" not in shown
    assert f"head {before[:12]} -> {demo.live[:12]} is live" in shown


def test_answers_of_the_demo_turn_a_wrong_split_around(demo: Bundle) -> None:
    into, truth = "left,right,up,down", json.loads(Path("camera/truth.json").read_text())
    arguments = ("--class", "turning the camera", "--into", into)
    refused = run("edit", *arguments)
    assert refused.exit_code == 1
    assert "its expected accuracy is" in refused.stderr
    with Path("camera/answers.csv").open(newline="") as file:
        answered = {clip: answer for clip, answer in csv.reader(file)}  # noqa: C416
    others = [name for name in truth if name not in answered]
    assert len(others) == 32

    def right() -> int:
        clips = extract_folder(Path("camera"), demo)
        said = demo.head().classify(clips.pick(others))
        return sum(label.endswith(truth[name]) for label, name in zip(said, others, strict=True))

    assert run("edit", *arguments, "--accept-doubt").exit_code == 0
    assert right() <= 10
    assert run("rollback").exit_code == 0
    asked = run("ask", *arguments, "--from", "camera", "--answers", "camera/answers.csv")
    assert asked.exit_code == 0
    # Guessing gets 8 of them.
    assert right() >= 20


def test_a_correction_is_told(demo: Bundle) -> None:
    done = typed("right\nle\nn\n", *ASK, "clips", "--dry-run")
    assert done.exit_code == 0, done.output
    assert len(re.findall("(?:left|right), corrected", done.output)) == 2
    assert "text alone: 0 of 2 correct" in done.output


def test_back_asks_again_and_offers_what_was_said(demo: Bundle) -> None:
    done = typed("b\n2\nb\n1\n2\ny\n", *ASK, "clips")
    assert done.exit_code == 0, done.output
    assert "This is the first clip" in done.output
    assert "[right]:" in done.output
    assert [*saved().values()] == ["left", "right"]


def test_neither_takes_clips_out_and_goes_on(demo: Bundle) -> None:
    done = typed("1\nn\nn\n", *ASK, "features.npz", "--dry-run")
    assert done.exit_code == 0, done.output
    # The account has each warning; the report after it does not repeat them.
    for warning in (r"\d+ ?% of the class's clips", "'right'"):
        assert len(re.findall(f"warning: .*{warning}", done.output)) == 1
    assert "another round is worthwhile" in done.output
    assert "not published (dry run)" in done.output


def test_nothing_goes_live_without_a_yes(demo: Bundle) -> None:
    before = contents(demo.path)
    for lines, code in (("1\n2\nn\n", 0), ("", 130)):
        done = typed(lines, *ASK, "clips", *(() if lines else ("--resume", SAVED)))
        assert done.exit_code == code
        assert f"with --answers {SAVED} to split by them" in done.output
        assert contents(demo.path) == before


def test_one_answer_does_not_raise_the_expectation(demo: Bundle) -> None:
    Path("one.csv").write_text("clip,answer\ncamera-11.mp4,right\n")
    into = "left,right,up,down"
    arguments = ("ask", "--class", "turning the camera", "--into", into, "--from", "camera")
    told = run_json(*arguments, "--answers", "one.csv", "--accept-doubt", "--dry-run")
    # The clip is no unlabelled one any more, which moves the estimate by a hair.
    assert told["report"]["expected"] <= told["expected_before"] + 0.05
    assert any("no labelled clip shows" in warning for warning in told["report"]["warnings"])
    assert run(*arguments, "--answers", "one.csv", "--dry-run").exit_code == 1


def test_an_answers_file_that_somebody_else_wrote_is_kept(demo: Bundle) -> None:
    clips = extract_folder(Path("clips"), demo)
    request = SplitRequest(["left", "right"])
    first, second = (Questions(demo, "pushing", request, clips, Path("both.csv")) for _ in range(2))
    chosen = first.choose()
    first.add(chosen)
    with pytest.raises(EditError, match=r"both\.csv was changed by another program"):
        second.add(chosen)
    second.load()
    second.answer(chosen[0], "left")


def test_what_nobody_can_tell_is_not_asked_again(demo: Bundle) -> None:
    done = typed("?\n?\n1\n2\ny\n", *ASK, "clips")
    assert done.exit_code == 0, done.output
    answers = saved()
    assert len(answers) == 4
    assert [*answers.values()] == ["cannot tell", "cannot tell", "left", "right"]


def test_nothing_left_to_ask_is_said(demo: Bundle) -> None:
    done = typed("1\nn\n\n1\nn\n", *ASK, "clips", "--dry-run")
    assert "No clip of the class is left to ask about." in done.output
    assert done.exit_code == 0, done.output
    done = typed("?\n?\n?\n?\n", *ASK, "clips", "--resume", new("other.csv"))
    assert done.exit_code == 1


def test_a_class_without_clips_leaves_no_file(demo: Bundle) -> None:
    done = typed("", "ask", "--class", "stirring", "--into", "fast,slowly", "--from", "clips")
    assert done.exit_code == 1
    assert "gives none of the 12 clips to 'stirring something'" in done.output
    assert [*Path().glob("ask-*")] == []


def new(path: str) -> Path:
    Path(path).write_text("clip,answer\n")
    return Path(path)


@pytest.mark.parametrize(("lines", "code"), [("1\nq\n", 0), ("1\n", 130)], ids=["q", "end"])
def test_a_stop_loses_nothing(demo: Bundle, lines: str, code: int) -> None:
    before = contents(demo.path)
    stopped = typed(lines, *ASK, "clips")
    assert stopped.exit_code == code
    assert f"{SAVED} has 1 answer: run the same command with --resume {SAVED} to continue" in (
        stopped.output
    )
    assert contents(demo.path) == before
    first, second = saved()
    assert saved() == {first: "left", second: ""}
    again = typed("", *ASK, "clips")
    assert again.exit_code == 1
    assert f"Continue with --resume {SAVED}" in again.output
    done = typed("2\ny\n", *ASK, "clips", "--resume", SAVED)
    assert done.exit_code == 0, done.output
    assert "clip 2" in done.output  # as in the round before
    assert saved() == {first: "left", second: "right"}
    assert len(demo.history()) == 2


def test_a_class_that_is_split_already_is_refused_before_anybody_is_asked(demo: Bundle) -> None:
    assert typed("1\n2\ny\n", *ASK, "clips").exit_code == 0
    Path(SAVED).unlink()
    done = typed("1\n2\n", *ASK, "clips")
    assert done.exit_code == 1
    assert "clip 1" not in done.output


def test_no_more_is_asked_than_pays(demo: Bundle) -> None:
    done = typed("n\n1\n" + 4 * "\nn\nn\n", *ASK, "features.npz", "--dry-run")
    assert done.exit_code == 0, done.output
    assert len(saved()) == 6


def test_what_is_typed() -> None:
    into = ["left", "lower left", "back"]
    told = {"1": "left", "LEFT": "left", "lo": "lower left", "ba": "back", " 3 ": "back"}
    told |= {"n": "neither", "Neither": "neither", "?": "cannot tell"}
    assert {text: read_reply(text, into) for text in told} == told
    assert read_reply("b", into) == "back"
    assert [read_reply(text, ["left", "right"]) for text in ("b", "q")] == [Key.BACK, Key.STOP]
    assert read_reply("n", ["north", "south"]) == "north"
    assert read_reply("neither", ["north", "south"]) == "neither"
    assert read_reply("q", ["quickly", "quietly"]) is None
    assert read_reply("1", ["2 fingers", "1 finger"]) == "1 finger"
    assert [read_reply(text, into) for text in ("l", "4", "x", "")] == [None] * 4
    assert read_reply("1", ["2", "1"]) == "1"  # a number is itself
    assert read_reply("3", ["2", "1"]) is None


# A program answers


def test_a_program_lists_answers_and_splits(demo: Bundle) -> None:
    before = contents(demo.path)
    listed = run_json(*ASK, "features.npz", "--list")
    assert contents(demo.path) == before
    names = [one["clip"] for one in listed["next"]]
    assert saved() == dict.fromkeys(names, "")
    again = run_json(*ASK, "features.npz", "--list", "--answers", SAVED)
    assert again == listed
    Path(SAVED).write_text("".join(["clip,answer\n", *(f"{n},{side(n)}\n" for n in names)]))
    content = run_json(*ASK, "features.npz", "--answers", SAVED)
    assert content["published"]
    assert content["head"] == demo.live
    assert content["report"]["shots"]["clips"] == [1, 1]
    assert [(one["clip"], one["answer"]) for one in content["answers"]] == [
        (name, side(name)) for name in names
    ]
    assert {one["by_text"] for one in content["answers"]} == {"left", "right"}
    assert (content["pays"], content["next"]) == (False, [])
    assert content["expected_before"] == 0.95


def test_json_names_what_to_ask_next(demo: Bundle) -> None:
    run(*ASK, "features.npz", "--list")
    first, second = saved()
    Path(SAVED).write_text(f"clip,answer\n{first},{side(first)}\n{second},cannot tell\n")
    content = run_json(*ASK, "features.npz", "--answers", SAVED, "--dry-run")
    assert content["pays"]
    assert len(content["next"]) == 2
    assert not {first, second} & {*content["next"]}
    assert not content["published"]
    assert content["answers"][1] == {"clip": second, "answer": "cannot tell", "by_text": None}
    told = run(*ASK, "features.npz", "--answers", SAVED, "--dry-run")
    assert "another round is worthwhile" in told.stdout


def test_list_prints_paths_and_nothing_else(demo: Bundle) -> None:
    listed = run(*ASK, "clips", "--list", "--sheet", "page.html")
    assert listed.stdout.splitlines() == [
        "clips/pushing-something-left-2.mp4",
        "clips/pushing-something-right-2.mp4",
    ]
    assert "--answers" in listed.stderr
    assert Path("page.html").exists()


def test_an_interview_with_json_prints_one_object(demo: Bundle) -> None:
    for lines, published in (("1\nq\n", False), ("2\ny\n", True)):
        resume = () if not published else ("--resume", SAVED)
        done = typed(lines, *ASK, "clips", *resume, "--json")
        assert done.exit_code == 0, done.output
        content = json.loads(done.stdout)
        assert content["published"] == published
        assert len(content["answers"]) == 1 + published


FAULTY = {
    "no answer": ("{0},\n{1},cannot tell\n", "does not contain an answer yet"),
    "no such clip": ("x.mp4,left\n", "line 2: there is no clip 'x.mp4'"),
    "twice": ("{0},left\n{0},left\n", "line 3: the clip .* is also in line 2"),
    "unknown": ("{0},up\n", "line 2: 'up' is not a valid answer"),
}


@pytest.mark.parametrize(("lines", "message"), FAULTY.values(), ids=FAULTY.keys())
def test_faulty_answers_change_nothing(demo: Bundle, lines: str, message: str) -> None:
    clips = [f"pushing-something-{one}-1.mp4" for one in ("left", "right")]
    Path("answers.csv").write_text("clip,answer\n" + lines.format(*clips))
    before = contents(demo.path)
    done = run(*ASK, "clips", "--answers", "answers.csv")
    assert done.exit_code == 1
    assert re.search(message, done.stderr)
    assert contents(demo.path) == before


def test_options_that_exclude_each_other(demo: Bundle) -> None:
    file = new("answers.csv")
    assert run(*ASK, "clips", "--answers", file, "--resume", file).exit_code == 2
    assert run(*ASK, "clips", "--dry-run", "-o", "head.onnx").exit_code == 2
    Path("head.onnx").write_text("mine")
    done = run(*ASK, "clips", "-o", "head.onnx")
    assert (done.exit_code, Path(SAVED).exists()) == (1, False)
    odd = run("ask", "--class", "pushing", "--into", "both,neither", "--from", "clips")
    assert odd.exit_code == 1
    assert "is a reserved answer" in odd.stderr


def test_features_of_another_backbone_or_without_order_are_refused(demo: Bundle) -> None:
    feature = np.zeros((2, demo.dim), np.float32)
    for names, space, message in (
        (["a", "b"], "f" * 64, "another backbone"),
        (["a", "a"], demo.feature_space, "names 1 clips but has 2 features"),
        (["a"], demo.feature_space, "names 1 clips but has 2 features"),
    ):
        Path("odd.npz").write_bytes(
            save_arrays(names=np.array(names), features=feature, feature_space=space)
        )
        done = run(*ASK, "odd.npz", "--list")
        assert done.exit_code == 1
        assert message in done.stderr


def test_a_plan_takes_answers(demo: Bundle) -> None:
    Path("plan").mkdir()
    clips = [f"pushing-something-{one}-1.mp4" for one in ("left", "right")]
    Path("plan/answers.csv").write_text(
        "clip,answer\n" + "".join(f"{clip},{side(clip)}\n" for clip in clips)
    )
    Path("plan/splits.yaml").write_text(
        "pushing: {into: [left, right], answers: answers.csv, from: ../clips}\n"
        "rolling: [up, down]\n"
    )
    content = run_json("edit", "--plan", "plan/splits.yaml")
    first, second = content["report"]["splits"]
    assert [one["answer"] for one in first["shots"]["answers"]] == ["left", "right"]
    assert second["shots"] is None
    Path("plan/wrong.csv").write_text(f"clip,answer\n{clips[0]},up\n{clips[1]},sideways\n")
    for entry, message in (
        (
            "answers: wrong.csv, from: ../clips",
            rf"plan/wrong\.csv, line 3: 'sideways' is not a valid answer for the clip '{clips[1]}'",
        ),
        ("answers: answers.csv", "'answers' and 'from' must be given together"),
        ("answers: none.csv, from: ../clips", "the file .*none.csv of 'answers' does not exist"),
        ("answers: answers.csv, from: none", "the folder or file .*none of 'from' does not"),
    ):
        Path("plan/splits.yaml").write_text(f"lifting: {{into: [up, down], {entry}}}\n")
        done = run("edit", "--plan", "plan/splits.yaml")
        assert done.exit_code == 1
        assert re.search(message, done.stderr)
    Path("plan/splits.yaml").write_text(
        "lifting: [up, down]\nlifting something up: {into: [slowly, quickly], answers: wrong.csv, "
        "from: ../clips}\n"
    )
    done = run("edit", "--plan", "plan/splits.yaml")  # the class is one that the plan makes
    assert "wrong.csv, line 2: 'up' is not a valid answer" in done.stderr


# What stops it, and when


def test_no_two_files_are_one(demo: Bundle) -> None:
    old = new("a.csv").read_bytes()
    features = Path("features.npz").read_bytes()
    Path("link.html").symlink_to("a.csv")
    for options in (
        ("--resume", "a.csv", "--sheet", "a.csv"),
        ("--resume", "a.csv", "--sheet", "./link.html"),
        ("--answers", "a.csv", "--sheet", "a.csv"),
        ("--resume", "features.npz"),
        ("--sheet", "features.npz"),
        ("--sheet", SAVED),
        ("--sheet", "head.onnx", "-o", "head.onnx"),
    ):
        done = run(*ASK, "features.npz", *options)
        assert (done.exit_code, "are the same file" in done.stderr) == (2, True), done.output
    assert Path("a.csv").read_bytes() == old
    assert Path("features.npz").read_bytes() == features
    assert not Path(SAVED).exists()


def test_files_that_cannot_be_written_are_told_before_the_slow_part(
    demo: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*given: object) -> None:
        raise AssertionError("clips are read")

    monkeypatch.setattr("edgesplit.bundle.videos.read_clips", read)
    Path("mine.html").write_text("mine")
    Path(SHEET).mkdir()
    for options, message in (
        (("--sheet", "mine.html"), "mine.html exists already and is not a page of clips"),
        (("--sheet", "none/page.html"), "Cannot write none/page.html: No such file"),
        (("--sheet", f"{'x' * 250}.html"), "File name too long. Choose a shorter name"),
        ((), f"Cannot read {SHEET}: Is a directory"),
        (("--resume", "none/a.csv"), "Cannot write none/a.csv: No such file"),
        (("--resume", "x" * 300), "File name too long. Choose a shorter name"),
        (("-o", "x" * 300), "File name too long. Choose a shorter name"),
    ):
        sheet = () if "--sheet" in options or not options else ("--sheet", "page.html")
        done = run(*ASK, "clips", *options, *sheet)
        assert (done.exit_code, message in done.stderr) == (1, True), done.output
    assert Path("mine.html").read_text() == "mine"
    assert [*Path().glob("*.part")] == [*Path().glob(".*.part")] == [*Path().glob("*.csv")] == []


def test_names_that_no_file_can_have(demo: Bundle) -> None:
    with np.load("features.npz") as arrays:
        features, names = arrays["features"], arrays["names"].tolist()

    def list_clips(prefix: str) -> Result:
        Path("odd.npz").write_bytes(
            save_arrays(
                names=np.array([prefix + name for name in names]),
                features=features,
                feature_space=demo.feature_space,
            )
        )
        return run(*ASK, "odd.npz", "--list")

    done = list_clips("x" * 300)
    assert done.exit_code == 0
    assert "2 of 2 videos were not found" in done.stderr
    Path(SAVED).unlink()
    done = list_clips("a\0b")
    assert done.exit_code == 1
    assert r"names a clip 'a\x00b" in done.stderr
    assert not Path(SAVED).exists()
    # A letter of four bytes: sixty of them are too long a name, with what is put around it.
    long = 80 * "\U00020000"
    assert run("rename", "--class", "pushing", "--to", long).exit_code == 0
    done = run("ask", "--class", long, "--into", "left,right", "--from", "clips", "--list")
    assert done.exit_code == 0, done.output
    for key in ("shots: {0}", "{{answers: {0}, from: clips", "answers: clips/a.npz, from: {0}"):
        Path("plan.yaml").write_text(
            f"rolling: {{into: [left, right], {key.format('x' * 300).lstrip('{')}}}\n"
        )
        Path("clips/a.npz").touch()
        done = run("edit", "--plan", "plan.yaml")
        assert done.exit_code == 1
        assert "plan.yaml, 'rolling': the f" in done.stderr
        assert "does not exist" in done.stderr


def test_q_stops_at_every_question(demo: Bundle) -> None:
    before = contents(demo.path)
    for file, lines, question in (
        ("a.csv", "1\nn\nx\nq\n", "Ask about 2 more clips?"),
        ("b.csv", "1\n2\nq\n", "Publish this split?"),
    ):
        source = "features.npz" if file == "a.csv" else "clips"
        done = typed(lines, *ASK, source, "--resume", file)
        assert done.exit_code == 0, done.output
        assert question in done.output
        assert ("'x' is not one of: y yes, n no, q stop" in done.output) == ("x" in lines)
        assert f"with --resume {file} to continue" in done.output
        assert len(saved(file)) == 2
    assert contents(demo.path) == before


def test_a_refusal_after_answers_says_how_to_go_on(demo: Bundle) -> None:
    """Nobody shows what the texts are in doubt about: the split is refused at the very end."""
    Path("one.csv").write_text("clip,answer\ncamera-11.mp4,right\n")
    split = ("ask", "--class", "turning", "--into", "left,right,up,down", "--from", "camera")
    done = typed("n\ny\n", *split, "--resume", "one.csv")
    kept = "to continue, run the same command with --resume one.csv."
    assert done.exit_code == 1
    assert "This split is in doubt" in done.output
    assert "Answer a clip of 'left', 'up', 'down'," in done.output
    assert "--shots" not in done.output  # which `ask` does not have
    assert kept in done.output
    told = run(*split, "--answers", "one.csv", "--json")
    error = json.loads(told.stderr.splitlines()[-1])["error"]
    assert error["type"] == "DoubtfulSplitError"
    assert error["message"].endswith(kept)


def test_a_file_to_go_on_from_need_not_be_there(demo: Bundle) -> None:
    done = typed("1\n2\ny\n", *ASK, "clips", "--resume", "new.csv")
    assert done.exit_code == 0, done.output
    assert "The answers are saved to new.csv, a new file." in done.output
    assert [*saved("new.csv").values()] == ["left", "right"]
    assert not Path(SAVED).exists()
    again = run(*ASK, "clips", "--answers", "new.csv")
    assert "a new file" not in again.stderr


def test_doubts_that_answers_settled_are_not_told(demo: Bundle) -> None:
    split = ("ask", "--class", "turning", "--into", "left,right,up,down", "--from", "camera")
    done = run(*split, "--answers", "camera/answers.csv", "--dry-run")
    assert re.search(r"[89]\d % with them \(chance 25 %\)", done.stdout)
    assert "doubt" not in done.stdout
    assert done.stdout.count("text alone: ") == 1
    content = run_json(*split, "--answers", "camera/answers.csv", "--dry-run")
    assert len(content["report"]["doubts"]) == 1
    Path("one.csv").write_text("clip,answer\ncamera-11.mp4,right\n")
    few = run(*split, "--answers", "one.csv", "--dry-run", "--accept-doubt")
    assert "doubt: its expected accuracy is" in few.stdout


def test_one_video_is_no_source(demo: Bundle) -> None:
    for name, message in (
        ("clips/pushing-something-left-1.mp4", "is a single video. Give a folder of videos, or"),
        ("truth.json", "is not a file of saved features. Give a folder of videos, or"),
    ):
        shutil.copy("camera/truth.json", "truth.json")
        done = run(*ASK, name, "--list")
        assert done.exit_code == 1
        assert f"{name} {message}" in done.stderr
        assert "pickle" not in done.stderr


def test_output_that_nobody_reads_is_no_fault(demo: Bundle) -> None:
    command = f"{sys.executable} -m edgesplit {' '.join(ASK)} clips"
    root = str(Path(__file__).parents[2])
    for way in ("| head -1", "| true", ">&-"):
        Path(SAVED).unlink(missing_ok=True)
        done = subprocess.run(
            ["sh", "-c", f"printf '1\\n2\\nn\\n' | {command} {way}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env=os.environ | {"PYTHONPATH": root},
        )
        assert "Traceback" not in done.stderr
        assert "Error" not in done.stderr


# The page


def test_the_page_holds_all_that_it_shows(demo: Bundle) -> None:
    run(*ASK, "clips", "--list")
    page = Path(SHEET).read_text()
    assert "<title>pushing something: left or right?</title>" in page
    assert '<html lang="en">' in page
    assert page.count('role="img" aria-label="Clip ') == 2
    assert "prefers-reduced-motion" in page
    assert "default-src 'none'" in page
    assert "clips/pushing-something-left-2.mp4, 2.0 s" in page
    assert re.findall(r"https?:|<script|src=|href=|@import", page) == []
    urls = re.findall(r"url\(([^)]*)\)", page)
    assert len(urls) == 2
    for url in urls:
        head, _, data = url.partition(",")
        assert head == "data:image/jpeg;base64"
        strip = decode_jpeg(base64.b64decode(data))
        assert strip.shape == (160, 8 * 160, 3)
        assert np.ptp(strip) > 50


def test_names_are_escaped_in_the_page(tmp_path: Path) -> None:
    name = '<img src=x onerror="alert(1)">&\udcff.mp4'
    shown = Card(1, name, None, None, None, f"Not found in {name}: name its folder")
    broken = Card(2, name, tmp_path / name, None, None, f"{name} is no video")
    clip = ASSETS / "clips" / "pushing-something-left-1.mp4"
    moving = Card(3, name, tmp_path / name, 2.0, read_preview(clip), "")
    page = sheet_html(f"{name}?", [name, "b"], [shown, broken, moving]).decode()
    assert "<img" not in page
    assert "&lt;img src=x onerror=&quot;alert(1)&quot;&gt;&amp;" in page
    assert "name its folder" in page
    assert "is no video" in page


def test_videos_of_features_are_found_beside_them(demo: Bundle) -> None:
    assert run("features", "clips", "-o", "clips/clips.npz").exit_code == 0
    Path("other").mkdir()
    shutil.copy("clips/clips.npz", "other/clips.npz")

    def paths(source: str, *more: str) -> set[str | None]:
        listed = run_json(*ASK, source, "--list", *more)
        Path(SAVED).unlink()
        found = {one["path"] and str(Path(one["path"]).parent) for one in listed["next"]}
        assert Path(SHEET).read_text().count("role=") == (0 if found == {None} else 2)
        return found

    assert paths("clips/clips.npz") == {"clips"}
    assert paths("other/clips.npz") == {"clips"}  # in the current folder
    shutil.move("clips", "other/clips")
    assert paths("other/clips.npz") == {"other/clips"}  # beside the file
    shutil.copytree("other/clips", "clips")  # which of the two?
    assert paths("other/clips.npz") == {None}
    told = run(*ASK, "other/clips.npz", "--list")
    where = f"not found in {Path('other').resolve()}, in {Path().resolve()}, or in a single folder"
    assert f"2 of 2 videos were {where} in these that has all clips" in told.stderr
    assert f"Not found in {Path('other').resolve()}" in Path(SHEET).read_text()
    Path(SAVED).unlink()
    assert paths("other/clips.npz", "--videos", "clips") == {"clips"}


def test_a_video_that_went_bad_is_told_on_the_page(demo: Bundle) -> None:
    assert run("features", "clips", "-o", "clips/clips.npz").exit_code == 0
    Path("clips/pushing-something-left-2.mp4").write_bytes(b"no video")
    assert run(*ASK, "clips/clips.npz", "--list").exit_code == 0
    page = Path(SHEET).read_text()
    assert page.count("role=") == 1
    assert "is not a video that FFmpeg can open" in page


def test_a_name_never_leads_out_of_the_folder(demo: Bundle) -> None:
    with np.load("features.npz") as arrays:
        features = arrays["features"][:3]
    (Path("sub")).mkdir()
    clip = Path("clips/pushing-something-left-1.mp4")
    names = np.array([f"../{clip}", str(clip.resolve()), "x"])
    Path("sub/odd.npz").write_bytes(
        save_arrays(names=names, features=features, feature_space=demo.feature_space)
    )
    listed = run_json(*ASK, "sub/odd.npz", "--list")
    assert [one["path"] for one in listed["next"]] == [None, None]


def test_the_page_replaces_its_like_and_nothing_else(demo: Bundle) -> None:
    assert run(*ASK, "clips", "--list").exit_code == 0
    Path(SAVED).unlink()
    assert run(*ASK, "clips", "--list").exit_code == 0
    Path(SAVED).unlink()
    Path(SHEET).write_text("mine")
    done = run(*ASK, "clips", "--list")
    assert done.exit_code == 1
    assert "is not a page of clips" in done.stderr
    assert Path(SHEET).read_text() == "mine"
