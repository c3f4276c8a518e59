"""One file of backbone and head: it answers as the two do, and is neither of them."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest

from edgesplit.backbone.attention import fuse_attention
from edgesplit.backbone.fp16 import to_fp16
from edgesplit.backbone.fuse import TOLERANCE, Fused, fuse_models
from edgesplit.backbone.identity import inline
from edgesplit.backbone.int8 import to_int8
from edgesplit.bundle.bundle import Bundle
from edgesplit.demo import unpack_demo
from edgesplit.errors import ExportError, HeadError
from edgesplit.heads.head import Head
from edgesplit.runtime import Runtime
from tests.backbones import CLIP_SHAPE, DIM, clips, transformer
from tests.commands import run, run_json

Floats = npt.NDArray[np.float32]


def fused(bundle: Bundle, digest: str | None = None) -> Fused:
    return fuse_models(
        inline(bundle.backbone()), bundle.head(digest), clip_shape=bundle.preprocessing.clip_shape
    )


def answers(data: bytes, given: Floats) -> tuple[Floats, npt.NDArray[np.int64]]:
    """As somebody without edgesplit runs it."""
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    assert [entry.name for entry in session.get_inputs()] == ["clip"]
    logits, decided = session.run(["logits", "class_index"], {"clip": given})
    return logits, decided


def nested(bundle: Bundle) -> Bundle:
    bundle.publish(bundle.split_class("pushing", into=["left", "right"]))
    bundle.publish(
        bundle.split_class("pushing something left", into=["up", "down"], accept_doubt=True)
    )
    return bundle


def test_it_decides_as_the_bundle_before_and_after_edits(bundle: Bundle) -> None:
    shape = bundle.preprocessing.clip_shape
    given = np.random.default_rng(5).random((16, *shape), np.float32)
    nested(bundle)
    for version in bundle.history():
        one = fused(bundle, version.digest)
        logits, decided = answers(one.data, given)
        head = bundle.head(version.digest)
        with Runtime(bundle) as runtime:
            runtime.swap_head(version.digest)
            wanted = [runtime.predict(clip).label for clip in given]
            features = np.stack([runtime.extract(clip) for clip in given])
        assert [head.tree[int(column)].label for column in decided] == wanted
        largest = np.abs(head.evaluate(features).logits).max()
        assert np.abs(logits - head.evaluate(features).logits).max() <= TOLERANCE * largest
        assert one.difference <= TOLERANCE


def test_its_labels_can_be_read_without_edgesplit(bundle: Bundle) -> None:
    head = nested(bundle).head()
    model = onnx.load_model_from_string(fused(bundle).data)
    (entry,) = model.metadata_props
    content = json.loads(entry.value)
    assert content["labels"] == [node.label for node in head.tree]
    assert content["parents"] == [node.parent for node in head.tree]
    assert (content["head_digest"], content["feature_space"]) == (head.digest, head.feature_space)


def test_same_bundle_same_bytes(bundle: Bundle) -> None:
    assert fused(bundle).data == fused(bundle).data


@pytest.mark.parametrize("name", ["int8", "ort", "fp16"])
def test_variants_are_fused_as_well(name: str) -> None:
    rng = np.random.default_rng(0)
    head = Head.from_arrays(rng.standard_normal((5, DIM)), np.zeros(5), list("abcde"))
    backbone = {
        "int8": lambda: to_int8(transformer(), clips()).data,
        "ort": lambda: fuse_attention(transformer()).data,
        "fp16": lambda: to_fp16(transformer(), clips()).data,
    }[name]()
    one = fuse_models(backbone, head, clip_shape=CLIP_SHAPE, optimize=name != "fp16")
    assert one.difference <= TOLERANCE


def test_it_is_no_head(bundle: Bundle) -> None:
    with pytest.raises(HeadError, match=r"fused model.*cannot be edited or published"):
        Head.from_bytes(fused(bundle).data)


def test_more_than_one_file_holds_is_refused(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgesplit.backbone.fuse.LARGEST_BYTES", 1000)
    with pytest.raises(ExportError, match="keep two files"):
        fused(bundle)


def test_file_that_answers_otherwise_is_refused(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgesplit.backbone.fuse.TOLERANCE", -1.0)
    with pytest.raises(ExportError, match=r"differ by .* of the largest"):
        fused(bundle)


def test_command_writes_it_once(tmp_path: Path) -> None:
    bundle = unpack_demo(tmp_path / "demo")
    file = tmp_path / "model.onnx"
    said = run("fuse", "-o", str(file), "--bundle", str(bundle.path))
    assert "does not guarantee locality" in said.output
    clip = np.random.default_rng(1).random((2, *bundle.preprocessing.clip_shape), np.float32)
    assert answers(file.read_bytes(), clip)[0].shape == (2, len(bundle.head().tree))
    again = run("fuse", "-o", str(file), "--bundle", str(bundle.path))
    assert again.exit_code == 1
    assert "exists already" in again.stderr
    refused = run("publish", str(file), "--bundle", str(bundle.path))
    assert refused.exit_code == 1
    assert "fused model" in refused.stderr
    content = run_json("fuse", "-o", str(tmp_path / "b.onnx"), "--bundle", str(bundle.path))
    assert content["size_bytes"] == file.stat().st_size
