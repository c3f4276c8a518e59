"""ONNX Runtime sessions: what was asked for, or an error."""

import subprocess
import sys

import numpy as np
import onnxruntime
import pytest

from edgesplit.errors import BackendError, MissingExtraError
from edgesplit.head import Head
from edgesplit.sessions import open_session

ABSENT = "TensorrtExecutionProvider"


def test_session_runs_the_model(head: Head) -> None:
    (logits,) = open_session(head.to_bytes(), threads=2).run(
        ["logits"], {"features": np.zeros((1, head.dim), np.float32)}
    )
    np.testing.assert_array_equal(logits[0], head.bias)


@pytest.mark.parametrize("model", [b"", b"not a model"], ids=["empty", "garbage"])
def test_a_refused_model_is_a_backend_error(model: bytes) -> None:
    version = onnxruntime.__version__
    with pytest.raises(BackendError, match=f"ONNX Runtime {version} refuses the model"):
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
    with pytest.raises(MissingExtraError, match=r"pip install 'edgesplit\[cpu\]'"):
        open_session(head.to_bytes())


def test_onnx_runtime_sends_no_telemetry(head: Head) -> None:
    # From 1.32 on its wheels look up a host and write an identity unless the variable is set
    # before the import, which a fresh process shows.
    code = (
        "import os, sys; os.environ.pop('ORT_DISABLE_TELEMETRY', None)\n"
        "from edgesplit.sessions import open_session\n"
        "try: open_session(b'')\n"
        "except Exception: pass\n"
        "assert 'onnxruntime' in sys.modules\n"
        "assert os.environ['ORT_DISABLE_TELEMETRY'] == '1'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
