"""How fast is a bundle compared with torch, and with the same model exported as one file?

    python -m benchmarks.speed.beside_torch      # ten minutes

VideoMAE-S with random weights, 16 frames of 224 x 224, one clip at a time; speed does not depend on
the weights. Every contender is a subprocess with the same number of threads. They take turns: one
runs while the others wait. The figure is the ratio to torch within a turn, so that a slower machine
affects all of them equally.
"""

import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.harness.results import ROOT, read_timings, write_timing
from benchmarks.harness.workers import contender, serve
from edgesplit.runtime.bench.timing import order_interval

ROUNDS = 15
RUNS = 3
"""Runs of a contender in a turn, after one warm-up run that is left out."""
REST_S = 0.3
"""Seconds between turns, because the previous contender's threads spin for a while."""
THREADS = (1, 2)
BASELINE = "torch"
MODULE = "benchmarks.speed.beside_torch"
N_CALIBRATING = 20

ABOUT = {
    "torch": "torch, `inference_mode`, sdpa attention, fp32",
    "torch bf16": "the same, weights and activations bf16",
    "whole": "the whole model by `torch.onnx.export`, ONNX Runtime, its clip normalised beforehand",
    "bundle": "edgesplit: backbone and head, ONNX Runtime, fp32",
    "ort": "edgesplit, variant `ort`",
    "int8": "edgesplit, variant `int8`",
}

Run = Callable[[], Any]


def prepare(folder: Path) -> None:
    """Write the files of the contenders: model folder, full export, bundle, clip."""
    import torch
    import transformers

    from benchmarks.speed.models import SUBJECTS, load, random_clips
    from edgesplit.export import export_model
    from edgesplit.export.graph.trace import normalize_clips
    from edgesplit.export.models.huggingface import use_transformers

    subject = next(one for one in SUBJECTS if one.name.startswith("VideoMAE small"))
    classifier, choices = load(subject, folder)
    clips = random_clips(choices.preprocessing, N_CALIBRATING)
    np.save(folder / "clips.npy", clips)
    normalized = normalize_clips(torch.from_numpy(clips[:1]), choices.preprocessing)
    np.save(folder / "normalized.npy", normalized.numpy())
    export_model(
        classifier.model,
        labels=choices.labels,
        output=folder / "lab.bundle",
        preprocessing=choices.preprocessing,
    )
    with use_transformers():
        model = transformers.VideoMAEForVideoClassification.from_pretrained(folder)
    model.train(False)
    torch.onnx.export(model, (normalized,), folder / "whole.onnx", dynamo=True, verbose=False)


def open_torch(folder: Path, threads: int, kind: str) -> Run:
    """Open the model as Hugging Face loads it."""
    import torch
    import transformers

    from edgesplit.bundle.bundle import open_bundle
    from edgesplit.export.graph.trace import normalize_clips

    torch.set_num_threads(threads)
    dtype = torch.bfloat16 if kind == "bf16" else torch.float32
    model = transformers.VideoMAEForVideoClassification.from_pretrained(
        folder, attn_implementation="sdpa", dtype=dtype
    )
    model.train(False)
    preprocessing = open_bundle(folder / "lab.bundle").preprocessing
    clip = np.load(folder / "clips.npy")[:1]

    def run() -> int:
        with torch.inference_mode():
            pixels = normalize_clips(torch.from_numpy(clip), preprocessing).to(dtype)
            return int(model(pixels).logits.argmax())

    return run


def open_whole(folder: Path, threads: int) -> Run:
    """Open the complete model, as torch's exporter writes it by default."""
    from edgesplit.backbone.session import import_onnxruntime

    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(folder / "whole.onnx", options)
    clip = np.load(folder / "normalized.npy")
    (name,) = (entry.name for entry in session.get_inputs())
    return lambda: int(np.argmax(session.run(None, {name: clip})[0]))


def open_edgesplit(folder: Path, threads: int, recipe: Any) -> Run:
    """Open the bundle as `edgesplit predict` runs it."""
    from edgesplit.backbone.attention import fuse_attention
    from edgesplit.backbone.identity import inline
    from edgesplit.backbone.int8 import to_int8
    from edgesplit.bundle.bundle import open_bundle
    from edgesplit.runtime import OrtBackend, Runtime

    bundle = open_bundle(folder / "lab.bundle")
    clips = np.load(folder / "clips.npy")
    # Not through `variant add`: its guard asks for the same answers, and random weights have none.
    backbone = inline(bundle.backbone())
    if recipe == "ort":
        backbone = fuse_attention(backbone).data
    elif recipe == "int8":
        backbone = to_int8(backbone, clips).data
    runtime = Runtime(bundle, backend=OrtBackend(backbone, threads=threads))
    return lambda: runtime.predict(clips[0])


def open_contender(name: str, folder: Path, threads: int) -> Run:
    """Open the contender of one process."""
    if name.startswith("torch"):
        return open_torch(folder, threads, name.removeprefix("torch").strip())
    if name == "whole":
        return open_whole(folder, threads)
    return open_edgesplit(folder, threads, None if name == "bundle" else name)


def measure(folder: Path, threads: int, rounds: int) -> list[dict[str, Any]]:
    """Return one row for each contender."""
    times: dict[str, list[float]] = {name: [] for name in ABOUT}
    with ExitStack() as stack:
        contenders = {
            name: stack.enter_context(
                contender(MODULE, "--serve", name, str(folder), "--threads", str(threads))
            )
            for name in ABOUT
        }
        for turn in range(rounds):
            for name, ask in contenders.items():
                time.sleep(REST_S)
                times[name].append(float(np.median(ask(1 + RUNS)[1:])))
            print(f"{threads} threads, round {turn + 1} of {rounds}", flush=True)
    base = np.array(times[BASELINE])
    return [_row(name, np.array(found), base) for name, found in times.items()]


def _row(name: str, found: Any, base: Any) -> dict[str, Any]:
    ratios = base / found
    return {
        "name": name,
        "about": ABOUT[name],
        "median_ms": round(float(np.median(found)), 1),
        "times_as_fast": round(float(np.median(ratios)), 3),
        "interval": [round(value, 3) for value in order_interval(ratios)],
    }


def table(content: dict[str, Any]) -> str:
    """Return the table of docs/models.md."""
    made, versions = content["made"], content["versions"]
    lines = [
        f"`python -m benchmarks.speed.beside_torch`, {made['date']}, {made['machine']}; "
        f"torch {versions['torch']}, transformers {versions['transformers']}, ONNX Runtime "
        f"{made['onnxruntime']}; {content['rounds']} rounds. In brackets: where the median lies in "
        "95 % of cases.",
        "",
        "| VideoMAE-S, one clip | "
        + " | ".join(_threads(count) for count in content["rows"])
        + "|",
        "|---|" + "---|" * len(content["rows"]),
    ]
    for rows in zip(*content["rows"].values(), strict=True):
        cells = [
            f"{row['median_ms']:.0f} ms, {row['times_as_fast']:.2f} x "
            f"[{row['interval'][0]:.2f}, {row['interval'][1]:.2f}]"
            for row in rows
        ]
        lines.append(f"| {rows[0]['about']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _threads(count: str) -> str:
    return f"{count} thread" if count == "1" else f"{count} threads"


def read_table() -> str:
    """Return the tables of the committed results."""
    return "\n\n".join(table(content) for content in read_timings("speed"))


@click.command()
@click.option("--rounds", default=ROUNDS, show_default=True)
@click.option("--serve", "served", nargs=2, type=str, hidden=True)
@click.option("--threads", type=int, hidden=True)
def main(rounds: int, served: tuple[str, str] | None, threads: int | None) -> None:
    """Measure every contender, and write the machine's result."""
    if served and threads:
        serve(open_contender(served[0], Path(served[1]), threads))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        rows = {str(count): measure(folder, count, rounds) for count in THREADS}
    content = {
        "versions": {package: version(package) for package in ("torch", "transformers")},
        "weights": "random",
        "rounds": rounds,
        "runs": RUNS,
        "rows": rows,
    }
    print(write_timing("speed", content).relative_to(ROOT))


if __name__ == "__main__":
    main()
