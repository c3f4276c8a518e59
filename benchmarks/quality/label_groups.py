"""Do the groups induced from labels match the groups that people make?

    python -m benchmarks.quality.label_groups --data ../shared/data

Measures: adjusted Rand index (ARI); precision, the share of pairs of labels in an induced group
that people group, too; recall, the opposite share. A label without a group is a separate group.
`all` counts every fine label, `grouped` those that people put into a group of two or more, `A` and
`B` those of one half's categories; groups are always induced from all fine labels. Targets on
Something-Something V2: ARI 0.65, precision 0.9. This module does not assert them.

The constant `MIN_SHARED` is also chosen on one half (best ARI with a precision of at least 0.9, the
strictest of equals) and reported on the other. "shipped" is the product's constant. It is stricter
than the choice on a half, because a half lacks the pairs between its labels and the others. The
function words and the form of the weights were chosen with all these labels known, so no figure on
them is blind. The gymnastics list was written in the style of FineGym, to test other wording.
FineGym itself is scored if its scheme is among the data, and is not used for tuning.
"""

import json
import time
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from math import comb
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import click
from rich.console import Console
from rich.table import Table

from benchmarks.harness.results import ROOT, write_result
from benchmarks.motion_split.classes import CATEGORIES, Half, head_labels
from benchmarks.speed.made_heads import make_labels
from edgesplit.edits import siblings
from edgesplit.edits.contrasts import find_contrasts
from edgesplit.edits.groups import Group, find_groups
from edgesplit.heads.label_text import words

SPLITS = ("SSv2-Split", "FineGym-Split")
CHOICES = [percent / 100 for percent in range(51)]
MIN_PRECISION = 0.9
ROUNDS = 5

GYMNASTICS = {
    "vault, round-off": [
        "(VT) round-off, flic-flac on, stretched salto backward off",
        "(VT) round-off, flic-flac on, stretched salto backward with 1 turn off",
        "(VT) round-off, flic-flac on, stretched salto backward with 2 turn off",
    ],
    "vault, round-off, half on": [
        "(VT) round-off, flic-flac with 0.5 turn on, tucked salto forward off",
        "(VT) round-off, flic-flac with 0.5 turn on, stretched salto forward with 0.5 turn off",
        "(VT) round-off, flic-flac with 0.5 turn on, stretched salto forward with 1.5 turn off",
    ],
    "floor, switch leap": ["(FX) switch leap with 0.5 turn", "(FX) switch leap with 1 turn"],
    "floor, salto backward": [
        "(FX) salto backward stretched with 1 twist",
        "(FX) salto backward stretched with 2 twist",
        "(FX) salto backward tucked with 1 twist",
    ],
    "floor, salto forward": ["(FX) salto forward tucked", "(FX) salto forward stretched"],
    "beam, split jump": ["(BB) split jump", "(BB) split jump with 0.5 turn in side position"],
    "beam, salto backward": [
        "(BB) salto backward tucked",
        "(BB) salto backward tucked with 1 twist",
        "(BB) salto backward stretched with step-out",
    ],
    "beam, turn": [
        "(BB) 1 turn with heel of free leg forward",
        "(BB) 2 turn on one leg, free leg optional below horizontal",
    ],
    "beam, flic-flac": ["(BB) flic-flac with step-out", "(BB) flic-flac to land on both feet"],
    "bars, giant circle": [
        "(UB) giant circle backward",
        "(UB) giant circle backward with 1 turn to handstand",
        "(UB) giant circle forward with 0.5 turn to handstand",
    ],
    "bars, clear hip circle": ["(UB) clear hip circle backward to handstand"],
    "bars, transition": ["(UB) transition flight from low bar to high bar"],
}

Scheme = Mapping[str, Iterable[str]]
"""{coarse category: fine labels}."""


class Agreement(NamedTuple):
    """Agreement of two groupings of the same labels."""

    ari: float
    precision: float
    recall: float


class Row(NamedTuple):
    """A line of the table."""

    data: str
    universe: str
    n_labels: int
    method: str
    tuned_on: str
    ari: float | None
    precision: float | None
    recall: float | None
    groups: int
    ms: float


def clusters(labels: Sequence[str]) -> dict[str, Hashable]:
    """Return the group of each label; a label without a group is a separate group.

    A label may be in several groups, but people put it into one. Groups of labels that begin alike
    take precedence, then the largest contrast.
    """
    own: dict[str, Hashable] = {label: label for label in labels}
    contrasts = [contrast.members for contrast in find_contrasts(labels)]
    beginnings = [members for _, members in siblings.find_siblings(labels)]
    for number, members in enumerate([*sorted(contrasts, key=len), *beginnings]):
        own.update((labels[place], number) for place, _ in members)
    return own


def agreement(hand: Mapping[str, Hashable], induced: Mapping[str, Hashable]) -> Agreement:
    """Score the induced groups of the labels that `hand` groups."""
    both = _pairs((group, induced[label]) for label, group in hand.items())
    of_hand, of_induced = _pairs(hand.values()), _pairs(induced[label] for label in hand)
    expected = of_hand * of_induced / comb(len(hand), 2)
    return Agreement(
        ari=(both - expected) / ((of_hand + of_induced) / 2 - expected),
        precision=both / of_induced if of_induced else 1.0,
        recall=both / of_hand,
    )


def _pairs(groups: Iterable[Hashable]) -> int:
    """Count the pairs that share a group."""
    return sum(comb(n, 2) for n in Counter(groups).values())


def hand_groups(scheme: Scheme) -> dict[str, Hashable]:
    """Return {fine label: coarse category}, sorted by label."""
    return dict(sorted((label, coarse) for coarse, fine in scheme.items() for label in fine))


def universes(path: Path) -> dict[str, dict[str, Hashable]]:
    """Return the hand groups of a scheme file: for all labels, grouped labels, and each half."""
    content = json.loads(path.read_text())
    scheme: dict[str, list[str]] = content["group_scheme"]
    return {
        "all": hand_groups(scheme),
        "grouped": hand_groups({c: fine for c, fine in scheme.items() if len(set(fine)) > 1}),
        **{half: hand_groups({c: scheme[c] for c in content[half]}) for half in "AB"},
    }


def sweep(labels: Sequence[str], hand: Mapping[str, Hashable]) -> dict[float, Agreement]:
    """Return the agreement for every value of MIN_SHARED."""
    scores = {}
    for choice in CHOICES:
        with patch.object(siblings, "MIN_SHARED", choice):
            scores[choice] = agreement(hand, clusters(labels))
    return scores


def chosen(scores: Mapping[float, Agreement]) -> float:
    """Return the best value of MIN_SHARED."""
    return max(scores, key=lambda c: (scores[c].precision >= MIN_PRECISION, scores[c].ari, c))


def measure(
    data: str,
    universe: str,
    labels: Sequence[str],
    hand: Mapping[str, Hashable] | None,
    *,
    min_shared: float = siblings.MIN_SHARED,
    tuned_on: str = "shipped",
) -> Row:
    """Induce groups from `labels`, and score them on the labels that `hand` groups."""
    times = []
    groups: Sequence[Group] = ()
    with patch.object(siblings, "MIN_SHARED", min_shared):
        for _ in range(ROUNDS):
            start = time.perf_counter()
            groups = find_groups(enumerate(labels))
            times.append(1e3 * (time.perf_counter() - start))
        score = agreement(hand, clusters(labels)) if hand else None
    return Row(
        data=data,
        universe=universe,
        n_labels=len(hand or labels),
        method=f"induced, {min_shared:.2f}",
        tuned_on=tuned_on,
        **(_rounded(score) if score else dict.fromkeys(Agreement._fields)),
        groups=len(groups),
        ms=round(min(times), 2),
    )


def baseline(data: str, universe: str, hand: Mapping[str, Hashable]) -> Row:
    """Score groups by the first two words."""
    start = time.perf_counter()
    beginnings = {label: words(label)[:2] for label in hand}
    ms = 1e3 * (time.perf_counter() - start)
    return Row(
        data=data,
        universe=universe,
        n_labels=len(hand),
        method="first two words",
        tuned_on="",
        **_rounded(agreement(hand, beginnings)),
        groups=sum(n > 1 for n in Counter(beginnings.values()).values()),
        ms=round(ms, 2),
    )


def _rounded(score: Agreement) -> dict[str, float]:
    return {name: round(value, 3) for name, value in score._asdict().items()}


def of_scheme(data: str, path: Path, *, tune: bool) -> list[Row]:
    """Return all lines of one scheme file."""
    hands = universes(path)
    labels = list(hands["all"])
    rows = [baseline(data, "all", hands["all"])]
    rows += [measure(data, universe, labels, hand) for universe, hand in hands.items()]
    for on, reported in ("AB", "BA") if tune else ():
        best = chosen(sweep(labels, hands[on]))
        rows.append(measure(data, reported, labels, hands[reported], min_shared=best, tuned_on=on))
    return rows


def of_motion_split(half: Half) -> Row:
    """Score a head's own labels: the categories of the other half, and coarse classes."""
    coarse = {label: c.coarse for c in CATEGORIES for label in c.fine}
    hand: dict[str, Hashable] = {x: coarse.get(x, x) for x in head_labels(half)}
    return measure("Motion-Split", f"head {half}", list(hand), hand)


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=ROOT.parent / "shared" / "data",
    help="Folder with SSv2-Split and FineGym-Split; what is absent is passed over.",
)
def main(data: Path) -> None:
    """Measure, print, and write benchmarks/results/label_groups.json."""
    ssv2, finegym = (data / name / "group_scheme.json" for name in SPLITS)
    rows: list[Row] = []
    sweeps = {}
    if ssv2.is_file():
        rows += of_scheme("SSv2", ssv2, tune=True)
        hands = universes(ssv2)
        sweeps = {
            name: [
                {"min_shared": choice, **_rounded(score)}
                for choice, score in sweep(list(hands["all"]), hands[name]).items()
            ]
            for name in ("all", "A", "B")
        }
    if finegym.is_file():
        rows += of_scheme("FineGym", finegym, tune=False)
    made = hand_groups(GYMNASTICS)
    rows += [baseline("made gymnastics", "all", made)]
    rows += [measure("made gymnastics", "all", list(made), made)]
    rows += [of_motion_split("A"), of_motion_split("B")]
    rows += [measure("made", "all", make_labels(10_000), None)]
    table = Table(*(field.replace("_", " ") for field in Row._fields), box=None)
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    Console(width=120).print(table)
    content = {"rows": [row._asdict() for row in rows], "ssv2_sweeps": sweeps}
    click.echo(write_result("label_groups", content).relative_to(ROOT))


if __name__ == "__main__":
    main()
