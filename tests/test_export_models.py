"""Factories and checkpoints: what loads, and what the refusals say."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import torch
from torch import Tensor, nn

from edgesplit.errors import ExportError
from edgesplit.export.models import load_checkpoint, load_model

pytestmark = pytest.mark.torch

FACTORIES = """
from torch import nn

class Net(nn.Linear):
    def __init__(self, num_classes=3):
        super().__init__(4, num_classes)

def fixed():
    return Net()

def counted(n_classes):
    return Net(n_classes)

def demanding(width, depth=2):
    return Net()

def failing():
    raise ValueError("no such depth")

def text():
    return "net"

constant = 7
"""


_numbers = itertools.count()


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a module in the current folder; one of its own per test, as imports are cached."""
    name = f"factories_{next(_numbers)}"
    (tmp_path / f"{name}.py").write_text(FACTORIES)
    monkeypatch.chdir(tmp_path)
    return name


def _weights(n_classes: int = 3) -> dict[str, Tensor]:
    return {"weight": torch.ones(n_classes, 4), "bias": torch.zeros(n_classes)}


@pytest.mark.parametrize(
    ("factory", "n_classes", "rows"),
    [("Net", 5, 5), ("Net", None, 3), ("fixed", 5, 3), ("counted", 5, 5)],
)
def test_factories_in_the_current_folder_are_called(
    factory: str, n_classes: int | None, rows: int, module: str
) -> None:
    path = list(sys.path)
    model = load_model(f"{module}:{factory}", n_classes=n_classes)
    assert isinstance(model, nn.Linear)
    assert model.out_features == rows
    assert not model.training
    assert sys.path == path


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("nothing", "'nothing' in factories_.* does not exist"),
        ("constant", "'constant' in factories_.* is not callable"),
        ("demanding", "needs width; edgesplit calls it without arguments"),
        ("counted", "needs n_classes"),
        ("failing", "failed: ValueError: no such depth"),
        ("text", r"returned str, not a torch\.nn\.Module"),
    ],
)
def test_factories_that_do_not_work_say_why(factory: str, message: str, module: str) -> None:
    with pytest.raises(ExportError, match=message):
        load_model(f"{module}:{factory}")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("no_colon", "names no factory. Write package.module:factory"),
        ("no_such_module_anywhere:make", "cannot be imported .*No module named"),
    ],
)
def test_specs_that_name_nothing_say_what_to_write(spec: str, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        load_model(spec)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda weights: weights,
        lambda weights: {"epoch": 3, "state_dict": weights},
        lambda weights: {"model": {f"module.{key}": value for key, value in weights.items()}},
    ],
    ids=["plain", "training_script", "data_parallel"],
)
def test_checkpoint_weights_are_copied(wrap: object, module: str, tmp_path: Path) -> None:
    assert callable(wrap)
    torch.save(wrap(_weights()), tmp_path / "weights.pt")
    model = load_model(f"{module}:fixed", checkpoint=tmp_path / "weights.pt")
    assert isinstance(model, nn.Linear)
    assert bool((model.weight == 1).all())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"weight": torch.ones(3, 4)}, r"1 of 2 weights are missing \(bias\), 0 are unknown"),
        ({**_weights(), "fc.extra": torch.ones(1)}, r"0 of 2 .*1 are unknown \(fc\.extra\)"),
        (_weights(5), r"size mismatch for weight.*\[5, 4\]"),
        ({"epoch": 3}, "holds dict with keys epoch, not a state dict"),
        (nn.Linear(4, 3), "not a file of plain weights .*could run code"),
    ],
    ids=["missing", "unknown", "shape", "no_weights", "whole_model"],
)
def test_checkpoints_that_do_not_fit_say_how(content: object, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(ExportError, match=message):
        load_checkpoint(nn.Linear(4, 3), tmp_path / "weights.pt")


def test_files_that_are_no_checkpoint_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"no checkpoint .*missing\.pt"):
        load_checkpoint(nn.Linear(4, 3), tmp_path / "missing.pt")
    for name, content in (("empty.pt", b""), ("text.pt", b"hello"), ("cut.pt", b"PK\x03\x04")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ExportError, match="not a file of plain weights"):
            load_checkpoint(nn.Linear(4, 3), tmp_path / name)


def test_missing_torch_names_the_extra() -> None:
    code = (
        "import sys; sys.modules.update(torch=None)\n"
        "from edgesplit.errors import MissingExtraError\n"
        "try: import edgesplit.export.cut\n"
        "except MissingExtraError as error: print(error)"
    )
    path = {"PYTHONPATH": ":".join(part for part in sys.path if part)}
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, check=True, capture_output=True, text=True, env=path)
    assert "torch" in run.stdout
    assert "pip install 'edgesplit[export]'" in run.stdout


def test_lazy_names_are_all_there() -> None:
    import edgesplit.export

    for name in edgesplit.export.__all__:
        assert getattr(edgesplit.export, name).__name__ == name
    assert list(edgesplit.export.__all__) == sorted(edgesplit.export.__all__)
