"""The two bundles that `make gpu` runs, and clips for both."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import edgesplit
from edgesplit._types import Float32
from edgesplit.backbone.backends import OrtBackend
from edgesplit.backbone.identity import feature_space
from edgesplit.bundle.bundle import Bundle, open_bundle
from edgesplit.bundle.create import create_bundle
from edgesplit.heads.head import Head
from edgesplit.video.clips import read_clip
from edgesplit.video.preprocessing import Preprocessing

__all__ = ["MODELS", "open_model", "read_clips"]

MODELS = ("demo", "vit")
DEMO = Path(edgesplit.__file__).parent / "assets" / "demo"

N_CLASSES, CLIPS_OF_A_CLASS = 8, 6
SIZE, FRAMES = 64, 8
DIM, HEADS, LAYERS, TOKENS = 192, 3, 4, 64  # tokens of 2 x 16 x 16 pixels


def open_model(name: str, work: Path) -> Bundle:
    """Open the shipped demo, or the small transformer, which is made once from a fixed seed."""
    if name == "demo":
        return open_bundle(DEMO / "motion.bundle")
    path = work / "vit.bundle"
    if path.exists():
        return open_bundle(path)
    backbone = _transformer()
    preprocessing = Preprocessing(frames=FRAMES, height=SIZE, width=SIZE)
    features = OrtBackend(backbone).run(_made_clips(preprocessing.clip_shape))
    # The nearest mean decides: its answers mean something though nothing was trained.
    means = features.reshape(N_CLASSES, CLIPS_OF_A_CLASS, -1).mean(axis=1)
    weight = means - means.mean(axis=0)
    bias = -(weight * (means + means.mean(axis=0))).sum(axis=1) / 2
    labels = [f"pattern {index}" for index in range(N_CLASSES)]
    space = feature_space(backbone, preprocessing)
    head = Head.from_arrays(weight, bias, labels, feature_space=space)
    return create_bundle(path, backbone=backbone, head=head, preprocessing=preprocessing)


def read_clips(name: str, bundle: Bundle) -> tuple[Float32, str]:
    """Return clips `(n, *clip_shape)` and their description.

    The demo's clips are its shipped videos. Without PyAV, which decodes them, they are synthetic.
    """
    shape = bundle.preprocessing.clip_shape
    if name == "demo" and find_spec("av") is not None:
        files = sorted((*DEMO.glob("clips/*.mp4"), *DEMO.glob("camera/*.mp4")))
        return np.stack([read_clip(file, bundle.preprocessing) for file in files]), "videos"
    return _made_clips(shape), "made clips"


def _made_clips(clip_shape: tuple[int, ...]) -> Float32:
    """Return synthetic clips: drifting patterns of blocks, one for each class, with noise."""
    rng = np.random.default_rng(0)
    *outer, height, width = clip_shape
    blocks = rng.random((N_CLASSES, *outer, -(-height // 8), -(-width // 8)), np.float32)
    patterns = blocks.repeat(8, axis=-2).repeat(8, axis=-1)[..., :height, :width]
    clips = patterns.repeat(CLIPS_OF_A_CLASS, axis=0)
    noise = rng.random(clips.shape, np.float32)
    return np.asarray(0.85 * clips + 0.15 * noise, np.float32)


class _Graph:
    """A graph under construction; every method returns the name of its result."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(7)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def add(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, inputs, [name], **attributes))
        return name

    def constant(self, values: Any) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def weight(self, *shape: int, scale: float) -> str:
        return self.constant((self.rng.standard_normal(shape) * scale).astype(np.float32))

    def linear(self, value: str, n_in: int, n_out: int) -> str:
        product = self.add("MatMul", value, self.weight(n_in, n_out, scale=n_in**-0.5))
        return self.add("Add", product, self.weight(n_out, scale=0.02))

    def reshape(self, value: str, *shape: int) -> str:
        return self.add("Reshape", value, self.constant(np.asarray(shape, np.int64)))

    def norm(self, value: str) -> str:
        ones, zeros = np.ones(DIM, np.float32), np.zeros(DIM, np.float32)
        scale, bias = self.constant(ones), self.constant(zeros)
        return self.add("LayerNormalization", value, scale, bias, axis=-1, epsilon=1e-6)


def _transformer() -> bytes:
    made = _Graph()
    kernel = made.weight(DIM, 3, 2, 16, 16, scale=(3 * 2 * 16 * 16) ** -0.5)
    patches = made.add("Conv", "clip", kernel, strides=[2, 16, 16])
    tokens = made.add("Transpose", made.reshape(patches, 0, DIM, TOKENS), perm=[0, 2, 1])
    value = made.add("Add", tokens, made.weight(1, TOKENS, DIM, scale=0.02))
    for _ in range(LAYERS):
        value = made.add("Add", value, _attention(made, made.norm(value)))
        wide = made.linear(made.norm(value), DIM, 4 * DIM)
        erf = made.add("Erf", made.add("Div", wide, made.constant(np.float32(2**0.5))))
        gelu = made.add("Mul", wide, made.add("Add", erf, made.constant(np.float32(1))))
        half = made.add("Mul", gelu, made.constant(np.float32(0.5)))
        value = made.add("Add", value, made.linear(half, 4 * DIM, DIM))
    mean = made.add("ReduceMean", made.norm(value), made.constant(np.array([1])), keepdims=0)
    made.nodes.append(helper.make_node("Identity", [mean], ["features"]))
    info = helper.make_tensor_value_info
    shape: list[str | int | None] = ["batch", 3, FRAMES, SIZE, SIZE]
    inputs = [info("clip", TensorProto.FLOAT, shape)]
    outputs = [info("features", TensorProto.FLOAT, ["batch", DIM])]
    graph = helper.make_graph(made.nodes, "backbone", inputs, outputs, made.weights)
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 18)])
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _attention(made: _Graph, value: str) -> str:
    size = DIM // HEADS
    queries, keys, values = (
        made.add(
            "Transpose",
            made.reshape(made.linear(value, DIM, DIM), 0, TOKENS, HEADS, size),
            perm=perm,
        )
        for perm in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])
    )
    product = made.add("MatMul", queries, keys)
    scores = made.add("Mul", product, made.constant(np.float32(size**-0.5)))
    mixed = made.add("MatMul", made.add("Softmax", scores, axis=-1), values)
    joined = made.reshape(made.add("Transpose", mixed, perm=[0, 2, 1, 3]), 0, TOKENS, DIM)
    return made.linear(joined, DIM, DIM)
