"""The main job on shipped clips: predict, edit in another process, and see the answers change.

`unpack_demo` puts the demo bundle and its clips into a folder. `run_demo` keeps predicting those
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
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgesplit.bundle.bundle import Bundle, open_bundle
from edgesplit.edits.split import split_class
from edgesplit.errors import BundleError, EdgesplitError
from edgesplit.heads.metrics import Score, score_split
from edgesplit.storage.files import Store, map_os_errors, read_bytes
from edgesplit.video.clips import read_clip

if TYPE_CHECKING:
    from edgesplit.edits.report import Report
    from edgesplit.runtime import Prediction, Runtime

__all__ = ["CLASS", "INTO", "ClipAnswer", "DemoResult", "run_demo", "unpack_demo"]

ASSETS = Path(__file__).parents[1] / "assets" / "demo"
BUNDLE = "motion.bundle"
PARTS = (BUNDLE, "clips")
CLASS = "pushing"
INTO = ("left", "right")
SWAP_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class ClipAnswer:
    """What one shipped clip shows, and what was said about it before and after the edit."""

    clip: str
    truth: str
    before: Prediction
    after: Prediction

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "clip": self.clip,
            "truth": self.truth,
            "before": self.before.to_json(),
            "after": self.after.to_json(),
        }


@dataclass(frozen=True, slots=True)
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
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        answers = [answer.to_json() for answer in self.answers]
        return plain | {"score": self.score.to_json(), "answers": answers}


def unpack_demo(folder: Path, *, force: bool = False) -> Bundle:
    """Puts the demo's bundle and clips into `folder`.

    Args:
        folder: made when it does not exist.
        force: replace a demo that is there already; nothing else is ever replaced.

    Raises:
        BundleError: there is something already, or the disk refuses.
    """
    there = [folder / name for name in PARTS if os.path.lexists(folder / name)]
    if there and not force:
        raise BundleError(f"{there[0]} exists already. Name another folder, or use --force.")
    for part in there:
        if not _is_ours(part):
            raise BundleError(f"{part} is not a demo's, so it stays. Name another folder.")
    with map_os_errors("write", folder):
        for name in PARTS:
            if (folder / name).exists():
                shutil.rmtree(folder / name)
            try:
                _copy_files(ASSETS / name, folder / name)
            except OSError:
                shutil.rmtree(folder / name, ignore_errors=True)
                raise
    return open_bundle(folder / BUNDLE)


def _copy_files(source: Path, target: Path) -> None:
    # Not shutil.copytree, which copies the installed files' modes and wraps errors in a list.
    store = Store()
    for path in sorted(source.rglob("*")):
        if path.is_file():
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            store.replace_file(copy, path.read_bytes())


def _is_ours(part: Path) -> bool:
    """Whether a folder holds what a demo put there, and nothing of the user's."""
    if part.is_symlink() or not part.is_dir():
        return False
    names = {path.name for path in part.iterdir() if path.name != ".lock"}
    if not names <= {path.name for path in (ASSETS / part.name).iterdir()}:
        return False
    if part.name != BUNDLE:
        return True
    spaces = []
    for folder in (part, ASSETS / BUNDLE):
        try:
            spaces.append(json.loads((folder / "bundle.json").read_bytes())["feature_space"])
        except (OSError, ValueError, KeyError, TypeError):
            return False
    return bool(spaces[0] == spaces[1])


def run_demo(
    folder: Path,
    *,
    on_before: Callable[[Mapping[str, Prediction]], None],
    on_edit: Callable[[Report], None],
) -> DemoResult:
    """Runs the demo in a folder that `unpack_demo` filled, and rolls its edit back at the end.

    Args:
        folder: holds the bundle and the clips.
        on_before: told the first answers, by clip, before the edit begins.
        on_edit: told what the edit says about itself, when it is live.

    Raises:
        EdgesplitError: the edit failed or did not go live.
    """
    from edgesplit.runtime import Runtime  # the demo is an application: it stands on all rooms

    bundle = open_bundle(folder / BUNDLE)
    truth = json.loads(read_bytes(folder / "clips" / "truth.json"))
    clips = {name: read_clip(folder / "clips" / name, bundle.preprocessing) for name in truth}
    swaps: list[float] = []
    with Runtime(bundle, on_swap=lambda serving: swaps.append(serving.build_ms)) as runtime:
        old = runtime.head_digest
        before = {name: runtime.predict(clip) for name, clip in clips.items()}
        on_before(before)
        edit, n_predictions = _edit_elsewhere(folder, runtime, clips)
        after = {name: runtime.predict(clip) for name, clip in clips.items()}
    start = time.perf_counter()
    again = split_class(
        bundle.head(old),
        CLASS,
        into=INTO,
        statistics=bundle.statistics,
        encoder=bundle.text_encoder,
    )
    edit_again_ms = 1000 * (time.perf_counter() - start)
    if again.head.digest != bundle.live:
        raise EdgesplitError("The same edit gave another head in another process; please report.")
    on_edit(again.report)
    result = DemoResult(
        answers=tuple(ClipAnswer(name, truth[name], before[name], after[name]) for name in truth),
        **_score(bundle, old),
        n_predictions=n_predictions,
        edit_ms=edit["edit_ms"],
        edit_again_ms=edit_again_ms,
        publish_ms=edit["publish_ms"],
        swap_ms=swaps[-1],
        head_bytes=len(bundle.head().to_bytes()),
        backbone_bytes=len(bundle.backbone()),
    )
    bundle.rollback()
    return result


def edit_command(folder: Path) -> list[str]:
    """The edit as it is typed."""
    return ["edit", "--class", CLASS, "--into", ",".join(INTO), "--bundle", str(folder / BUNDLE)]


def _edit_elsewhere(
    folder: Path, runtime: Runtime, clips: Mapping[str, Any]
) -> tuple[dict[str, Any], int]:
    """Edits in another process while this one goes on predicting; returns when it is live."""
    old = runtime.head_digest
    command = [sys.executable, "-m", "edgesplit", *edit_command(folder), "--json"]
    n_predictions = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        start = time.perf_counter()
        while runtime.head_digest == old:
            for clip in clips.values():
                runtime.predict(clip)
                n_predictions += 1
            late = time.perf_counter() - start > SWAP_TIMEOUT_S
            if process.poll() not in (None, 0) or late:
                process.kill()
                _, said = process.communicate()
                raise EdgesplitError(
                    f"The edit did not go live. It said: {said.decode().strip() or 'nothing'} "
                    f"{runtime.refusal}"
                )
        output, _ = process.communicate()
    return json.loads(output), n_predictions


def _score(bundle: Bundle, old: str) -> dict[str, Any]:
    with np.load(ASSETS / "heldout.npz", allow_pickle=False) as arrays:
        features, labels = arrays["features"], [str(label) for label in arrays["labels"]]
    before, after = bundle.head(old), bundle.head()
    name = before.tree[before.tree.find(CLASS)].label
    return {
        "score": score_split(before, after, name, features, labels),
        "n_heldout": len(labels),
    }
