"""Plan files: what is read, and what is refused, saying where and what is wanted."""

import json
from pathlib import Path
from typing import Any

import pytest

from edgesplit.edits.plan_file import MAX_BYTES, PlanFile, load_plan
from edgesplit.edits.request import SplitRequest
from edgesplit.errors import EditError


def read(folder: Path, content: str | bytes, defaults: SplitRequest | None = None) -> PlanFile:
    file = folder / "splits.yaml"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return load_plan(file, defaults)


def told(plan: PlanFile) -> dict[str, dict[str, Any]]:
    """What each entry says, without what is as by default."""
    names, usual = SplitRequest.__slots__, SplitRequest(())
    return {
        name: {
            key: getattr(request, key)
            for key in names
            if getattr(request, key) != getattr(usual, key)
        }
        for name, request in plan.requests.items()
    }


FULL = """
pushing: [left, right]
pushing something left:
  into: {pushing it left slowly: slowly, "pushing it left, fast": quickly}
  rule: retrieval
  composition: gated
  like: pulling something
  accept_doubt: false
"""


def test_both_forms_are_read_in_the_files_order(tmp_path: Path) -> None:
    plan = read(tmp_path, FULL)
    assert list(plan.requests) == ["pushing", "pushing something left"]
    assert told(plan) == {
        "pushing": {"into": ["left", "right"]},
        "pushing something left": {
            "into": {"pushing it left slowly": "slowly", "pushing it left, fast": "quickly"},
            "rule": "retrieval",
            "like": "pulling something",
        },
    }


def test_json_is_a_plan_too(tmp_path: Path) -> None:
    content = {
        "pushing": ["left", "zurück"],
        "a: b": {"into": {"x y": "1"}, "accept_doubt": "true"},
    }
    for ascii_only in (True, False):
        for indent in (None, 2):
            text = json.dumps(content, ensure_ascii=ascii_only, indent=indent)
            assert told(read(tmp_path, text)) == {
                "pushing": {"into": ["left", "zurück"]},
                "a: b": {"into": {"x y": "1"}, "accept_doubt": True},
            }
    plain = '{"pushing": {"into": ["a", "b"], "accept_doubt": true}}'
    assert read(tmp_path, plain).requests["pushing"].accept_doubt


def test_what_an_entry_leaves_open_is_as_the_defaults_say(tmp_path: Path) -> None:
    defaults = SplitRequest((), rule="retrieval", like="pulling", accept_doubt=True)
    text = "a: [x, y]\nb: {into: [x, y], rule: prototype, accept_doubt: false}"
    assert told(read(tmp_path, text, defaults)) == {
        "a": {"into": ["x", "y"], "rule": "retrieval", "like": "pulling", "accept_doubt": True},
        "b": {"into": ["x", "y"], "rule": "prototype", "like": "pulling"},
    }


@pytest.mark.parametrize(
    "modifiers", ["on, off", "yes, no", "1, 2.50", "null, ~", "2024-01-01, 0x1F", "12:30, 1e3"]
)
def test_values_are_texts_whatever_they_look_like(tmp_path: Path, modifiers: str) -> None:
    plan = read(tmp_path, f"switching: [{modifiers}]\noff: [a, b]\n")
    assert plan.requests["switching"].into == modifiers.split(", ")
    assert list(plan.requests) == ["switching", "off"]


def test_a_byte_order_mark_and_other_line_ends_are_no_matter(tmp_path: Path) -> None:
    text = "# splits\r\npushing:\r\n  - left\r\n  - right\r\n"
    plan = read(tmp_path, b"\xef\xbb\xbf" + text.encode())
    assert plan.requests["pushing"].into == ["left", "right"]


def test_clips_are_looked_for_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "clips" / "pushing").mkdir(parents=True)
    plan = read(tmp_path, "pushing: {into: [left, right], shots: clips/pushing}\nx: [a, b]")
    assert plan.shot_folders == {"pushing": tmp_path / "clips" / "pushing"}
    assert plan.requests["pushing"].shots is None


WRONG = {
    "empty": ("", r"splits\.yaml contains no class\. Write 'class: \["),
    "comment": ("# nothing yet\n", "contains no class"),
    "empty document": ("---\n", "contains no class"),
    "empty mapping": ("{}", "contains no class"),
    "empty list": ("[]", "contains no class"),
    "text": ("pushing", "is not a plan"),
    "list": ("- pushing: [left, right]", "is not a plan"),
    "not UTF-8": (
        "pushing: [oben, zurück]".encode("latin-1"),
        "not UTF-8 text. It is probably Latin-1 .* iconv -f",
    ),
    "UTF-16": (
        "pushing: [left, right]".encode("utf-16"),
        "not UTF-8 text. It is probably UTF-16",
    ),
    "no YAML": ("pushing: [left", r"splits\.yaml, line 1: .*\. Write"),
    "tab": ("pushing:\n\t- left", r"line 2: .*'\\t' that cannot start"),
    "control character": ("pushing: [left, \x01]", "is not YAML"),
    "two documents": ("a: [x, y]\n---\nb: [x, y]", r"line 2: .*another document"),
    "class twice": (
        "pushing: [left, right]\npulling: [a, b]\npushing: [up, down]",
        r"splits\.yaml, line 3: 'pushing' appears twice",
    ),
    "class twice in JSON": ('{"a": ["x", "y"], "a": ["x", "y"]}', "'a' appears twice"),
    "label twice": ("a: {into: {x y: b, x y: c}}", "'x y' appears twice"),
    "key twice": ("a: {into: [x, y], into: [x, z]}", "'into' appears twice"),
    "alias of itself": ("a: &one [x, *one]", "line 1: .*recursive"),
    "alias without anchor": ("a: *one", "line 1: .*undefined alias"),
    "class that is a list": ("? [a, b]\n: [x, y]", "line 1: .*unhashable key"),
    "deep": ("[" * 9999, "nested too deeply"),
    "large": ("#" * (MAX_BYTES + 1), f"is too large for a plan; the limit is {MAX_BYTES} bytes"),
    "nothing": ("pushing:", r"splits\.yaml, 'pushing': 'into' must be a list \[modifier"),
    "one text": ("pushing: left, right", "'pushing': 'into' must be a list"),
    "nested list": ("pushing: [left, [right]]", "'pushing': 'into' must be a list"),
    "list of mappings": ("pushing: [a b: a, c d: c]", "'pushing': 'into' must be a list"),
    "into a text": ("pushing: {into: left}", "'pushing': 'into' must be a list"),
    "into of lists": ("pushing: {into: {a b: [a]}}", "'pushing': 'into' must be a list"),
    "no into": ("pushing: {rule: retrieval}", "'pushing': the entry has no 'into'"),
    "empty entry": ("pushing: {}", "'pushing': the entry has no 'into'"),
    "unknown key": (
        "pushing: {into: [a, b], ruel: retrieval}",
        "'pushing': 'ruel' is not a key of an entry .*'rule'.*may have rule, composition, like",
    ),
    "labels for keys": (
        "pushing: {pushing it left: left, pushing it right: right}",
        "'pushing it left' is not a key of an entry. .*Labels with their modifiers belong in",
    ),
    "unknown rule": (
        "pushing: {into: [a, b], rule: retreival}",
        "'rule' cannot be 'retreival' .did you mean 'retrieval'.*Use one of alignment, ",
    ),
    "unknown composition": (
        "pushing: {into: [a, b], composition: soft}",
        "'composition' cannot be 'soft'. Use one of gated, flat",
    ),
    "list for a rule": ("pushing: {into: [a, b], rule: [retrieval]}", "'rule' must be one text"),
    "list for like": ("pushing: {into: [a, b], like: [x]}", "'like' must be one text"),
    "empty like": ("pushing: {into: [a, b], like: }", "'like' must be one text"),
    "accept_doubt": (
        "pushing: {into: [a, b], accept_doubt: yes}",
        "'accept_doubt' cannot be 'yes'. Use one of true, ",
    ),
    "no such folder": (
        "pushing: {into: [a, b], shots: clips/none}",
        "'pushing': the folder .*clips/none of 'shots'",
    ),
    "file for a folder": (
        "pushing: {into: [a, b], shots: splits.yaml}",
        "of 'shots' does not exist",
    ),
}


@pytest.mark.parametrize(("content", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_is_no_plan_is_refused_with_what_is_wanted(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    with pytest.raises(EditError, match=message):
        read(tmp_path, content)


def test_an_alias_repeats_what_its_anchor_names(tmp_path: Path) -> None:
    assert read(tmp_path, "a: &one [x, y]\nb: *one").requests["b"].into == ["x", "y"]


def test_tags_make_nothing(tmp_path: Path) -> None:
    made = tmp_path / "made"
    plan = read(tmp_path, f"a: !!python/object/apply:os.mkdir ['{made}', b]")
    assert plan.requests["a"].into == [str(made), "b"]
    assert not made.exists()


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(EditError, match=r"Cannot read .*none\.yaml"):
        load_plan(tmp_path / "none.yaml")
