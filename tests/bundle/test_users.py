"""A bundle that several processes and several users have to do with."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import edgesplit
from edgesplit.bundle.bundle import Bundle, open_bundle
from edgesplit.heads.head import Head
from edgesplit.storage.files import lock

CHECKOUT = Path(edgesplit.__file__).parents[1]
ROUNDS = int(os.environ.get("EDGESPLIT_ROUNDS", "200"))
SOMEBODY, ELSE = 65534, 65533
"""User ids that nobody has; a process needs no account to take one."""

EDITED = """
import numpy as np
from edgesplit import Head, open_bundle
from edgesplit.errors import BundleError, ConflictError, EditError
from edgesplit.heads.labels import Node

def edited(head, name):
    column = head.tree.leaves[0] if len(head.tree) < 40 else head.tree.inner[0]
    if len(head.tree) < 40:
        nodes = [Node(f"{name} {side}") for side in ("left", "right")]
        tree = head.tree.split(column, nodes, composition="gated")
        weight = np.concatenate([head.weight, np.ones((2, head.dim))])
        bias = np.concatenate([head.bias, [0, 0]])
    else:  # so that heads stay small
        tree, kept = head.tree.merge(column)
        weight, bias = head.weight[kept], head.bias[kept]
    return Head(tree, weight, bias, head.feature_space, head.digest)
"""


# Two editors

EDITOR = """
import sys
bundle, name, rounds = open_bundle(sys.argv[1]), sys.argv[2], int(sys.argv[3])
for number in range(rounds):
    made = edited(bundle.head(), f"{name} {number}")
    print("ready", flush=True)
    sys.stdin.readline()
    conflicts = 0
    while True:
        try:
            bundle.publish(made)
            break
        except ConflictError:
            conflicts += 1
            made = edited(bundle.head(), f"{name} {number}")
    print(made.digest, conflicts, flush=True)
    sys.stdin.readline()
"""


def test_of_two_editors_at_once_one_wins_and_no_edit_is_lost(bundle: Bundle, head: Head) -> None:
    command = [sys.executable, "-c", EDITED + EDITOR, str(bundle.path)]
    editors = [
        subprocess.Popen(
            [*command, name, str(ROUNDS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=CHECKOUT,
            text=True,
            bufsize=1,
        )
        for name in ("ours", "theirs")
    ]

    def say() -> None:
        for editor in editors:
            assert editor.stdin is not None
            editor.stdin.write("\n")

    def hear() -> list[list[str]]:
        return [editor.stdout.readline().split() for editor in editors if editor.stdout]

    live = head.digest
    for _ in range(ROUNDS):
        assert hear() == [["ready"], ["ready"]]
        say()
        # Both began on the same head: the one that published second was told, and did it again.
        (first, wins), (second, loses) = sorted(hear(), key=lambda answer: int(answer[1]))
        assert (wins, loses) == ("0", "1")
        versions = bundle.history()[-2:]
        assert [version.digest for version in versions] == [first, second]
        assert [version.before for version in versions] == [live, first]
        live = second
        say()
    for editor in editors:
        editor.communicate()
        assert editor.returncode == 0
    assert len(bundle.history()) == 1 + 2 * ROUNDS
    assert bundle.verify() == []


# Other users

# Python itself may be where only root can read it: all modules are loaded, by using them, before.
BECOME = """
import filelock, json, os, sys
from edgesplit.runtime import Runtime
user, groups = json.loads(sys.argv.pop(1))
open_bundle(sys.argv[1]).verify()
with Runtime(sys.argv[1]) as runtime:
    runtime.decide(np.ones(runtime.bundle.dim, np.float32))
os.setgroups(groups)
os.setgid(groups[0])
os.setuid(user)
os.environ["EDGESPLIT_CACHE"] = "/nowhere"
"""


def work_as(
    user: int, groups: list[int], code: str, *arguments: object
) -> subprocess.CompletedProcess[str]:
    """Runs code in a process of another user."""
    who = json.dumps([user, groups])
    command = [sys.executable, "-c", EDITED + BECOME + code, who, *map(str, arguments)]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)


as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can work as somebody else")


@pytest.fixture
def public(bundle: Bundle) -> Iterator[Bundle]:
    """The bundle where everybody can get at it, written under the usual umask."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    before = os.umask(0o022)
    try:
        shutil.copytree(bundle.path, place / bundle.path.name, copy_function=shutil.copyfile)
        for folder in (place / bundle.path.name, place / bundle.path.name / "heads"):
            folder.chmod(0o755)
        copy = open_bundle(place / bundle.path.name)
        column = copy.head().tree.find("pushing something")
        assert column == 4
        copy.publish(copy.rename_class("holding something", "keeping something"))
        yield copy
    finally:
        os.umask(before)
        shutil.rmtree(place)


SERVE = """
bundle = open_bundle(sys.argv[1])
try:
    open(bundle.path / "HEAD", "a")
    raise SystemExit("this user can write")
except PermissionError:
    pass
assert bundle.verify() == [], bundle.verify()
assert len(bundle.history()) == 2
with Runtime(bundle) as runtime:
    feature = np.ones(bundle.dim, np.float32)
    print(runtime.decide(feature).label)
try:
    bundle.publish(edited(bundle.head(), "new"))
except BundleError as error:
    print(error)
"""


def written(folder: Path) -> dict[Path, tuple[int, int]]:
    """When each file was written, and its mode."""
    return {path: (path.stat().st_mtime_ns, path.stat().st_mode) for path in folder.rglob("*")}


@as_root
def test_another_user_reads_and_serves_and_cannot_publish(public: Bundle) -> None:
    public.path.joinpath(".lock").unlink(missing_ok=True)
    for _ in range(2):  # without a lock file, and with one that is somebody else's
        before = written(public.path)
        done = work_as(SOMEBODY, [SOMEBODY], SERVE, public.path)
        assert done.returncode == 0, done.stderr
        label, message = done.stdout.splitlines()
        assert label in public.head().labels
        assert message.startswith(f"Cannot write to {public.path}: Permission denied.")
        assert "work as its owner" in message
        assert written(public.path) == before
        public.path.joinpath(".lock").touch()


HOLD = """
try:
    open(sys.argv[1] + "/.lock")
except PermissionError:
    print("refused")
"""


@as_root
def test_who_may_only_read_cannot_hold_up_who_publishes(public: Bundle) -> None:
    with lock(public.path):
        assert work_as(SOMEBODY, [SOMEBODY], HOLD, public.path).stdout == "refused\n"


PUBLISH = """
os.umask(0o002)
bundle = open_bundle(sys.argv[1])
bundle.publish(edited(bundle.head(), sys.argv[2]))
"""


@as_root
def test_users_of_one_group_publish_in_turn(public: Bundle) -> None:
    group = 64000
    for path in (public.path, *public.path.rglob("*")):
        os.chown(path, SOMEBODY, group)
        path.chmod(0o2775 if path.is_dir() else 0o664)
    public.path.joinpath(".lock").unlink(missing_ok=True)
    for number, user in enumerate((SOMEBODY, ELSE, SOMEBODY, ELSE)):
        done = work_as(user, [user, group], PUBLISH, public.path, number)
        assert done.returncode == 0, done.stderr
    assert len(public.history()) == 6
    assert public.verify() == []
