"""An edit, a prediction and a publish walk through the packages as docs/architecture.md says."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgesplit.bundle.bundle import Bundle
from edgesplit.demo import unpack_demo
from edgesplit.edits.split import split_class
from edgesplit.edits.text_encoder import packaged_encoder
from edgesplit.runtime import Runtime
from tests.walks import trace

PAGE = Path(__file__).parents[1] / "docs" / "architecture.md"

STAGES = ("request", "problem", "transfer", "estimate", "checks", "fitting", "report", "edit")
PARTS = {
    "naming": "problem",
    "groups": "problem",
    "spelling": "naming",
    "embedding": "problem",
    "text_encoder": "embedding",
    "contrasts": "groups",
    "siblings": "groups",
    "axes": "transfer",
    "answers": "fitting",
    "refit": "fitting",
}
"""Modules of edits/ that are not entered from the pipeline, and the stage that enters each."""


@pytest.fixture
def demo(tmp_path: Path) -> Bundle:
    return unpack_demo(tmp_path)


def test_an_edit_enters_each_stage_once(demo: Bundle) -> None:
    head, statistics = demo.head(), demo.statistics
    packaged_encoder()  # opened once in a process, whoever asks first
    shots = {"left": np.zeros((1, head.dim)), "right": np.ones((1, head.dim))}
    walk = trace(
        lambda: split_class(
            head, "pushing", into=["left", "right"], statistics=statistics, shots=shots
        )
    )
    entered = {
        callee: count
        for (caller, callee), count in walk.calls.items()
        if caller == "edits.split" and callee.startswith("edits.")
    }
    # The estimate's two parts: what texts and known groups say, and what the class's clips say.
    once = dict.fromkeys((f"edits.{stage}" for stage in STAGES), 1)
    assert entered == once | {"edits.estimate": 2}
    assert list(entered) == [f"edits.{stage}" for stage in STAGES]
    # What makes the stages' parts is entered by one stage alone.
    for part, owner in PARTS.items():
        callers = {caller for caller, callee in walk.calls if callee == f"edits.{part}" and caller}
        assert callers - {f"edits.{part}"} <= {f"edits.{owner}"}, part


def test_a_prediction_knows_nothing_of_edits(demo: Bundle) -> None:
    with Runtime(demo) as runtime:
        clip = np.zeros(runtime.clip_shape, np.float32)
        walk = trace(lambda: runtime.predict(clip))
    packages = {module.partition(".")[0] for module in walk.entered}
    assert packages <= {"runtime", "backbone", "heads"}


def test_a_publish_passes_the_gate_once_and_learns_nothing(demo: Bundle) -> None:
    edit = demo.split_class("pushing", into=["left", "right"])
    walk = trace(lambda: demo.publish(edit))
    assert not any(module.startswith("edits.") for module in walk.entered)
    assert sum(n for (_, callee), n in walk.calls.items() if callee == "bundle.gate") == 1


def written(title: str) -> list[str]:
    """The modules of a walk of the page, in order."""
    part = PAGE.read_text().split(f"### `{title}`")[1].split("###")[0]
    return re.findall(r"^\d+\. `([\w.]+)`", part, re.MULTILINE)


def walked(demo: Bundle, command: list[str], cache: Path) -> list[str]:
    """The walk of a command in a process of its own, with nothing cached."""
    code = [sys.executable, "-m", "tests.walks", *command, "--bundle", str(demo.path)]
    env = os.environ | {"PYTHONPATH": str(PAGE.parents[1]), "EDGESPLIT_CACHE": str(cache)}
    done = subprocess.run(
        code, cwd=demo.path.parent, env=env, capture_output=True, text=True, check=True
    )
    entered: list[str] = json.loads(done.stdout.splitlines()[-1])
    return entered


CLIP = "clips/poking-something-so-that-it-falls-over-1.mp4"


@pytest.mark.parametrize(
    ("title", "command"),
    [
        ("edit --class", ["edit", "--class", "pushing", "--into", "left,right"]),
        ("predict CLIP", ["predict", CLIP]),
    ],
)
def test_the_page_tells_each_stop_of_a_command(
    demo: Bundle, title: str, command: list[str], tmp_path: Path
) -> None:
    assert written(title) == walked(demo, command, tmp_path / "cache")


def test_the_page_tells_each_stop_of_a_stream(demo: Bundle, tmp_path: Path) -> None:
    # Two threads walk, so the order is not one.
    command = ["run", "--source", CLIP, "--window", "1.5"]
    assert sorted(written("run --source")) == sorted(walked(demo, command, tmp_path / "cache"))
