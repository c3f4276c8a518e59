"""Measure locality after the backbone is exported and quantised.

    python -m benchmarks.quality.locality_after_export [DIR ...]

An edit is local for a fixed backbone, but a device runs another backbone than torch. Three
comparisons are made for the backbone in ONNX as fp32, fp16 and int8, on Motion-Split's held-out
clips:

    edit     edited against unedited, at this precision
    export   unedited at this precision against the reference
    both     edited at this precision against the unedited reference: the total effect for a user

The demo's CNN has no checkpoint here, so its fp32 ONNX replaces torch. DIR is the folder of a
trained model (`checkpoint.pt`, `labels.json`, `train.json`), whose reference is torch itself. Every
category of the head's half is split separately by the default edit, made once, from fp32's
statistics. int8 is calibrated on unlabelled clips that are not held out. Writes
results/locality.json.
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.harness.results import ROOT, read_result, write_result
from benchmarks.motion_split.classes import FINE_CLASSES, Half, head_label, taxonomy
from benchmarks.motion_split.data import Clips, load_clips
from edgesplit._types import Float32, Int64
from edgesplit.backbone.backends import OrtBackend
from edgesplit.backbone.fp16 import to_fp16
from edgesplit.backbone.identity import inline
from edgesplit.backbone.int8 import to_int8
from edgesplit.bundle.bundle import Bundle, open_bundle
from edgesplit.demo import ASSETS, BUNDLE
from edgesplit.heads.head import Head
from edgesplit.heads.metrics import score_split
from edgesplit.runtime.backends.variants import measure_speed

N_CLASSES = len(FINE_CLASSES)
N_HELDOUT, N_UNLABELLED = 47 * N_CLASSES, 24 * N_CLASSES
N_CALIBRATING, _STEP = 128, 16
"""Number and step of calibration clips: at least one of each of the 85 fine classes, which come in
turn."""
_BATCH = 47
PRECISIONS = ("fp32", "fp16", "int8")


@dataclass(frozen=True)
class Model:
    """A bundle and its reference."""

    name: str
    reference: str
    bundle: Bundle
    half: Half
    seed: int
    torch_features: Callable[[Clips], Float32] | None = None


@dataclass(frozen=True)
class Comparison:
    """Figures of a comparison of two sides, each edited or not, at a precision or the reference."""

    locality: float
    """Right answers outside the class, after divided by before. This and all other figures except
    the largest are means over the categories."""
    locality_paper: float
    generality: float | None
    """Generality of the edited side; None if neither is edited."""
    same_decision: float
    """Share of clips with the same decision; a subcategory counts as its class."""
    largest_logit: float
    """Largest difference of a logit of a root class that the edit does not change."""


def demo_model() -> Model:
    """Return the demo's CNN."""
    return Model("CNN of the demo", "ONNX fp32", open_bundle(ASSETS / BUNDLE), "A", 0)


def trained_model(directory: Path, output: Path) -> Model:
    """Export a trained model to `output`; the reference is torch."""
    from benchmarks.motion_split.features import extract_features, load_model
    from benchmarks.motion_split.model import MEAN, N_FRAMES, SIZE, STD
    from edgesplit.export import export_model
    from edgesplit.video.preprocessing import Preprocessing

    about = json.loads((directory / "train.json").read_text())
    model = load_model(directory)
    unlabelled = load_clips("unlabelled", about["seed"], N_UNLABELLED, size=SIZE, n_frames=N_FRAMES)
    export_model(
        model,
        labels=json.loads((directory / "labels.json").read_text()),
        output=output,
        preprocessing=Preprocessing(
            frames=N_FRAMES, height=SIZE, width=SIZE, interpolation="area", mean=MEAN, std=STD
        ),
        features=extract_features(model, unlabelled),
    )
    return Model(
        directory.name,
        "torch fp32",
        open_bundle(output),
        about["half"],
        about["seed"],
        lambda clips: extract_features(model, clips),
    )


def batches(clips: Clips) -> Iterator[Float32]:
    """Yield batches of clips for a backbone."""
    for start in range(0, len(clips.frames), _BATCH):
        frames = clips.frames[start : start + _BATCH].transpose(0, 4, 1, 2, 3)
        yield np.ascontiguousarray(frames, np.float32) / np.float32(255)


def backbones(model: Model, unlabelled: Clips) -> dict[str, bytes]:
    """Return the ONNX files by precision."""
    own = inline(model.bundle.backbone())
    calibrating = Clips(unlabelled.frames[: _STEP * N_CALIBRATING : _STEP], unlabelled.fine)
    clips = [clip for batch in batches(calibrating) for clip in batch]
    return {"fp32": own, "fp16": to_fp16(own, clips).data, "int8": to_int8(own, clips).data}


def compare(
    model: Model,
    edits: dict[str, Head],
    fine: Int64,
    sides: tuple[tuple[Float32, bool], tuple[Float32, bool]],
) -> Comparison:
    """Compare two sides over all categories; a side is features, and True if the head is edited."""
    (seen, _), (seen_after, edited) = sides
    head = model.bundle.head()
    classes = [FINE_CLASSES[index] for index in fine]
    scores, largest = [], 0.0
    for coarse, after in edits.items():
        truth = [c.label if c.coarse == coarse else head_label(c, model.half) for c in classes]
        if edited:
            scores.append(score_split(head, after, coarse, seen, truth, edited_features=seen_after))
        column = head.tree.find(coarse)
        others = [place for place in range(len(head.tree)) if place != column]
        logits = (after if edited else head).evaluate(seen_after).logits
        differences = np.abs(logits[:, others] - head.evaluate(seen).logits[:, others])
        largest = max(largest, float(differences.max()))
    if not edited:
        return _unedited(model, classes_of(model, fine), seen, seen_after, largest)
    n_clips = len(fine)
    return Comparison(
        locality=float(np.mean([score.locality for score in scores])),
        locality_paper=float(np.mean([score.locality_paper for score in scores])),
        generality=float(np.mean([score.generality for score in scores])),
        same_decision=float(np.mean([1 - score.churn / n_clips for score in scores])),
        largest_logit=largest,
    )


def classes_of(model: Model, fine: Int64) -> list[str]:
    """Return the right labels for the unedited head."""
    return [head_label(FINE_CLASSES[index], model.half) for index in fine]


def _unedited(
    model: Model, truth: list[str], seen: Float32, seen_after: Float32, largest: float
) -> Comparison:
    head = model.bundle.head()
    before, after = (np.array(head.classify(part), object) for part in (seen, seen_after))
    kept = float((after == truth).sum() / (before == truth).sum())
    return Comparison(kept, kept, None, float((before == after).mean()), largest)


def measure(model: Model, per_class: int) -> dict[str, Any]:
    """Measure all figures of a model."""
    size, n_frames = model.bundle.preprocessing.height, model.bundle.preprocessing.frames
    rendered = load_clips("heldout", model.seed, N_HELDOUT, size=size, n_frames=n_frames)
    n_heldout = per_class * N_CLASSES
    heldout = Clips(rendered.frames[:n_heldout], rendered.fine[:n_heldout])
    unlabelled = load_clips("unlabelled", model.seed, N_UNLABELLED, size=size, n_frames=n_frames)
    files = backbones(model, unlabelled)
    sessions = {  # one thread: with all cores, the speed of what else runs here is measured too
        precision: OrtBackend(data, threads=1, optimize=precision != "fp16")  # see `to_fp16`
        for precision, data in files.items()
    }
    features = {
        precision: np.concatenate([session.run(batch) for batch in batches(heldout)])
        for precision, session in sessions.items()
    }
    reference = model.torch_features(heldout) if model.torch_features else features["fp32"]
    edits = {
        coarse: model.bundle.split_class(coarse, into=dict(fine), accept_doubt=True).head
        for coarse, fine in taxonomy(model.half).items()
    }
    clip = next(batches(heldout))[0]
    rows = []
    for precision in PRECISIONS:
        own = features[precision]
        sides = {
            "edit": ((own, False), (own, True)),
            "export": ((reference, False), (own, False)),
            "both": ((reference, False), (own, True)),
        }
        speed = measure_speed(sessions["fp32"], sessions[precision], clip, blocks=31)
        row = {"precision": precision, "bytes": len(files[precision]), "speed": round(speed, 3)}
        for name, pair in sides.items():
            row[name] = asdict(compare(model, edits, heldout.fine, pair))
        rows.append(row)
        click.echo(f"{model.name} {precision}: {row}")
    return {
        "model": model.name,
        "reference": model.reference,
        "heldout_clips": len(heldout.fine),
        "categories": len(edits),
        "precisions": rows,
    }


def targets(models: list[dict[str, Any]]) -> dict[str, bool]:
    """Return True by target if it was met."""
    rows = [row for model in models for row in model["precisions"]]
    small = [row for row in models[0]["precisions"] if row["precision"] == "int8"]
    return {
        "edit: locality, decisions and untouched logits as before, at every precision": all(
            (row["edit"]["locality"], row["edit"]["same_decision"], row["edit"]["largest_logit"])
            == (1, 1, 0)
            for row in rows
        ),
        "export, both: locality within 0.5 points of 100 %": all(
            abs(row[name]["locality"] - 1) <= 0.005 for row in rows for name in ("export", "both")
        ),
        "CNN: int8 at least 1.5 times as fast, 99 % the same decisions": all(
            row["speed"] >= 1.5 and row["export"]["same_decision"] >= 0.99 for row in small
        ),
    }


def read_table() -> str:
    """Return the table of the committed result."""
    result = read_result("locality")
    lines = [
        "| backbone, ONNX | MB | speed | edited against unedited, same precision "
        "| unedited against the reference | both: edited against the unedited reference "
        "| generality |",
        "|---|---|---|---|---|---|---|",
    ]
    for model in result["models"]:
        for row in model["precisions"]:
            cells = [
                f"{model['model']}, {row['precision']}",
                f"{row['bytes'] / 1e6:.1f}",
                f"{row['speed']:.2f} x",
                *(_cell(row[name]) for name in ("edit", "export", "both")),
                f"{row['both']['generality']:.1%}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    made = result["made"]
    references = ", ".join(f"{m['reference']} for the {m['model']}" for m in result["models"])
    first = result["models"][0]
    per_class = first["heldout_clips"] // N_CLASSES
    lines += [
        "",
        f"Each cell: locality (as the paper counts it), same decisions, largest difference of an "
        f"untouched logit. Means over {first['categories']} splits and {first['heldout_clips']:,} "
        f"held-out clips each; the reference is {references}. "
        "Speed is against fp32, one clip, one thread, "
        f"{made['machine']}, ONNX Runtime {made['onnxruntime']}, other work running beside "
        "([locality.json](../benchmarks/results/locality.json), "
        f"`python -m benchmarks.quality.locality_after_export --per-class {per_class} DIR`); the "
        "demo's CNN comes without a checkpoint, so its own ONNX stands for torch.",
    ]
    return "\n".join(lines)


def _cell(found: dict[str, Any]) -> str:
    logit = found["largest_logit"]
    paper = "" if found["generality"] is None else f" ({found['locality_paper']:.2%})"
    return f"{found['locality']:.2%}{paper}, {found['same_decision']:.2%}, {logit:.2g}"


@click.command()
@click.argument(
    "directories", nargs=-1, type=click.Path(path_type=Path, exists=True, file_okay=False)
)
@click.option(
    "--per-class", default=47, show_default=True, type=click.IntRange(1, 47), help="Held-out clips."
)
def main(directories: tuple[Path, ...], per_class: int) -> None:
    """Measure, and write locality.json."""
    with tempfile.TemporaryDirectory() as folder:
        models = [measure(demo_model(), per_class)]
        for directory in directories:
            bundle = Path(folder) / f"{directory.name}.bundle"
            models.append(measure(trained_model(directory, bundle), per_class))
    met = targets(models)
    for target, reached in met.items():
        click.echo(f"{'met' if reached else 'MISSED'}: {target}")
    content = {"calibrating_clips": N_CALIBRATING, "models": models, "targets_met": met}
    click.echo(write_result("locality", content).relative_to(ROOT))


if __name__ == "__main__":
    main()
