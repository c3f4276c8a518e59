"""What a stranger's file may ask for: each limit holds, and what lies within it is read."""

import io
import os
import resource
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper

from edgesplit import limits
from edgesplit._data import load_arrays
from edgesplit.backbone.session import open_session
from edgesplit.bundle.bundle import Bundle, open_bundle
from edgesplit.bundle.videos import read_features
from edgesplit.errors import BackendError, BundleError, ClipError, FeatureSpaceError
from edgesplit.heads.statistics import Statistics
from edgesplit.storage.files import read_bytes, read_regular
from edgesplit.video.preprocessing import Preprocessing
from tests.bundles import head_file

GROWTH_KIB = 200 * 1024


@pytest.fixture
def bounded() -> Any:
    """Fails if the process takes more than `GROWTH_KIB` during the test."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < GROWTH_KIB


def sparse(path: Path, size: int) -> None:
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        file.truncate(size)


@pytest.mark.parametrize("read", [read_bytes, read_regular])
def test_a_file_is_read_up_to_its_limit(tmp_path: Path, read: Callable[..., bytes]) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 100)
    assert read(file, 100) == b"x" * 100
    with pytest.raises(BundleError, match="more than 99 bytes, the most that is read"):
        read(file, 99)


def test_a_pipe_that_never_ends_is_read_up_to_the_limit(bounded: None) -> None:
    with pytest.raises(BundleError, match="more than 1,000 bytes"):
        read_bytes(Path("/dev/zero"), 1000)


def read_all(path: Path) -> None:
    opened = open_bundle(path)
    opened.head()
    opened.history()
    _ = opened.statistics
    opened._packaged_encoder.encode(["left"])


@pytest.mark.parametrize("name", ["HEAD", "log.jsonl", "bundle.json", "stats.npz", "texts.npz"])
def test_a_huge_file_in_a_bundle_takes_no_memory(bundle: Bundle, name: str, bounded: None) -> None:
    sparse(bundle.path / name, 2**32)
    with pytest.raises(BundleError, match=rf"{name} has more than [\d,]+ bytes"):
        read_all(bundle.path)


def test_a_huge_head_is_refused(bundle: Bundle, bounded: None) -> None:
    sparse(head_file(bundle, bundle.live), limits.HEAD_BYTES + 1)
    with pytest.raises(BundleError, match=r"onnx has more than 268,435,456 bytes"):
        open_bundle(bundle.path).head()


def test_a_device_in_place_of_head_is_refused(bundle: Bundle, bounded: None) -> None:
    (bundle.path / "HEAD").unlink()
    (bundle.path / "HEAD").symlink_to("/dev/zero")
    with pytest.raises(BundleError, match="HEAD"):
        open_bundle(bundle.path).head()


def packed(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def test_arrays_that_unpack_to_too_much_are_refused(tmp_path: Path, bundle: Bundle) -> None:
    data = packed(features=np.zeros((1000, 1000)))
    assert load_arrays(data, "features", limit=8_000_000)["features"].shape == (1000, 1000)
    with pytest.raises(ValueError, match=r"take 8,000,000 bytes, over 7,999,999"):
        load_arrays(data, "features", limit=7_999_999)
    # What a small type takes once it is cast.
    with pytest.raises(ValueError, match=r"take 4,000,000 bytes"):
        load_arrays(packed(features=np.zeros((1000, 1000), np.int8)), "features", limit=3_999_999)
    file = tmp_path / "features.npz"
    file.write_bytes(packed(features=np.zeros((1, 8))))
    with pytest.raises(ClipError, match="not a file of saved features"):
        read_features(file, bundle)


def headed(descr: str, shape: str) -> bytes:
    """An npy file of a header alone."""
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (63 - (10 + len(header)) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


@pytest.mark.parametrize(
    ("descr", "shape"),
    [
        ("<U0", "(1099511627776,)"),
        ("|V0", "(1099511627776,)"),
        ("<f4", "(1099511627776, 1099511627776)"),
        ("<f4", "(-1, 5)"),
        ("<c8", "(2,)"),
        ("|O", "(2,)"),
        ("<U1", "(4194304,)"),
        ("<f4", "(1,) * 9"),
    ],
)
def test_a_header_that_asks_for_much_is_refused(descr: str, shape: str, bounded: None) -> None:
    data = headed(descr, shape.replace("(1,) * 9", "(1, 1, 1, 1, 1, 1, 1, 1, 1)"))
    with pytest.raises(ValueError, match=r".+"):
        load_arrays(data)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("labels.npy", data)
    with pytest.raises(ValueError, match=r".+"):
        load_arrays(buffer.getvalue(), "labels")


def test_arrays_are_read_as_numpy_reads_them() -> None:
    rng = np.random.default_rng(0)
    arrays: dict[str, npt.NDArray[Any]] = {
        "a": rng.standard_normal((3, 4)),
        "b": np.asfortranarray(rng.standard_normal((3, 4)).astype(np.float16)),
        "c": rng.integers(9, size=5).astype(">i4"),
        "d": np.array(["left", "récht", ""]),
        "e": np.array("text"),
        "f": np.zeros((0, 7), np.float32),
    }
    found = load_arrays(packed(**arrays), *arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def test_a_letter_that_does_not_exist_is_refused() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("labels.npy", headed("<U1", "(1,)") + b"\xff" * 4)
    with pytest.raises(ValueError, match=r".+"):
        load_arrays(buffer.getvalue(), "labels")


@pytest.mark.parametrize("name", ["a.npy", "b.npz"])
def test_a_pipe_among_shots_is_refused_at_once(bundle: Bundle, tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(ClipError, match="not a regular file"):
        read_features(tmp_path / name, bundle)


# Preprocessing

LARGEST = {"frames": 1, "height": limits.FRAME_SIDE, "width": limits.FRAME_SIDE}


def test_a_clip_at_the_limits_is_accepted() -> None:
    Preprocessing(**LARGEST, resize=limits.FRAME_SIDE, stride=limits.STRIDE)  # type: ignore[arg-type]
    Preprocessing(limits.FRAMES, 64, 64)


@pytest.mark.parametrize(
    "change",
    [
        {"frames": limits.FRAMES + 1},
        {"height": limits.FRAME_SIDE + 1},
        {"width": 2**40},
        {"resize": limits.FRAME_SIDE + 1},
        {"stride": limits.STRIDE + 1},
        {"frames": 1000, "height": 1000, "width": 1000},
    ],
)
def test_a_clip_beyond_the_limits_is_refused(change: dict[str, int]) -> None:
    content = Preprocessing(8, 112, 112).to_json() | change
    with pytest.raises(BundleError, match=r"must (be|have) at most"):
        Preprocessing.from_json(content)


# Statistics


def damaged(statistics: Statistics, **changes: Any) -> bytes:
    return replace(statistics, **changes).to_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (lambda s: {"sample": s.sample[:0], "decided": s.decided[:0]}, "a sample of 0 clips"),
        (lambda s: {"decided": s.decided + 99}, "a class that does not exist"),
        (lambda s: {"decided": s.decided - 99}, "a class that does not exist"),
        (lambda s: {"counts": -s.counts}, "counts from -"),
        (lambda s: {"counts": s.counts + 1}, "clips of"),
        (lambda s: {"counts": s.counts[:2]}, "counts has shape"),
        (lambda s: {"covariance": s.covariance[:1, :1]}, "covariance has shape"),
        (lambda s: {"covariance": np.triu(s.covariance + 1)}, "not symmetric"),
        (lambda s: {"covariance": -s.covariance}, "negative variance"),
        (lambda s: {"covariance": s.covariance * np.nan}, "covariance has a value"),
        (lambda s: {"labels": s.labels[:-1]}, "means has shape"),
        (lambda s: {"means": s.means[:-1]}, "means has shape"),
        (lambda s: {"means": s.means * np.inf}, "means has a value"),
        (lambda s: {"sample": s.sample[0]}, "sample has shape"),
    ],
)
def test_statistics_that_do_not_hold_together_are_refused(
    bundle: Bundle, changes: Callable[[Statistics], dict[str, Any]], message: str
) -> None:
    statistics = bundle.statistics
    assert statistics is not None
    data = damaged(statistics, **changes(statistics))
    with pytest.raises(BundleError, match=rf"stats\.npz is damaged \(.*{message}"):
        Statistics.from_bytes(data)
    (bundle.path / "stats.npz").write_bytes(data)
    assert any(message in problem for problem in open_bundle(bundle.path).verify())


def test_statistics_of_fewer_classes_than_the_head_are_refused(bundle: Bundle) -> None:
    statistics = bundle.statistics
    assert statistics is not None
    keep = statistics.decided < 3
    fewer = replace(
        statistics,
        labels=statistics.labels[:3],
        means=statistics.means[:3],
        counts=statistics.counts[:3],
        sample=statistics.sample[keep],
        decided=statistics.decided[keep],
    )
    (bundle.path / "stats.npz").write_bytes(fewer.to_bytes())
    with pytest.raises(FeatureSpaceError, match="belongs to another bundle"):
        _ = open_bundle(bundle.path).statistics


# Models


def looping() -> bytes:
    """A model whose loop takes 2^62 rounds."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("on", TensorProto.BOOL, [])],
    )
    graph = helper.make_graph(
        [
            helper.make_node("Loop", ["rounds", ""], [], body=body),
            helper.make_node("Identity", ["clip"], ["features"]),
        ],
        "model",
        [helper.make_tensor_value_info("clip", TensorProto.FLOAT, ["N", 1])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 1])],
        [helper.make_tensor("rounds", TensorProto.INT64, [], [2**62])],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    return bytes(model.SerializeToString())


def test_a_model_with_a_loop_is_refused_before_it_is_opened() -> None:
    with pytest.raises(BackendError, match="Loop operator, which may never end"):
        open_session(looping())


def scanning() -> bytes:
    """A model that scans 2^40 rows of no values."""
    model = onnx.load_model_from_string(looping())
    model.graph.node[0].op_type = "Scan"
    return bytes(model.SerializeToString())


def calling() -> bytes:
    """A model with functions that call each other twice, 30 levels deep."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    functions = []
    for level in range(30):
        inner = [("Identity", "", "x", "y"), ("Identity", "", "y", "z")]
        if level:
            inner = [(f"F{level - 1}", "own", "x", "y"), (f"F{level - 1}", "own", "y", "z")]
        nodes = [helper.make_node(op, [a], [b], domain=domain) for op, domain, a, b in inner]
        functions.append(helper.make_function("own", f"F{level}", ["x"], ["z"], nodes, opsets))
    graph = helper.make_graph(
        [helper.make_node("F29", ["clip"], ["features"], domain="own")],
        "model",
        [helper.make_tensor_value_info("clip", TensorProto.FLOAT, ["N", 1])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 1])],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=opsets, functions=functions)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("model", "message"), [(scanning, "Scan operator"), (calling, "functions")]
)
def test_other_models_that_repeat_themselves_are_refused(
    model: Callable[[], bytes], message: str
) -> None:
    with pytest.raises(BackendError, match=message):
        open_session(model())


def test_a_name_with_loop_in_it_is_no_loop(backbone: bytes) -> None:
    model = onnx.load_model_from_string(backbone)
    model.graph.initializer[0].name = model.graph.node[1].input[1] = "Loop"
    open_session(model.SerializeToString())
