"""The demo: predict shipped clips, split a class in another process, and compare the predictions.

`unpack_demo` writes the demo's bundle and clips to a folder. `run_demo` predicts those clips while
a second process edits the bundle, then scores the edit on the shipped held-out features.
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
"""Time limit of the edit. The first edit on a machine loads the text encoder, which takes half a
second on a PC and minutes on an emulated machine."""

_LATE = (
    f"The edit in another process took longer than {SWAP_TIMEOUT_S / 60:.0f} minutes and was "
    "stopped. The first edit loads the text encoder, which is slow on a slow device."
)


@dataclass(frozen=True)
class ClipAnswer:
    """True label of one shipped clip, and its predictions before and after the edit."""

    clip: str
    truth: str
    before: Prediction
    after: Prediction

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return {**vars(self), "before": self.before.to_json(), "after": self.after.to_json()}


@dataclass(frozen=True)
class DemoResult:
    """All measurements of the demo."""

    answers: tuple[ClipAnswer, ...]
    score: Score
    """Score on the shipped held-out features."""
    n_heldout: int
    n_predictions: int
    """Number of predictions while the other process edited and published."""
    edit_ms: float
    """Time to make the new head, measured in the other process; a first edit embeds the labels."""
    edit_again_ms: float
    """Time of the same edit in this process, with cached embeddings."""
    publish_ms: float
    """Time to make the head live on disk, including the gate."""
    swap_ms: float
    """Time to build, check and warm the new head in the serving process."""
    head_bytes: int
    """Size of the head, which a device must receive for this edit."""
    backbone_bytes: int
    """Size of the backbone, which the device keeps."""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        answers = [answer.to_json() for answer in self.answers]
        return {**vars(self), "score": self.score.to_json(), "answers": answers}


def unpack_demo(folder: Path, *, overwrite: bool = False) -> Bundle:
    """Write the demo's bundle and clips to a folder.

    Args:
        folder: the folder; made if it does not exist.
        overwrite: replace an existing demo; other files are never replaced.

    Raises:
        BundleError: the files exist already, or cannot be written.
    """
    found = [folder / name for name in PARTS if os.path.lexists(folder / name)]
    if found and not overwrite:
        raise BundleError(f"{found[0]} exists already. Name another folder, or use --overwrite.")
    for part in found:
        if not _is_ours(part):
            raise BundleError(
                f"{part} was not made by `edgesplit demo`, so it is not replaced. "
                "Name another folder."
            )
    with map_os_errors("write", folder):
        for part in found:
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
    """Return True if a folder holds only files of a demo, and no file of the user."""
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
        folder: folder with the bundle and the clips.
        on_before: called with the first predictions, by clip, before the edit begins.
        on_edit: called with the report of the edit, after it went live.

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
    """Return the command line of the edit, without the program's name."""
    return ["edit", "--class", CLASS, "--into", ",".join(INTO), "--bundle", str(folder / BUNDLE)]


def _edit_elsewhere(
    folder: Path, runtime: Runtime, clips: Mapping[str, Any]
) -> tuple[dict[str, Any], int]:
    """Edit in another process while this one predicts, until the new head is live."""
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
                _, errors = process.communicate()
                output = errors.decode().strip() or "none"
                what = _LATE if late else "The edit did not go live."
                raise EdgesplitError(f"{what} Its output: {output}. {runtime.refusal}".strip())
        result, _ = process.communicate()
    return json.loads(result), n_predictions
