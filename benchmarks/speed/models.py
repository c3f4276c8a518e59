"""Do exported models compute the same function as the originals, and how fast are they?

    python -m benchmarks.speed.models      # half an hour on two idle cores

Every architecture has its full size and random weights, and is processed like a user's model: saved
as a folder or checkpoint, loaded by `load_classifier`, exported by `export_model`. A model with
random weights decides one class for every clip, so agreement would prove little. Therefore its head
is replaced by one with a class for each clip (the nearest feature wins); the other weights stay
random. Parity is max |ONNX - torch| / max |torch|; latency is of one clip, on one thread for both,
in turns. The export uses one thread of torch.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import nn

from benchmarks.harness.results import ROOT, name_machine, read_result, write_result
from edgesplit._types import Float32
from edgesplit.backbone.backends import OrtBackend
from edgesplit.backbone.identity import inline
from edgesplit.backbone.session import open_session
from edgesplit.bundle.bundle import open_bundle
from edgesplit.export import export_model, find_cut, load_classifier
from edgesplit.export.graph.cut import Cut
from edgesplit.export.graph.parity import Parity, measure_parity
from edgesplit.export.graph.trace import NormalizedBackbone, normalize_clips
from edgesplit.export.models.classifier import Choices, Classifier
from edgesplit.export.models.huggingface import PROCESSOR_FILES, use_transformers
from edgesplit.export.models.mvd import ARCHITECTURES, VideoTransformer
from edgesplit.video.preprocessing import Preprocessing

N_CLASSES = 174
N_CLIPS = 8
BATCHES = (1, 4)
RUNS = 7
_PEAK_RESET, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
_SMALL: dict[str, Any] = {"hidden_size": 384, "num_attention_heads": 6, "intermediate_size": 1536}
_VJEPA2: dict[str, Any] = {"frames_per_clip": 16, "crop_size": 256}  # vitl-fpc16-256-ssv2's
_VIVIT = {"size": {"shortest_edge": 256}, "rescale_factor": 1 / 127.5, "offset": True}


@dataclass(frozen=True)
class Subject:
    """An architecture at full size, and the function that writes it as a user would have it."""

    name: str
    prepare: Callable[[Path], dict[str, Any]]
    """Function that writes it into a folder and returns the arguments of `load_classifier`."""
    clips: int = N_CLIPS
    """Number of clips, one per class that wins; a multiple of the larger batch."""
    runs: int = RUNS


def save_folder(
    folder: Path, *, family: str, processor: dict[str, Any] | None = None, **sizes: Any
) -> dict[str, Any]:
    """Write a Hugging Face folder with random weights and named classes."""
    import transformers

    labels = {index: f"class {index}" for index in range(N_CLASSES)}
    config = getattr(transformers, f"{family}Config")(id2label=labels, **sizes)
    model = getattr(transformers, f"{family}ForVideoClassification")(config)
    with use_transformers():
        shake(model).save_pretrained(folder)
    content = {"size": {"shortest_edge": 224}, "image_mean": [0.485, 0.456, 0.406]}
    content |= {"image_std": [0.229, 0.224, 0.225], **(processor or {})}
    (folder / PROCESSOR_FILES[-1]).write_text(json.dumps(content))
    return {"spec": str(folder)}


def save_mvd(folder: Path) -> dict[str, Any]:
    """Write a checkpoint as MVD's authors do."""
    model = shake(VideoTransformer(ARCHITECTURES["vit-small"], n_classes=N_CLASSES))
    torch.save({"module": model.state_dict()}, folder / "mvd.pth")
    return {"spec": "mvd:vit-small", "checkpoint": folder / "mvd.pth"}


def shake(model: Any) -> Any:
    """Make weights that start as zeros or ones random, because those values would hide errors."""
    for parameter in model.parameters():
        first = float(parameter.detach().flatten()[0])
        if bool((parameter == first).all()):
            nn.init.normal_(parameter, mean=first, std=0.1)
    return model


SUBJECTS = (
    Subject("MVD ViT-Small, 16 frames", save_mvd),
    Subject("VideoMAE small, 16 frames", partial(save_folder, family="VideoMAE", **_SMALL)),
    Subject("VideoMAE base, 16 frames", partial(save_folder, family="VideoMAE")),
    Subject("TimeSformer base, 8 frames", partial(save_folder, family="Timesformer")),
    Subject("ViViT base, 32 frames", partial(save_folder, family="Vivit", processor=_VIVIT)),
    Subject(
        "V-JEPA 2 large, 16 frames",
        partial(save_folder, family="VJEPA2", processor={"crop_size": 256}, **_VJEPA2),
        clips=4,
        runs=2,
    ),
)


def load(subject: Subject, folder: Path) -> tuple[Classifier, Choices]:
    """Return the classifier and its values as `edgesplit export` gets them."""
    torch.manual_seed(0)
    classifier = load_classifier(**subject.prepare(folder))
    names = None if classifier.labels else [f"class {index}" for index in range(N_CLASSES)]
    return classifier, classifier.settle(labels=names, sampling="uniform")


def random_clips(preprocessing: Preprocessing, n_clips: int, seed: int = 1) -> Float32:
    """Return clips in 0..1: coarse noise with a different colour and contrast in each."""
    rng = np.random.default_rng(seed)
    time_axis, height, width = preprocessing.frames, preprocessing.height, preprocessing.width
    shape = (n_clips, 3, time_axis, height // 8, width // 8)
    level = rng.random((n_clips, 3, 1, 1, 1), np.float32)
    contrast = rng.random((n_clips, 1, 1, 1, 1), np.float32)
    coarse = level + contrast * (rng.random(shape, np.float32) - level)
    clips = coarse.repeat(8, 3).repeat(8, 4)
    if preprocessing.layout == "ntchw":
        clips = clips.swapaxes(1, 2)
    return np.ascontiguousarray(clips)


def spread_head(model: nn.Module, preprocessing: Preprocessing, clips: Float32) -> None:
    """Replace the head by one whose first classes each win on one of the clips.

    With features f_i of the clips, their mean m and d_i = f_i - m, the logit of class i is
    (f - m) d_i - d_i^2 / 2, over the mean of d^2: the class whose clip is nearest wins. The other
    classes have weights of 0 and a bias that loses.
    """
    normalized = normalize_clips(torch.from_numpy(clips), preprocessing)
    cut = find_cut(model, normalized[:2])
    features = torch.cat([cut.run(clip)[0] for clip in torch.split(normalized, 1)])
    features = features.double()
    mean = features.mean(0)
    distances = features - mean
    squares = distances.square().sum(1)
    rows = distances / squares.mean()
    head: Any = model.get_submodule(cut.layer)
    with torch.no_grad():
        head.weight.zero_()
        head.bias.fill_(-1.0)
        head.weight.view(len(head.weight), -1)[: len(rows)] = rows.float()
        head.bias[: len(rows)] = (-rows @ mean - squares / squares.mean() / 2).float()


def measure(subject: Subject) -> dict[str, Any]:
    """Export one architecture; return its row of the result."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        classifier, choices = load(subject, folder)
        clips = random_clips(choices.preprocessing, subject.clips)
        spread_head(classifier.model, choices.preprocessing, clips)
        torch.set_num_threads(1)
        _PEAK_RESET.write_text("5")
        start = time.perf_counter()
        report = export_model(
            classifier.model,
            labels=choices.labels,
            output=folder / "lab.bundle",
            preprocessing=choices.preprocessing,
            progress=lambda step: print(f"{time.perf_counter() - start:.1f} s: {step}", flush=True),
        )
        seconds, memory = time.perf_counter() - start, _peak_memory()
        torch.set_num_threads(os.cpu_count() or 1)
        bundle = open_bundle(folder / "lab.bundle")
        backbone, head = inline(bundle.backbone()), bundle.head().to_bytes()
    probe = normalize_clips(torch.from_numpy(clips[:2]), choices.preprocessing)
    cut = find_cut(classifier.model, probe)
    parity = {
        batch: measure_parity(
            cut,
            backbone=backbone,
            head=head,
            batches=np.split(clips, subject.clips // batch),
            preprocessing=choices.preprocessing,
        )
        for batch in BATCHES
    }
    return {
        "name": subject.name,
        "date": datetime.now(timezone.utc).date().isoformat(),
        "machine": name_machine(),
        "clip": list(choices.preprocessing.clip_shape),
        "layout": choices.preprocessing.layout,
        "head": report.head_layer,
        "features": report.feature_dim,
        "onnx_bytes": len(backbone),
        "opset": report.opset,
        "export_seconds": round(seconds, 1),
        "export_memory_gb": round(memory / 1e9, 1),
        "parity": {str(batch): _parity_row(found) for batch, found in parity.items()},
        "latency_ms": latency(cut, backbone, head, clips[:1], choices, runs=subject.runs),
    }


def _peak_memory() -> float:
    """Return the peak memory since the reset, in bytes."""
    (line,) = (row for row in _STATUS.read_text().splitlines() if row.startswith("VmHWM"))
    return 1024 * float(line.split()[1])


def _parity_row(parity: Parity) -> dict[str, Any]:
    return {
        "features": float(f"{parity.features:.2g}"),
        "logits": float(f"{parity.logits:.2g}"),
        "top1_agreement": parity.top1_agreement,
        "clips": parity.n_clips,
        "classes_that_win": parity.n_winners,
    }


def latency(
    cut: Cut, backbone: bytes, head: bytes, clip: Float32, choices: Choices, *, runs: int
) -> dict[str, float]:
    """Return the median milliseconds from a clip to its logits, in ONNX Runtime and in torch."""
    torch.set_num_threads(1)
    backend = OrtBackend(backbone, threads=1)
    session = open_session(head, threads=1)
    module = NormalizedBackbone(cut.backbone.model, choices.preprocessing)
    tensor = torch.from_numpy(clip)

    def run_onnx() -> None:
        session.run(["logits"], {"features": backend.run(clip)})

    def run_torch() -> None:
        with torch.inference_mode():
            module(tensor)

    times: dict[str, list[float]] = {"onnxruntime": [], "torch": []}
    for turn in range(runs + 1):
        for name, run in (("onnxruntime", run_onnx), ("torch", run_torch)):
            start = time.perf_counter()
            run()
            if turn:  # the first one warms up
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: round(float(np.median(values)), 1) for name, values in times.items()}


def table(rows: Sequence[dict[str, Any]], versions: dict[str, str]) -> str:
    """Return the table of docs/models.md, in Markdown."""
    lines = [
        f"One clip, one thread; torch {versions['torch']}, transformers "
        f"{versions['transformers']}, ONNX Runtime {versions['onnxruntime']}.",
        "",
        "| model | clip | ONNX | opset | parity at batch 1 | at batch 4 | top-1 | classes that win "
        "| ONNX Runtime | torch | export | memory | on |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        one, four = (row["parity"][str(batch)] for batch in BATCHES)
        agreement = min(one["top1_agreement"], four["top1_agreement"])
        winners = min(one["classes_that_win"], four["classes_that_win"])
        lines.append(
            f"| {row['name']} | {row['layout']} {'x'.join(map(str, row['clip']))} "
            f"| {row['onnx_bytes'] / 1e6:.0f} MB | {row['opset']} "
            f"| {one['features']:.1e} | {four['features']:.1e} | {agreement:.0%} | {winners} "
            f"| {row['latency_ms']['onnxruntime']:.0f} ms | {row['latency_ms']['torch']:.0f} ms "
            f"| {row['export_seconds']:.0f} s | {_gigabytes(row)} "
            f"| {row['machine']}, {row['date']} |"
        )
    return "\n".join(lines)


def _gigabytes(row: dict[str, Any]) -> str:
    return f"{row['export_memory_gb']:.1f} GB" if "export_memory_gb" in row else "not measured"


def read_table() -> str:
    """Return the table of the committed result."""
    content = read_result("models")
    return table(content["models"], {**content["made"], **content["versions"]})


@click.command()
@click.option("--only", help="Measure names that start so; the other rows stay as they are.")
def main(only: str | None) -> None:
    """Export every architecture at full size, and write models.json."""
    rows = {row["name"]: row for row in read_result("models")["models"]} if only else {}
    for subject in SUBJECTS:
        if subject.name.startswith(only or ""):
            rows[subject.name] = measure(subject)
            print(json.dumps(rows[subject.name]), flush=True)
    content = {
        "versions": {package: version(package) for package in ("torch", "transformers")},
        "weights": "random; the head replaced, so that one class wins on each clip",
        "threads": 1,
        "runs": RUNS,
        "models": list(rows.values()),
    }
    print(write_result("models", content).relative_to(ROOT))


if __name__ == "__main__":
    main()
