"""Variants: what is made, compared, kept and removed; and what is refused."""

import errno
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import get_args

import numpy as np
import onnx
import pytest
from filelock import FileLock
from onnx import TensorProto, numpy_helper

from edgesplit._types import Float32, VariantName
from edgesplit.backbone.attention import fuse_attention
from edgesplit.backbone.backends import FunctionBackend, OrtBackend
from edgesplit.backbone.fp16 import to_fp16
from edgesplit.backbone.graph import Rewritten
from edgesplit.backbone.identity import feature_space
from edgesplit.backbone.int8 import to_int8
from edgesplit.bundle.bundle import Bundle
from edgesplit.bundle.create import create_bundle
from edgesplit.cli.render.backends import show_variant
from edgesplit.cli.render.console import console
from edgesplit.demo import unpack_demo
from edgesplit.errors import BackendError, ExportError, VariantError
from edgesplit.heads.head import Head
from edgesplit.runtime import Runtime
from edgesplit.runtime.backends import variants
from edgesplit.runtime.backends.agreement import (
    MIN_CLIPS,
    Agreement,
    Tolerance,
    check_agreement,
    compare_backends,
)
from edgesplit.runtime.backends.artifacts import make_key
from edgesplit.runtime.backends.recipes import RECIPES
from edgesplit.runtime.backends.variants import (
    VARIANTS,
    add_variant,
    check_kernels,
    measure_speed,
    open_variant,
)
from edgesplit.storage.files import Data, Store
from edgesplit.video.preprocessing import Preprocessing
from tests.backbones import CLIP_SHAPE, DIM, Made, clips, convolutions, massive, transformer
from tests.bundles import contents
from tests.commands import run, run_json

MADE: dict[str, Callable[[], bytes]] = {"cnn": convolutions, "vit": transformer}
GOOD = Agreement(cosine=1.0, distance=0.0, logits=0.0, decisions=1.0, n_clips=100)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGESPLIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(variants, "_BLOCK_S", 0.001)  # how fast they are is not tested here


def make_bundle(folder: Path, backbone: bytes) -> Bundle:
    preprocessing = Preprocessing(frames=CLIP_SHAPE[1], height=16, width=16)
    rows = np.random.default_rng(1).standard_normal((5, DIM))
    head = Head.from_arrays(
        rows,
        np.zeros(5),
        ["lifting", "pushing", "pulling", "rolling", "holding"],
        feature_space=feature_space(backbone, preprocessing),
    )
    return create_bundle(folder, backbone=backbone, head=head, preprocessing=preprocessing)


@pytest.fixture
def lab(tmp_path: Path) -> Bundle:
    return make_bundle(tmp_path / "cnn.bundle", convolutions())


# 8 bits


def features(backbone: bytes, given: Float32) -> Float32:
    return OrtBackend(backbone).run(given)


@pytest.mark.parametrize("kind", MADE)
def test_int8_features_agree_to_eight_bits(kind: str) -> None:
    full = MADE[kind]()
    small = to_int8(full, clips()).data
    wanted, got = features(full, clips(20)[8:]), features(small, clips(20)[8:])
    # A rounding is half of 1/255 of a range of some 6 standard deviations: 1 % of the usual value.
    # A handful of layers add up to a few percent of the feature's length.
    apart = np.linalg.norm(got - wanted, axis=1) / np.linalg.norm(wanted, axis=1)
    assert 0 < apart.max() < 0.06
    assert len(small) < len(full)


def types(backbone: bytes) -> dict[str, int]:
    model = onnx.load_model_from_string(backbone)
    return {t.name: t.data_type for t in model.graph.initializer}


def by_output(backbone: bytes) -> dict[str, onnx.NodeProto]:
    nodes = onnx.load_model_from_string(backbone).graph.node
    return {name: node for node in nodes for name in node.output}


@pytest.mark.parametrize("kind", MADE)
def test_layers_read_rounded_weights_and_values_and_nothing_else_does(kind: str) -> None:
    small = to_int8(MADE[kind](), clips()).data
    nodes, weights = by_output(small), types(small)
    rounded = 0
    for node in nodes.values():
        stored = [name for name in node.input[1:] if weights.get(name) == TensorProto.FLOAT]
        if node.op_type in ("Conv", "MatMul", "Gemm"):
            read = [nodes[name].op_type for name in node.input if name in nodes]
            assert not stored, "a layer was left out"
            rounded += read.count("DequantizeLinear") == len(node.input)
        elif node.op_type in ("LayerNormalization", "Softmax", "Erf"):
            read = [nodes[name].op_type for name in node.input if name in nodes]
            assert "DequantizeLinear" not in read
    assert rounded == {"cnn": 2, "vit": 13}[kind]


def test_weights_have_a_step_for_every_channel() -> None:
    small = onnx.load_model_from_string(to_int8(convolutions(), clips()).data)
    kernels = [t for t in small.graph.initializer if t.data_type == TensorProto.INT8 and t.dims]
    for kernel in (numpy_helper.to_array(t) for t in kernels if len(t.dims) == 5):
        assert (np.abs(kernel.astype(int)).max(axis=(1, 2, 3, 4)) == 127).all()


def test_onnx_runtime_hands_on_whole_numbers_between_convolutions(tmp_path: Path) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(
        to_int8(convolutions(), clips()).data, options, providers=["CPUExecutionProvider"]
    )
    kinds = [n.op_type for n in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert kinds.count("QLinearConv") == 2
    assert not {"Conv", "Relu"} & set(kinds)


def test_a_channel_of_zeros_and_a_large_bias_are_survived() -> None:
    made = Made()
    kernel = made.rng.standard_normal((DIM, 3, 4, 16, 16)).astype(np.float32) / 50
    kernel[0] = 0
    bias = np.zeros(DIM, np.float32)
    bias[0] = 3
    value = made.add("Conv", "clip", made.constant(kernel), made.constant(bias))
    full = made.to_bytes(made.add("Flatten", value))
    apart = features(to_int8(full, clips()).data, clips()) - features(full, clips())
    assert np.abs(apart[:, 0]).max() < 0.05
    assert np.abs(apart).max() < 0.2


def test_ranges_come_from_the_clips() -> None:
    dark = to_int8(convolutions(), [clip / 10 for clip in clips()])
    assert dark != to_int8(convolutions(), clips())
    assert dark == to_int8(convolutions(), [clip / 10 for clip in clips()])


def test_what_cannot_be_quantized_is_refused() -> None:
    made = Made()
    pooled = made.add("ReduceMean", "clip", made.constant(np.array([2, 3, 4])), keepdims=0)
    nothing = made.to_bytes(made.add("MatMul", pooled, made.add("Identity", made.weight(3, DIM))))
    with pytest.raises(ExportError, match="opset 18, 0 convolutions and matrix products"):
        to_int8(nothing, clips())
    with pytest.raises(ValueError, match="there are no clips"):
        to_int8(convolutions(), [])


@pytest.mark.parametrize("number", [np.inf, np.nan])
def test_a_value_that_no_step_fits_is_refused_by_name(number: float) -> None:
    given = clips()
    given[2, 0, 0, 0, 0] = number
    with pytest.raises(ExportError, match=r"its value 'clip' ranges from \S+ to (inf|nan) on"):
        to_int8(convolutions(), given)


# Fusions


def test_fused_features_are_the_same() -> None:
    fused = fuse_attention(transformer()).data
    kinds = [node.op_type for node in by_output(fused).values()]
    assert kinds.count("MultiHeadAttention") == 2
    assert "Softmax" not in kinds
    assert fuse_attention(transformer()).data == fused
    wanted, got = features(transformer(), clips()), features(fused, clips())
    np.testing.assert_allclose(got, wanted, atol=1e-5 * float(np.abs(wanted).max()))


def test_a_cnn_has_nothing_to_fuse() -> None:
    with pytest.raises(ExportError, match=r"no attention.*int8 variant"):
        fuse_attention(convolutions())


def masked(model: onnx.ModelProto, softmax: onnx.NodeProto) -> None:
    """Something is added to the scores, as a mask is."""
    mask = numpy_helper.from_array(
        np.full((1, 1, 1, 1), 0.5, np.float32), softmax.output[0] + " mask"
    )
    model.graph.initializer.append(mask)
    result = f"masked {softmax.input[0]}"
    added = onnx.helper.make_node("Add", [softmax.input[0], mask.name], [result])
    softmax.input[0] = result
    model.graph.node.insert(list(model.graph.node).index(softmax), added)


def looked_at(model: onnx.ModelProto, softmax: onnx.NodeProto) -> None:
    """The shares are used by somebody else as well."""
    model.graph.output.append(
        onnx.helper.make_tensor_value_info(softmax.output[0], TensorProto.FLOAT, None)
    )


@pytest.mark.parametrize("change", [masked, looked_at])
def test_attention_that_is_more_than_attention_is_left_alone(
    change: Callable[[onnx.ModelProto, onnx.NodeProto], None],
) -> None:
    model = onnx.load_model_from_string(transformer())
    for node in list(model.graph.node):
        if node.op_type == "Softmax":
            change(model, node)
    with pytest.raises(ExportError, match="no attention"):
        fuse_attention(model.SerializeToString())


# The comparison

BELOW: dict[str, Callable[[Tolerance], Agreement]] = {
    "cosine": lambda limits: replace(GOOD, cosine=limits.cosine - 1e-6),
    "logits": lambda limits: replace(GOOD, logits=limits.logits + 1e-6),
    "decisions": lambda limits: replace(GOOD, decisions=limits.decisions - 1e-6),
    "not a number": lambda limits: replace(GOOD, cosine=float("nan")),
}


@pytest.mark.parametrize("name", get_args(VariantName))
@pytest.mark.parametrize("figure", BELOW)
def test_each_figure_alone_can_refuse(name: VariantName, figure: str) -> None:
    limits = RECIPES[name].tolerance
    good = replace(GOOD, cosine=limits.cosine, logits=limits.logits, decisions=0.99)
    check_agreement(good, limits, f"{name} variant", VariantError)
    with pytest.raises(VariantError, match=f"at least {limits.cosine}.*(fp32|fp16)"):
        check_agreement(BELOW[figure](limits), limits, f"{name} variant", VariantError)


def test_slow_is_no_reason_to_refuse(lab: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variants, "measure_speed", lambda *given: 0.1)
    assert add_variant(lab, "int8", clips=clips(12)).artifact.speed == 0.1


def test_comparison_counts_what_it_says() -> None:
    head = Head.from_arrays(np.eye(2), np.zeros(2), ["left", "right"])
    given = np.array([[3, 0], [0, 4], [2, 1]], np.float32)
    changed = np.array([[3, 0], [0, 4], [1, 2]], np.float32)
    agreement = compare_backends(
        FunctionBackend(lambda batch: given[batch[:, 0].astype(int)]),
        FunctionBackend(lambda batch: changed[batch[:, 0].astype(int)]),
        head=head,
        clips=[np.full(1, number, np.float32) for number in range(3)],
    )
    assert agreement.decisions == pytest.approx(2 / 3)
    assert agreement.cosine == pytest.approx(4 / 5)  # (2, 1) and (1, 2)
    assert agreement.distance == pytest.approx((2 / 5) ** 0.5)
    assert agreement.logits == pytest.approx(1 / 4)
    assert agreement.n_clips == 3


def test_speed_is_how_many_times_as_fast() -> None:
    def spin(times: int) -> FunctionBackend:
        return FunctionBackend(lambda batch: np.stack([np.sort(batch) for _ in range(times)]))

    clip = np.random.default_rng(0).random(3000, np.float32)
    speed = measure_speed(spin(32), spin(4), clip)
    assert 3 < speed < 20  # 8, were it not for calls and a busy machine


# Adding


@pytest.mark.parametrize("name", ["fp16", "int8"])
def test_a_variant_is_kept_and_runs_the_live_head(lab: Bundle, name: VariantName) -> None:
    before = contents(lab.path)
    added = add_variant(lab, name, clips=clips(12))
    assert added.new
    assert VARIANTS.list() == (added.artifact,)
    assert added.artifact.feature_space == lab.feature_space
    calibrated, judged = (6, 6) if name == "int8" else (12, 12)
    assert added.artifact.n_calibrated == calibrated
    assert added.artifact.agreement.n_clips == judged
    assert added.artifact.speed > 0
    assert contents(lab.path) == before
    with Runtime(lab) as full, Runtime(lab, backend=open_variant(lab, name)) as small:
        clip = clips(13)[12]
        assert (full.extract(clip) != small.extract(clip)).any(), "it ran fp32"
        assert full.predict(clip).label == small.predict(clip).label


def test_an_edit_asks_for_no_new_variant(lab: Bundle) -> None:
    added = add_variant(lab, "int8", clips=clips(12))
    lab.publish(lab.rename_class("pushing", "shoving"))
    again = add_variant(lab, "int8", clips=())
    assert (again.new, again.artifact) == (False, added.artifact)


def test_rebuild_makes_it_anew_from_other_clips(lab: Bundle) -> None:
    first = add_variant(lab, "int8", clips=clips(12)).artifact
    second = add_variant(lab, "int8", clips=clips(20), rebuild=True)
    assert second.new
    assert (second.artifact.key, second.artifact.n_calibrated) == (first.key, 10)
    assert second.artifact.digest != first.digest
    assert VARIANTS.list() == (second.artifact,)


def test_what_float16_cannot_hold_stays_in_float32_and_is_told(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "massive.bundle", massive(199_000))
    added = add_variant(bundle, "fp16", clips=clips(12))
    ranges = added.artifact.ranges
    assert ranges is not None
    assert (ranges.n_kept, 190_000 < ranges.largest < 220_000) == (2, True)
    assert VARIANTS.list() == (added.artifact,)
    (listed,) = run_json("variant", "list")
    assert listed["ranges"] == asdict(ranges)
    with (out := console()).capture() as shown:
        show_variant(out, added)
    words = " ".join(shown.get().split())
    assert f"2 of {ranges.n_operators} operators stay in fp32 because of the range" in words
    assert f"largest value {ranges.largest:.3g} in {ranges.value}" in words
    assert f"2, {ranges.largest:.3g} in {ranges.value}" in run("variant", "list").stdout


def test_fp16_is_judged_as_float16_computes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def blind(backbone: bytes, given: Iterable[Float32]) -> Rewritten:
        return to_fp16(backbone, [np.zeros_like(clip) for clip in given])

    bundle = make_bundle(tmp_path / "massive.bundle", massive(199_000))
    monkeypatch.setitem(RECIPES, "fp16", replace(RECIPES["fp16"], rewrite=blind))
    with pytest.raises(VariantError, match=r"fp16 variant does not agree .* cosine nan.*Use fp32"):
        add_variant(bundle, "fp16", clips=clips(12))
    assert VARIANTS.list() == ()


@pytest.mark.parametrize(("name", "last"), [("fp16", 3), ("int8", 2)])
def test_variants_of_earlier_versions_are_not_found(
    lab: Bundle, name: VariantName, last: int
) -> None:
    variant = add_variant(lab, name, clips=clips(12)).artifact
    assert VARIANTS.find(variant.key) == variant
    assert variant.key not in {make_key(lab.feature_space, name, old) for old in range(last + 1)}


def test_a_variant_of_another_backbone_is_another_variant(lab: Bundle, tmp_path: Path) -> None:
    other = make_bundle(tmp_path / "vit.bundle", transformer())
    add_variant(lab, "fp16", clips=clips(12))
    with pytest.raises(VariantError, match=r"no fp16 variant .*vit.bundle.*variant add fp16"):
        open_variant(other, "fp16")


def test_too_few_clips_are_refused_with_the_number(lab: Bundle) -> None:
    with pytest.raises(VariantError, match=f"9 clips are too few: .* at least {MIN_CLIPS}"):
        add_variant(lab, "int8", clips=clips(9))
    # Some releases of filelock leave the lock file, others remove it.
    assert {file.suffix for file in VARIANTS.folder.iterdir()} <= {".lock"}


@pytest.mark.parametrize(("wrong", "passes"), [(0.0, True), (0.003, True), (0.02, False)])
def test_kernels_that_compute_something_else_are_refused(wrong: float, passes: bool) -> None:
    def features(clips: Float32) -> Float32:
        return np.tile(np.array([1.0, 0.0, 0.0, 0.0], np.float32), (len(clips), 1))

    def others(clips: Float32) -> Float32:
        return features(clips) + np.array([0.0, wrong, wrong, 0.0], np.float32)

    backend, plain = FunctionBackend(others), FunctionBackend(features)
    if passes:
        check_kernels(backend, plain, clips(1)[0])
    else:
        with pytest.raises(VariantError, match=r"8 bits wrongly .* 0\.99960 .*Update ONNX Runtime"):
            check_kernels(backend, plain, clips(1)[0])


def test_an_int8_file_is_checked_by_its_float32_kernels(
    lab: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(variants, "check_kernels", lambda *given: asked.append(given))
    add_variant(lab, "int8", clips=clips(12))
    ((backend, plain, clip),) = asked
    assert backend is not plain
    np.testing.assert_allclose(backend.run(clip[None]), plain.run(clip[None]), atol=1e-2)


def test_int8_is_never_judged_on_clips_that_calibrated_it(
    lab: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    calibrated: list[Float32] = []

    def watch(backbone: bytes, given: Iterable[Float32]) -> Rewritten:
        calibrated.extend(given)
        return to_int8(backbone, calibrated)

    judged: list[Float32] = []
    own_run = OrtBackend.run

    def run_and_note(backend: OrtBackend, batch: Float32) -> Float32:
        judged.extend(batch)
        return own_run(backend, batch)

    monkeypatch.setitem(RECIPES, "int8", replace(RECIPES["int8"], rewrite=watch))
    monkeypatch.setattr(OrtBackend, "run", run_and_note)
    add_variant(lab, "int8", clips=clips(11))
    seen = {clip.tobytes() for clip in judged}
    assert len(calibrated) == 6
    assert len(seen) == 5
    assert not seen & {clip.tobytes() for clip in calibrated}


def test_below_the_bar_nothing_is_kept_and_the_old_one_stays(
    lab: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = add_variant(lab, "int8", clips=clips(12)).artifact
    before = contents(VARIANTS.folder)

    def coarse(backbone: bytes, given: Iterable[Float32]) -> Rewritten:
        return to_int8(
            backbone, [clip / np.float32(50) for clip in given]
        )  # ranges of all but black clips

    monkeypatch.setitem(RECIPES, "int8", replace(RECIPES["int8"], rewrite=coarse))
    with pytest.raises(VariantError, match=r"discarded: on 6 clips .*at most 0\.1.*more clips"):
        add_variant(lab, "int8", clips=clips(12), rebuild=True)
    assert VARIANTS.list() == (kept,)
    assert {k: v for k, v in contents(VARIANTS.folder).items() if "lock" not in k} == {
        k: v for k, v in before.items() if "lock" not in k
    }


def test_a_making_that_is_under_way_is_not_repeated(lab: Bundle) -> None:
    key = add_variant(lab, "fp16", clips=clips(12)).artifact.key
    with (
        FileLock(VARIANTS.folder / f".{key}.lock"),
        pytest.raises(VariantError, match="Another process is making this variant"),
    ):
        add_variant(lab, "fp16", clips=clips(12), rebuild=True)


def test_a_crash_before_the_description_leaves_no_variant(lab: Bundle) -> None:
    key = add_variant(lab, "fp16", clips=clips(12)).artifact.key
    (VARIANTS.folder / f"{key}.json").unlink()
    assert VARIANTS.list() == ()
    with pytest.raises(VariantError, match="There is no fp16 variant"):
        open_variant(lab, "fp16")
    assert add_variant(lab, "fp16", clips=clips(12)).new


@pytest.mark.parametrize("field", ["feature_space", "digest"])
def test_a_description_with_a_digest_that_is_none_is_no_variant(lab: Bundle, field: str) -> None:
    key = add_variant(lab, "fp16", clips=clips(12)).artifact.key
    file = VARIANTS.folder / f"{key}.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), field: "../../elsewhere"}))
    assert VARIANTS.list() == ()
    with pytest.raises(VariantError, match="There is no fp16 variant"):
        open_variant(lab, "fp16")


def test_a_damaged_file_is_never_run(lab: Bundle) -> None:
    key = add_variant(lab, "fp16", clips=clips(12)).artifact.key
    (file,) = VARIANTS.folder.glob(f"{key}.*.onnx")
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    file.write_bytes(damaged)
    with pytest.raises(VariantError, match=r"is damaged\. Make it again.*--rebuild"):
        open_variant(lab, "fp16")


def test_a_cache_that_cannot_be_written_says_what_to_set(
    lab: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGESPLIT_CACHE", str(tmp_path / "file"))
    with pytest.raises(VariantError, match=r"Cannot write to .*Set EDGESPLIT_CACHE"):
        add_variant(lab, "fp16", clips=clips(12))


@pytest.mark.parametrize("last_write", [0, 1], ids=["file", "description"])
def test_a_disk_that_fills_while_a_variant_is_made_again_keeps_the_old_one(
    lab: Bundle, monkeypatch: pytest.MonkeyPatch, last_write: int
) -> None:
    before = add_variant(lab, "int8", clips=clips(12)).artifact
    replace_file, calls = Store.replace_file, itertools.count()

    def full(store: Store, path: Path, data: Data) -> None:
        if path.is_relative_to(VARIANTS.folder) and next(calls) == last_write:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace_file(store, path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "replace_file", full)
        with pytest.raises(VariantError, match="No space left"):
            add_variant(lab, "int8", clips=clips(24), rebuild=True)
    assert VARIANTS.list() == (before,)
    open_variant(lab, "int8").close()


def test_a_variant_that_is_made_again_leaves_one_file(lab: Bundle) -> None:
    add_variant(lab, "int8", clips=clips(12))
    add_variant(lab, "int8", clips=clips(24), rebuild=True)
    assert len([*VARIANTS.folder.glob("*.onnx")]) == 1


def test_removing_one_or_all(lab: Bundle) -> None:
    names: tuple[VariantName, ...] = ("fp16", "int8")
    keys = {name: add_variant(lab, name, clips=clips(12)).artifact.key for name in names}
    with pytest.raises(VariantError, match="No variant starts with 'xyz'"):
        VARIANTS.remove("xyz")
    assert VARIANTS.remove(keys["fp16"][:6]) == (keys["fp16"],)
    assert [variant.name for variant in VARIANTS.list()] == ["int8"]
    assert VARIANTS.remove() == (keys["int8"],)
    assert not [*VARIANTS.folder.glob("*.*x"), *VARIANTS.folder.glob("*.json")]


def test_a_closed_variant_says_so(lab: Bundle) -> None:
    add_variant(lab, "fp16", clips=clips(12))
    backend = open_variant(lab, "fp16")
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.run(clips(1))


# The command line


def test_commands_add_list_use_and_remove(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unpack_demo(tmp_path)
    monkeypatch.chdir(tmp_path)
    made = run("variant", "add", "int8", "--clips", "clips")
    if "computes 8 bits wrongly" in made.stderr:
        pytest.skip(made.stderr)
    assert made.exit_code == 0, made.output
    assert "against fp32 on 6 clips, calibrated on 6 others: same decision on" in made.stdout
    assert "as fast as fp32 on this machine" in made.stdout
    assert "exists already" in run("variant", "add", "int8", "--clips", "clips").stdout
    (listed,) = run_json("variant", "list")
    assert (listed["name"], listed["agreement"]["n_clips"]) == ("int8", 6)
    video = "clips/pulling-something-left-1.mp4"
    full, small = (
        json.loads(run("predict", video, "--json", *option).stdout)
        for option in ((), ("--variant", "int8"))
    )
    assert small["label"] == full["label"] == "pulling something left"
    assert small["score"] != full["score"]
    assert run_json("variant", "rm", "--all") == {"removed": [listed["key"]]}
    assert "the cache has no variant" in run("variant", "list").stdout
    missing = run("predict", video, "--variant", "int8")
    assert missing.exit_code == 1
    assert "variant add int8 --clips FOLDER" in missing.stderr


def test_slower_is_said(lab: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variants, "measure_speed", lambda *given: 0.8)
    added = add_variant(lab, "int8", clips=clips(12))
    out = console()
    with out.capture() as shown:
        show_variant(out, added)
    assert "int8 is 0.80 x as fast as fp32 on this machine: slower" in shown.get()
    assert "0.80 x" in run("variant", "list").stdout


def test_every_variant_can_be_made() -> None:
    assert get_args(VariantName) == tuple(RECIPES)


def test_variants_run_without_torch(lab: Bundle, tmp_path: Path) -> None:
    np.save(tmp_path / "clips.npy", clips(12))
    code = (
        "import sys; sys.modules.update(torch=None, transformers=None, scipy=None)\n"
        "import numpy as np; from edgesplit import open_bundle\n"
        "from edgesplit.runtime.backends import variants; variants._BLOCK_S = 0.001\n"
        "from edgesplit.runtime import add_variant, open_variant\n"
        f"bundle = open_bundle({str(lab.path)!r})\n"
        f"clips = np.load({str(tmp_path / 'clips.npy')!r})\n"
        "print(add_variant(bundle, 'int8', clips=clips).new, open_variant(bundle, 'int8'))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.startswith("True")
