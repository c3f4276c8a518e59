"""Measure the cost of the check that a model keeps no weight outside its bytes.

    python -m benchmarks.speed.external_data      # half a minute

The check runs once for every session, so the time to make the session is given beside it. A model
that contains the word `location` anywhere is also parsed, which briefly takes its size in memory
once more. Times are processor times of one thread, which other work on the machine barely changes.
"""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from benchmarks.harness.results import ROOT, write_timing
from edgesplit.backbone.identity import check_self_contained
from edgesplit.backbone.session import open_session

LAYERS, WIDTH = 88, 500
"""Layers with 88 MB of float32 weights, about as many as in a small video transformer."""
ROUNDS = 15


def make_model(name: str) -> bytes:
    """Return a model of layers in sequence, with the output `name`."""
    rng = np.random.default_rng(0)
    values = ["x", *(f"value.{layer}" for layer in range(1, LAYERS)), name]
    nodes, weights = [], []
    for layer in range(LAYERS):
        weight = rng.standard_normal((WIDTH, WIDTH), np.float32) / np.float32(WIDTH)
        weights.append(numpy_helper.from_array(weight, f"weight.{layer}"))
        nodes.append(
            helper.make_node("MatMul", [values[layer], f"weight.{layer}"], [values[layer + 1]])
        )
    graph = helper.make_graph(
        nodes,
        "layers",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", WIDTH])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", WIDTH])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString(deterministic=True))


def measure(name: str, call: Callable[[], Any]) -> dict[str, float]:
    """Return the fastest of `ROUNDS` calls, and the peak memory of a call."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = peak_mb()
    times = []
    for _ in range(ROUNDS):
        start = time.thread_time()
        call()
        times.append(time.thread_time() - start)
    extra = round(peak_mb() - before)
    return {f"{name}_ms": round(1e3 * min(times), 1), f"{name}_extra_mb": extra}


def peak_mb() -> float:
    """Return the peak memory of this process since the last reset, in MB."""
    (found,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found) * 1024 / 1e6


@click.command()
def main() -> None:
    """Measure the check, and write the machine's result."""
    plain, with_word = make_model("features"), make_model("location")
    found = {
        "model_mb": round(len(plain) / 1e6, 1),
        **measure("check", lambda: check_self_contained(plain)),
        **measure("check_with_word", lambda: check_self_contained(with_word)),
        **measure("session", lambda: open_session(plain)),
    }
    for name, figure in found.items():
        click.echo(f"{name} {figure}")
    click.echo(write_timing("external_data", found).relative_to(ROOT))


if __name__ == "__main__":
    main()
