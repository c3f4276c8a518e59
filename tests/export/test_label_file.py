"""Label files as data sets and spreadsheets write them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from edgesplit.errors import LabelError
from edgesplit.export.models.label_file import load_labels

pytestmark = pytest.mark.torch

LABELS = ["opening a door", "closing a door", "pushing a box left"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "labels.txt"


@pytest.mark.parametrize(
    "content",
    [
        LABELS,
        {LABELS[2]: "2", LABELS[0]: "0", LABELS[1]: "1"},
        {LABELS[2]: 2, LABELS[0]: 0, LABELS[1]: 1},
        {"2": LABELS[2], "0": LABELS[0], "1": LABELS[1]},
    ],
    ids=["list", "Something-Something", "label to number", "index to label"],
)
def test_json_is_read_in_the_order_of_its_indices(content: object, file: Path) -> None:
    file.write_text(json.dumps(content))
    assert load_labels(file) == LABELS


def test_ten_indices_as_texts_are_sorted_as_numbers(file: Path) -> None:
    names = [f"{verb} it" for verb in "abcdefghijkl"]
    file.write_text(json.dumps({name: str(index) for index, name in enumerate(names)}))
    assert load_labels(file) == names


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": "1", "b": "2"}, "from 0 to 1: 'a' has the index 1, where 0 is expected"),
        ({"0": "a", "2": "b"}, "from 0 to 1: 'b' has the index 2, where 1 is expected"),
        ({"a": 0, "b": 1, "c": 1}, "from 0 to 2: 'c' has the index 1, where 2 is expected"),
        ({"0": "1", "1": "0"}, "does not list labels. Write a JSON list"),
        ({"a": 0, "b": "one"}, "does not list labels"),
        ({"a": 0, "b": True}, "does not list labels"),
        ({}, "does not list labels"),
        ("a", "does not list labels"),
        (["a", 1], "does not list labels"),
        (["0", "1"], "are numbers. Name the classes in words"),
    ],
)
def test_json_that_gives_no_order_is_refused(content: object, message: str, file: Path) -> None:
    file.write_text(json.dumps(content))
    with pytest.raises(LabelError, match=message):
        load_labels(file)


def test_csv_quotes_are_not_part_of_a_label(file: Path) -> None:
    quoted = ['"opening a door"', '"closing a door, slowly"', '"a ""heavy"" box"', 'say "stop"']
    file.write_text("\n".join(quoted) + "\n")
    assert load_labels(file) == [
        "opening a door",
        "closing a door, slowly",
        'a "heavy" box',
        'say "stop"',
    ]


@pytest.mark.parametrize("line", ['"Left" turn', '"left', '"left","turn"'])
def test_quotes_that_are_not_csvs_are_refused_by_line(line: str, file: Path) -> None:
    file.write_text(f"opening a door\n{line}\n")
    with pytest.raises(LabelError, match=r"^Line 2 of .* begins with a quote, but is not one"):
        load_labels(file)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_lines_of_any_ending_and_a_byte_order_mark(ending: str, mark: str, file: Path) -> None:
    file.write_bytes((mark + "".join(label + ending for label in LABELS)).encode())
    assert load_labels(file) == LABELS


def test_commas_and_empty_lines_are_kept(file: Path) -> None:
    file.write_text("closing a door, slowly\n\n3 boxes, pushed\n")
    assert load_labels(file) == ["closing a door, slowly", "", "3 boxes, pushed"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("1 OpenDoor\n2 CloseDoor\n3 PushBox\n\n", "1 OpenDoor"),
        ("0,opening a door\n1,closing a door\n", "0,opening a door"),
        ('0,"opening a door"\n1,"closing a door, slowly"\n', '0,"opening a door"'),
        ("id,name\r\n0,opening a door\r\n1,closing a door\r\n", "0,opening a door"),
        ("2. opening\n1. closing\n", "2. opening"),
        ("7\topening\n9\tclosing\n", r"7\\topening"),
        ("opening a door,0\nclosing a door,1\n", "opening a door,0"),
        ("opening a door 0\nclosing a door 1\n", "opening a door 0"),
        ("opening: 0\nclosing: 1\n", "opening: 0"),
        ("000.opening\n001.closing\n", "000.opening"),
        ("0_opening\n1_closing\n", "0_opening"),
        ("[0] opening\n[1] closing\n", r"\[0\] opening"),
        ("#0 opening\n#1 closing\n", "#0 opening"),
    ],
    ids=[
        *("UCF101", "Kinetics", "quoted", "header", "unordered", "gaps", "behind"),
        *("list", "colon", "CUB", "underscore", "brackets", "hash"),
    ],
)
def test_numbered_lines_are_asked_about(text: str, shown: str, file: Path) -> None:
    file.write_text(text)
    with pytest.raises(
        LabelError, match=f"^Every line of .* has a number, such as '{shown}'. If it is the index"
    ):
        load_labels(file)


@pytest.mark.parametrize(
    "labels",
    [
        ["1 person", "1 dog", "2 persons"],
        ["3d printing", "2d drawing"],
        ["class 0", "class 1"],
        ["pulling", "2 boxes"],
    ],
)
def test_numbers_that_count_no_lines_are_labels(labels: list[str], file: Path) -> None:
    file.write_text("\n".join(labels))
    assert load_labels(file) == labels


def test_numbers_in_a_json_list_are_labels(file: Path) -> None:
    labels = ["1 person", "2 persons"]
    file.write_text(json.dumps(labels))
    assert load_labels(file) == labels


def test_other_encodings_are_refused_by_name(file: Path) -> None:
    file.write_bytes("déplacer la boîte à gauche\n".encode("latin-1"))
    with pytest.raises(
        LabelError, match=r"not UTF-8 text. It is probably Latin-1 .* iconv -f WINDOWS-1252"
    ):
        load_labels(file)
