"""What happened is there, and nothing else: crashes at every call, errors at every call.

`tests/crashes.py` says what a crash can leave. Here are the changes of a bundle, cut at each of
their calls; and then the code itself, with one fsync left out or two steps exchanged, which the
same cuts must notice.
"""

import ast
import errno
import itertools
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from edgesplit.bundle import publishing
from edgesplit.bundle.bundle import Bundle, open_bundle
from edgesplit.bundle.create import create_bundle
from edgesplit.bundle.head_files import head_file
from edgesplit.bundle.history import Version
from edgesplit.edits.edit import Edit
from edgesplit.errors import BundleError, EdgesplitError
from edgesplit.heads.head import Head
from edgesplit.heads.labels import Node
from edgesplit.storage import files as store
from edgesplit.storage.files import Disk, Store
from edgesplit.video.preprocessing import Preprocessing
from tests.crashes import (
    CrashDisk,
    FailingDisk,
    Image,
    Media,
    QuickDisk,
    StoppedError,
    crashes,
    full,
    lay_out,
    stopped,
)

NAME = "lab.bundle"

Act = Callable[[Bundle], object]
Make = Callable[[], Path]
"""Gives a new folder."""


# The kit


def outcomes(media: Media) -> list[dict[str, bytes | None]]:
    return [dict(image) for image in sorted(media.power_cuts(), key=str)]


def test_a_name_may_survive_without_its_content_and_the_other_way_round(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    media = Media(tmp_path)
    media.append(tmp_path / "b", b"new")
    media.rename(tmp_path / "b", tmp_path / "a")
    assert dict(media.kill()) == {"a": b"new"}
    assert {"a": b"old"} in outcomes(media)  # nothing survived, or the content alone
    assert {"a": b"old", "b": b""} in outcomes(media)  # the first name
    assert {"a": b""} in outcomes(media)  # the second
    assert {"a": b"new"} in outcomes(media)
    assert len(outcomes(media)) == 5
    media.sync(tmp_path)
    assert outcomes(media) == [{"a": b""}, {"a": b"new"}]
    media.sync(tmp_path / "a")
    assert outcomes(media) == [{"a": b"new"}]


def test_what_is_durable_stays(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"1")
    (tmp_path / "old").mkdir()
    media = Media(tmp_path)
    media.append(tmp_path / "log", b"2")
    media.sync(tmp_path / "log")
    media.append(tmp_path / "log", b"3")
    assert outcomes(media) == [{"log": b"12", "old": None}, {"log": b"123", "old": None}]
    media.append(tmp_path / "log", b"4")
    assert {"log": b"12\x004", "old": None} in outcomes(media)  # the later one alone
    media.remove(tmp_path / "log")
    assert {"log": b"12", "old": None} in outcomes(media)
    media.sync(tmp_path)
    assert outcomes(media) == [{"old": None}]


def test_a_folder_is_lost_with_its_name(tmp_path: Path) -> None:
    media = Media(tmp_path)
    media.make_folder(tmp_path / "a")
    media.write(tmp_path / "a" / "b", b"1")
    media.sync(tmp_path / "a")
    assert outcomes(media) == [{"a": None, "a/b": b"1"}, {}]
    media.rename(tmp_path / "a", tmp_path / "c")
    media.sync(tmp_path)
    assert outcomes(media) == [{"c": None, "c/b": b"1"}]


def test_a_written_file_is_durable_and_its_name_is_not(tmp_path: Path) -> None:
    media = Media(tmp_path)
    media.write(tmp_path / "a", b"1")
    assert outcomes(media) == [{"a": b"1"}, {}]
    media.sync(tmp_path)
    assert outcomes(media) == [{"a": b"1"}]


def test_too_many_subsets_are_tried_with_up_to_two_exceptions(tmp_path: Path) -> None:
    media = Media(tmp_path)
    for name in "abcdefgh":
        media.make_folder(tmp_path / name)
    assert {len(image) for image in media.power_cuts()} == {0, 1, 2, 6, 7, 8}


# A bundle's changes


def hand_split(head: Head, column: int, *labels: str) -> Head:
    """`head` with the class of that column split."""
    nodes = [Node(label, modifier=label) for label in labels]
    return Head(
        tree=head.tree.split(column, nodes, composition="gated"),
        weight=np.concatenate([head.weight, np.ones((len(nodes), head.dim), np.float32)]),
        bias=np.concatenate([head.bias, np.zeros(len(nodes), np.float32)]),
        feature_space=head.feature_space,
        parent=head.digest,
    )


def split(bundle: Bundle) -> Edit:
    return bundle.split_class(
        "pushing something", into=["left", "right"], like="pulling something", accept_doubt=True
    )


def publish_split(bundle: Bundle) -> None:
    bundle.publish(split(bundle))


def publish_more(bundle: Bundle) -> None:
    bundle.publish(hand_split(bundle.head(), 5, "up", "down", "still"))


def publish_both(bundle: Bundle) -> None:
    publish_split(bundle)
    publish_more(bundle)


def publish_other(bundle: Bundle) -> None:
    """Another edit, whatever is live."""
    bundle.publish(hand_split(bundle.head(), 0, "other 1", "other 2"))


def prune_old(bundle: Bundle) -> None:
    bundle.prune(1)


def nothing(*_: object) -> None:
    pass


def split_file(bundle: Bundle) -> Path:
    return head_file(bundle.path, split(bundle).head.digest)


def leave_attempt(act: Act) -> Act:
    """Leaves what a process killed just before HEAD was replaced leaves."""

    def leave(bundle: Bundle) -> None:
        live = (bundle.path / "HEAD").read_bytes()
        act(bundle)
        (bundle.path / "HEAD").write_bytes(live)

    return leave


def attempt_rollback(bundle: Bundle) -> None:
    publish_split(bundle)
    leave_attempt(lambda b: b.rollback())(bundle)


def tear_log(bundle: Bundle) -> None:
    log = bundle.path / "log.jsonl"
    log.write_bytes(log.read_bytes() + b'{"time": "2026-01-01T00:00:00.000Z", "fr')


def leave_parts(bundle: Bundle) -> None:
    """Leaves half-written files, of another process and of one with our process id."""
    for path in (bundle.path / "HEAD", bundle.path / "log.jsonl", split_file(bundle)):
        for process in (1, os.getpid()):
            path.with_name(f".{path.name}.{process}.part").write_bytes(b"half")


@dataclass(frozen=True)
class Scenario:
    """A change of a bundle, and what it begins with."""

    act: Act
    before: Act = nothing
    """What is on the medium when it begins."""
    unsynced: Callable[[Bundle, Disk], object] = nothing
    """What was done before, but is not durable."""
    flaw: str = "(?!)"
    """What `verify` may say as long as the change has not happened: a pattern."""


STRAY = r"heads/\w+\.onnx is damaged"
"""A head file that is not in the history; nobody can say whether it was to be."""

SCENARIOS = {
    "publish an edit": Scenario(publish_split),
    "publish a file": Scenario(lambda b: b.publish(Head.from_bytes(split(b).head.to_bytes()))),
    "publish on top": Scenario(publish_more, before=publish_split),
    "rollback": Scenario(lambda b: b.rollback(), before=publish_both),
    "rollback to a named head": Scenario(
        lambda b: b.rollback(b.history()[0].digest), before=publish_both
    ),
    "merge the last split": Scenario(
        lambda b: b.publish(b.merge_class("holding something")), before=publish_both
    ),
    "merge an earlier split": Scenario(
        lambda b: b.publish(b.merge_class("pushing something")), before=publish_both
    ),
    "rename": Scenario(lambda b: b.publish(b.rename_class("holding something", "gripping it"))),
    "drop": Scenario(lambda b: b.publish(b.drop_class("still")), before=publish_both),
    "prune": Scenario(prune_old, before=publish_both),
    "after an attempt": Scenario(publish_split, before=leave_attempt(publish_split)),
    "after another attempt": Scenario(publish_split, before=leave_attempt(publish_other)),
    "after an attempted rollback": Scenario(publish_more, before=attempt_rollback),
    "after a torn line": Scenario(publish_split, before=tear_log),
    "after an empty head file": Scenario(
        publish_split, before=lambda b: split_file(b).write_bytes(b""), flaw=STRAY
    ),
    "after a copy that is not durable": Scenario(
        publish_split,
        unsynced=lambda b, disk: disk.append(split_file(b), split(b).head.to_bytes()),
        flaw=STRAY,
    ),
    "without a log": Scenario(
        publish_split, before=lambda b: (b.path / "log.jsonl").unlink(), flaw="log"
    ),
    "after half-written files": Scenario(publish_split, before=leave_parts),
}


@dataclass(frozen=True)
class State:
    """What a reader sees."""

    live: str
    history: tuple[Version, ...]


def look(folder: Path) -> State:
    """What the bundle says of itself; the live head is read and verified."""
    bundle = open_bundle(folder / NAME)
    assert bundle.head().digest == bundle.live
    try:
        return State(bundle.live, bundle.history())
    except BundleError:  # there is no log
        return State(bundle.live, ())


@dataclass(frozen=True)
class Run:
    """A change that came to its end, and what was seen before and after."""

    disk: CrashDisk
    states: tuple[State, ...]
    """The last one is what must stay once the change has returned."""
    flaw: str

    def crashes(self) -> Iterator[tuple[str, Image, Sequence[State]]]:
        """Every crash: when, what it left, and what may then be seen. Equal ones only once."""
        seen: set[tuple[Image, bool]] = set()
        cuts = [*crashes(self.disk.start, self.disk.calls)]
        for number, (where, media) in enumerate(cuts, start=1):
            returned = number == len(cuts)
            for image in media.power_cuts() | {media.kill()}:
                if (image, returned) not in seen:
                    seen.add((image, returned))
                    how = "kill" if image == media.kill() else "power cut"
                    yield f"{how} {where}", image, self.states[-1:] if returned else self.states

    def check(self, folder: Path, allowed: Sequence[State]) -> State:
        """One of the states is there, whole, and nothing is wrong that was not before."""
        state = look(folder)
        assert state in allowed
        problems = open_bundle(folder / NAME).verify()
        flaw = self.flaw if state != self.states[-1] else "(?!)"
        assert [problem for problem in problems if not re.search(flaw, problem)] == []
        return state


def run(scenario: Scenario, root: Path, store: Callable[[Disk], Store] = Store) -> Run:
    """Makes the change in the bundle that is in `root`."""
    bundle = open_bundle(root / NAME, store=Store(QuickDisk()))
    scenario.before(bundle)
    given = CrashDisk(root)
    scenario.unsynced(bundle, given)
    old, disk = look(root), CrashDisk(root, given.media())
    scenario.act(open_bundle(root / NAME, store=store(disk)))
    return Run(disk, (old, look(root)), scenario.flaw)


def run_after_kill(
    act: Act, make: Make, store: Callable[[Disk], Store] = Store
) -> Iterator[tuple[str, Run]]:
    """A publish that is killed at any call, and then a change; the machine goes on in between.

    So the second process builds on what is not durable.
    """
    first = run(Scenario(publish_more, before=publish_split), make(), store)
    for where, media in crashes(first.disk.start, first.disk.calls):
        root = make()
        shutil.rmtree(root)
        lay_out(media.kill(), root)
        disk = CrashDisk(root, media.copy(root))
        act(open_bundle(root / NAME, store=store(disk)))
        yield where, Run(disk, (*first.states, look(root)), first.flaw)


@pytest.fixture
def make(bundle: Bundle, tmp_path: Path) -> Make:
    """Gives a new folder with a copy of the bundle in it."""
    numbers = itertools.count()

    def copy() -> Path:
        root = tmp_path / str(next(numbers))
        shutil.copytree(bundle.path, root / NAME)
        return root

    return copy


@pytest.fixture
def put(tmp_path: Path) -> Callable[[Image], Path]:
    """Lays an image out, in place of the last one."""
    place = tmp_path / "image"

    def lay(image: Image) -> Path:
        shutil.rmtree(place, ignore_errors=True)
        return lay_out(image, place)

    return lay


Put = Callable[[Image], Path]


def go_on(act: Act, folder: Path, state: State) -> list[str]:
    """A change after a crash, which happens; what `verify` says then."""
    bundle = open_bundle(folder / NAME, store=Store(QuickDisk()))
    act(bundle)
    after = look(folder)
    assert after.history[:-1] == state.history
    assert after.history[-1].digest == after.live
    return bundle.verify()


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_crash_leaves_the_old_state_or_the_new(name: str, make: Make, put: Put) -> None:
    scenario = SCENARIOS[name]
    change = run(scenario, make())
    old, new = change.states
    assert new.history[:-1] == old.history
    for where, image, allowed in change.crashes():
        try:
            state = change.check(put(image), allowed)
            problems = go_on(publish_other, put(image), state)
            assert [p for p in problems if not re.search(scenario.flaw, p)] == []
            if state == old:
                assert go_on(scenario.act, put(image), state) == []
                assert look(put(image)) == old
        except (AssertionError, EdgesplitError) as error:
            raise AssertionError(where) from error


@pytest.mark.parametrize("second", [publish_other, prune_old])
def test_what_a_killed_process_left_in_memory_is_built_upon(
    second: Act, make: Make, put: Put
) -> None:
    for first, change in run_after_kill(second, make):
        for where, image, allowed in change.crashes():
            try:
                change.check(put(image), allowed)
            except (AssertionError, EdgesplitError) as error:
                raise AssertionError(f"killed {first}; {where}") from error


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_process_that_dies_leaves_what_the_kit_says(
    name: str, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgesplit.bundle.history.time.time", lambda: 1.8e9)
    monkeypatch.setattr("edgesplit.storage.files.os.urandom", bytes)  # the same names in every run
    scenario = SCENARIOS[name]
    change = run(scenario, make())
    cuts = dict(crashes(change.disk.start, change.disk.calls))
    for step, call in enumerate(change.disk.calls):
        root = make()
        bundle = open_bundle(root / NAME, store=Store(QuickDisk()))
        scenario.before(bundle)
        scenario.unsynced(bundle, QuickDisk())
        with pytest.raises(StoppedError):
            scenario.act(open_bundle(root / NAME, store=Store(stopped(root, step))))
        when = "in the middle of" if call.half else "before"
        said = cuts[f"{when} call {step}, {call.name} {call.path.name}"]
        assert without_lock(Media(root).kill()) == without_lock(said.kill())


def without_lock(image: Image) -> Image:
    return tuple(entry for entry in image if not entry[0].endswith(".lock"))


# Making a bundle


@dataclass(frozen=True)
class Creation:
    """Makes a bundle in a new folder, with a head and without clips."""

    backbone: bytes
    head: Head
    preprocessing: Preprocessing
    put: Put

    def make(self, path: Path, store: Store) -> Bundle:
        return create_bundle(
            path,
            backbone=self.backbone,
            head=self.head,
            preprocessing=self.preprocessing,
            store=store,
        )

    def check(self, root: Path, place: str, store: Callable[[Disk], Store] = Store) -> None:
        """Every crash leaves a whole bundle or none, and none takes away what was returned."""
        root.mkdir()
        disk = CrashDisk(root)
        made = self.make(root / place, store(disk))
        cuts = [*crashes(disk.start, disk.calls)]
        for number, (where, media) in enumerate(cuts, start=1):
            for image in media.power_cuts() | {media.kill()}:
                folder = self.put(image) / place
                if folder.exists():
                    bundle = open_bundle(folder)
                    assert bundle.head().digest == made.live, where
                    assert bundle.history() == made.history(), where
                    assert bundle.verify() == [], where
                else:
                    assert number < len(cuts), "a bundle that was returned is lost"
                    assert self.make(folder, Store(QuickDisk())).live == made.live, where


@pytest.fixture
def creation(backbone: bytes, head: Head, preprocessing: Preprocessing, put: Put) -> Creation:
    return Creation(backbone, head, preprocessing, put)


PLACES = ("lab.bundle", "new/folder/lab.bundle")


@pytest.mark.parametrize("place", PLACES)
def test_a_crash_leaves_a_whole_new_bundle_or_none(
    place: str, tmp_path: Path, creation: Creation
) -> None:
    creation.check(tmp_path / "root", place)


# Calls that fail


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_call_that_fails_leaves_no_half_made_bundle(
    code: int, tmp_path: Path, creation: Creation
) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    disk = CrashDisk(whole)
    creation.make(whole / NAME, Store(disk))
    for step in range(len(disk.calls)):
        root = tmp_path / str(step)
        root.mkdir()
        with pytest.raises(BundleError, match=r"Cannot create .*lab\.bundle: "):
            creation.make(root / NAME, Store(FailingDisk(root, step, code)))
        last = step == len(disk.calls) - 1  # the bundle is there, only its name is not durable
        assert os.listdir(root) == [NAME] * last
        if last:
            assert open_bundle(root / NAME).verify() == []


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=["disk full", "sync fails"])
def test_a_call_that_fails_loses_nothing(name: str, code: int, make: Make) -> None:
    scenario = SCENARIOS[name]
    change = run(scenario, make())
    old, new = change.states
    kinds = ("write", "append", "make_folder") if code == errno.ENOSPC else ("write", "sync")
    steps = [step for step, call in enumerate(change.disk.calls) if call.name in kinds]
    for step in steps:
        root = make()
        bundle = open_bundle(root / NAME, store=Store(QuickDisk()))
        scenario.before(bundle)
        scenario.unsynced(bundle, QuickDisk())
        parts = set(root.rglob("*.part"))
        before = look(root)
        failing = full(root, step) if code == errno.ENOSPC else FailingDisk(root, step, code)
        with pytest.raises(BundleError, match=r"Cannot (publish to|prune) .*lab.bundle: "):
            scenario.act(open_bundle(root / NAME, store=Store(failing)))
        after = look(root)
        last = step == len(change.disk.calls) - 1  # HEAD is there, only its name is not durable
        assert after.live == (new.live if last and new.live != old.live else before.live)
        assert set(root.rglob("*.part")) <= parts
        if after.live == old.live:
            go_on(scenario.act, root, after)
            assert look(root).live == new.live


# The code itself: one sync less, or two steps exchanged


def compiled(module: ModuleType, tree: ast.Module) -> ModuleType:
    made = ModuleType(f"{module.__name__}_mutant")
    sys.modules[made.__name__] = made  # dataclasses look their module up
    exec(compile(ast.fix_missing_locations(tree), str(module.__file__), "exec"), made.__dict__)
    return made


def parsed(module: ModuleType) -> ast.Module:
    return ast.parse(Path(str(module.__file__)).read_text())


def is_sync(node: ast.stmt) -> bool:
    """Whether it is a statement `self.disk.sync(...)`."""
    return isinstance(node, ast.Expr) and ast.unparse(node).startswith("self.disk.sync(")


def syncs() -> list[int]:
    """The lines of files.py that sync something."""
    return [
        statement.lineno
        for body in bodies(parsed(store))
        for statement in body
        if is_sync(statement)
    ]


def bodies(tree: ast.AST) -> Iterator[list[ast.stmt]]:
    """Every sequence of statements."""
    for node in ast.walk(tree):
        for body in (getattr(node, "body", None), getattr(node, "orelse", None)):
            if isinstance(body, list):
                yield body


def without_line(line: int) -> Callable[[Disk], Store]:
    """The Store without the statement at a line."""
    tree = parsed(store)
    for body in bodies(tree):
        for place, statement in enumerate(body):
            if is_sync(statement) and statement.lineno == line:
                body[place] = ast.Pass()
    made: Callable[[Disk], Store] = compiled(store, tree).Store
    return made


Check = Callable[[Callable[[Disk], Store]], None]


@pytest.fixture
def check_all(make: Make, put: Put, creation: Creation, tmp_path: Path) -> Check:
    """All crashes of all changes, with a Store."""

    def check(store: Callable[[Disk], Store]) -> None:
        for number, place in enumerate(PLACES):
            creation.check(tmp_path / f"new {number}", place, store)
        for scenario in SCENARIOS.values():
            change = run(scenario, make(), store)
            for _, image, allowed in change.crashes():
                change.check(put(image), allowed)
        for second in (publish_other, prune_old):
            for _, change in run_after_kill(second, make, store):
                for _, image, allowed in change.crashes():
                    change.check(put(image), allowed)

    return check


def test_the_cuts_find_nothing_in_the_code_as_it_is(check_all: Check) -> None:
    check_all(without_line(0))


@pytest.mark.parametrize("line", syncs())
def test_the_cuts_find_every_sync_that_is_left_out(line: int, check_all: Check) -> None:
    with pytest.raises((AssertionError, EdgesplitError, OSError)):
        check_all(without_line(line))


def changed(function: str, step: str, behind: str = "") -> ModuleType:
    """publishing.py, in whose function a step is left out, or comes behind another one."""
    tree = parsed(publishing)
    (found,) = (n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == function)

    def find(start: str) -> tuple[list[ast.stmt], int]:
        for body in bodies(found):
            for place, statement in enumerate(body):
                if ast.unparse(statement).startswith(start):
                    return body, place
        raise AssertionError(f"{function} has no statement {start!r}")

    body, place = find(step)
    statement, body[place] = body[place], ast.Pass()
    if behind:
        body, place = find(behind)
        body.insert(place + 1, statement)
    return compiled(publishing, tree)


HEAD, LOG, LIVE = "if is_regular(path)", "version = append_version(", "store.replace_file(folder"
MUTANTS = {
    "live before its file": ("go_live", HEAD, LIVE),
    "live before its log line": ("go_live", LOG, LIVE),
    "no log line": ("go_live", LOG),
    "HEAD not settled": ("go_live", "_sync_live("),
    "a copied head not settled": ("go_live", "store.sync_file(path)"),
    "HEAD not settled before a prune": ("remove_heads", "_sync_live("),
    "no log line of a prune": ("remove_heads", LOG),
    "pruned before its log line": ("remove_heads", LOG, "for digest in"),
}


@pytest.fixture
def go_with(monkeypatch: pytest.MonkeyPatch) -> Callable[[ModuleType], None]:
    """Lets bundles change as another publishing.py says."""

    def use(mutant: ModuleType) -> None:
        monkeypatch.setattr("edgesplit.bundle.create.go_live", mutant.go_live)
        monkeypatch.setattr("edgesplit.bundle.bundle.publishing", mutant)

    return use


@pytest.mark.parametrize("name", MUTANTS)
def test_the_cuts_find_steps_out_of_order(
    name: str, check_all: Check, go_with: Callable[[ModuleType], None]
) -> None:
    go_with(changed(*MUTANTS[name]))
    with pytest.raises((AssertionError, EdgesplitError)):
        check_all(Store)


def test_a_head_file_may_come_after_its_log_line(
    check_all: Check, go_with: Callable[[ModuleType], None]
) -> None:
    # Only HEAD must come last: a line that it never followed is passed over.
    go_with(changed("go_live", HEAD, LOG))
    check_all(Store)
