"""What a crash or a stranger may leave in a bundle, and what `verify` finds."""

import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import numpy_helper

from edgesplit.backbone.identity import feature_space
from edgesplit.bundle.bundle import Bundle, open_bundle
from edgesplit.bundle.create import create_bundle
from edgesplit.errors import (
    BundleError,
    HeadError,
)
from edgesplit.heads.head import Head
from tests.bundles import contents, digests, head_file, log_lines, split


def test_a_torn_last_line_is_ignored_and_never_joined(bundle: Bundle, head: Head) -> None:
    with (bundle.path / "log.jsonl").open("a") as log:
        log.write('{"time": "2026-01-01T00:00:00.000Z", "from": "')
    assert digests(bundle) == [head.digest]
    version = bundle.publish(split(bundle))
    assert digests(bundle) == [head.digest, version.digest]
    assert bundle.verify() == []


@pytest.mark.parametrize("line", ["7", "[]", "null", '{"to": "x"}', "\x00" * 80, '{"to": 1'])
def test_foreign_lines_in_the_log_are_passed_over(bundle: Bundle, head: Head, line: str) -> None:
    with (bundle.path / "log.jsonl").open("a") as log:
        log.write(f"{line}\n")
    version = bundle.publish(split(bundle))
    assert digests(bundle) == [head.digest, version.digest]


def test_an_attempt_that_head_never_followed_is_not_history(bundle: Bundle, head: Head) -> None:
    lost = {"time": "2026-01-01T00:00:00.000Z", "from": head.digest, "to": "f" * 64, "action": "x"}
    with (bundle.path / "log.jsonl").open("a") as log:
        log.write(json.dumps(lost) + "\n")
    assert digests(bundle) == [head.digest]
    version = bundle.publish(split(bundle))
    assert digests(bundle) == [head.digest, version.digest]


def test_a_zero_length_head_is_repaired_by_its_next_publish(bundle: Bundle) -> None:
    edit = split(bundle)
    head_file(bundle, edit.head.digest).write_bytes(b"")  # as a power cut can leave it
    bundle.publish(edit)
    assert bundle.head().to_bytes() == edit.head.to_bytes()
    assert bundle.verify() == []


@pytest.mark.parametrize("data", [b"", b"garbage"], ids=["empty", "garbage"])
def test_a_damaged_head_is_refused(bundle: Bundle, head: Head, data: bytes) -> None:
    bundle.publish(split(bundle))
    head_file(bundle, head.digest).write_bytes(data)
    before = contents(bundle.path)
    with pytest.raises(BundleError, match="is damaged: its content has another digest"):
        bundle.rollback()
    assert contents(bundle.path) == before
    assert len(bundle.verify()) == 1


def test_a_head_file_that_is_no_head_is_refused_under_its_own_digest(bundle: Bundle) -> None:
    data = b"something else"
    digest = hashlib.sha256(data).hexdigest()
    head_file(bundle, digest).write_bytes(data)
    with pytest.raises(HeadError, match="not an ONNX file"):
        bundle.rollback(digest)


@pytest.mark.parametrize("text", ["", "abc", "X" * 64, "../" + "0" * 61, "\x00" * 65])
def test_a_damaged_head_pointer_is_named(bundle: Bundle, text: str) -> None:
    (bundle.path / "HEAD").write_text(text)
    with pytest.raises(BundleError, match=r"HEAD does not hold a digest. `edgesplit log`"):
        bundle.head()
    assert bundle.verify() != []


def move_away(path: Path) -> Path:
    """Moves a file or folder out of the bundle."""
    return path.rename(path.parent.parent / f"elsewhere {path.name}")


def test_a_head_pointer_that_is_a_link_is_refused_and_repaired(bundle: Bundle, head: Head) -> None:
    pointer = bundle.path / "HEAD"
    elsewhere = move_away(pointer)
    pointer.symlink_to(elsewhere)
    with pytest.raises(BundleError, match=r"HEAD: .*Links are not followed"):
        bundle.head()
    assert bundle.verify() != []
    elsewhere.write_text("of another user")
    bundle.rollback(head.digest)
    assert not pointer.is_symlink()
    assert elsewhere.read_text() == "of another user"
    assert bundle.verify() == []


def test_a_head_pointer_that_is_a_pipe_is_refused_at_once(bundle: Bundle, head: Head) -> None:
    (bundle.path / "HEAD").unlink()
    os.mkfifo(bundle.path / "HEAD")
    with pytest.raises(BundleError, match=r"HEAD: It is not a regular file"):
        bundle.head()
    bundle.rollback(head.digest)
    assert bundle.verify() == []


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/null")])
def test_a_head_file_is_a_regular_file(bundle: Bundle, make: Callable[[Path], None]) -> None:
    file = head_file(bundle, "f" * 64)
    make(file)
    with pytest.raises(BundleError, match=r"No head of .* starts with 'ffff'"):
        bundle.head("ffff")
    (bundle.path / "HEAD").write_text("f" * 64)
    with pytest.raises(BundleError, match=r"not a regular file|Links are not followed"):
        bundle.head()


def test_a_head_file_that_is_a_link_is_replaced_by_a_file(bundle: Bundle) -> None:
    edit = split(bundle)
    elsewhere = bundle.path.parent / "head.onnx"
    elsewhere.write_bytes(edit.head.to_bytes())
    head_file(bundle, edit.head.digest).symlink_to(elsewhere)
    bundle.publish(edit)
    assert not head_file(bundle, edit.head.digest).is_symlink()
    assert bundle.verify() == []


def test_heads_in_another_folder_are_refused_and_left_alone(busy: Bundle) -> None:
    elsewhere = move_away(busy.path / "heads")
    (busy.path / "heads").symlink_to(elsewhere)
    before = contents(elsewhere)
    for use in (
        lambda: busy.prune(1),
        lambda: busy.head(),
        lambda: busy.rollback(),
        lambda: busy.rollback("0000"),
    ):
        with pytest.raises(BundleError, match=r"heads is a link out of the bundle"):
            use()
    assert any("heads is a link" in problem for problem in busy.verify())
    assert contents(elsewhere) == before


def test_a_log_that_is_a_link_is_not_written_to(bundle: Bundle) -> None:
    elsewhere = move_away(bundle.path / "log.jsonl")
    (bundle.path / "log.jsonl").symlink_to(elsewhere)
    before = elsewhere.read_bytes()
    with pytest.raises(BundleError, match=r"Cannot read .*log.*Links are not followed"):
        bundle.publish(split(bundle))
    assert elsewhere.read_bytes() == before
    assert len(log_lines(bundle)) == 1


def test_a_head_pointer_moved_by_hand_can_be_rolled_back(bundle: Bundle, head: Head) -> None:
    edit = split(bundle)
    head_file(bundle, edit.head.digest).write_bytes(edit.head.to_bytes())
    (bundle.path / "HEAD").write_text(edit.head.digest)
    assert bundle.head().digest == edit.head.digest
    assert "HEAD was set by hand" in bundle.verify()[0]
    assert bundle.rollback().digest == head.digest
    assert bundle.verify() == []


def test_verify_misses_a_head_that_is_gone(bundle: Bundle, head: Head) -> None:
    bundle.publish(split(bundle))
    head_file(bundle, head.digest).unlink()
    assert "1 heads of the log are missing" in bundle.verify()[0]


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        (name, damage)
        for name in ("backbone.onnx", "stats.npz", "HEAD", "log.jsonl")
        for damage in ("flip", "cut", "remove")
        # The log is words; a flipped letter of it is not found, and decides nothing.
        if (name, damage) != ("log.jsonl", "flip")
    ],
)
def test_verify_finds_a_damaged_file(bundle: Bundle, name: str, damage: str) -> None:
    file = bundle.path / name
    if damage == "remove":
        file.unlink()
    else:
        data = file.read_bytes()
        half = len(data) // 2
        flipped = data[:half] + bytes([data[half] ^ 1]) + data[half + 1 :]
        file.write_bytes(flipped if damage == "flip" else data[:half])
    fresh = open_bundle(bundle.path)
    if damage == "remove" and name == "stats.npz":
        assert fresh.verify() == []  # optional
    else:
        assert fresh.verify() != []


# What `verify` runs


def rebuilt(bundle: Bundle, tmp_path: Path, change: Callable[[onnx.ModelProto], None]) -> Bundle:
    """A bundle whose backbone is another model, with the digests that belong to it."""
    model = onnx.load_model_from_string((bundle.path / "backbone.onnx").read_bytes())
    change(model)
    head, backbone = bundle.head(), model.SerializeToString()
    space = feature_space(backbone, bundle.preprocessing)
    other = Head.from_arrays(head.weight, head.bias, head.labels, feature_space=space)
    return create_bundle(
        tmp_path / "other.bundle",
        backbone=backbone,
        head=other,
        preprocessing=bundle.preprocessing,
    )


def no_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "NoSuchOperator"


def half_the_values(model: onnx.ModelProto) -> None:
    weights = numpy_helper.to_array(model.graph.initializer[0])[:, :4]
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "matrix"))
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (no_operator, "refuses the model"),
        (half_the_values, r"features of shape \(1, 4\) for one clip, not finite .* \(1, 8\)"),
    ],
)
def test_a_backbone_that_does_not_run_is_named(
    bundle: Bundle,
    tmp_path: Path,
    change: Callable[[onnx.ModelProto], None],
    message: str,
) -> None:
    problems = rebuilt(bundle, tmp_path, change).verify()
    assert any(re.search(message, problem) for problem in problems), problems
