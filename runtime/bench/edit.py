"""Measure the time of an edit, in a new process and in a warm one, and the bytes it ships."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from edgesplit.bundle.bundle import Bundle, open_bundle
from edgesplit.errors import EdgesplitError
from edgesplit.runtime.bench.process import own_environment
from edgesplit.runtime.bench.sandbox import copied_bundle, find_splits, own_cache
from edgesplit.runtime.bench.timing import (
    Answer,
    Figure,
    Job,
    Progress,
    time_ms,
    time_reference,
)

__all__ = ["answer"]


def answer(job: Job, progress: Progress) -> Answer:
    """Time the same split repeatedly on a copy of the bundle; roll it back each time."""
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
        measured: dict[str, list[tuple[float, float]]] = {}

        def note(what: str, measure: Callable[[], float]) -> None:
            reference = time_reference()
            measured.setdefault(what, []).append((measure(), reference))

        for turn in range(repeats):
            progress(f"edits, {turn + 1} of {repeats}")
            for what in ("edit.process_new_texts", "edit.process"):  # the first fills the cache
                with own_cache(cache / f"process{turn}"):
                    note(what, lambda: _process(command))
                bundle.rollback()
            with own_cache(cache / f"warm{turn}"):
                for what in ("edit.warm_new_texts", "edit.warm"):
                    note(what, lambda: _warm(bundle, label, into))
                edit = bundle.split_class(label, into=into, accept_doubt=True)
                note("edit.publish", partial(time_ms, partial(bundle.publish, edit)))
                after = len(edit.head.to_bytes())
                bundle.rollback()
        backbone = len(bundle.backbone())
    figures = tuple(
        Figure.of(what, [[ms] for ms, _ in pairs], [reference for _, reference in pairs])
        for what, pairs in measured.items()
    )
    facts = {
        "split": {"class": label, "into": into},
        "head_bytes_before": before,
        "head_bytes": after,
        "backbone_bytes": backbone,
        "shipped": round(after / backbone, 6),
    }
    return Answer(figures, facts)


def _warm(bundle: Bundle, label: str, into: list[str]) -> float:
    """Time an edit in this process, with the text encoder loaded and the head read again."""
    bundle.text_encoder.check()
    fresh = open_bundle(bundle.path)
    return time_ms(lambda: fresh.split_class(label, into=into, accept_doubt=True))


def _process(command: list[str]) -> float:
    """Time the command `edgesplit edit`, from the start to the end of its process."""
    environment = own_environment()
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
