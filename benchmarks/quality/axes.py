"""Do induced groups match those of people in real label lists, and is the intended axis found?

    python -m benchmarks.quality.axes [--data ../shared/data]

For each list with a key: pairs of labels in one group, compared with the pairs of the key, for
contrasts alone ("transferable") and, for Something-Something V2, with labels that begin alike. For
lists without a key: every contrast, for manual inspection. Then the requests of
`axis_requests.json`, which were written before the code that reads them: the labels of a class are
merged, and its subcategories are requested. An axis is right if it has the words of the request's
`axis`, or has them within its words. If `axis` is null, the head has no right axis, and the right
result is a question to the user. The lists were known when the vocabulary was written, so precision
on them is not blind; the author of the code wrote the requests. Writes
benchmarks/results/axes.json.
"""

import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.harness.results import ROOT, write_result
from benchmarks.motion_split.classes import Half, head_labels, taxonomy
from benchmarks.quality.label_groups import clusters, universes
from benchmarks.speed.made_heads import make_labels
from edgesplit.edits.axes import choose_axis
from edgesplit.edits.contrasts import find_contrasts
from edgesplit.edits.embedding import words_in_order
from edgesplit.edits.groups import find_axes, find_groups
from edgesplit.edits.rules.base import Texts, TransferProblem
from edgesplit.edits.text_encoder import packaged_encoder
from edgesplit.edits.tokens import parse_label
from edgesplit.edits.vocabulary import alike

REQUESTS = Path(__file__).parent / "axis_requests.json"
N_LABELS = 10_000
UNKEYED = {"UCF101": "ucf101.txt", "HMDB51": "hmdb51.txt", "Kinetics-400": "label_map_k400.txt"}

Pairs = set[frozenset[str]]


def pairs_within(groups: Iterable[Iterable[str]]) -> Pairs:
    """Return all pairs of labels that share a group."""
    return {frozenset(pair) for group in groups for pair in combinations(group, 2)}


def read_list(data: Path, name: str) -> list[str]:
    """Return the labels of a list."""
    lines = (data / "labels" / name).read_text().splitlines()
    return [line.strip() for line in lines if line.strip()]


def contrasts(labels: Sequence[str]) -> list[list[str]]:
    """Return the labels of each contrast."""
    return [[labels[place] for place, _ in one.members] for one in find_contrasts(labels)]


def clustered(labels: Sequence[str]) -> list[list[str]]:
    """Return contrasts and groups of labels that begin alike, with each label in one group."""
    found: dict[Any, list[str]] = {}
    for label, cluster in clusters(labels).items():
        found.setdefault(cluster, []).append(label)
    return [*found.values()]


def agreement(
    name: str, labels: Sequence[str], found: Pairs, key: Pairs, optional: Pairs
) -> dict[str, Any]:
    """Return precision and recall of pairs; optional pairs count for neither."""
    mine = found - optional
    return {
        "list": name,
        "n_labels": len(labels),
        "pairs": len(mine),
        "key_pairs": len(key),
        "precision": round(len(mine & key) / max(1, len(mine)), 3),
        "recall": round(len(mine & key) / max(1, len(key)), 3),
    }


def keyed(data: Path) -> list[dict[str, Any]]:
    """Measure the lists that people have grouped."""
    lines = []
    for name, file, labels_file in (
        ("Jester", "jester", "jester.txt"),
        ("NTU60", "ntu60", "label_map_ntu60.txt"),
    ):
        key = json.loads((data / "labels" / f"{file}.groups.json").read_text())
        groups = {title: [label for label, _ in pairs] for title, pairs in key.items()
                  if title != "no group"}  # fmt: skip
        optional = pairs_within(g for title, g in groups.items() if title.startswith("optional"))
        wanted = pairs_within(g for title, g in groups.items() if not title.startswith("optional"))
        labels = read_list(data, labels_file)
        lines.append(agreement(name, labels, pairs_within(contrasts(labels)), wanted, optional))
    key = json.loads((data / "labels" / "shrec17.groups.json").read_text())
    labels = [label for group in key["fingers"] for label in group]
    wanted = pairs_within(group for axis in key.values() for group in axis)
    lines.append(agreement("SHREC'17", labels, pairs_within(contrasts(labels)), wanted, set()))
    hand = universes(data / "SSv2-Split" / "group_scheme.json")["all"]
    labels = [*hand]
    scheme: dict[Any, list[str]] = {}
    for label, group in hand.items():
        scheme.setdefault(group, []).append(label)
    wanted = pairs_within(scheme.values())
    name = "Something-Something V2, with siblings"
    lines.append(agreement(name, labels, pairs_within(clustered(labels)), wanted, set()))
    return lines


def of_motion_split() -> list[dict[str, Any]]:
    """Measure Motion-Split's heads, with siblings."""
    lines = []
    halves: tuple[tuple[Half, Half], ...] = (("A", "B"), ("B", "A"))
    for half, other in halves:
        labels = head_labels(half)
        wanted = pairs_within(taxonomy(other).values())
        name = f"Motion-Split, head {half}, with siblings"
        lines.append(agreement(name, labels, pairs_within(clustered(labels)), wanted, set()))
    return lines


def unkeyed(data: Path) -> list[dict[str, Any]]:
    """Return every contrast of the lists that nobody has grouped."""
    lines = []
    for name, file in UNKEYED.items():
        labels = read_list(data, file)
        for one in find_contrasts(labels):
            lines.append({"list": name, "context": one.name, "by": one.by.partition(" ")[0],
                          "fillers": [text for _, text in one.members]})  # fmt: skip
    return lines


def answer(request: dict[str, Any], labels: Sequence[str]) -> str:
    """Return the outcome of a request: right, asked, or wrong."""
    known = [label for label in labels if label not in request["joined"]]
    groups = find_groups(enumerate(known))
    axes = find_axes(groups)
    siblings = [request["into"], *([m.modifier for m in group.members] for group in groups)]
    owner = np.repeat(np.arange(len(siblings)), [len(some) for some in siblings])
    texts = [text for some in siblings for text in words_in_order(some)]
    embedded = packaged_encoder().encode(texts).astype(np.float64)
    all_texts = Texts(embedded, embedded, owner)
    n = len(request["into"])
    wanted, known_texts = (all_texts.part(np.arange(*ends)) for ends in ((0, n), (n, len(texts))))
    problem = TransferProblem(wanted, known_texts, np.zeros((len(texts) - n, 1)))
    choice, _ = choose_axis(problem, request["into"], axes)
    if choice.axis is None:
        return "asked" if request["axis"] else "asked, none exists"
    said = [parse_label(text).stems for text in choice.axis.words]
    meant = [parse_label(text).stems for text in request["axis"] or ()]
    right = bool(meant) and all(any(alike(s, m) or alike(m, s) for s in said) for m in meant)
    return "right" if right else "wrong"


def requests(data: Path) -> list[dict[str, Any]]:
    """Return every request with its outcome."""
    key = json.loads((data / "labels" / "shrec17.groups.json").read_text())
    lists = {
        "jester": read_list(data, "jester.txt"),
        "ssv2": read_list(data, "sthv2.txt"),
        "shrec17": [label for group in key["fingers"] for label in group],
    }
    asked: list[dict[str, Any]] = json.loads(REQUESTS.read_text())
    return [request | {"answer": answer(request, lists[request["list"]])} for request in asked]


def seconds_for_many() -> float:
    """Return the CPU seconds to find the groups and axes of many labels, the fastest of three."""
    labels, times = make_labels(N_LABELS), []
    for _ in range(3):
        start = time.process_time()
        find_axes(find_groups(enumerate(labels)))
        times.append(time.process_time() - start)
    return round(min(times), 3)


def print_lines(title: str, lines: Sequence[dict[str, Any]]) -> None:
    """Print a table of the lines' values."""
    table = Table(*(name.replace("_", " ") for name in lines[0]), box=None, title=title)
    for line in lines:
        table.add_row(*(str(value) for value in line.values()))
    Console(width=150).print(table)


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=ROOT.parent / "shared" / "data",
    help="Folder with labels/ and SSv2-Split/.",
)
def main(data: Path) -> None:
    """Measure, print, and write the result."""
    lists = [*keyed(data), *of_motion_split()]
    contrasts_found, answers = unkeyed(data), requests(data)
    tally = Counter((line["words"], line["answer"]) for line in answers)
    seconds = seconds_for_many()
    print_lines("pairs of labels", lists)
    print_lines("contrasts of lists without a key", contrasts_found)
    print_lines(
        "requests", [{k: r[k] for k in ("list", "into", "axis", "answer")} for r in answers]
    )
    counts = [{"words": w, "answer": a, "requests": n} for (w, a), n in sorted(tally.items())]
    print_lines("requests, counted", counts)
    click.echo(f"{N_LABELS} labels: {seconds} s")
    content: dict[str, Any] = {"lists": lists, "contrasts": contrasts_found, "requests": answers}
    content |= {"counts": counts, "n_labels": N_LABELS, "seconds": seconds}
    click.echo(write_result("axes", content).relative_to(ROOT))


if __name__ == "__main__":
    main()
