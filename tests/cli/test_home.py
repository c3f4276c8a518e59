"""What commands leave in the user's home: edgesplit's cache, and nothing else."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import edgesplit
from edgesplit.cli import main
from edgesplit.demo import unpack_demo

CHECKOUT = Path(edgesplit.__file__).parents[1]
CACHE = Path(".cache", "edgesplit")

FACTORY = """
from torch import nn

def make(n_classes):
    pooled = [nn.Conv3d(3, 8, 3), nn.AdaptiveAvgPool3d(1), nn.Flatten()]
    return nn.Sequential(*pooled, nn.Linear(8, n_classes))
"""

# What is typed where `laid` is the current folder.
COMMANDS = {
    "export": "export made:make --labels labels.txt --frames 4 --size 16 --sampling uniform "
    "-o exported.bundle",
    "encoder": "encoder encoder",
    "demo": "demo demo --no-edit",
    "fuse": "fuse -o whole.onnx",
    "edit": "edit --class rolling --into left,right --accept-doubt",
    "ask": "ask --class lifting --into left,right --from clips --list",
    "merge": "merge --class pushing",
    "rename": "rename --class lifting --to raising",
    "drop": "drop --class 'pushing something up'",
    "publish": "publish head.onnx",
    "rollback": "rollback",
    "log": "log",
    "prune": "prune --keep 1",
    "show": "show",
    "diff": "diff 6ddece",
    "verify": "verify",
    "features": "features clips -o features.npz",
    "calibrate": "calibrate clips --accept-few --bundle plain.bundle",
    "predict": "predict clips/pushing-something-left-1.mp4",
    "run": "run --source clips/pushing-something-left-1.mp4 --window 2",
    "engine build": "engine build",
    "engine list": "engine list",
    "engine rm": "engine rm --all",
    "variant add": "variant add fp16 --clips clips",
    "variant list": "variant list",
    "variant rm": "variant rm --all",
    "doctor": "doctor",
    "bench": "bench locality --quick -o bench",
}
NEED_TORCH = ("export", "encoder")
NEED_A_GPU = ("engine build",)


def commands(group: click.Group, before: str = "") -> Iterator[str]:
    """Everything that can be typed, as in `engine list`."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{before}{name} ")
        else:
            yield before + name


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo with a split class, and what else the commands take."""
    folder = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGESPLIT_CACHE", str(folder / "cache"))
        bundle = unpack_demo(folder)
        bundle.publish(
            bundle.split_class("pushing", into=["left", "right", "up"], accept_doubt=True)
        )
        edit = bundle.rename_class("stirring something", "mixing something")
    (folder / "head.onnx").write_bytes(edit.head.to_bytes())
    shutil.copytree(bundle.path, folder / "plain.bundle")
    (folder / "plain.bundle" / "stats.npz").unlink()
    (folder / "made.py").write_text(FACTORY)
    (folder / "labels.txt").write_text("walking\nrunning\nstanding\n")
    return folder


@pytest.fixture
def laid(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "laid"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def type_command(text: str, laid: Path, home: Path) -> subprocess.CompletedProcess[str]:
    """Runs a command in a process whose environment says no more than a new user's."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("EDGESPLIT_", "XDG_", "ORT_", "HF_", "TORCH"))
    }
    env = kept | {
        "HOME": str(home),
        "PYTHONPATH": str(CHECKOUT),
        "EDGESPLIT_BUNDLE": str(laid / "motion.bundle"),
    }
    command = [sys.executable, "-m", "edgesplit", *shlex.split(text)]
    return subprocess.run(command, cwd=laid, env=env, capture_output=True, text=True, check=False)


def foreign(home: Path) -> list[str]:
    """All in a home that is not edgesplit's: files, folders, links, sockets."""
    paths = [path.relative_to(home) for path in home.rglob("*")]
    ours = {CACHE, *CACHE.parents}
    return sorted(str(path) for path in paths if path not in ours and CACHE not in path.parents)


def test_every_command_is_tried() -> None:
    assert isinstance(main, click.Group)
    assert sorted(COMMANDS) == sorted(commands(main))


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in NEED_TORCH])
def test_a_command_leaves_nothing_but_its_cache_at_home(name: str, laid: Path, home: Path) -> None:
    done = type_command(COMMANDS[name], laid, home)
    assert "Traceback" not in done.stderr
    assert done.returncode == 0 or name in NEED_A_GPU, done.stderr
    assert foreign(home) == []


@pytest.mark.torch
@pytest.mark.parametrize("name", NEED_TORCH)
def test_a_command_of_the_workstation_leaves_nothing_at_home(
    name: str, laid: Path, home: Path
) -> None:
    if name == "encoder":
        from tests.export.test_export_text_encoder import make_bert

        (laid / "encoder").mkdir()
        make_bert(laid / "encoder")
    done = type_command(COMMANDS[name], laid, home)
    assert done.returncode == 0, done.stderr
    assert foreign(home) == []
