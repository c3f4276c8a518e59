"""What head and edit cost, against classes, feature size, splits, nesting and history."""

from __future__ import annotations

import itertools
import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from edgesplit.bundle.bundle import Bundle
from edgesplit.bundle.history import LOG, new_version
from edgesplit.edits.split import split_class
from edgesplit.heads.head import Head
from edgesplit.heads.labels import LabelTree, Node
from edgesplit.runtime.bench.sandbox import copied_bundle, own_cache
from edgesplit.runtime.bench.timing import Answer, Figure, Job, Say, sample
from edgesplit.runtime.live.live_head import ServingHead

__all__ = ["answer", "exponent"]

DIM = 384
N_CLASSES = 174
_BLOCKS = 5
_RUNS = 20
_ACTIONS = ("pulling", "moving", "sliding", "carrying", "throwing", "lifting", "rolling", "folding")
_THINGS = ("something", "a box", "a cup", "a ball", "a book", "a chair", "a door", "a rope")
_MODIFIERS = ("left", "right", "up", "down", "slowly", "quickly")
_TARGET, _INTO = "pushing something", ["left", "right"]


def answer(job: Job, say: Say) -> Answer:
    """Heads of made labels and random rows; the history grows on a copy of the bundle."""
    block_s = job.effort.block_s
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(dir=job.scratch) as cache, own_cache(Path(cache)):
        for axis, size, head in _heads(job.effort.sizes):
            say(f"a head, {axis} {size:,}")
            figures += _costs(f"growth.{axis}.{size}", head, block_s)
    for size in job.effort.sizes["history"]:
        say(f"a history of {size:,} edits")
        with copied_bundle(job.bundle, job.scratch) as bundle:
            _lengthen(bundle, size)
            figures += _history(f"growth.history.{size}", bundle, size, block_s)
    found = {
        what: round(exponent(figures, f"growth.classes.*.{what}"), 3)
        for what in ("run", "session", "edit")
    }
    return Answer(tuple(figures), {"exponent_of_classes": found, "dim": DIM, "classes": N_CLASSES})


def exponent(figures: list[Figure], pattern: str) -> float:
    """Power of size with which the cost grows: the slope of a line through the logarithms.

    Args:
        figures: among others those of one axis.
        pattern: their names, with a star for the size.
    """
    start, end = pattern.split("*")
    costs = {
        int(one.name[len(start) : -len(end)]): one.p50
        for one in figures
        if one.name.startswith(start) and one.name.endswith(end)
    }
    slope, _ = np.polyfit(np.log(list(costs)), np.log(list(costs.values())), 1)
    return float(slope)


def _heads(sizes: Mapping[str, tuple[int, ...]]) -> Iterator[tuple[str, int, Head]]:
    for size in sizes["classes"]:
        yield "classes", size, _head(size, DIM, 0, 1)
    for size in sizes["features"]:
        yield "features", size, _head(N_CLASSES, size, 0, 1)
    for size in sizes["splits"]:
        yield "splits", size, _head(N_CLASSES, DIM, size, 1)
    for size in sizes["nesting"]:
        yield "nesting", size, _head(N_CLASSES, DIM, size, size)


def _head(n_classes: int, dim: int, n_splits: int, depth: int) -> Head:
    """Gated splits into two, in chains of `depth`, each below a root class of its own."""
    groups = (f"{a} {t} {m}" for a, t, m in itertools.product(_ACTIONS, _THINGS, _MODIFIERS))
    singles = (f"{number} times something else" for number in itertools.count())
    labels = itertools.islice(itertools.chain(groups, singles), n_classes - 1)
    tree = LabelTree.from_labels([*labels, _TARGET])
    for split in range(n_splits):
        step = split % depth
        column = split // depth if step == 0 else len(tree) - 1
        sides = [Node(f"{side} {split}", modifier=side) for side in _INTO]
        tree = tree.split(column, sides, composition="gated")
    rng = np.random.default_rng(0)
    return Head(
        tree=tree,
        weight=rng.standard_normal((len(tree), dim), np.float32) / np.float32(np.sqrt(dim)),
        bias=np.zeros(len(tree), np.float32),
        feature_space="f" * 64,
    )


def _costs(name: str, head: Head, block_s: float) -> tuple[Figure, ...]:
    serving = ServingHead(head)
    feature = np.random.default_rng(0).standard_normal((1, head.dim), np.float32)

    def run() -> Mapping[str, float]:
        start = time.perf_counter()
        for _ in range(_RUNS):
            serving.evaluate(feature)
        return {f"{name}.run": 1e3 * (time.perf_counter() - start) / _RUNS}

    def session() -> Mapping[str, float]:
        return {f"{name}.session": ServingHead(head).build_ms}

    def edit() -> Mapping[str, float]:
        start = time.perf_counter()
        made = split_class(head, _TARGET, into=_INTO, accept_doubt=True)
        made.head.to_bytes()
        return {f"{name}.edit": 1e3 * (time.perf_counter() - start)}

    seconds = block_s * _BLOCKS
    return tuple(
        figure
        for one in (run, session, edit)
        for figure in sample(one, seconds=seconds, blocks=_BLOCKS)
    )


def _lengthen(bundle: Bundle, n_edits: int) -> None:
    """Makes the log one of so many edits that went back and forth; the live head stays."""
    live, other = bundle.live, "0" * 64
    heads = itertools.cycle((other, live))
    before = live
    lines = []
    for digest in itertools.islice(heads, 2 * (n_edits // 2)):
        version = new_version(digest, before=before, action="split pushing into left, right")
        lines.append(json.dumps(version.to_json()))
        before = digest
    (bundle.path / LOG).write_text("".join(f"{line}\n" for line in lines))


def _history(name: str, bundle: Bundle, n_edits: int, block_s: float) -> tuple[Figure, ...]:
    label = bundle.head().tree[0].label
    turn = itertools.count()

    def read() -> Mapping[str, float]:
        start = time.perf_counter()
        bundle.history()
        return {f"{name}.read": 1e3 * (time.perf_counter() - start)}

    def publish() -> Mapping[str, float]:
        edit = bundle.rename_class(bundle.head().tree[0].label, f"{label} {next(turn) % 2 + 1}")
        _lengthen(bundle, n_edits)  # as long as before: publishing adds to it
        start = time.perf_counter()
        bundle.publish(edit)
        return {f"{name}.publish": 1e3 * (time.perf_counter() - start)}

    seconds = block_s * _BLOCKS
    return tuple(
        figure for one in (read, publish) for figure in sample(one, seconds=seconds, blocks=_BLOCKS)
    )
