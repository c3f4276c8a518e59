"""Run the questions of a benchmark, each in a subprocess, and record their answers."""

from __future__ import annotations

import json
import os
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timezone
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

from edgesplit import __version__
from edgesplit._isolated import run_isolated
from edgesplit._text import shown
from edgesplit._types import BenchQuestion
from edgesplit.bundle.bundle import open_bundle
from edgesplit.errors import EdgesplitError
from edgesplit.runtime.bench.page import to_html, to_table
from edgesplit.runtime.bench.sandbox import scratch_folder
from edgesplit.runtime.bench.timing import REFERENCE, Answer, Job, Progress, Usage
from edgesplit.runtime.device.record import describe_device
from edgesplit.storage.files import Store, map_os_errors

__all__ = [
    "QUESTIONS",
    "SCHEMA",
    "check_folder",
    "run_bench",
    "write_record",
]

SCHEMA = 1
"""Version of the record. Increase it if a reader of older records would misread a new one."""

QUESTIONS: tuple[BenchQuestion, ...] = get_args(BenchQuestion)


def run_bench(
    job: Job,
    questions: Sequence[BenchQuestion] = QUESTIONS,
    *,
    on_wait: Callable[[BenchQuestion, str], object] = lambda question, line: None,
) -> dict[str, Any]:
    """Answer questions about a bundle, which is not changed.

    Args:
        job: the bundle to measure, and how to run it.
        questions: the questions; they are answered in the order of `QUESTIONS`.
        on_wait: gets the question and the current measurement, twice a second.

    Returns:
        The record, a JSON object: `schema`, `made`, `quick`, `bundle`, `device`, `reference`,
        `others` (share of the processor time that other programs used; None if unknown) and
        `answers`, by question, with figures and facts. If one of several questions cannot be
        answered, its answer holds the reason as `refused`.

    Raises:
        EdgesplitError: the bundle or the backend cannot be opened, or the only question cannot be
            answered.
    """
    bundle = open_bundle(job.bundle)
    head = bundle.head()
    device = describe_device()
    answers: dict[str, Any] = {}
    before = Usage.now()
    with scratch_folder(job.bundle) as scratch:
        scratched = replace(job, scratch=scratch)
        for question in (one for one in QUESTIONS if one in questions):

            def wait(seconds: float, line: str, question: BenchQuestion = question) -> None:
                on_wait(question, line)

            try:
                found = run_isolated(_answer, question, scratched, every_s=0.5, on_wait=wait)
            except EdgesplitError as error:
                if len(questions) == 1:
                    raise
                found = {"figures": [], "facts": {}, "refused": str(error)}
            answers[question] = found
    after = Usage.now()
    others = None if before is None or after is None else round(after.others(before), 3)
    figures = [figure for answer in answers.values() for figure in answer["figures"]]
    references = [reference for figure in figures for _, reference in figure["blocks"]]
    return {
        "schema": SCHEMA,
        "edgesplit": __version__,
        "made": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "quick": job.effort.quick,
        "seconds": job.effort.seconds,
        "bundle": {
            "name": job.bundle.resolve().name,
            "feature_space": bundle.feature_space,
            "head": head.digest,
            "classes": len(head.labels),
            "dim": bundle.dim,
            "clip_shape": list(bundle.preprocessing.clip_shape),
        },
        "asked": {
            "backend": job.backend,
            "variant": job.variant,
            "clip": job.clip and str(job.clip),
        },
        "device": asdict(device),
        "summary": device.summary,
        "reference": {
            "what": REFERENCE,
            "ms": round(statistics.median(references), 6) if references else None,
        },
        "others": others,
        "answers": answers,
    }


def _answer(question: BenchQuestion, job: Job) -> dict[str, Any]:
    """Answer one question; called in a new process, so that no other question runs in it."""
    answer: Callable[[Job, Progress], Answer]
    answer = import_module(f"edgesplit.runtime.bench.{question}").answer
    # The parent process reads progress from the last line of stderr.
    return asdict(answer(job, lambda what: sys.stderr.write(f"{what}\n")))


def check_folder(folder: Path | None) -> None:
    """Raise EdgesplitError if the folder cannot be created, before anything is measured."""
    parents = (folder or Path("bench")).absolute().parents
    place = next(parent for parent in parents if parent.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise EdgesplitError(f"{place} is not writable. Give another folder: -o FOLDER.")


def write_record(record: Mapping[str, Any], folder: Path | None = None) -> Path:
    """Write a record as bench.json, bench.md and bench.html; return their folder.

    Args:
        record: a record as `run_bench` returns it.
        folder: a new folder; by default one in the current folder, named for bundle and time.

    Raises:
        EdgesplitError: the folder exists, or cannot be written.
    """
    if folder is None:
        stem = str(record["bundle"]["name"]).removesuffix(".bundle")
        moment = str(record["made"])[:19].replace("-", "").replace(":", "")
        folder = Path(f"bench-{stem}-{moment}")
    files = {
        "bench.json": json.dumps(record, ensure_ascii=False, indent=1, allow_nan=False) + "\n",
        "bench.md": shown(to_table(record)),
        "bench.html": shown(to_html(record)),
    }
    with map_os_errors("write", folder):
        folder.mkdir(parents=True)
        for name, text in files.items():
            Store().replace_file(folder / name, text.encode())
    return folder
