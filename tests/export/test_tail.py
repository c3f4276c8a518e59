"""What follows the head: found by values, and only what is certain."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import torch
from torch import Tensor

from edgesplit.export.graph.tail import Tail, describe_difference, find_tail

pytestmark = pytest.mark.torch


@pytest.fixture
def rows() -> Tensor:
    return torch.randn(2, 7, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("scale", [1e-2, 1.0, 7.7, 100.0])
@pytest.mark.parametrize("size", [0.1, 1.0, 30.0])
@pytest.mark.parametrize("function", ["", "softmax", "log-softmax"])
def test_tail_is_found_at_any_size(function: str, size: float, scale: float, rows: Tensor) -> None:
    rows = rows * size
    logits = rows * scale
    output = {
        "": logits,
        "softmax": logits.softmax(1),
        "log-softmax": logits.log_softmax(1),
    }[function]
    tail = find_tail(rows, output)
    if function == "softmax" and size * scale > 30:  # all of the sum may be the best class's
        assert tail is None or tail.scale == pytest.approx(scale, rel=1e-4)
    else:
        assert tail is not None
        assert tail.function == function
        assert tail.scale == pytest.approx(scale, rel=1e-4)


def test_probabilities_of_0_and_1_show_no_factor(rows: Tensor) -> None:
    assert find_tail(rows, (rows * 1e4).softmax(1)) is None
    assert find_tail(rows * 1e4, (rows * 1e4).softmax(1)) is None
    assert "are 0 or 1, which hides any factor" in describe_difference(
        rows, (rows * 1e4).softmax(1)
    )


@pytest.mark.parametrize(
    "tail",
    [
        torch.sigmoid,
        torch.tanh,
        torch.relu,
        lambda x: x + torch.arange(7),
        lambda x: -x,
        lambda x: x * torch.tensor([[1.0], [1.01]]),
        lambda x: (x * torch.tensor([[1.0], [1.01]])).softmax(1),
        lambda x: x * torch.linspace(1, 1.01, 7),
        lambda x: x.sigmoid() / x.sigmoid().sum(1, keepdim=True),
        lambda x: x.softmax(1) * 0.9 + 0.1 / 7,
        lambda x: x.softmax(0),
        lambda x: torch.full_like(x, torch.nan),
    ],
)
def test_other_tails_are_not_taken_for_one(tail: Callable[[Tensor], Tensor], rows: Tensor) -> None:
    assert find_tail(rows, tail(rows)) is None
    assert find_tail(torch.zeros_like(rows), tail(rows)) is None


def test_difference_is_told_relative_to_the_range_of_the_logits(rows: Tensor) -> None:
    assert Tail(2, "softmax").difference(rows, (2 * rows).softmax(1)) < 1e-6
    assert Tail(2, "softmax").difference(rows, (2.02 * rows).softmax(1)) == pytest.approx(
        0.01, rel=0.5
    )
    assert Tail(2).difference(rows, 2.02 * rows) == pytest.approx(0.01, rel=0.02)


@pytest.mark.parametrize("factor", [14.3, 0.5, 100.0])
@pytest.mark.parametrize("softmax", [False, True])
def test_a_factor_that_is_a_short_decimal_is_found_to_the_bit(factor: float, softmax: bool) -> None:
    rows = torch.randn(8, 6, generator=torch.Generator().manual_seed(0))
    output = (rows * factor).softmax(1) if softmax and factor < 50 else rows * factor
    tail = find_tail(rows, output)
    assert tail is not None
    assert tail.scale == factor
