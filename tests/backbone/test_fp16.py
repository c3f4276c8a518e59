"""The half-precision backbone: float16 where it may be, float32 where it must; same features."""

import hashlib
import re
from collections.abc import Callable, Iterable
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import edgesplit
from edgesplit import open_bundle, read_clip
from edgesplit.backbone.fp16 import HIGHEST, round_halves
from edgesplit.backbone.fp16 import to_fp16 as to_fp16_on
from edgesplit.backbone.graph import RangeReport, Rewritten
from edgesplit.backbone.ranges import measure_ranges
from edgesplit.backbone.session import open_session
from edgesplit.errors import ExportError
from edgesplit.runtime.backends.engines import _make_clips
from tests.backbones import (
    CLIP_SHAPE,
    DIM,
    Made,
    clips,
    convolutions,
    massive,
    quantized,
    transformer,
)

DEMO = Path(edgesplit.__file__).parent / "assets" / "demo" / "motion.bundle"
MADE = {
    "cnn": convolutions,
    "vit": transformer,
    "vit taken apart": lambda: transformer(taken_apart=True),
}

Floats = npt.NDArray[np.float32]


def to_fp16(backbone: bytes) -> bytes:
    return to_fp16_on(backbone, clips()).data


def ranges_of(half: Rewritten) -> RangeReport:
    assert half.ranges is not None
    return half.ranges


def run(backbone: bytes, given: Floats) -> Floats:
    features: Floats = open_session(backbone, optimize=False).run(["features"], {"clip": given})[0]
    return features


def distance(half: bytes, full: bytes, given: Floats) -> float:
    """How far the features are apart, relative to their length; the worst clip."""
    got, wanted = run(half, given), run(full, given)
    assert got.dtype == np.float32
    apart = np.linalg.norm(got - wanted, axis=1) / np.linalg.norm(wanted, axis=1)
    return float(apart.max())


def types(model: onnx.ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    entries = (*graph.input, *graph.value_info, *graph.output)
    found = {entry.name: entry.type.tensor_type.elem_type for entry in entries}
    return found | {tensor.name: tensor.data_type for tensor in graph.initializer}


def sums_in_half_precision(cpuinfo: str) -> bool:
    """Whether ONNX Runtime's CPU kernels add up in float16, and do not cast to float32 first."""
    features = {word for line in re.findall("^Features.*", cpuinfo, re.M) for word in line.split()}
    return {"fphp", "asimdhp"} <= features


CPUINFO = Path("/proc/cpuinfo")
# Seen up to 3.6e-3 for the transformer and 3.5e-3 for the demo's CNN, against 1.2e-3 and 4e-4.
HALF_SUMS = 5 if CPUINFO.is_file() and sums_in_half_precision(CPUINFO.read_text()) else 1


@pytest.mark.parametrize(
    ("cpuinfo", "does"),
    [
        ("processor\t: 0\nFeatures\t: fp asimd fphp asimdhp asimddp\nCPU part\t: 0xd42\n", True),
        ("processor\t: 0\nFeatures\t: fp asimd evtstrm aes\nCPU part\t: 0xd08\n", False),
        ("processor\t: 0\nflags\t\t: fpu avx512_fp16\n", False),
    ],
    ids=["Orin", "Cortex-A72", "x86"],
)
def test_cores_that_sum_in_half_precision_are_known_by_their_features(
    cpuinfo: str, does: bool
) -> None:
    assert sums_in_half_precision(cpuinfo) == does


# float16 has 11 bits: a rounding is 5e-4 at most, and roundings of one path partly cancel.
@pytest.mark.parametrize("kind", MADE)
def test_features_agree_to_half_precision(kind: str) -> None:
    full = MADE[kind]()
    half = to_fp16(full)
    assert distance(half, full, clips()) < 2e-3 * HALF_SUMS
    assert len(half) < 0.6 * len(full)


def test_demo_backbone_agrees_to_half_precision() -> None:
    full = (DEMO / "backbone.onnx").read_bytes()
    given = np.random.default_rng(0).random((4, 3, 8, 40, 40), np.float32)
    assert distance(to_fp16_on(full, given).data, full, given) < 1e-3 * HALF_SUMS


@pytest.mark.parametrize("kind", MADE)
def test_what_reduces_stays_in_float32_and_the_rest_does_not(kind: str) -> None:
    model = onnx.load_model_from_string(to_fp16(MADE[kind]()))
    found = types(model)
    computed: dict[str, set[int]] = {}
    for node in model.graph.node:
        if node.op_type != "Cast":
            computed.setdefault(node.op_type, set()).add(found[node.output[0]])
    kept = {"LayerNormalization", "Softmax", "ReduceMean", "ReduceMax", "ReduceSum"}
    for op_type in computed.keys() & (kept | {"Pow", "Exp", "Sqrt"}):
        assert computed[op_type] == {TensorProto.FLOAT}, op_type
    for op_type in computed.keys() & {"Conv", "MatMul", "Relu", "Erf", "Transpose", "Reshape"}:
        assert computed[op_type] == {TensorProto.FLOAT16}, op_type


def test_clips_and_features_stay_float32_and_the_graph_carries_no_weight_twice() -> None:
    model = onnx.load_model_from_string(to_fp16(transformer()))
    (given,), (made,) = model.graph.input, model.graph.output
    assert (given.name, made.name) == ("clip", "features")
    assert {e.type.tensor_type.elem_type for e in (given, made)} == {TensorProto.FLOAT}
    names = [tensor.name for tensor in model.graph.initializer]
    assert len(names) == len({name.removesuffix("_fp16") for name in names})


def test_the_same_backbone_gives_the_same_bytes() -> None:
    assert to_fp16(transformer()) == to_fp16(transformer())


def test_values_named_like_the_new_ones_are_not_mixed_up() -> None:
    model = onnx.load_model_from_string(convolutions())
    for node in model.graph.node:
        node.input[:] = [f"{n}_fp16" if n.startswith("v") else n for n in node.input]
        node.output[:] = [f"{n}_fp16" if n.startswith("v") else n for n in node.output]
    full = model.SerializeToString()
    assert distance(to_fp16(full), full, clips()) < 2e-3


def pooled(add: Callable[[Made, str], str]) -> bytes:
    """The mean colour over the clip, made `DIM` features by a matrix, with `add` before it."""
    made = Made()
    mean = made.add("ReduceMean", "clip", made.constant(np.array([2, 3, 4], np.int64)), keepdims=0)
    return made.to_bytes(made.add("Relu", made.linear(add(made, mean), 3, DIM)))


@pytest.mark.parametrize(
    "weight",
    [np.float32(1e-12), np.array([1e6, 2.0, -3.0], np.float32)],
    ids=["vanishes", "overflows"],
)
def test_weights_that_float16_cannot_hold_keep_their_operator_in_float32(weight: Floats) -> None:
    full = pooled(lambda made, value: made.add("Div", value, made.constant(weight)))
    model = onnx.load_model_from_string(to_fp16(full))
    found = types(model)
    (division,) = [node for node in model.graph.node if node.op_type == "Div"]
    assert {found[name] for name in (*division.input, *division.output)} == {TensorProto.FLOAT}


def test_an_infinite_mask_is_no_overflow() -> None:
    mask = np.array([0, -np.inf, 0], np.float32)
    full = pooled(lambda made, v: made.add("Softmax", made.add("Add", v, made.constant(mask))))
    assert distance(to_fp16(full), full, clips()) < 2e-3


def test_constant_nodes_are_weights() -> None:
    def scaled(made: Made, value: str) -> str:
        made.nodes += [
            helper.make_node(
                "Constant", [], ["a"], value=numpy_helper.from_array(np.array([2], np.float32))
            ),
            helper.make_node("Constant", [], ["b"], value_float=0.5),
            helper.make_node("Constant", [], ["c"], value_floats=[1.0, 2.0, 3.0]),
        ]
        for name in "abc":
            value = made.add("Mul", value, name)
        return value

    full = pooled(scaled)
    half = to_fp16(full)
    assert distance(half, full, clips()) < 2e-3
    assert b"Constant" not in half


def test_a_resize_keeps_the_scales_that_onnx_wants_in_float32() -> None:
    def resized(made: Made, value: str) -> str:
        scales = made.constant(np.array([1, 1, 2], np.float32))
        cube = made.reshape(value, 0, 1, 3)
        wide = made.add("Resize", cube, "", scales, mode="nearest")
        return made.add("ReduceMax", made.reshape(wide, 0, 3, 2), made.constant([2]), keepdims=0)

    full = pooled(resized)
    assert distance(to_fp16(full), full, clips()) < 2e-3


def test_quantized_backbones_can_be_halved_around_their_integers() -> None:
    full = quantized(convolutions())
    half = to_fp16(full)
    assert distance(half, full, clips()) < 2e-2  # a value on a rounding edge moves a whole step
    found = types(onnx.load_model_from_string(half))
    assert TensorProto.INT8 in found.values()


# The range of values


def computed_as_written(half: bytes, given: Floats) -> Floats:
    """Features by ONNX's reference evaluator, which computes float16 in float16."""
    with np.errstate(all="ignore"):
        (features,) = ReferenceEvaluator(onnx.load_model_from_string(half)).run(
            None, {"clip": given}
        )
    return np.asarray(features, np.float32)


def test_a_channel_beyond_float16_stays_in_float32_and_features_are_close() -> None:
    full = massive(199_000)
    half = to_fp16_on(full, clips())
    wanted, got = run(full, clips()), computed_as_written(half.data, clips())
    apart = np.linalg.norm(got - wanted, axis=1) / np.linalg.norm(wanted, axis=1)
    assert apart.max() < 2e-3
    assert ranges_of(half).n_kept == 2  # the product with 200, and the sum
    assert 190_000 < ranges_of(half).largest < 220_000
    found = types(onnx.load_model_from_string(half.data))
    assert found[ranges_of(half).value] == TensorProto.FLOAT
    assert to_fp16_on(full, clips()) == half


def test_a_channel_that_other_clips_may_push_out_of_range_stays_in_float32_too() -> None:
    sizes = (0.9 * HIGHEST, 1.1 * HIGHEST)
    kept = [ranges_of(to_fp16_on(massive(size), clips())).n_kept for size in sizes]
    assert kept == [0, 2]
    dim = to_fp16_on(massive(3.5 * HIGHEST), [clip / 4 for clip in clips()])
    assert ranges_of(dim).n_kept == 0
    assert np.isfinite(computed_as_written(dim.data, clips())).all()


def test_the_margin_covers_clips_that_were_not_measured() -> None:
    bundle = open_bundle(DEMO)
    model = onnx.load(DEMO / "backbone.onnx")
    videos = sorted((DEMO.parent / "clips").glob("*.mp4"))
    names = [node.output[0] for node in model.graph.node]

    def reached(clips: Iterable[Floats]) -> Floats:
        ranges = measure_ranges(model, names, clips)
        return np.array([np.abs(ranges[name]).max() for name in names], np.float32)

    given = np.stack([reached([read_clip(video, bundle.preprocessing)]) for video in videos])
    unseen = [
        given[[first, second]].max(axis=0) / np.delete(given, [first, second], axis=0).max(axis=0)
        for first, second in combinations(range(len(videos)), 2)
    ]
    assert np.max(unseen) < 2
    made = reached(_make_clips(8, bundle.preprocessing.clip_shape))
    assert (given.max(axis=0) / made).max() < 3
    assert 65_504 / HIGHEST >= 4


def test_values_too_small_for_float16_stay_in_float32() -> None:
    def scaled(made: Made, value: str) -> str:
        value = made.add("Relu", value)  # arithmetic on a mean would stay in float32 anyway
        for scale in (1e-4, 1e-4, 1e4, 1e4):  # each of them fits
            value = made.add("Mul", value, made.constant(np.float32(scale)))
        return value

    full = pooled(scaled)
    half = to_fp16_on(full, clips())
    assert ranges_of(half).n_kept == 4
    apart = computed_as_written(half.data, clips()) - run(full, clips())
    assert np.abs(apart).max() < 2e-3 * np.abs(run(full, clips())).max()


@pytest.mark.parametrize(
    ("kind", "digest"), [("cnn", "5554a6e42f3de739"), ("vit", "ca1fd98972c99d44")]
)
def test_values_that_fit_change_nothing(kind: str, digest: str) -> None:
    # The file that was made before ranges were measured.
    half = to_fp16_on(MADE[kind](), clips())
    assert hashlib.sha256(half.data).hexdigest().startswith(digest)
    assert ranges_of(half).n_kept == 0


def test_infinite_numbers_do_not_count() -> None:
    mask = np.array([0, -np.inf, 0], np.float32)
    full = pooled(lambda made, v: made.add("Relu", made.add("Add", v, made.constant(mask))))
    ranges = ranges_of(to_fp16_on(full, clips()))
    assert (ranges.n_kept, ranges.largest < 10) == (0, True)


def test_not_a_number_stays_in_float32() -> None:
    zero = np.zeros(3, np.float32)

    def replaced(made: Made, value: str) -> str:
        nothing = made.add("Div", made.add("Mul", value, made.constant(zero)), made.constant(zero))
        return made.add("Where", made.add("IsNaN", nothing), value, nothing)

    full = pooled(replaced)
    half = to_fp16_on(full, clips())
    assert ranges_of(half).n_kept == 2  # IsNaN and Where
    assert distance(half.data, full, clips()) < 2e-3


def test_a_backbones_own_float16_that_overflows_is_refused_by_name() -> None:
    def squared(made: Made, value: str, scale: float) -> str:
        half = made.add("Cast", value, to=TensorProto.FLOAT16)
        weight = made.constant(np.full(3, scale, np.float16))
        return made.add("Cast", made.add("Mul", half, weight), to=TensorProto.FLOAT)

    small = to_fp16_on(pooled(lambda made, value: squared(made, value, 100)), clips())
    assert ranges_of(small).n_kept == 0
    full = pooled(
        lambda made, value: squared(
            made, made.add("Mul", value, made.constant(np.float32(10))), 60_000
        )
    )
    with pytest.raises(ExportError, match=r"computes 'v3' in float16, .* reaches 3\.\d+e"):
        to_fp16_on(full, clips())


def test_no_clips_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="there are no clips"):
        to_fp16_on(convolutions(), [])


def test_rounding_shows_the_overflow_that_cpu_kernels_hide() -> None:
    black = [np.zeros(CLIP_SHAPE, np.float32)]
    half = to_fp16_on(massive(199_000), black)
    assert ranges_of(half).n_kept == 0
    assert np.isfinite(run(half.data, clips())).all()
    assert not np.isfinite(computed_as_written(half.data, clips())).any()
    assert not np.isfinite(run(round_halves(half.data), clips())).any()


@pytest.mark.parametrize("kind", MADE)
def test_rounded_features_are_those_of_the_reference_evaluator(kind: str) -> None:
    half = to_fp16(MADE[kind]())
    wanted = computed_as_written(half, clips())
    apart = np.abs(run(round_halves(half), clips()) - wanted).max()
    assert apart < 2e-3 * HALF_SUMS * np.abs(wanted).max()  # numpy sums in float32


def test_control_flow_is_refused() -> None:
    branch = helper.make_graph(
        [helper.make_node("Identity", ["clip"], ["x"])],
        "branch",
        [],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)],
    )
    model = onnx.load_model_from_string(convolutions())
    model.graph.node.append(
        helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    )
    with pytest.raises(ExportError, match="control flow, so it cannot be rewritten"):
        to_fp16(model.SerializeToString())
