"""How long do the choice of clips and the use of an answer take?

    python -m benchmarks.speed.ask

A head of random rows with realistic labels, and 5,000 clips that it gives to one class, in two
clusters. An answer means one more split from all answers so far; the part from texts is computed
once, as in `edgesplit ask`.
Targets for 174 classes of 384 features: 1 s to choose 4 clips, 50 ms for an answer. This module
does not assert them.
"""

import time
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.harness.results import ROOT, write_timing
from benchmarks.speed.made_heads import INTO, TARGET, make_labels
from edgesplit.edits.asking import choose_clips
from edgesplit.edits.request import SplitRequest
from edgesplit.edits.split import draft_split
from edgesplit.heads.head import Head
from edgesplit.heads.statistics import Statistics

N_CLIPS, N_ASKED = 5_000, 4
SIZES = ((58, 128), (174, 384), (174, 768))


def measure(n: int, dim: int, rounds: int) -> dict[str, Any]:
    """Return the median times of a choice of clips, and from an answer to a new head."""
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((n, dim)).astype(np.float32)
    head = Head.from_arrays(weight, np.zeros(n), make_labels(n), feature_space="f" * 64)
    others = weight[np.arange(2048) % n] + rng.standard_normal((2048, dim), np.float32)
    statistics = Statistics.from_features(head, others)
    side = rng.standard_normal(dim).astype(np.float32)
    truth = rng.integers(2, size=N_CLIPS)
    clips = 2 * weight[-1] + (2 * truth[:, None] - 1) * side
    clips += rng.standard_normal(clips.shape, np.float32)
    request = SplitRequest(into=INTO, features=clips)
    draft = draft_split(head, TARGET, request, statistics=statistics)
    choices, answers = [], []
    for _ in range(rounds):
        start = time.perf_counter()
        chosen = choose_clips(head, TARGET, request, clips, N_ASKED, statistics=statistics)
        choices.append(time.perf_counter() - start)
        said = {int(i): INTO[truth[i]] for i in chosen}
        answered = SplitRequest(into=INTO, features=clips, answers=said, accept_doubt=True)
        start = time.perf_counter()
        draft.finish(answered).head.to_bytes()
        answers.append(time.perf_counter() - start)
    return {
        "classes": n,
        "features": dim,
        "clips": N_CLIPS,
        "choose_ms": round(1e3 * float(np.median(choices)), 1),
        "answer_ms": round(1e3 * float(np.median(answers)), 1),
    }


@click.command()
@click.option("--rounds", default=9, show_default=True)
def main(rounds: int) -> None:
    """Measure, print, and write the machine's result."""
    rows = [measure(n, dim, rounds) for n, dim in track(SIZES, description="asking")]
    table = Table("classes", "features", "clips", "choose 4, ms", "an answer, ms", box=None)
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)
    click.echo(write_timing("ask", {"rounds": rounds, "rows": rows}).relative_to(ROOT))


if __name__ == "__main__":
    main()
