"""What the tests share: a tiny head, a text encoder that knows words, a bundle of a few kB."""

import hashlib
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

import hypothesis
import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgesplit.backbone.identity import feature_space
from edgesplit.backbone.session import import_onnxruntime
from edgesplit.bundle.bundle import Bundle
from edgesplit.bundle.create import create_bundle
from edgesplit.edits.text_encoder import TextEncoder
from edgesplit.heads.head import Head
from edgesplit.heads.label_text import words
from edgesplit.heads.statistics import Statistics
from edgesplit.video.preprocessing import Preprocessing

onnxruntime = import_onnxruntime()  # without telemetry, before any test imports it

# The same examples on every machine and in every run; a soak run asks for more of them.
hypothesis.settings.register_profile(
    "edgesplit",
    derandomize=True,
    deadline=None,
    database=None,
    print_blob=True,
    max_examples=int(os.environ.get("EDGESPLIT_EXAMPLES", "200")),
)
hypothesis.settings.load_profile("edgesplit")

LABELS = (
    "pulling something left",
    "pulling something right",
    "moving something up",
    "moving something down",
    "pushing something",
    "holding something",
)
DIM = 8


def pytest_report_header() -> str:
    return f"numpy {np.__version__}, onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}"


class WordEncoder(TextEncoder):
    """A stand-in for the text encoder: a text is the sum of its words' random vectors.

    Texts are alike by the words they share, and by nothing else.
    """

    def __init__(self) -> None:
        super().__init__(
            Path("/nowhere"), digest=hashlib.sha256(b"words").hexdigest(), dim=64, max_tokens=128
        )

    def has_word(self, word: str) -> bool:
        """Every word is known by its letters alone."""
        return False

    def check(self) -> None:
        """There is no file to check."""

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        rows = np.stack([sum(map(self._word, words(text)), np.zeros(self.dim)) for text in texts])
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)

    def _word(self, word: str) -> npt.NDArray[np.float64]:
        return np.random.default_rng(zlib.crc32(word.encode())).standard_normal(self.dim)


@pytest.fixture(autouse=True)
def clean_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No bundle of the user's, and a cache that only this test run knows."""
    monkeypatch.delenv("EDGESPLIT_BUNDLE", raising=False)
    cache = tmp_path_factory.getbasetemp() / "edgesplit-cache"
    monkeypatch.setenv("EDGESPLIT_CACHE", str(cache))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, which is not there yet."""
    monkeypatch.setenv("EDGESPLIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def encoder() -> TextEncoder:
    return WordEncoder()


@pytest.fixture(scope="session")
def preprocessing() -> Preprocessing:
    return Preprocessing(frames=2, height=4, width=4)


@pytest.fixture(scope="session")
def backbone(preprocessing: Preprocessing) -> bytes:
    """A backbone of one matrix: clips `[N, 3, 2, 4, 4]` to features `[N, 8]`."""
    matrix = np.random.default_rng(0).standard_normal((96, DIM)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["clip"], ["flat"], axis=1),
            helper.make_node("MatMul", ["flat", "matrix"], ["features"]),
        ],
        "backbone",
        [helper.make_tensor_value_info("clip", TensorProto.FLOAT, ["N", 3, 2, 4, 4])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", DIM])],
        [numpy_helper.from_array(matrix, "matrix")],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    return bytes(model.SerializeToString(deterministic=True))


@pytest.fixture
def head(backbone: bytes, preprocessing: Preprocessing) -> Head:
    """Six classes over eight features; "pushing something" is the coarse one."""
    rng = np.random.default_rng(1)
    return Head.from_arrays(
        rng.standard_normal((len(LABELS), DIM)),
        rng.standard_normal(len(LABELS)),
        LABELS,
        feature_space=feature_space(backbone, preprocessing),
    )


@pytest.fixture
def features() -> npt.NDArray[np.float32]:
    # Clips by chance; with this seed a split of "pushing" is expected to be worth making.
    return np.random.default_rng(11).standard_normal((64, DIM)).astype(np.float32)


@pytest.fixture
def bundle(
    tmp_path: Path,
    backbone: bytes,
    head: Head,
    preprocessing: Preprocessing,
    features: npt.NDArray[np.float32],
    monkeypatch: pytest.MonkeyPatch,
) -> Bundle:
    """A bundle with `head` live and statistics, whose encoder knows words."""
    for module in ("bundle", "create"):
        monkeypatch.setattr(f"edgesplit.bundle.{module}.packaged_encoder", WordEncoder)
    return create_bundle(
        tmp_path / "lab.bundle",
        backbone=backbone,
        head=head,
        preprocessing=preprocessing,
        statistics=Statistics.from_features(head, features),
    )
