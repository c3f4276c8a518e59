"""The backbone as ONNX: dynamic batch, folded normalisation, bytes that depend on content only."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import torch
from torch import Tensor, nn

from edgesplit.backbone.backends import OrtBackend
from edgesplit.backbone.identity import inline
from edgesplit.errors import ExportError
from edgesplit.export.graph.canonical import canonical_backbone
from edgesplit.export.graph.cut import Cut, find_cut
from edgesplit.export.graph.parity import random_clips
from edgesplit.export.graph.trace import export_backbone, normalize_clips
from edgesplit.video.preprocessing import Preprocessing

pytestmark = pytest.mark.torch

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
NCTHW = Preprocessing(frames=4, height=16, width=16, layout="ncthw", mean=MEAN, std=STD)
NTCHW = Preprocessing(frames=4, height=16, width=16, layout="ntchw", mean=MEAN, std=STD)
PLAIN = Preprocessing(frames=4, height=16, width=16)


class Convolutions(nn.Module):
    """Two 3D convolutions with batch norm whose running statistics are not the initial ones."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv3d(3, 8, 3, padding=1, bias=False),
            nn.BatchNorm3d(8),
            nn.ReLU(),
            nn.Conv3d(8, 16, 3, stride=2, padding=1),
            nn.BatchNorm3d(16),
            nn.ReLU(),
        )
        for part in (self.layers[1], self.layers[4]):
            assert isinstance(part, nn.BatchNorm3d)
            assert part.running_mean is not None
            assert part.running_var is not None
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
        self.head = nn.Linear(16, 5)

    def forward(self, clips: Tensor) -> object:
        return self.head(self.layers(clips).mean((2, 3, 4)))


class Transformer(nn.Module):
    """Frames first; patches, two encoder layers, the mean over tokens, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 8, stride=8)
        self.position = nn.Parameter(torch.randn(1, 16, 16) / 4)
        layer = nn.TransformerEncoderLayer(16, 4, 32, activation="gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(16, 5)

    def forward(self, clips: Tensor) -> object:
        tokens = self.patches(clips.flatten(0, 1)).flatten(2).transpose(1, 2)
        tokens = tokens.reshape(clips.shape[0], -1, 16) + self.position
        return self.head(self.encoder(tokens).mean(1))


def _cut(model: nn.Module, preprocessing: Preprocessing) -> Cut:
    clips = torch.from_numpy(random_clips(preprocessing.clip_shape)[-1])
    return find_cut(model, normalize_clips(clips, preprocessing))


def _run(backbone: bytes, clips: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return OrtBackend(backbone, threads=1).run(clips)


@pytest.fixture(scope="module")
def exported() -> Callable[[type[nn.Module], Preprocessing], tuple[Cut, bytes]]:
    """Exports on first use: a second or so each."""
    made: dict[tuple[type[nn.Module], Preprocessing], tuple[Cut, bytes]] = {}

    def export(kind: type[nn.Module], preprocessing: Preprocessing) -> tuple[Cut, bytes]:
        key = (kind, preprocessing)
        if key not in made:
            torch.manual_seed(0)
            cut = _cut(kind(), preprocessing)
            made[key] = (cut, inline(export_backbone(cut, preprocessing)))
        return made[key]

    return export


Exported = Callable[[type[nn.Module], Preprocessing], tuple[Cut, bytes]]


@pytest.mark.parametrize(
    ("kind", "preprocessing"), [(Convolutions, NCTHW), (Transformer, NTCHW)], ids=["cnn", "vit"]
)
@pytest.mark.parametrize("n_clips", [1, 2, 5])
def test_any_batch_size_gives_torch_features(
    kind: type[nn.Module], preprocessing: Preprocessing, n_clips: int, exported: Exported
) -> None:
    cut, backbone = exported(kind, preprocessing)
    clips = np.random.default_rng(1).random((n_clips, *preprocessing.clip_shape), np.float32)
    axis = (1, 3, 1, 1, 1) if preprocessing.layout == "ncthw" else (1, 1, 3, 1, 1)
    normalized = (clips - np.reshape(MEAN, axis)) / np.reshape(STD, axis)
    with torch.inference_mode():
        wanted = cut.backbone(torch.from_numpy(normalized.astype(np.float32))).numpy()
    found = _run(backbone, clips)
    assert found.shape == (n_clips, 16)
    # float32: some 1e-6 of the largest value, from sums in another order
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize(
    ("kind", "preprocessing"), [(Convolutions, NCTHW), (Transformer, NTCHW)], ids=["cnn", "vit"]
)
def test_file_is_what_old_runtimes_load(
    kind: type[nn.Module], preprocessing: Preprocessing, exported: Exported
) -> None:
    _, backbone = exported(kind, preprocessing)
    model = onnx.load_from_string(backbone)
    assert model.ir_version == 8
    assert [(item.domain, item.version) for item in model.opset_import] == [("", 18)]
    (clip,), (features,) = model.graph.input, model.graph.output
    shapes = [
        [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (clip, features)
    ]
    assert (clip.name, features.name) == ("clip", "features")
    assert shapes == [["batch", *preprocessing.clip_shape], ["batch", 16]]
    assert all(tensor.data_location == 0 for tensor in model.graph.initializer)


def test_batch_norm_is_folded_into_the_convolutions(exported: Exported) -> None:
    _, backbone = exported(Convolutions, NCTHW)
    nodes = [node.op_type for node in onnx.load_from_string(backbone).graph.node]
    assert nodes == ["Sub", "Div", "Conv", "Relu", "Conv", "Relu", "ReduceMean"]


def test_head_is_not_in_the_file(exported: Exported) -> None:
    cut, backbone = exported(Convolutions, NCTHW)
    assert cut.weight.tobytes() not in backbone


def test_no_operators_are_spent_on_mean_zero_and_std_one(exported: Exported) -> None:
    _, backbone = exported(Convolutions, PLAIN)
    assert onnx.load_from_string(backbone).graph.node[0].op_type == "Conv"


def test_file_holds_positions_and_no_names(exported: Exported) -> None:
    _, backbone = exported(Transformer, NTCHW)
    model = onnx.load_from_string(backbone)
    graph = model.graph
    assert [node.name for node in graph.node] == [f"n{i}" for i in range(len(graph.node))]
    assert [item.name for item in graph.initializer] == [
        f"w{i}" for i in range(len(graph.initializer))
    ]
    leftovers = [
        *(graph.value_info, graph.doc_string, graph.metadata_props),
        *(model.metadata_props, model.doc_string, model.producer_version),
        *(node.metadata_props or node.doc_string for node in graph.node),
    ]
    assert not any(leftovers)


# One text, written into two folders and imported under two names by two processes with other hash
# seeds: all that the paper trail of torch's exporter could pick up differs.
SOURCE = """
import torch
from torch import nn

class SecretlyNamedNet(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.revealing_stem = nn.Conv3d(3, 8, 3, padding=1)
        self.revealing_norm = nn.BatchNorm3d(8)
        self.revealing_head = nn.Linear(8, 5)

    def forward(self, telling_argument):
        telling_value = self.revealing_norm(self.revealing_stem(telling_argument)).relu()
        return self.revealing_head(telling_value.mean((2, 3, 4)))
"""
SCRIPT = """
import sys
import torch
from edgesplit.video.preprocessing import Preprocessing
from edgesplit.export.graph.trace import export_backbone
from edgesplit.export.graph.cut import find_cut
from edgesplit.export.models.factory import build_model

preprocessing = Preprocessing(frames=4, height=16, width=16, mean=(0.5,) * 3, std=(0.25,) * 3)
model = build_model(sys.argv[1])
cut = find_cut(model, torch.rand(2, *preprocessing.clip_shape))
sys.stdout.buffer.write(export_backbone(cut, preprocessing))
"""


def _start_export(folder: Path, module: str, hash_seed: int) -> subprocess.Popen[bytes]:
    folder.mkdir()
    (folder / f"{module}.py").write_text(SOURCE)
    environment = {
        **os.environ,
        "PYTHONHASHSEED": str(hash_seed),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    command = [sys.executable, "-c", SCRIPT, f"{module}:SecretlyNamedNet"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, cwd=folder, env=environment)


def test_other_folder_and_module_name_give_the_same_bytes(tmp_path: Path) -> None:
    runs = [
        _start_export(tmp_path / "here", "mymodel", 1),
        _start_export(tmp_path / "there", "yourmodel", 2),
    ]
    first, second = (run.communicate()[0] for run in runs)
    assert [run.returncode for run in runs] == [0, 0]
    assert hashlib.sha256(first).hexdigest() == hashlib.sha256(second).hexdigest()
    model = onnx.load_from_string(first)
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data")  # weights can spell anything
    content = model.SerializeToString().lower()
    telling = (b"secretly", b"revealing", b"telling", b"mymodel", b"/", b".py", b"torch", b"aten")
    assert [text for text in telling if text in content] == []


def test_other_weights_give_other_bytes(exported: Exported) -> None:
    cut, backbone = exported(Convolutions, PLAIN)
    with torch.no_grad():
        other = _cut(Convolutions(), PLAIN)
    assert export_backbone(other, PLAIN) != backbone
    assert other.feature_dim == cut.feature_dim


class FixedBatch(Convolutions):
    def forward(self, clips: Tensor) -> object:
        return super().forward(clips.reshape(int(clips.shape[0]), *PLAIN.clip_shape))


class BranchOnValue(Convolutions):
    def forward(self, clips: Tensor) -> object:
        return super().forward(clips if clips.mean() > 0 else -clips)


@pytest.mark.parametrize("kind", [FixedBatch, BranchOnValue])
def test_what_tracing_would_freeze_is_refused(kind: type[nn.Module]) -> None:
    cause = (
        r"torch cannot export the backbone: \w+: .*\n.*branches on tensor values, the batch size"
    )
    with pytest.raises(ExportError, match=cause):
        export_backbone(_cut(kind(), PLAIN), PLAIN)


def _tiny_graph(**node: object) -> onnx.ModelProto:
    value = partial(onnx.helper.make_tensor_value_info, elem_type=onnx.TensorProto.FLOAT)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["y"], **node)],  # type: ignore[arg-type]
        "",
        [value("x", shape=["n", 4])],
        [value("y", shape=["n", 4])],
    )
    opsets = [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid("my.ops", 1)]
    return onnx.helper.make_model(graph, opset_imports=opsets)


def test_foreign_operator_is_refused() -> None:
    with pytest.raises(ExportError, match=r"uses my\.ops::Relu, which is not an ONNX operator"):
        canonical_backbone(_tiny_graph(domain="my.ops"), clip_shape=[4], feature_dim=4)


def test_fixed_batch_is_refused() -> None:
    model = _tiny_graph()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    with pytest.raises(ExportError, match="fixed the batch size at 2"):
        canonical_backbone(model, clip_shape=[4], feature_dim=4)
