"""ONNX Runtime sessions: what was asked for, or an error."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper

from edgesplit.backbone.identity import WEIGHTS, LargeBackbone
from edgesplit.backbone.session import open_session
from edgesplit.bundle.bundle import Bundle
from edgesplit.errors import BackendError, MissingExtraError
from edgesplit.heads.head import Head

ABSENT = "TensorrtExecutionProvider"


def test_session_runs_the_model(head: Head) -> None:
    (logits,) = open_session(head.to_bytes(), threads=2).run(
        ["logits"], {"features": np.zeros((1, head.dim), np.float32)}
    )
    np.testing.assert_array_equal(logits[0], head.bias)


@pytest.mark.parametrize("model", [b"", b"not a model"], ids=["empty", "garbage"])
def test_a_refused_model_is_a_backend_error(model: bytes) -> None:
    with pytest.raises(BackendError, match="refuses the model"):
        open_session(model)


@pytest.mark.skipif(
    ABSENT in onnxruntime.get_available_providers(), reason=f"{ABSENT} is there on this machine"
)
def test_a_provider_that_the_build_lacks_is_an_error(head: Head) -> None:
    with pytest.raises(BackendError, match=f"is built without {ABSENT}"):
        open_session(head.to_bytes(), providers=(ABSENT, "CPUExecutionProvider"))


def test_a_provider_that_falls_back_is_an_error_and_not_a_slow_session(
    head: Head, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As the GPU wheel does on a machine without a GPU: listed, asked for, and silently left out.
    listed = [ABSENT, "CPUExecutionProvider"]
    real = onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: listed)
    monkeypatch.setattr(
        onnxruntime,
        "InferenceSession",
        lambda model, options, providers: real(model, options, providers=listed[1:]),
    )
    with pytest.raises(
        BackendError, match=f"could not start {ABSENT}; it would run on CPUExecutionProvider"
    ):
        open_session(head.to_bytes(), providers=listed)


def test_missing_onnx_runtime_names_the_extra(head: Head, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"pip install '\.\[cpu\]'"):
        open_session(head.to_bytes())


def test_onnx_runtime_is_told_to_send_no_telemetry_before_it_is_imported(tmp_path: Path) -> None:
    # A stand-in that notes what it finds at import, which is when the real one decides.
    stub = "import os; found = os.environ.get('ORT_DISABLE_TELEMETRY')"
    (tmp_path / "onnxruntime.py").write_text(stub)
    code = (
        "import os, sys; os.environ.pop('ORT_DISABLE_TELEMETRY', None)\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "from edgesplit.backbone.session import open_session\n"
        "try: open_session(b'')\n"
        "except AttributeError: pass\n"
        "assert sys.modules['onnxruntime'].found == '1'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_weights_that_lie_apart_are_given_from_memory(backbone: bytes, bundle: Bundle) -> None:
    model = onnx.load_model_from_string(backbone)
    data = bytearray()
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor).tobytes()
        place = {"location": WEIGHTS, "offset": len(data), "length": len(values)}
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))
        data += values
    large = LargeBackbone(model.SerializeToString(), data)
    clips = np.random.default_rng(0).random((2, *bundle.preprocessing.clip_shape), np.float32)
    (wanted,) = open_session(backbone).run(["features"], {"clip": clips})
    (got,) = open_session(large).run(["features"], {"clip": clips})
    assert np.array_equal(got, wanted)


def test_cuda_of_wheels_is_loaded_for_gpu_providers_only(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    loads = []

    def preload_dlls() -> None:
        loads.append(1)
        print("Failed to load libcudart.so")  # noqa: T201 - as the real one does

    monkeypatch.setattr(onnxruntime, "preload_dlls", preload_dlls, raising=False)
    monkeypatch.setattr(
        onnxruntime,
        "get_available_providers",
        lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
    )
    model = Head.from_arrays(np.eye(2), np.zeros(2), ("one", "other")).to_bytes()
    open_session(model)
    assert not loads
    with pytest.raises(BackendError):
        open_session(model, providers=("CUDAExecutionProvider",))
    assert loads == [1]
    assert "Failed to load" not in capfd.readouterr().out
