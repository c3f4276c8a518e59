"""The demo: predict shipped clips, split a class in another process, and see the answers change.

`unpack_demo` puts the demo's bundle and clips into a folder. `run_demo` keeps predicting those
clips while a second process edits the bundle, then scores the edit on the shipped held-out
features.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgesplit.bundle.bundle import Bundle, open_bundle
from edgesplit.edits.report import Report
from edgesplit.errors import BundleError, EdgesplitError
from edgesplit.heads.metrics import Score, score_split
from edgesplit.limits import TEXT_FILE_BYTES
from edgesplit.runtime import Prediction, Runtime
from edgesplit.storage.files import Store, map_os_errors, read_bytes
from edgesplit.video.clips import read_clip

__all__ = [
    "ASSETS",
    "BUNDLE",
    "CLASS",
    "INTO",
    "ClipAnswer",
    "DemoResult",
    "edit_command",
    "run_demo",
    "unpack_demo",
]

ASSETS = Path(__file__).parent / "assets" / "demo"
BUNDLE = "motion.bundle"
PARTS = (BUNDLE, "clips", "camera")
CLASS = "pushing"
INTO = ("left", "right")
SWAP_TIMEOUT_S = 900.0
"""A first edit loads the text encoder: half a second on a PC, minutes on an emulated machine."""

_LATE = (
    f"The edit, in another process, took longer than {SWAP_TIMEOUT_S / 60:.0f} minutes and was "
    "stopped. A first edit loads the text encoder, which is what takes long on a slow device."
)


@dataclass(frozen=True)
class ClipAnswer:
    """What one shipped clip shows, and the predictions for it before and after the edit."""

    clip: str
    truth: str
    before: Prediction
    after: Prediction

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {**vars(self), "before": self.before.to_json(), "after": self.after.to_json()}


@dataclass(frozen=True)
class DemoResult:
    """Everything that the demo measured."""

    answers: tuple[ClipAnswer, ...]
    score: Score
    """Over the shipped held-out features."""
    n_heldout: int
    n_predictions: int
    """Predictions made while the other process edited and published."""
    edit_ms: float
    """Making the new head, as the other process measured it; a first edit embeds the labels."""
    edit_again_ms: float
    """The same edit once more, in this process, with the embeddings cached."""
    publish_ms: float
    """Making it live on disk, gate included."""
    swap_ms: float
    """Building, checking and warming the new head in the serving process."""
    head_bytes: int
    """What a device needs to be sent for this edit."""
    backbone_bytes: int
    """What it keeps."""

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        answers = [answer.to_json() for answer in self.answers]
        return {**vars(self), "score": self.score.to_json(), "answers": answers}


def unpack_demo(folder: Path, *, overwrite: bool = False) -> Bundle:
    """Put the demo's bundle and clips into a folder.

    Args:
        folder: made if it does not exist.
        overwrite: replace a demo that is there already; nothing else is ever replaced.

    Raises:
        BundleError: the files exist already, or cannot be written.
    """
    there = [folder / name for name in PARTS if os.path.lexists(folder / name)]
    if there and not overwrite:
        raise BundleError(f"{there[0]} exists already. Name another folder, or use --overwrite.")
    for part in there:
        if not _is_ours(part):
            raise BundleError(
                f"{part} was not made by `edgesplit demo`, so it is not replaced. "
                "Name another folder."
            )
    with map_os_errors("write", folder):
        for part in there:
            shutil.rmtree(part)
        for name in PARTS:
            _copy_files(ASSETS / name, folder / name)
    return open_bundle(folder / BUNDLE)


def _copy_files(source: Path, target: Path) -> None:
    # Not shutil.copytree, which copies the installed files' modes and wraps errors in a list.
    store = Store()
    with store.write_folder(target) as part:
        for path in sorted(source.rglob("*")):
            copy = part / path.relative_to(source)
            if path.is_dir():
                store.make_folder(copy)
            else:
                store.replace_file(copy, path.read_bytes())


def _is_ours(part: Path) -> bool:
    """True if a folder holds what a demo put there, and no file of the user's."""
    if part.is_symlink() or not part.is_dir():
        return False
    names = {path.name for path in part.iterdir() if path.name != ".lock"}
    if not names <= {path.name for path in (ASSETS / part.name).iterdir()}:
        return False
    if part.name != BUNDLE:
        return True
    try:
        return open_bundle(part).feature_space == open_bundle(ASSETS / BUNDLE).feature_space
    except BundleError:
        return False


def run_demo(
    folder: Path,
    *,
    on_before: Callable[[Mapping[str, Prediction]], None],
    on_edit: Callable[[Report], None],
) -> DemoResult:
    """Run the demo in a folder that `unpack_demo` filled, and roll its edit back.

    Args:
        folder: holds the bundle and the clips.
        on_before: gets the first predictions, by clip, before the edit begins.
        on_edit: gets the report of the edit, once it is live.

    Raises:
        EdgesplitError: the edit failed or did not go live.
    """
    bundle = open_bundle(folder / BUNDLE)
    truth = json.loads(read_bytes(folder / "clips" / "truth.json", TEXT_FILE_BYTES))
    clips = {name: read_clip(folder / "clips" / name, bundle.preprocessing) for name in truth}
    swaps: list[float] = []
    with Runtime(bundle, on_swap=lambda serving: swaps.append(serving.build_ms)) as runtime:
        before = {name: runtime.predict(clip) for name, clip in clips.items()}
        on_before(before)
        edit, n_predictions = _edit_elsewhere(folder, runtime, clips)
        after = {name: runtime.predict(clip) for name, clip in clips.items()}
    edited = bundle.head()
    bundle.rollback()
    start = time.perf_counter()
    again = bundle.split_class(CLASS, into=INTO)
    edit_again_ms = 1000 * (time.perf_counter() - start)
    if again.head.digest != edited.digest:
        raise EdgesplitError("The same edit gave another head in another process; please report.")
    on_edit(again.report)
    with np.load(ASSETS / "heldout.npz", allow_pickle=False) as arrays:
        features, labels = arrays["features"], arrays["labels"].tolist()
    return DemoResult(
        answers=tuple(ClipAnswer(name, truth[name], before[name], after[name]) for name in truth),
        score=score_split(again.before, edited, again.report.label, features, labels),
        n_heldout=len(labels),
        n_predictions=n_predictions,
        edit_ms=edit["edit_ms"],
        edit_again_ms=edit_again_ms,
        publish_ms=edit["publish_ms"],
        swap_ms=swaps[-1],
        head_bytes=len(edited.to_bytes()),
        backbone_bytes=len(bundle.backbone()),
    )


def edit_command(folder: Path) -> list[str]:
    """The edit as it is typed, without the program's name."""
    return ["edit", "--class", CLASS, "--into", ",".join(INTO), "--bundle", str(folder / BUNDLE)]


def _edit_elsewhere(
    folder: Path, runtime: Runtime, clips: Mapping[str, Any]
) -> tuple[dict[str, Any], int]:
    """Edit in another process while this one goes on predicting, until the new head is live."""
    old = runtime.head_digest
    command = [sys.executable, "-m", "edgesplit", *edit_command(folder), "--json"]
    n_predictions = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        start = time.perf_counter()
        while runtime.head_digest == old:
            for clip in clips.values():
                runtime.predict(clip)
                n_predictions += 1
            late = time.perf_counter() - start > SWAP_TIMEOUT_S and runtime.head_digest == old
            if process.poll() not in (None, 0) or late:
                process.kill()
                _, talk = process.communicate()
                said = talk.decode().strip() or "none"
                what = _LATE if late else "The edit did not go live."
                raise EdgesplitError(f"{what} Its output: {said}. {runtime.refusal}".strip())
        output, _ = process.communicate()
    return json.loads(output), n_predictions
