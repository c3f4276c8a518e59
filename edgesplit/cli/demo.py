"""The demo: predict shipped clips, split a class in another process, and see the answers change.

`unpack_demo` puts the demo's bundle and clips into a folder. `run_demo` keeps predicting those
clips while a second process edits the bundle, then scores the edit on the shipped held-out
features.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgesplit.cli.options import json_option
from edgesplit.cli.render.console import console, notes, print_json
from edgesplit.errors import BundleError, EdgesplitError

if TYPE_CHECKING:
    from edgesplit.bundle.bundle import Bundle
    from edgesplit.edits.report import Report
    from edgesplit.heads.metrics import Score
    from edgesplit.runtime import Prediction, Runtime

__all__ = [
    "ASSETS",
    "BUNDLE",
    "CLASS",
    "INTO",
    "ClipAnswer",
    "DemoResult",
    "demo",
    "run_demo",
    "unpack_demo",
]

ASSETS = Path(__file__).parents[1] / "assets" / "demo"
BUNDLE = "motion.bundle"
PARTS = (BUNDLE, "clips")
CLASS = "pushing"
INTO = ("left", "right")
SWAP_TIMEOUT_S = 30.0


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default="demo")
@click.option("--overwrite", is_flag=True, help="Replace a demo that is in the folder already.")
@click.option("--no-edit", is_flag=True, help="Only put the bundle and its clips there.")
@json_option
def demo(folder: Path, overwrite: bool, no_edit: bool, as_json: bool) -> None:
    """Watch a split go live on shipped clips.

    Predicts the clips while another process splits a class of the bundle.

    \b
    Example:
        edgesplit demo
    """
    from rich.markup import escape

    from edgesplit.cli.render.edits import show_demo, show_report
    from edgesplit.cli.render.stream import show_prediction

    out = notes() if as_json else console()
    bundle = unpack_demo(folder, overwrite=overwrite)
    n_clips = len(list((folder / "clips").glob("*.mp4")))
    out.print(f"{bundle.path} and {n_clips} clips in {folder / 'clips'}", markup=False)
    if no_edit:
        return

    def on_before(answers: Mapping[str, Prediction]) -> None:
        out.print("\nA runtime predicts the clips, over and over:")
        for name, prediction in answers.items():
            show_prediction(out, name, prediction)
        command = shlex.join(["edgesplit", *_edit_command(folder)])
        out.print(f"\nMeanwhile, in another process:\n[bold]$ {escape(command)}[/]")

    result = run_demo(folder, on_before=on_before, on_edit=lambda report: show_report(out, report))
    if as_json:
        print_json(result.to_json())
    else:
        show_demo(out, result, folder)


@dataclass(frozen=True, slots=True)
class ClipAnswer:
    """What one shipped clip shows, and the predictions for it before and after the edit."""

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


def unpack_demo(folder: Path, *, overwrite: bool = False) -> Bundle:
    """Put the demo's bundle and clips into a folder.

    Args:
        folder: made if it does not exist.
        overwrite: replace a demo that is there already; nothing else is ever replaced.

    Raises:
        BundleError: the files exist already, or cannot be written.
    """
    from edgesplit.bundle.bundle import open_bundle
    from edgesplit.storage.files import map_os_errors

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
    from edgesplit.storage.files import Store

    store = Store()
    for path in sorted(source.rglob("*")):
        if path.is_file():
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
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
    """Run the demo in a folder that `unpack_demo` filled, and roll its edit back at the end.

    Args:
        folder: holds the bundle and the clips.
        on_before: gets the first predictions, by clip, before the edit begins.
        on_edit: gets the report of the edit, once it is live.

    Raises:
        EdgesplitError: the edit failed or did not go live.
    """
    from edgesplit.bundle.bundle import open_bundle
    from edgesplit.runtime import Runtime
    from edgesplit.storage.files import read_bytes
    from edgesplit.video.clips import read_clip

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
    report, edit_again_ms = _edit_again(bundle, old)
    on_edit(report)
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


def _edit_command(folder: Path) -> list[str]:
    """The edit as it is typed, without the program's name."""
    return ["edit", "--class", CLASS, "--into", ",".join(INTO), "--bundle", str(folder / BUNDLE)]


def _edit_elsewhere(
    folder: Path, runtime: Runtime, clips: Mapping[str, Any]
) -> tuple[dict[str, Any], int]:
    """Edit in another process while this one goes on predicting, until the new head is live."""
    old = runtime.head_digest
    command = [sys.executable, "-m", "edgesplit", *_edit_command(folder), "--json"]
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
                _, talk = process.communicate()
                raise EdgesplitError(
                    f"The edit did not go live. Its output: {talk.decode().strip() or 'none'}. "
                    f"{runtime.refusal}"
                )
        output, _ = process.communicate()
    return json.loads(output), n_predictions


def _edit_again(bundle: Bundle, old: str) -> tuple[Report, float]:
    """The report of the same edit in this process, and how many milliseconds it took."""
    from edgesplit.edits.split import split_class

    start = time.perf_counter()
    again = split_class(
        bundle.head(old),
        CLASS,
        into=INTO,
        statistics=bundle.statistics,
        encoder=bundle.text_encoder,
    )
    edit_ms = 1000 * (time.perf_counter() - start)
    if again.head.digest != bundle.live:
        raise EdgesplitError("The same edit gave another head in another process; please report.")
    return again.report, edit_ms


def _score(bundle: Bundle, old: str) -> dict[str, Any]:
    import numpy as np

    from edgesplit.heads.metrics import score_split

    with np.load(ASSETS / "heldout.npz", allow_pickle=False) as arrays:
        features, labels = arrays["features"], [str(label) for label in arrays["labels"]]
    before, after = bundle.head(old), bundle.head()
    name = before.tree[before.tree.find(CLASS)].label
    return {
        "score": score_split(before, after, name, features, labels),
        "n_heldout": len(labels),
    }
