"""What is the cost of two graphs, backbone and head, instead of one?

    python -m benchmarks.speed.two_graphs      # ten minutes

The same clip runs through the bundle (two sessions and the decision's path) and through the fused
file (one session), each in a subprocess, in turns. A backbone that takes microseconds shows the
fixed cost. VideoMAE-S shows its share of the latency, with the interval of the median difference.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.harness.results import ROOT, write_timing
from benchmarks.harness.workers import contender, serve
from edgesplit.backbone.fuse import fuse_models
from edgesplit.backbone.identity import feature_space, inline
from edgesplit.backbone.session import open_session
from edgesplit.bundle.bundle import open_bundle
from edgesplit.bundle.create import create_bundle
from edgesplit.heads.head import Head
from edgesplit.runtime.bench.timing import order_interval
from edgesplit.video.preprocessing import Preprocessing

Run = Callable[[], Any]

N_CLASSES = 174
WAYS = ("two", "one")
MODULE = "benchmarks.speed.two_graphs"
SMALL_RUNS, SMALL_ROUNDS = 2000, 40
LARGE_RUNS, LARGE_ROUNDS = 3, 20
REST_S = 0.05


def make_small(folder: Path) -> None:
    """Make a bundle whose backbone averages a clip and multiplies it once: 384 features."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    shape = Preprocessing(frames=4, height=8, width=8)
    rows = rng.standard_normal((3, 384)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["clip", "axes"], ["mean"], keepdims=0),
            helper.make_node("MatMul", ["mean", "rows"], ["features"]),
        ],
        "backbone",
        [helper.make_tensor_value_info("clip", TensorProto.FLOAT, ["batch", *shape.clip_shape])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 384])],
        [
            numpy_helper.from_array(np.array([2, 3, 4], np.int64), "axes"),
            numpy_helper.from_array(rows, "rows"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    backbone = model.SerializeToString(deterministic=True)
    head = Head.from_arrays(
        rng.standard_normal((N_CLASSES, 384)),
        np.zeros(N_CLASSES),
        [f"class {index}" for index in range(N_CLASSES)],
        feature_space=feature_space(backbone, shape),
    )
    create_bundle(folder / "lab.bundle", backbone=backbone, head=head, preprocessing=shape)


def make_large(folder: Path) -> None:
    """Make a bundle of VideoMAE-S with random weights."""
    from benchmarks.speed.models import SUBJECTS, load
    from edgesplit.export import export_model

    subject = next(one for one in SUBJECTS if one.name.startswith("VideoMAE small"))
    classifier, choices = load(subject, folder)
    export_model(
        classifier.model,
        labels=choices.labels,
        output=folder / "lab.bundle",
        preprocessing=choices.preprocessing,
    )


def fuse(folder: Path) -> None:
    """Write the fused file beside the bundle."""
    bundle = open_bundle(folder / "lab.bundle")
    shape = bundle.preprocessing.clip_shape
    one = fuse_models(inline(bundle.backbone()), bundle.head(), clip_shape=shape)
    (folder / "one.onnx").write_bytes(one.data)


def open_way(way: str, folder: Path) -> Run:
    """Return a function from one clip to its logits, by one or two sessions on one thread."""
    bundle = open_bundle(folder / "lab.bundle")
    clip = np.random.default_rng(1).random((1, *bundle.preprocessing.clip_shape), np.float32)
    outputs = ["logits", "probabilities", "class_index"]
    if way == "one":
        session = open_session((folder / "one.onnx").read_bytes(), threads=1)
        return lambda: session.run(outputs, {"clip": clip})
    backbone = open_session(bundle.backbone(), threads=1)
    head = open_session(bundle.head().to_bytes(), threads=1, optimize=False)

    def run() -> Any:
        (features,) = backbone.run(["features"], {"clip": clip})
        return head.run(outputs, {"features": features})

    return run


def compare(folder: Path, runs: int, rounds: int) -> dict[str, Any]:
    """Return the medians of both ways, and of their differences within a round."""
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    served = [contender(MODULE, "--serve", way, str(folder)) for way in WAYS]
    with served[0] as two, served[1] as one:
        for turn in range(rounds):
            ways = (("two", two), ("one", one))
            for way, ask in ways if turn % 2 else reversed(ways):
                time.sleep(REST_S)
                found[way].append(1e3 * float(np.median(ask(runs))))
    by_two, by_one = (np.array(found[way]) for way in WAYS)
    differences = by_two - by_one
    return {
        "one_us": round(float(np.median(by_one)), 2),
        "two_us": round(float(np.median(by_two)), 2),
        "difference_us": round(float(np.median(differences)), 2),
        "interval_us": [round(value, 2) for value in order_interval(differences)],
        "rounds": rounds,
        "runs": runs,
    }


@click.command()
@click.option("--serve", "served", nargs=2, type=str, hidden=True)
def main(served: tuple[str, str] | None) -> None:
    """Measure both, and write the machine's result."""
    if served:
        serve(open_way(served[0], Path(served[1])))
        return
    with tempfile.TemporaryDirectory() as name:
        found = {}
        for size, make, runs, rounds in (
            ("small", make_small, SMALL_RUNS, SMALL_ROUNDS),
            ("videomae_s", make_large, LARGE_RUNS, LARGE_ROUNDS),
        ):
            folder = Path(name) / size
            folder.mkdir()
            make(folder)
            fuse(folder)
            found[size] = compare(folder, runs, rounds)
            click.echo(f"{size}: {found[size]}")
    share = found["small"]["difference_us"] / found["videomae_s"]["one_us"]
    content = {"threads": 1, "classes": N_CLASSES, **found, "fixed_cost_share": round(share, 7)}
    click.echo(write_timing("two_graphs", content).relative_to(ROOT))


if __name__ == "__main__":
    main()
