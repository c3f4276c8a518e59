"""Do splits into opposites learn from the right pole? Text encoders put antonyms close together.

    python -m benchmarks.quality.antonyms

For each pair of poles below, a head knows one wording and is split in another. The benchmark counts
the subcategories that are matched to their own pole, in two settings: among the two poles, if the
user names the group to learn from (`--like`); and among all known modifiers of a head that also has
one wording of every other pair. Matching is by cosines of the modifiers, by the paper's retrieval,
by cosines of differences between siblings, and by the default rule. The default rule reads
modifiers with the same words in another order by the place where they differ, and finds the most
similar known words. Splits with a wrong match should need --accept-doubt. The list is only for
measuring; the product does not contain it. Writes benchmarks/results/antonyms.json.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.harness.results import write_result
from edgesplit._types import Float64
from edgesplit.edits.groups import Taxonomy
from edgesplit.edits.matching import SURE_NAMED, in_known_words, match_labels
from edgesplit.edits.problem import pose_problem
from edgesplit.edits.request import SplitRequest
from edgesplit.edits.rules import DEFAULT_RULE, get_rule
from edgesplit.edits.rules.base import TransferProblem, cosines, settled
from edgesplit.edits.split import split_class
from edgesplit.edits.text_encoder import packaged_encoder
from edgesplit.heads.head import Head

# The first pole of every wording means the same.
POLES: tuple[tuple[str, ...], ...] = (
    (
        "left|right",
        "to the left|to the right",
        "leftwards|rightwards",
        "from right to left|from left to right",
        "towards the left side|towards the right side",
        "on the left of something|on the right of something",
        "sideways to the left|sideways to the right",
    ),
    (
        "up|down",
        "upwards|downwards",
        "to the top|to the bottom",
        "from bottom to top|from top to bottom",
        "higher|lower",
        "uphill|downhill",
    ),
    (
        "in|out",
        "into something|out of something",
        "inside|outside",
        "inwards|outwards",
        "into the box|out of the box",
    ),
    (
        "open|closed",
        "opening it|closing it",
        "so that it is open|so that it is closed",
        "until it opens|until it shuts",
        "closing it and then opening it|opening it and then closing it",
    ),
    (
        "on|off",
        "onto something|off something",
        "switching it on|switching it off",
        "so that it turns on|so that it turns off",
    ),
    (
        "in front of something|behind something",
        "forwards|backwards",
        "to the front|to the back",
        "from back to front|from front to back",
    ),
    (
        "closer|further away",
        "towards the camera|away from the camera",
        "approaching|moving away",
        "nearer|farther",
        "closer to something|away from something",
    ),
    (
        "over something|under something",
        "above|below",
        "on top of something|underneath something",
    ),
    ("quickly|slowly", "fast|slow", "rapidly|gradually", "at high speed|at low speed"),
    (
        "clockwise|counterclockwise",
        "clockwise|anticlockwise",
        "in a clockwise direction|in a counterclockwise direction",
    ),
    ("a lot|a little", "strongly|slightly", "far|not far", "hard|gently"),
    (
        "completely|partly",
        "fully|partially",
        "entirely|halfway",
        "all the way|only in part",
    ),
    (
        "successfully|unsuccessfully",
        "and succeeding|but failing",
        "so that it works|but it does not work",
        "managing to|failing to",
    ),
    ("with a hand|without a hand", "with tools|without tools", "with gloves|without gloves"),
    ("one of them|all of them", "a single one|several", "one thing|many things"),
    ("hot|cold", "while it is warm|while it is cool", "heating it|cooling it"),
    ("full|empty", "until it is full|until it is empty", "filling it|emptying it"),
    (
        "attaching it|detaching it",
        "connecting it|disconnecting it",
        "plugging it in|unplugging it",
    ),
    (
        "until it breaks|without breaking it",
        "breaking it|leaving it whole",
        "so that it snaps|so that it stays in one piece",
    ),
    ("starting|stopping", "beginning|ending", "at the start|at the end"),
    ("straight|bent", "straightening it|bending it", "straight ahead|in a curve"),
    ("tightly|loosely", "tightening it|loosening it"),
    (
        "so that it falls over|so that it stays upright",
        "falling|standing",
        "until it topples|without toppling it",
    ),
    ("so that it moves|without moving it", "moving|still"),
    ("entering|leaving", "arriving|departing", "coming in|going out"),
    ("pushing|pulling", "by pushing|by pulling"),
    ("rising|sinking", "floating|going under"),
    ("standing up|sitting down", "getting up|lying down"),
    ("dry|wet", "drying it|wetting it"),
    ("really|only pretending", "actually doing it|faking it"),
    ("with both hands|with one hand", "two-handed|one-handed"),
    ("folding it|unfolding it", "folded|unfolded"),
    ("covering it|uncovering it", "covered|uncovered", "wrapping it|unwrapping it"),
    ("bright|dark", "lighting it|putting it out"),
    ("clean|dirty", "cleaning it|making it dirty"),
)
WAYS = ("cosines", "retrieval", "differences", DEFAULT_RULE)
ASKED = "handling something"
# An action of the head for each pair of poles.
VERBS = """
    pulling moving sliding carrying throwing lifting rolling turning dropping shaking poking
    holding showing tilting spinning stacking pouring squeezing tearing twisting scooping piling
    hitting tossing catching picking plucking bouncing swinging dragging hanging tapping wiping
    stirring rubbing
""".split()  # noqa: SIM905 - a list reads worse


@dataclass(frozen=True)
class Answer:
    """The match of one way for one requested pole."""

    way: str
    asked: str
    known: str
    pole: bool
    """True if the right one of the two poles is matched, with the group named."""
    source: bool
    """True if the right one of all known modifiers is matched."""
    doubted: bool
    """True if the split would need --accept-doubt, without the group named."""
    likeness: float
    """Similarity of the matched texts if the group is named."""


def answers(place: int, asked: str, known: str) -> Iterator[Answer]:
    """Yield the answers of all ways, for one pair of poles in two wordings."""
    wordings = [known if p == place else poles[0] for p, poles in enumerate(POLES)]
    taxonomy = {
        f"{verb} something": {f"{verb} something {pole}": pole for pole in wording.split("|")}
        for verb, wording in zip(VERBS, wordings, strict=True)
    }
    labels = [label for fine in taxonomy.values() for label in fine] + [ASKED]
    rows = np.random.default_rng(0).standard_normal((len(labels), 16))
    head = Head.from_arrays(rows, np.zeros(len(labels)), labels)
    wanted = asked.split("|")
    to_named = _problem(head, wanted, taxonomy, f"{VERBS[place]} something")
    named, likeness = _likes(to_named, named=True), match_labels(to_named).score
    anywhere = _likes(_problem(head, wanted, taxonomy), named=False)
    edit = split_class(head, ASKED, into=wanted, taxonomy=taxonomy, accept_doubt=True)
    for way in WAYS:
        for pole, modifier in enumerate(wanted):
            yield Answer(
                way,
                modifier,
                known,
                pole=int(np.argmax(named[way][pole])) == pole,
                source=int(np.argmax(anywhere[way][pole])) == 2 * place + pole,
                doubted=bool(edit.report.doubts),
                likeness=likeness,
            )


def _problem(
    head: Head, wanted: Sequence[str], taxonomy: Taxonomy, like: str | None = None
) -> TransferProblem:
    request = SplitRequest(wanted, like=like)
    posed = pose_problem(
        head, ASKED, request, statistics=None, taxonomy=taxonomy, encoder=packaged_encoder()
    )
    return posed.transfer


def _likes(problem: TransferProblem, *, named: bool) -> dict[str, Float64]:
    """Return similarities `(wanted, known)` by way; the largest of a row is the match."""
    read = in_known_words(problem, match_labels(problem, named=named), other_words=True)
    likes = {
        "cosines": cosines(problem.wanted.modifiers, problem.known.modifiers),
        "retrieval": get_rule("retrieval")(problem).weights,
        "differences": cosines(
            _centred(problem.wanted.modifiers), _centred(problem.known.modifiers)
        ),
        DEFAULT_RULE: get_rule(DEFAULT_RULE)(read).weights,
    }
    return {way: settled(like) for way, like in likes.items()}


def _centred(texts: Float64) -> Float64:
    """Return pairs of rows minus their mean, scaled to length 1."""
    pairs = texts.reshape(-1, 2, texts.shape[1])
    differences = (pairs - pairs.mean(axis=1, keepdims=True)).reshape(texts.shape)
    return np.asarray(differences / np.linalg.norm(differences, axis=1, keepdims=True))


def summarise(found: list[Answer]) -> list[dict[str, Any]]:
    """Return one line per way."""
    lines = []
    for way in WAYS:
        mine = [answer for answer in found if answer.way == way]
        line: dict[str, Any] = {
            "way": way,
            "pole": round(sum(answer.pole for answer in mine) / len(mine), 4),
            "source": round(sum(answer.source for answer in mine) / len(mine), 4),
        }
        if way == DEFAULT_RULE:
            sure = [answer.pole for answer in mine if answer.likeness >= SURE_NAMED]
            line["sure"], line["sure_pole"] = len(sure), round(sum(sure) / len(sure), 4)
            for name, right in (("right", True), ("wrong", False)):
                some = [answer for answer in mine if answer.source == right]
                line[f"{name}_sources"] = len(some)
                line[f"{name}_sources_doubted"] = sum(answer.doubted for answer in some)
        lines.append(line)
    return lines


@click.command()
def main() -> None:
    """Measure, print, and write the result."""
    cases = [
        (place, asked, known)
        for place, poles in enumerate(POLES)
        for asked, known in itertools.permutations(poles, 2)
    ]
    found = [answer for case in track(cases, "splitting") for answer in answers(*case)]
    lines = summarise(found)
    n_asked = len(found) // len(WAYS)
    table = Table("way", "right of two", "right of all", title=f"{n_asked} subcategories")
    for line in lines:
        table.add_row(line["way"], f"{line['pole']:.1%}", f"{line['source']:.1%}")
    console = Console(width=100)
    console.print(table)
    last = lines[-1]
    console.print(
        f"{DEFAULT_RULE}: with a similarity of at least {SURE_NAMED}, {last['sure_pole']:.1%} of "
        f"{last['sure']} subcategories with a named group match their pole"
    )
    console.print(
        f"{DEFAULT_RULE}: {last['wrong_sources_doubted']} of {last['wrong_sources']} wrong matches "
        f"and {last['right_sources_doubted']} of {last['right_sources']} right ones need "
        "--accept-doubt"
    )
    wrong = sorted(
        f"{answer.asked} of {answer.known}"
        for answer in found
        if answer.way == DEFAULT_RULE and not answer.pole
    )
    content = {"subcategories": n_asked, "ways": lines, "wrong_poles": wrong}
    click.echo(write_result("antonyms", content))


if __name__ == "__main__":
    main()
