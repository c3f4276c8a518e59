"""Measure the time from a split request to the serving head, with edgesplit and without it.

    python -m benchmarks.speed.edit_to_live      # ten minutes

VideoMAE-S with random weights and 174 realistic labels. Each turn makes the same kind of edit, from
text alone, in words that were never embedded before. Each way has a service that predicts one clip
repeatedly on one core and follows publishes; the figure is the time until the new head serves.

- edgesplit: edit, publish; the service follows HEAD. Also with no text embedded, as in the first
  edit on a device; and as a shell command.
- fuse + reload: edit; backbone and head are merged into one ONNX file, which the service reopens.
- torch re-export: edit; the head is put into torch, and the complete model is exported and opened
  by the service. Also as a script that is started for each edit.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx

from benchmarks.harness.results import ROOT, read_timings, write_timing
from benchmarks.harness.workers import run_module, worker
from benchmarks.speed.made_heads import TARGET, make_labels
from edgesplit.backbone.identity import inline
from edgesplit.bundle.bundle import Bundle, open_bundle
from edgesplit.edits.edit import Edit
from edgesplit.runtime.bench.process import LineProcess

ROUNDS = 5
WORDS = (
    ("left", "right"),
    ("upwards", "downwards"),
    ("slowly", "quickly"),
    ("forwards", "backwards"),
    ("once", "twice"),
)
BEFORE = ("loudly", "quietly")
"""Modifiers of an earlier edit, which embeds the head's labels."""


def prepare(folder: Path) -> None:
    """Write the model's folder and the bundle."""
    import torch

    from benchmarks.speed.models import SUBJECTS
    from edgesplit.export import export_model, load_classifier

    subject = next(one for one in SUBJECTS if one.name.startswith("VideoMAE small"))
    torch.manual_seed(0)
    classifier = load_classifier(**subject.prepare(folder))
    choices = classifier.settle(labels=make_labels(174), sampling="uniform")
    export_model(
        classifier.model,
        labels=make_labels(174),
        output=folder / "lab.bundle",
        preprocessing=choices.preprocessing,
    )


class Service:
    """A process that predicts, and reports when another head serves."""

    def __init__(self, process: LineProcess) -> None:
        self._process = process

    def _read(self, key: str) -> Any:
        while True:
            content = json.loads(self._process.read())
            if key in content:
                return content[key]

    def wait(self) -> None:
        """Wait until it predicts."""
        self._read("ready")

    def live(self) -> float:
        """Return the time when the next head began to serve, by the clock of all processes."""
        return float(self._read("live"))

    def longest_s(self) -> float:
        """Return the longest time between two predictions since the last call, in seconds."""
        self._process.write("")
        return float(self._read("longest_s"))


@contextmanager
def service(kind: str, path: Path) -> Iterator[Service]:
    """Start a service."""
    with worker("benchmarks.speed.service", kind, str(path)) as process:
        found = Service(process)
        found.wait()
        yield found


def split(bundle: Bundle, turn: int) -> Edit:
    """Make the edit of a turn, in new words."""
    return bundle.split_class(TARGET, into=list(WORDS[turn]), accept_doubt=True)


def publish(bundle: Bundle, edit: Edit) -> int:
    """Publish as edgesplit does; return the bytes that are sent to a device."""
    bundle.publish(edit)
    return len(edit.head.to_bytes())


def fuse(bundle: Bundle, edit: Edit, file: Path) -> int:
    """Merge and write one file for the service, without the checks of `edgesplit fuse`."""
    from edgesplit.backbone.fuse import join_models

    data = join_models(onnx.load_model_from_string(inline(bundle.backbone())), edit.head)
    return replace(file, data)


def export(model: Any, bundle: Bundle, edit: Edit, file: Path) -> int:
    """Put the edited rows into torch's head, and export the complete model."""
    import torch

    head = edit.head
    rows = np.stack([_absolute(head, column) for column in head.tree.leaves])
    layer = torch.nn.Linear(head.dim, len(rows))
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(rows))
        layer.bias.zero_()
    model.classifier = layer
    sample = torch.rand(1, *bundle.preprocessing.clip_shape)
    program = torch.onnx.export(model, (sample,), dynamo=True, verbose=False)
    assert program is not None
    return replace(file, program.model_proto.SerializeToString())


def _absolute(head: Any, column: int) -> Any:
    """Return the row of a class plus those of its parents, as in the paper's rule."""
    return sum(head.weight[above] for above in head.tree.path(column))


def replace(file: Path, data: bytes) -> int:
    """Replace a file atomically; return its size."""
    part = file.with_suffix(".part")
    part.write_bytes(data)
    part.replace(file)
    return len(data)


def type_edit(bundle: Bundle, turn: int) -> int:
    """Run the command `edgesplit edit`; return the bytes that are sent to a device."""
    command = [sys.executable, "-m", "edgesplit", "edit", "--class", TARGET, "--accept-doubt"]
    command += ["--into", ",".join(WORDS[turn]), "--bundle", str(bundle.path)]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    return len(bundle.head().to_bytes())


def run_script(folder: Path, turn: int) -> int:
    """Run the re-export as a subprocess; return the size of the file."""
    run_module("benchmarks.speed.edit_to_live", "--export", str(folder), str(turn))
    return (folder / "whole.onnx").stat().st_size


def load_model(folder: Path) -> Any:
    """Load the torch model from its folder."""
    import transformers

    model = transformers.VideoMAEForVideoClassification.from_pretrained(folder)
    model.train(False)
    return model


def measure(folder: Path, rounds: int) -> dict[str, Any]:
    """Measure every way in sequence; only its own service runs meanwhile."""
    prepare(folder)
    model = load_model(folder)
    bundle = open_bundle(folder / "lab.bundle")
    first = bundle.live
    whole = folder / "whole.onnx"
    caches = iter(range(10**6))

    def fresh_cache(*, labels: bool) -> None:
        os.environ["EDGESPLIT_CACHE"] = str(folder / "cache" / str(next(caches)))
        if labels:
            bundle.split_class(TARGET, into=list(BEFORE), accept_doubt=True)

    fresh_cache(labels=True)
    fuse(bundle, split(bundle, 0), whole)
    live, file = ("bundle", bundle.path), ("file", whole)
    ways: dict[str, tuple[tuple[str, Path], bool, Callable[[int], int]]] = {
        "edgesplit": (live, True, lambda turn: publish(bundle, split(bundle, turn))),
        "edgesplit, no text embedded": (
            live,
            False,
            lambda turn: publish(bundle, split(bundle, turn)),
        ),
        "edgesplit, typed": (live, True, lambda turn: type_edit(bundle, turn)),
        "fuse + reload": (file, True, lambda turn: fuse(bundle, split(bundle, turn), whole)),
        "torch re-export": (
            file,
            True,
            lambda turn: export(model, bundle, split(bundle, turn), whole),
        ),
        "torch re-export, a script": (file, True, lambda turn: run_script(folder, turn)),
    }
    rows = []
    for name, (of, labels, act) in ways.items():
        seconds, sizes, gaps, usual = [], [], [], []
        with service(*of) as running:
            time.sleep(3)
            for turn in range(rounds):
                fresh_cache(labels=labels)
                usual.append(running.longest_s())
                start = time.monotonic()
                sizes.append(act(turn))
                seconds.append(running.live() - start)
                gaps.append(running.longest_s())
                if of == live:
                    bundle.rollback(first)
                    running.live()
                time.sleep(2)
        rows.append(
            {
                "way": name,
                "edit_to_live_s": round(float(np.median(seconds)), 4),
                "all_s": [round(value, 4) for value in seconds],
                "payload_bytes": int(np.median(sizes)),
                "longest_pause_s": round(float(np.median(gaps)), 3),
                "usual_pause_s": round(float(np.median(usual)), 3),
            }
        )
        print(rows[-1], flush=True)
    return {"rounds": rounds, "backbone_bytes": len(bundle.backbone()), "rows": rows}


def table(content: dict[str, Any]) -> str:
    """Return the table of docs/peers.md."""
    rows = content["rows"]
    lines = [
        f"`python -m benchmarks.speed.edit_to_live`, {content['made']['date']}, "
        f"{content['made']['machine']}; VideoMAE-S, "
        f"174 classes, medians of {content['rounds']}.",
        "",
        "| way | edit to live | times edgesplit | to ship | longest pause between predictions |",
        "|---|---|---|---|---|",
    ]
    base = rows[0]["edit_to_live_s"]
    for row in rows:
        lines.append(
            f"| {row['way']} | {1e3 * row['edit_to_live_s']:.0f} ms "
            f"| {row['edit_to_live_s'] / base:.1f} | {row['payload_bytes'] / 1e6:.2f} MB "
            f"| {row['longest_pause_s']:.2f} s (usually {row['usual_pause_s']:.2f} s) |"
        )
    return "\n".join(lines)


def read_table() -> str:
    """Return the tables of the committed results."""
    return "\n\n".join(table(content) for content in read_timings("edit_to_live"))


@click.command()
@click.option("--rounds", default=ROUNDS, show_default=True)
@click.option("--export", "script", nargs=2, type=str, hidden=True)
def main(rounds: int, script: tuple[str, str] | None) -> None:
    """Measure, and write the machine's result."""
    if script:
        folder = Path(script[0])
        bundle = open_bundle(folder / "lab.bundle")
        edit = split(bundle, int(script[1]))
        export(load_model(folder), bundle, edit, folder / "whole.onnx")
        return
    with tempfile.TemporaryDirectory() as name:
        content = measure(Path(name), rounds)
    print(write_timing("edit_to_live", content).relative_to(ROOT))


if __name__ == "__main__":
    main()
