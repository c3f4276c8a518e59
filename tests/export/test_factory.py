"""Factories: what is called, and what the refusals say."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import torch
from torch import nn

from edgesplit.errors import ExportError
from edgesplit.export.models.factory import build_model

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


@pytest.mark.parametrize(
    ("factory", "n_classes", "rows"),
    [("Net", 5, 5), ("Net", None, 3), ("fixed", 5, 3), ("counted", 5, 5)],
)
def test_factories_in_the_current_folder_are_called(
    factory: str, n_classes: int | None, rows: int, module: str
) -> None:
    path = list(sys.path)
    model = build_model(f"{module}:{factory}", n_classes=n_classes)
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
        build_model(f"{module}:{factory}")


def test_a_module_that_does_not_exist_is_named() -> None:
    with pytest.raises(
        ExportError, match=r"no_such_module_anywhere cannot be imported .*No module named"
    ):
        build_model("no_such_module_anywhere:make")


def test_checkpoint_is_loaded_into_the_model(module: str, tmp_path: Path) -> None:
    weights = {"weight": torch.ones(3, 4), "bias": torch.zeros(3)}
    torch.save(weights, tmp_path / "weights.pt")
    model = build_model(f"{module}:fixed", checkpoint=tmp_path / "weights.pt")
    assert isinstance(model, nn.Linear)
    assert bool((model.weight == 1).all())
