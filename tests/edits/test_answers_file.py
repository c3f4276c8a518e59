"""Answers files: what is read and written, and what is refused, saying where and what is wanted."""

from pathlib import Path

import pytest

from edgesplit.edits.answers_file import (
    CANNOT_TELL,
    MAX_BYTES,
    NEITHER,
    check_modifiers,
    load_answers,
    place_answers,
    save_answers,
)
from edgesplit.errors import EditError

CLIPS = {"a.mp4": 0, "yard/b, c.mp4": 1, ' "d".mp4': 2, "e\nf.mp4": 3, "zurück.mp4": 4}
INTO = [("pushing something left", "left"), ("pushing something right", "right")]


def read(folder: Path, content: str | bytes, subcategories: object = INTO) -> dict[str, str]:
    file = folder / "answers.csv"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return load_answers(file, CLIPS, subcategories)  # type: ignore[arg-type]


def test_what_is_saved_is_read_again(tmp_path: Path) -> None:
    answers = dict(zip(CLIPS, ("left", NEITHER, CANNOT_TELL, "", "right"), strict=True))
    file = tmp_path / "answers.csv"
    save_answers(file, answers)
    assert file.read_text().startswith("clip,answer\na.mp4,left\n")
    assert load_answers(file, CLIPS, INTO) == answers
    assert list(load_answers(file, CLIPS, INTO)) == list(answers)


def test_answers_are_modifiers_full_labels_and_what_is_none_of_them(tmp_path: Path) -> None:
    text = (
        "Clip, Answer\r\n\r\na.mp4, LEFT \r\n"
        '"yard/b, c.mp4",Pushing something right\r\nzurück.mp4,Cannot  tell\r\n'
    )
    answers = read(tmp_path, b"\xef\xbb\xbf" + text.encode())
    assert answers == {"a.mp4": "left", "yard/b, c.mp4": "right", "zurück.mp4": CANNOT_TELL}


def test_without_subcategories_answers_stay_as_they_are_written(tmp_path: Path) -> None:
    assert read(tmp_path, "clip,answer\na.mp4,Up\n", None) == {"a.mp4": "Up"}


def test_answers_are_placed_among_the_features() -> None:
    answers = {"zurück.mp4": "left", "a.mp4": "Neither", "yard/b, c.mp4": CANNOT_TELL}
    assert place_answers(answers, CLIPS, "x.csv") == {4: "left", 0: None}
    with pytest.raises(EditError, match=r"x\.csv does not contain an answer yet\. Write"):
        place_answers({"a.mp4": "", "zurück.mp4": CANNOT_TELL}, CLIPS, "x.csv")


WRONG = {
    "empty": ("", r"answers\.csv is empty\. Write 'clip,answer' in the first line"),
    "no header": (
        "a.mp4,left\n",
        r"answers\.csv, line 1: the header is 'a.mp4,left', not 'clip,answer'",
    ),
    "semicolons": ("clip;answer\na.mp4;left\n", "line 1: the header is 'clip;answer'"),
    "one field": ("clip,answer\n\na.mp4\n", "line 3: the line has 1 field, not 2"),
    "three fields": (
        "clip,answer\nyard/b, c.mp4,left\n",
        "line 2: the line has 3 fields, .*in quotes",
    ),
    "no such clip": ("clip,answer\nb.mp4,left\n", "line 2: there is no clip 'b.mp4'.* 'a.mp4'"),
    "twice": (
        "clip,answer\na.mp4,left\n\na.mp4,right\n",
        "line 4: the clip 'a.mp4' is also in line 2",
    ),
    "no answer": (
        "clip,answer\na.mp4,up\n",
        "line 2: 'up' is not a valid answer for the clip 'a.mp4'. Write 'left', 'right', "
        "'neither', 'cannot tell' or nothing",
    ),
    "open quotes": ('clip,answer\n"a.mp4,left\n', "line 2: the line is not CSV"),
    "not UTF-8": ("clip,answer\nzurück.mp4,left\n".encode("latin-1"), "probably Latin-1"),
    "large": ("clip,answer\n" + "\n" * MAX_BYTES, "is too large for an answers file"),
}


@pytest.mark.parametrize(("content", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_is_no_answers_file_is_refused_with_what_is_wanted(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    with pytest.raises(EditError, match=message):
        read(tmp_path, content)


def test_a_file_that_cannot_be_read_or_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(EditError, match=r"Cannot read .*none\.csv"):
        load_answers(tmp_path / "none.csv", CLIPS)
    with pytest.raises(EditError, match=r"Cannot write .*none"):
        save_answers(tmp_path / "none" / "a.csv", {"a.mp4": ""})


def test_a_name_that_is_no_unicode_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EditError, match=r"is not Unicode\. Rename it"):
        save_answers(tmp_path / "a.csv", {"a\udcff.mp4": ""})


def test_no_subcategory_is_called_what_stands_for_none() -> None:
    check_modifiers(INTO)
    with pytest.raises(EditError, match="'Neither' is a reserved answer"):
        check_modifiers([("pushing both", "both"), ("pushing neither", "Neither")])
