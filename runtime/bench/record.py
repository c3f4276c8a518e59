"""The questions, each in a process of its own, and the record of their answers."""

from __future__ import annotations

import json
import os
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args

from edgesplit import __version__
from edgesplit._isolated import run_isolated
from edgesplit.bundle.bundle import open_bundle
from edgesplit.errors import EdgesplitError
from edgesplit.runtime.bench.page import to_html, to_table
from edgesplit.runtime.bench.sandbox import scratch_folder
from edgesplit.runtime.bench.timing import REFERENCE, Answer, Figure, Job, Say, Usage
from edgesplit.runtime.device.record import describe_device
from edgesplit.storage.files import Store, map_os_errors, read_bytes

__all__ = [
    "QUESTIONS",
    "SCHEMA",
    "Question",
    "figures_of",
    "read_record",
    "run_bench",
    "write_record",
]

SCHEMA = 1
"""Of the record; it changes when a reader of the old one would be wrong about a new one."""

Question = Literal["latency", "swap", "edit", "locality", "growth"]
QUESTIONS: tuple[Question, ...] = get_args(Question)


def run_bench(
    job: Job,
    questions: Sequence[Question] = QUESTIONS,
    *,
    on_wait: Callable[[Question, str], None] | None = None,
) -> dict[str, Any]:
    """Answers questions about a bundle, which is not changed.

    Args:
        job: what is measured, and how long.
        questions: which; they are answered in the order of `QUESTIONS`.
        on_wait: gets the question and what is measured now, twice a second.

    Returns:
        A JSON object, the record: `schema`, `made`, `quick`, `bundle`, `device`, `reference`,
        `others` (the share of the machine that other work took, where that is known) and, by
        question, `answers` with figures and facts. Of several questions one may be `refused`,
        with the reason.

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
        there = replace(job, scratch=scratch)
        for question in (one for one in QUESTIONS if one in questions):
            wait = None if on_wait is None else partial(_wait, on_wait, question)
            try:
                found = run_isolated(_answer, question, there, every_s=0.5, on_wait=wait)
            except EdgesplitError as error:
                if len(questions) == 1:
                    raise
                found = {"figures": [], "facts": {}, "refused": str(error)}
            answers[question] = found
    after = Usage.now()
    others = None if before is None or after is None else round(after.others(before), 3)
    bases = [
        base for answer in answers.values() for one in answer["figures"] for base in _bases(one)
    ]
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
        "asked": {"backend": job.kind, "variant": job.recipe, "clip": job.clip and str(job.clip)},
        "device": device.to_json(),
        "summary": device.summary,
        "reference": {
            "what": REFERENCE,
            "ms": round(statistics.median(bases), 6) if bases else None,
        },
        "others": others,
        "answers": answers,
    }


def _wait(
    on_wait: Callable[[Question, str], None], question: Question, seconds: float, line: str
) -> None:
    on_wait(question, line)


def _bases(figure: Mapping[str, Any]) -> list[float]:
    return [float(base) for _, base in figure["blocks"]]


def _answer(question: Question, job: Job) -> dict[str, Any]:
    """In a process of its own: nothing that another question left runs beside."""
    answer: Callable[[Job, Say], Answer]
    answer = import_module(f"edgesplit.runtime.bench.{question}").answer
    return answer(job, _say).to_json()


def _say(what: str) -> None:
    sys.stderr.write(f"{what}\n")  # the caller reads the last line
    sys.stderr.flush()


def figures_of(record: Mapping[str, Any]) -> list[Figure]:
    """All figures of a record."""
    answers = record["answers"].values()
    return [Figure.from_json(one) for answer in answers for one in answer["figures"]]


def read_record(path: Path) -> dict[str, Any]:
    """A record that `edgesplit bench` wrote; a folder stands for the bench.json in it.

    Raises:
        EdgesplitError: it is none, a damaged one, or one of another schema.
    """
    file = path / "bench.json" if path.is_dir() else path
    try:
        content = json.loads(read_bytes(file))
        schema, answers = content["schema"], content["answers"]
        if schema == SCHEMA:
            _check_record(content)
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise EdgesplitError(
            f"{file} is not a record of `edgesplit bench` ({error!r}). Give the folder that an "
            "earlier run wrote, or its bench.json."
        ) from error
    if schema != SCHEMA or not isinstance(answers, dict):
        raise EdgesplitError(
            f"{file} has schema {schema!r}, this edgesplit reads {SCHEMA}. Measure the earlier "
            "state again, or compare both now with --against-env."
        )
    return dict(content)


def _check_record(content: Mapping[str, Any]) -> None:
    """Raises KeyError, TypeError, ValueError or AttributeError where a comparison would."""
    str(content["made"]), dict(content["device"]), dict(content["bundle"]), dict(content["asked"])
    if content["others"] is not None:
        float(content["others"])
    str(content["reference"]["what"])
    if figures_of(content) and not content["reference"]["ms"] > 0:
        raise ValueError("a reference that took no time")


def check_comparable(earlier: Mapping[str, Any], questions: Sequence[Question]) -> None:
    """Refuses, before anything is measured, what has no figure in common with these questions.

    Raises:
        EdgesplitError: so it is.
    """
    answers = earlier["answers"]
    timed = [question for question, answer in answers.items() if answer["figures"]]
    if not set(timed).intersection(questions):
        raise EdgesplitError(
            f"The earlier record has figures of {', '.join(timed) or 'nothing'}, and "
            f"{', '.join(questions)} is asked. Ask the same questions; locality has no figures."
        )


def check_folder(folder: Path | None) -> None:
    """Refuses, before anything is measured, a folder that cannot be made.

    Raises:
        EdgesplitError: so it is.
    """
    place = (folder or Path("bench")).absolute().parent
    while not place.exists():
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise EdgesplitError(f"Nothing can be written to {place}. Name another folder: -o FOLDER.")


def write_record(record: Mapping[str, Any], folder: Path | None = None) -> Path:
    """Writes a record as bench.json, bench.md and bench.html; returns the folder.

    Args:
        record: as `run_bench` gives it.
        folder: a new one; by default one in the current folder, named for bundle and time.

    Raises:
        EdgesplitError: it exists, or cannot be written.
    """
    if folder is None:
        stem = str(record["bundle"]["name"]).removesuffix(".bundle")
        moment = str(record["made"])[:19].replace("-", "").replace(":", "")
        folder = Path(f"bench-{stem}-{moment}")
    files = {
        "bench.json": json.dumps(record, ensure_ascii=False, indent=1, allow_nan=False) + "\n",
        "bench.md": to_table(record),
        "bench.html": to_html(record),
    }
    with map_os_errors("write", folder):
        folder.mkdir(parents=True)
        for name, text in files.items():
            Store().replace_file(folder / name, text.encode())
    return folder
