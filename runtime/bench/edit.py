"""How long an edit takes, in a process of its own and in one that is warm, and what it ships."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from edgesplit.bundle.bundle import Bundle, open_bundle
from edgesplit.errors import EdgesplitError
from edgesplit.runtime.bench.sandbox import copied_bundle, find_splits, own_cache
from edgesplit.runtime.bench.timing import Answer, Figure, Job, Say, time_reference

__all__ = ["answer"]


def answer(job: Job, say: Say) -> Answer:
    """The same split again and again on a copy, each time taken back."""
    repeats = job.effort.repeats
    with (
        copied_bundle(job.bundle, job.scratch) as bundle,
        tempfile.TemporaryDirectory(dir=job.scratch) as name,
    ):
        cache = Path(name)
        ((label, into),) = find_splits(bundle, 1)
        command = ["edit", "--class", label, "--into", ",".join(into), "--accept-doubt", "--json"]
        command += ["--bundle", str(bundle.path)]
        before = after = len(bundle.head().to_bytes())
        blocks: dict[str, list[float]] = {}
        references: dict[str, list[float]] = {}

        def note(what: str, measured: Callable[[], float]) -> None:
            references.setdefault(what, []).append(time_reference())
            blocks.setdefault(what, []).append(measured())

        for turn in range(repeats):
            say(f"edits, {turn + 1} of {repeats}")
            for what in ("edit.process_new_texts", "edit.process"):  # the first fills the cache
                with own_cache(cache / f"process{turn}"):
                    note(what, lambda: _process(command))
                bundle.rollback()
            with own_cache(cache / f"warm{turn}"):
                for what in ("edit.warm_new_texts", "edit.warm"):
                    note(what, lambda: _warm(bundle, label, into))
                edit = bundle.split_class(label, into=into, accept_doubt=True)
                note("edit.publish", partial(_timed, partial(bundle.publish, edit)))
                after = len(edit.head.to_bytes())
                bundle.rollback()
        backbone = len(bundle.backbone())
    figures = tuple(
        Figure.of(what, [[one] for one in times], references[what])
        for what, times in blocks.items()
    )
    facts = {
        "split": {"class": label, "into": into},
        "head_bytes_before": before,
        "head_bytes": after,
        "backbone_bytes": backbone,
        "shipped": round(after / backbone, 6),
    }
    return Answer(figures, facts)


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - start)


def _warm(bundle: Bundle, label: str, into: list[str]) -> float:
    """An edit in this process, whose text encoder is loaded; the head is read anew."""
    bundle.text_encoder.check()
    fresh = open_bundle(bundle.path)
    return _timed(lambda: fresh.split_class(label, into=into, accept_doubt=True))


def _process(command: list[str]) -> float:
    """`edgesplit edit` as it is typed, until it has ended and its head is live."""
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    environment = {**os.environ, "PYTHONPATH": path}
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "edgesplit", *command],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    ms = 1e3 * (time.perf_counter() - start)
    if done.returncode:
        raise EdgesplitError(f"`edgesplit edit` failed: {done.stderr.strip()}")
    json.loads(done.stdout)
    return ms
