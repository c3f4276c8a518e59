"""No control character of a stranger's file reaches the terminal, on any path of a command."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from edgesplit._text import shown
from edgesplit.backbone.session import open_session
from edgesplit.bundle.bundle import Bundle, open_bundle
from edgesplit.cli.render.console import escape
from edgesplit.heads.head import Head
from edgesplit.heads.labels import LabelTree, Provenance, Source
from tests.bundles import split
from tests.commands import run

EVIL = "x\x1b]52;c;aGk=\x07\x1b[2J\x9b1m\u202etxt.exe\rforged\n"
EVIL += "head 000000000000 -> aaaaaaaaaaaa is live"
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def check(*command: str | Path, code: int | None = None) -> str:
    """Types a command; returns what it printed, which holds no control character."""
    done = run(*map(str, command))
    text = done.stdout + done.stderr
    assert not CONTROL.search(text), text
    assert done.exception is None or isinstance(done.exception, SystemExit)
    assert "\nhead 000000000000" not in text
    assert code is None or done.exit_code == code, text
    return text


def test_controls_are_shown_as_escapes() -> None:
    assert shown("a\tb\nc") == "a\tb\nc"
    assert shown("a\x1b[1mb\x9bc\u202ed\udcff") == r"a\x1b[1mb\x9bc\u202ed\udcff"
    assert shown("a\nb", one_line=True) == r"a\nb"
    assert escape("[b]\x1b") == r"\[b]\x1b"


@pytest.fixture
def evil(bundle: Bundle) -> Bundle:
    """A bundle whose live head has been given rule and source names that a terminal would obey."""
    head = split(bundle).head
    nodes = [
        replace(node, provenance=Provenance(EVIL, (Source(EVIL + "[/nope]", 1.0, 1.0),)))
        if node.parent is not None
        else node
        for node in head.tree
    ]
    tree = LabelTree(tuple(nodes))
    bundle.publish(replace(head, tree=tree), action=EVIL)
    return bundle


@pytest.mark.parametrize(
    "command",
    [["log"], ["show"], ["diff", "FIRST"], ["verify"], ["prune", "--keep", "1", "--dry-run"]],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_a_heads_own_texts_are_escaped(evil: Bundle, command: list[str], as_json: bool) -> None:
    first = evil.history()[0].digest
    words = [first if word == "FIRST" else word for word in command]
    text = check(*words, *(["--json"] if as_json else []), "--bundle", evil.path)
    if command[0] in ("log", "diff"):
        assert "52;c;aGk=" in text


@pytest.mark.parametrize("time", ["[/x]", "\x1b[2J", "\ud800"])
def test_a_log_that_somebody_wrote_is_shown(bundle: Bundle, time: str) -> None:
    bundle.publish(split(bundle))
    path = bundle.path / "log.jsonl"
    first, last = path.read_text().splitlines()
    entry = json.loads(last) | {"time": time, "action": time}
    path.write_text(f"{first}\n{json.dumps(entry)}\n")
    check("log", "--bundle", bundle.path, code=0)


def test_names_of_files_are_escaped(bundle: Bundle, tmp_path: Path) -> None:
    name = Path(os.fsdecode(os.fsencode(tmp_path) + b"/a\x1b[2J\n\xff.mp4"))
    name.write_bytes(b"no video")
    check("predict", name, "--bundle", bundle.path, code=1)
    check("predict", name, "--json", "--bundle", bundle.path, code=1)
    check("features", tmp_path, "--bundle", bundle.path, code=1)
    check("publish", name, "--bundle", bundle.path, code=1)
    check("run", "--source", name, "--window", "1", "--bundle", bundle.path, code=1)


def test_a_file_whose_name_is_not_unicode_can_be_published(bundle: Bundle, tmp_path: Path) -> None:
    name = Path(os.fsdecode(os.fsencode(tmp_path) + b"/head-\xff.onnx"))
    name.write_bytes(split(bundle).head.to_bytes())
    check("publish", name, "--bundle", bundle.path, code=0)
    check("log", "--bundle", bundle.path, code=0)
    assert open_bundle(bundle.path).verify() == []


def test_a_refused_heads_feature_space_is_escaped(bundle: Bundle, tmp_path: Path) -> None:
    head = bundle.head()
    other = Head.from_arrays(head.weight, head.bias, head.labels, feature_space="e" * 64)
    data = other.to_bytes().replace(b"e" * 64, (b"\x1b[2J" * 16)[:64].ljust(64, b"e"))
    (tmp_path / "head.onnx").write_bytes(data)
    check("publish", tmp_path / "head.onnx", "--bundle", bundle.path, code=1)


def test_bundle_json_is_escaped(bundle: Bundle) -> None:
    path = bundle.path / "bundle.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"feature_space": "\x1b[2J", "format": "\x1b[2J"}))
    check("show", "--bundle", bundle.path, code=1)


def test_onnx_runtime_prints_no_name_of_a_model(capfd: pytest.CaptureFixture[str]) -> None:
    node = helper.make_node("Reshape", ["x", "shape"], ["y"], name="n\x1b[2J\nForged: line")
    graph = helper.make_graph(
        [node],
        "model",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["A", "B"])],
        [helper.make_tensor("shape", TensorProto.INT64, [2], [7, 7])],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    session = open_session(model.SerializeToString())
    with pytest.raises(Exception, match="Reshape"):
        session.run(None, {"x": np.zeros(3, np.float32)})
    printed = capfd.readouterr()
    assert printed.out + printed.err == ""
