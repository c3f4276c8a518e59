"""Make the files that `edgesplit demo` ships, from a trained model.

    python -m benchmarks.motion_split.make_demo

    python -m benchmarks.motion_split.make_demo --camera   # only the folder `camera`, no training

Writes edgesplit/assets/demo: the bundle of head A's model, a dozen held-out clips as H.264, and
the features of all held-out clips. The clips of each listed class are the first held-out clips that
the exported, unedited head decides correctly after decoding. The folder `camera` has other clips,
of a turning camera, and the answers about those that `edgesplit ask` chooses.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np

from benchmarks.motion_split.backbones import BACKBONES, make
from benchmarks.motion_split.classes import FINE_CLASSES, FINE_LABELS, FineClass, head_label
from benchmarks.motion_split.features import load_model
from benchmarks.motion_split.model import MEAN, N_FRAMES, SIZE, STD
from benchmarks.motion_split.models import Trained
from benchmarks.motion_split.videos import heldout_video, write_video
from edgesplit.bundle.bundle import Bundle, open_bundle
from edgesplit.bundle.videos import extract_folder
from edgesplit.demo import ASSETS, BUNDLE
from edgesplit.edits.request import SplitRequest
from edgesplit.export import export_model
from edgesplit.runtime import Runtime
from edgesplit.video.clips import read_clip
from edgesplit.video.preprocessing import Preprocessing

MODEL = BACKBONES["cnn-A-0"]
TARGET = "pushing something"
CLIPS = {
    "pushing something left": 2,
    "pushing something right": 2,
    "pulling something left": 1,
    "pulling something right": 1,
    "rolling something right": 1,
    "turning the camera left": 1,
    "putting something into something": 1,
    "spinning something clockwise": 1,
    "poking something so that it falls over": 1,
    "lifting something a lot": 1,
}
CAMERA, DIRECTIONS = "turning the camera", ("left", "right", "up", "down")
CAMERA_CLIPS = range(47, 57)
"""Indices of the clips of each direction; `heldout.npz` has the clips before them."""
ROUNDS = 2
"""Number of answers for each direction."""
SEARCHED = 20
"""Number of held-out clips of a class that are tried."""


def main_label(fine: FineClass) -> str:
    """Return the label by an ideal edited head: fine for the target's clips, else head A's."""
    return fine.label if fine.coarse == TARGET else head_label(fine, "A")


def export_demo(directory: Path, trained: Trained, bundle: Path) -> None:
    """Export the trained model, with statistics and gate features of the unlabelled clips."""
    report = export_model(
        load_model(directory),
        labels=json.loads((directory / "labels.json").read_text()),
        output=bundle,
        preprocessing=Preprocessing(
            frames=N_FRAMES, height=SIZE, width=SIZE, interpolation="area", mean=MEAN, std=STD
        ),
        features=trained.unlabelled,
        progress=click.echo,
    )
    click.echo(f"parity with torch: {report.parity}")


def write_clips(runtime: Runtime, folder: Path) -> None:
    """Write the clips and truth.json, {file name: label}."""
    folder.mkdir()
    truth = {}
    for label, count in CLIPS.items():
        fine = FINE_CLASSES[FINE_LABELS.index(label)]
        for number, index in enumerate(_decided_correctly(runtime, fine, folder, count), start=1):
            path = folder / f"{label.replace(' ', '-')}-{number}.mp4"
            write_video(heldout_video(fine, index), path)
            truth[path.name] = main_label(fine)
            click.echo(f"{path.name}: held-out clip {index}, {path.stat().st_size} bytes")
    (folder / "truth.json").write_text(json.dumps(truth, indent=2) + "\n")


def _decided_correctly(
    runtime: Runtime, fine: FineClass, folder: Path, count: int
) -> Iterator[int]:
    trial = folder / "trial.mp4"
    for index in range(SEARCHED):
        write_video(heldout_video(fine, index), trial)
        clip = read_clip(trial, runtime.bundle.preprocessing)
        trial.unlink()
        if runtime.predict(clip).label == head_label(fine, "A"):
            yield index
            count -= 1
            if not count:
                return
    raise click.ClickException(
        f"Head A decides too few of {SEARCHED} clips of {fine.label!r} correctly."
    )


def write_camera(bundle: Bundle, folder: Path) -> None:
    """Write the clips in random order, truth.json {file name: direction} and answers.csv."""
    folder.mkdir()
    fine = [FINE_CLASSES[FINE_LABELS.index(f"{CAMERA} {text}")] for text in DIRECTIONS]
    filmed = [(shown, index) for shown in fine for index in CAMERA_CLIPS]
    truth = {}
    for number, place in enumerate(np.random.default_rng(0).permutation(len(filmed)), start=1):
        shown, index = filmed[place]
        path = folder / f"camera-{number:02d}.mp4"
        write_video(heldout_video(shown, index), path)
        truth[path.name] = shown.modifier
    (folder / "truth.json").write_text(json.dumps(truth, indent=2) + "\n")
    clips = extract_folder(folder, bundle)
    names = [*clips.places]
    answers: dict[int, str] = {}
    for _ in range(ROUNDS):
        request = SplitRequest(into=DIRECTIONS, answers=answers, features=clips.matrix)
        chosen = bundle.choose_clips(CAMERA, request, clips.matrix, len(DIRECTIONS))
        answers |= {int(i): truth[names[i]] for i in chosen}
    lines = [f"{names[i]},{answer}" for i, answer in answers.items()]
    (folder / "answers.csv").write_text("\n".join(["clip,answer", *lines, ""]))


def write_features(trained: Trained, path: Path) -> None:
    """Write the held-out features with the labels of an ideal edited head."""
    features, fine = trained.heldout
    labels = np.array([main_label(FINE_CLASSES[index]) for index in fine])
    np.savez(path, features=features, labels=labels)


@click.command()
@click.option("--camera", is_flag=True, help="Make only the folder `camera`.")
def main(camera: bool) -> None:
    """Make the demo's files; train the model if it is missing."""
    if camera:
        shutil.rmtree(ASSETS / "camera", ignore_errors=True)
        write_camera(open_bundle(ASSETS / BUNDLE), ASSETS / "camera")
        return
    trained = Trained(make(MODEL))
    shutil.rmtree(ASSETS, ignore_errors=True)
    ASSETS.mkdir(parents=True)
    export_demo(MODEL.directory, trained, ASSETS / BUNDLE)
    with Runtime(ASSETS / BUNDLE) as runtime:
        write_clips(runtime, ASSETS / "clips")
    write_camera(open_bundle(ASSETS / BUNDLE), ASSETS / "camera")
    write_features(trained, ASSETS / "heldout.npz")


if __name__ == "__main__":
    main()
