"""Checkpoint files: what is read, and what the refusals say."""

from __future__ import annotations

import argparse
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import torch
from torch import Tensor, nn

from edgesplit.errors import ExportError
from edgesplit.export.models.checkpoint import load_weights, read_weights

pytestmark = pytest.mark.torch


def _weights(n_classes: int = 3) -> dict[str, Tensor]:
    return {"weight": torch.ones(n_classes, 4), "bias": torch.zeros(n_classes)}


def _load(path: Path) -> None:
    load_weights(nn.Linear(4, 3), read_weights(path), origin=str(path))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda weights: weights,
        lambda weights: {"epoch": 3, "state_dict": weights},
        lambda weights: {"model": {f"module.{key}": value for key, value in weights.items()}},
        lambda weights: {"module": weights, "global_steps": 7},
        lambda weights: {"model": weights, "args": argparse.Namespace(model="vit", lr=1e-3)},
        lambda weights: {"model_state": weights, "optimizer_state": {}, "epoch": 1},
        lambda weights: {"net": weights, "acc": 91.0},
        lambda weights: {"state_dict": {f"model.{key}": value for key, value in weights.items()}},
        lambda weights: {f"_orig_mod.{key}": value for key, value in weights.items()},
        lambda weights: {
            "state_dict": {f"net.body.{key}": value for key, value in weights.items()}
            | {"criterion.weight": torch.ones(6)},
            "hyper_parameters": {"lr": 1e-3},
        },
    ],
    ids=[
        *("plain", "training_script", "data_parallel", "deepspeed", "with_arguments"),
        *("slowfast", "net", "lightning", "compiled", "lightning_with_a_loss"),
    ],
)
def test_weights_are_found_and_copied(wrap: object, tmp_path: Path) -> None:
    assert callable(wrap)
    torch.save(wrap(_weights()), tmp_path / "weights.pt")
    found = read_weights(tmp_path / "weights.pt")
    model = nn.Linear(4, 3)
    load_weights(model, found, origin="weights.pt")
    assert bool((model.weight == 1).all())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"weight": torch.ones(3, 4)}, r"1 of 2 weights are missing \(bias\), 0 are unknown"),
        ({**_weights(), "fc.extra": torch.ones(1)}, r"0 of 2 .*1 are unknown \(fc\.extra\)"),
        (_weights(5), r"size mismatch for weight.*\[5, 4\]"),
        ({"epoch": 3}, "holds dict with keys epoch, not a state dict"),
        (
            nn.Linear(4, 3),
            r"weights \(it holds torch\.nn\.modules\.linear\.Linear\).*could run code",
        ),
        ({**_weights(), "path": PurePosixPath("/data")}, r"it holds pathlib\.\w+\)\. Loading"),
        (
            {
                f"{name}.{key}": value
                for name in ("model", "ema")
                for key, value in _weights().items()
            },
            r"the names fit after the prefixes model\., ema\.: save the right one",
        ),
    ],
    ids=["missing", "unknown", "shape", "no_weights", "whole_model", "a_path", "two_models"],
)
def test_checkpoints_that_do_not_fit_say_how(content: object, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(ExportError, match=message):
        _load(tmp_path / "weights.pt")


def test_files_that_are_no_checkpoint_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"no checkpoint .*missing\.pt"):
        read_weights(tmp_path / "missing.pt")
    for name, content in (("empty.pt", b""), ("text.pt", b"hello"), ("cut.pt", b"PK\x03\x04")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ExportError, match="not a file of plain weights"):
            read_weights(tmp_path / name)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_torchscript_is_named(tmp_path: Path) -> None:
    scripted: Any = torch.jit.script(nn.Linear(4, 3))
    scripted.save(str(tmp_path / "scripted.pt"))
    with pytest.raises(ExportError, match=r"scripted\.pt is TorchScript, .* save the weights"):
        read_weights(tmp_path / "scripted.pt")
