"""The subcategories of Motion-Split in other words, as other people might type them.

The head knows "left" and "right"; a user requests "leftwards", "nach links", "letf", or something
that the head does not know. Confidences are fitted on these wordings, and the grid measures their
cost. The list was written before any wording was tested.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from edgesplit.heads.head import Head
from edgesplit.heads.labels import LabelTree

__all__ = ["KINDS", "misspell", "with_labels", "wordings"]

KINDS = ("as known", "other words", "German", "misspelt", "unrelated")
N_MISSPELT = 2

_OTHER_WORDS: Mapping[str, Sequence[str]] = {
    "left": ("leftwards", "to the left", "from right to left"),
    "right": ("rightwards", "to the right", "from left to right"),
    "up": ("upwards", "to the top", "from bottom to top"),
    "down": ("downwards", "to the bottom", "from top to bottom"),
    "clockwise": ("in a clockwise direction", "like the hands of a clock"),
    "counterclockwise": ("in a counterclockwise direction", "against the hands of a clock"),
    "into": ("inside", "so that it ends up in"),
    "onto": ("on top of", "so that it ends up on"),
    "next to": ("beside", "so that it ends up beside"),
    "behind": ("at the back of", "so that it ends up behind"),
    "in front of": ("before", "so that it ends up in front of"),
    "out of": ("from inside", "so that it is no longer in"),
    "off": ("from the top of", "so that it is no longer on"),
    "from next to": ("from beside", "so that it is no longer beside"),
    "from behind": ("from the back of", "so that it is no longer behind"),
    "from in front of": ("from before", "so that it is no longer in front of"),
    "slowly": ("at low speed", "gradually"),
    "quickly": ("at high speed", "rapidly"),
    "a little": ("slightly", "a bit"),
    "a lot": ("very far", "strongly"),
    "so that it falls over": ("until it topples", "and it falls"),
    "so that it moves": ("until it shifts", "and it moves"),
    "without moving it": ("but it stays where it is", "and it does not move"),
    "closer": ("nearer", "together"),
    "away": ("further off", "apart"),
    "past": ("by", "beyond"),
    "closer to": ("nearer to", "towards"),
    "away from": ("further from", "apart from"),
    "partly": ("in part", "partially"),
    "completely": ("entirely", "fully"),
}
_GERMAN: Mapping[str, str] = {
    "left": "nach links",
    "right": "nach rechts",
    "up": "nach oben",
    "down": "nach unten",
    "clockwise": "im Uhrzeigersinn",
    "counterclockwise": "gegen den Uhrzeigersinn",
    "into": "in etwas hinein",
    "onto": "auf etwas hinauf",
    "next to": "neben etwas",
    "behind": "hinter etwas",
    "in front of": "vor etwas",
    "out of": "aus etwas heraus",
    "off": "von etwas herunter",
    "from next to": "von neben etwas",
    "from behind": "von hinter etwas",
    "from in front of": "von vor etwas",
    "slowly": "langsam",
    "quickly": "schnell",
    "a little": "ein wenig",
    "a lot": "sehr viel",
    "so that it falls over": "so dass es umfällt",
    "so that it moves": "so dass es sich bewegt",
    "without moving it": "ohne es zu bewegen",
    "closer": "näher",
    "away": "weg",
    "past": "vorbei",
    "closer to": "näher an",
    "away from": "weg von",
    "partly": "teilweise",
    "completely": "ganz",
}
_UNRELATED = (
    ("monday", "tuesday", "wednesday", "thursday", "friday"),
    ("red", "blue", "green", "yellow", "white"),
)


def with_labels(head: Head, names: Mapping[str, str]) -> Head:
    """Return a head with other texts for some labels, {old text: new text}.

    A split in other words is made with labels in those words, because the labels used for scoring
    would reveal the answer.
    """
    nodes = [replace(node, label=names.get(node.label, node.label)) for node in head.tree]
    return replace(head, tree=LabelTree(tuple(nodes)))


def wordings(
    modifiers: Sequence[str], kinds: Sequence[str] = KINDS, *, seed: int = 0
) -> Iterator[tuple[str, list[str]]]:
    """Yield all wordings of subcategories with these modifiers: one of `kinds`, and the texts."""
    yield "as known", [*modifiers]
    if tuple(kinds) == KINDS[:1]:
        return
    for texts in zip(*(_OTHER_WORDS[modifier] for modifier in modifiers), strict=False):
        yield "other words", [*texts]
    yield "German", [_GERMAN[modifier] for modifier in modifiers]
    rng = np.random.default_rng(seed)
    for _ in range(N_MISSPELT):
        yield "misspelt", [misspell(modifier, rng) for modifier in modifiers]
    for words in _UNRELATED:
        yield "unrelated", [*words[: len(modifiers)]]


def misspell(text: str, rng: np.random.Generator) -> str:
    """Exchange two neighbouring letters of one word."""
    places = [
        place
        for place, (letter, following) in enumerate(pairwise(text))
        if letter.isalpha() and following.isalpha() and letter != following
    ]
    place = int(rng.choice(places))
    return text[:place] + text[place + 1] + text[place] + text[place + 2 :]
