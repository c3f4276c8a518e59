"""The paper's network, step by step against torch; and what it is trained on."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgesplit._types import Float64
from edgesplit.edits.problem import pose_problem
from edgesplit.edits.request import SplitRequest
from edgesplit.edits.rules import get_rule
from edgesplit.edits.rules.alignment_mlp import (
    BATCH,
    DECAY,
    EPOCHS,
    HIDDEN,
    RATE,
    AdamW,
    EarlyStop,
    Network,
    alignment_mlp,
    cosine_rate,
    train,
)
from edgesplit.edits.rules.base import Texts, TransferProblem
from edgesplit.edits.split import split_class
from edgesplit.edits.text_encoder import TextEncoder
from edgesplit.errors import EditError
from edgesplit.heads.head import Head


def made(n: int = 10, dim_text: int = 6, dim: int = 4) -> tuple[Float64, Float64]:
    rng = np.random.default_rng(3)
    return rng.standard_normal((n, dim_text)), rng.standard_normal((n, dim))


def start(dim_text: int = 6, dim: int = 4) -> Network:
    return Network.start(np.random.default_rng(1), dim_text, dim)


def in_torch(network: Network) -> Any:
    torch = pytest.importorskip("torch")
    shapes = [parameter.shape for parameter in network.parameters]
    model = torch.nn.Sequential(
        torch.nn.Linear(shapes[0][1], shapes[0][0]),
        torch.nn.GELU(),
        torch.nn.Linear(shapes[2][1], shapes[2][0]),
    ).double()
    with torch.no_grad():
        for parameter, values in zip(model.parameters(), network.parameters, strict=True):
            parameter.copy_(torch.from_numpy(values))
    return model


def test_the_constants_are_the_papers() -> None:
    assert (HIDDEN, BATCH, EPOCHS, RATE, DECAY) == (384, 10, 100, 1e-3, 0.01)


def test_layers_start_as_torch_starts_them() -> None:
    weight, bias, second, second_bias = start(100, 50).parameters
    assert weight.shape == (HIDDEN, 100)
    assert np.abs(weight).max() == pytest.approx(0.1, rel=0.01)
    assert np.abs(bias).max() == pytest.approx(0.1, rel=0.05)
    assert (second.shape, second_bias.shape) == ((50, HIDDEN), (50,))
    assert np.abs(second).max() == pytest.approx(1 / math.sqrt(HIDDEN), rel=0.01)


@pytest.mark.torch
def test_outputs_and_gradients_are_torchs() -> None:
    torch = pytest.importorskip("torch")
    texts, targets = made()
    network = start()
    model = in_torch(network)
    wanted = model(torch.from_numpy(texts))
    torch.nn.functional.mse_loss(wanted, torch.from_numpy(targets)).backward()
    outputs, gradients = network.gradients(texts, targets)
    np.testing.assert_allclose(outputs, wanted.detach().numpy(), atol=1e-13)
    for mine, parameter in zip(gradients, model.parameters(), strict=True):
        np.testing.assert_allclose(mine, parameter.grad.numpy(), atol=1e-13)


@pytest.mark.torch
def test_steps_are_those_of_torchs_adamw() -> None:
    torch = pytest.importorskip("torch")
    texts, targets = made()
    network = start()
    model = in_torch(network)
    theirs = torch.optim.AdamW(model.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(theirs, EPOCHS)
    ours = AdamW(network.parameters)
    for epoch in range(20):
        loss = torch.nn.functional.mse_loss(
            model(torch.from_numpy(texts)), torch.from_numpy(targets)
        )
        theirs.zero_grad()
        loss.backward()
        assert schedule.get_last_lr()[0] == pytest.approx(cosine_rate(epoch), rel=1e-12)
        theirs.step()
        schedule.step()
        ours.step(network.gradients(texts, targets)[1], cosine_rate(epoch))
    for mine, parameter in zip(network.parameters, model.parameters(), strict=True):
        np.testing.assert_allclose(mine, parameter.detach().numpy(), atol=1e-10)


def test_the_rate_falls_to_nothing() -> None:
    assert cosine_rate(0) == RATE
    assert cosine_rate(50) == pytest.approx(RATE / 2)
    assert cosine_rate(100) == 0


def test_training_stops_after_five_epochs_without_growth() -> None:
    stop = EarlyStop()
    assert not stop.after(0.5)
    assert stop.average == 0.5
    assert not stop.after(0.7)  # the average grows by 0.01
    assert stop.average == pytest.approx(0.51)
    steady = [stop.after(0.51) for _ in range(5)]
    assert steady == [False, False, False, False, True]


def test_growth_of_less_than_a_thousandth_is_none() -> None:
    stop = EarlyStop()
    stop.after(0.5)
    assert not stop.after(0.519)  # 0.50095
    assert stop.waited == 1
    assert not stop.after(0.54)  # 0.5029
    assert stop.waited == 0


def test_a_network_learns_its_pairs() -> None:
    texts, targets = made(30)
    outputs = train(texts, targets).forward(texts)[0]
    before = start().forward(texts)[0]
    assert np.mean((outputs - targets) ** 2) < 0.5 * np.mean((before - targets) ** 2)


# What it is trained on


def problem(head: Head, encoder: TextEncoder) -> TransferProblem:
    request = SplitRequest(["left", "right"])
    posed = pose_problem(head, "pushing", request, statistics=None, taxonomy=None, encoder=encoder)
    return posed.transfer


def test_pairs_are_modifiers_labels_and_groups(head: Head, encoder: TextEncoder) -> None:
    posed = problem(head, encoder)
    assert posed.labels is not None
    np.testing.assert_array_equal(posed.labels.texts, encoder.encode(list(head.labels)))
    np.testing.assert_array_equal(posed.labels.rows, head.weight)  # singletons as well
    names = ["pulling something", "moving something"]
    np.testing.assert_array_equal(posed.group_names, encoder.encode(names))
    means = [head.weight[:2].mean(axis=0), head.weight[2:4].mean(axis=0)]
    assert posed.group_rows is not None
    np.testing.assert_allclose(posed.group_rows, means, atol=1e-7)


def test_rows_are_what_the_network_says_of_the_modifiers(head: Head, encoder: TextEncoder) -> None:
    request = problem(head, encoder)
    labels, names, means = request.labels, request.group_names, request.group_rows
    assert labels is not None
    assert names is not None
    assert means is not None
    texts = np.concatenate([request.known.modifiers, labels.texts, names])
    targets = np.concatenate([request.vectors, labels.rows, means])
    wanted = train(texts, targets).forward(request.wanted.modifiers)[0]
    np.testing.assert_array_equal(alignment_mlp(request).rows, wanted)


def test_rows_of_earlier_edits_are_not_learned_from(head: Head, encoder: TextEncoder) -> None:
    into = ["left", "right"]
    once = split_class(head, "holding", into=into, encoder=encoder, accept_doubt=True).head
    before, after = (problem(h, encoder).labels for h in (head, once))
    assert before is not None
    assert after is not None
    np.testing.assert_array_equal(before.rows, after.rows)


def test_without_rows_of_labels_there_is_nothing_to_train_on(
    head: Head, encoder: TextEncoder
) -> None:
    with pytest.raises(EditError, match="needs the rows of all labels"):
        alignment_mlp(replace(problem(head, encoder), labels=None))


# Prototype


def texts_of(n: int, siblings: list[int]) -> Texts:
    modifiers = np.random.default_rng(n).standard_normal((n, 12))
    return Texts(modifiers, modifiers, np.array(siblings))


def seen(clips: list[int]) -> TransferProblem:
    rng = np.random.default_rng(0)
    known = texts_of(6, [0, 0, 1, 1, 2, 2])
    vectors, means = rng.standard_normal((2, 6, 5))
    counts = np.array(clips)
    means[counts == 0] = 0
    return TransferProblem(texts_of(2, [0, 0]), known, vectors, 10 * means, counts)


def test_prototype_is_alignment_between_means() -> None:
    request = seen([9] * 6)
    rows = get_rule("prototype")(request).rows
    assert request.means is not None
    same = get_rule("alignment")(TransferProblem(request.wanted, request.known, request.means)).rows
    length = [np.linalg.norm(part, axis=1).mean() for part in (request.vectors, request.means)]
    np.testing.assert_allclose(rows, same * length[0] / length[1], atol=1e-12)


def test_prototype_leaves_groups_without_clips_out() -> None:
    request = seen([9, 9, 0, 0, 9, 9])
    transfer = get_rule("prototype")(request)
    assert not transfer.weights[:, 2:4].any()
    assert transfer.weights[:, [0, 1, 4, 5]].all()


@pytest.mark.parametrize("clips", [[9, 9, 0, 0, 0, 0], [0] * 6])
def test_prototype_wants_clips_of_two_groups(clips: list[int]) -> None:
    with pytest.raises(EditError, match="needs two groups whose classes have 5 clips each"):
        get_rule("prototype")(seen(clips))


def test_without_statistics_alignment_stands_in_for_prototype_and_says_so(
    head: Head, encoder: TextEncoder
) -> None:
    into = ["left", "right"]
    edit = split_class(head, "pushing", into=into, rule="prototype", encoder=encoder)
    alignment = split_class(head, "pushing", into=into, encoder=encoder)
    assert edit.head.digest == alignment.head.digest
    assert edit.report.rule == "alignment"
    assert "rule 'alignment' made the rows instead" in edit.report.warnings[0]
