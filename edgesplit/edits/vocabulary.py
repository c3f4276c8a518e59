"""Words that are known to tell one way of doing something from another.

A word of a kind is read as a pole of it: "left" and "right" are poles of space, "slowly" and
"quickly" of speed. Two texts of one kind and different poles are a contrast, whatever else a label
list says. Other verbs are no poles, but opposites are a contrast: "opening" and "closing".
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from functools import lru_cache

__all__ = [
    "FUNCTION_WORDS",
    "Stems",
    "alike",
    "contrast",
    "is_known",
    "is_listed",
    "is_verbs",
    "may_be_opposite",
    "meaning",
    "read",
    "stem",
]

Stems = tuple[str, ...]
"""A text, word by word; see `stem`."""

Pole = Mapping[str, str]
"""{kind: pole, as the list spells it first}; "back" is of two kinds."""

FUNCTION_WORDS = frozenset(
    """
    a an the each it its they them their that which so and or but then until while because than as
    if to of with from for by at is are be been being do does
    """.split()  # noqa: SIM905 - a list reads worse
)
"""Words that name no action."""

# The kinds; poles are divided by ";", the spellings of one pole by "|". A word may be of two kinds.
_KINDS = {
    "space": (
        "left|leftward|left side; right|rightward|right side; up|upward|upstairs; "
        "down|downward|downstairs; forward; backward; sideway; diagonal|diagonally; clockwise; "
        "counterclockwise|anticlockwise; horizontal|horizontally; vertical|vertically; "
        "in|inward; out|outward; away|away from; toward; closer|closer to; apart|apart from; "
        "together; past; into|in to; "
        "onto|on; off|off of; out of; behind|from behind|from behind of; "
        "in front of|from in front of; next to|beside|from next to; under|beneath|underneath; "
        "below; over; above; on top of; across; along; through; around; between; "
        "inside|internal|internally; outside|external|externally; back; near; far; side; top; "
        "bottom; north; south; east; west; forehand; backhand; left to right; right to left"
    ),
    "speed": "slow|slowly; fast|quick|quickly|rapidly; gently|softly; hard",
    "degree": (
        "little|slightly; lot; partly|partially|half; full|fully|complete|completely|whole|entirely"
    ),
    "size": "small; medium; large|big",
    "height": "high; low",
    "length": "long; short",
    "width": "wide; narrow",
    "depth": "deep; shallow",
    "shape": "straight; curved; round",
    "count": (
        "zero|0; one|1|once|single|singly; two|2|twice|double; three|3|triple; four|4; five|5; "
        "six|6; seven|7; eight|8; nine|9; ten|10; several; both"
    ),
    "ordinal": "first; second; third; fourth; fifth; last",
    "body": (
        "head; face; hair; teeth|tooth; eye; ear; nose; mouth; lip; cheek; chin; neck; throat; "
        "shoulder; chest; back; stomach|belly; waist; hip; arm; elbow; forearm; wrist; hand; palm; "
        "fist; finger; thumb; nail|fingernail; leg; thigh; knee; ankle; foot|feet; heel; toe; "
        "eyebrow; beard"
    ),
    "person": "man; woman; child; adult; baby; boy; girl",
    "manner": "pretend; try; fail",
    "negation": "with; without|no|not",
    "which": "same; other",
}

# Opposite verbs; what stands on one side of ":" means about the same. "un-" is not listed.
_OPPOSITES = """
    open: close, shut; push: pull; put on, wear, wear on: take off, remove
    put, insert: take, take out, remove; pick up, pickup: put down, drop; lift, raise: lower
    rise: fall; sit: stand; lie: get up; enter: exit, leave; start: stop; fill: empty; throw: catch
    turn on, switch on: turn off, switch off; attach, connect: detach, disconnect; give: take
    inflate: deflate; tighten: loosen; grab, hold: release; buy: sell; bury: dig; nod: shake
    approach: move away; wake: sleep; extend: flex; climb up: climb down; ascend: descend
    accelerate: brake
"""
_COUNTED = frozenset({"count", "degree", "which"})
_SKIPPED = frozenset({"to", "from", "of", "with", "by", "using", "at"})
_AT_EDGES = _SKIPPED | {"in", "on", "direction", "way"}
_BEFORE_ES = ("s", "x", "z", "ch", "sh", "o")
_VOWELS = frozenset("aeiouy")


@lru_cache(maxsize=2**15)
def stem(word: str) -> str:
    """A word without -ing, -ed, -s, -es, a doubled consonant at its end, or a last e.

    "putting", "puts" and "put" are one. A word that would lose its only vowel stays: "swing". The
    result need not be a word.
    """
    if not word.isalpha():
        return word
    for ending in ("ing", "ed", "es", "s"):
        rest = word.removesuffix(ending)
        whole = ending == "s" and word.endswith(("ss", "us", "is"))
        whole |= ending == "es" and not (rest.endswith(_BEFORE_ES) and len(rest) > 2)
        if rest != word and not whole and len(rest) > 1 and _VOWELS.intersection(rest):
            word = rest
            break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeiouls":
        word = word[:-1]
    return word[:-1] if len(word) > 3 and word.endswith("e") else word


def _stems(phrase: str) -> Stems:
    return tuple(map(stem, phrase.split()))


def _poles() -> dict[Stems, Pole]:
    poles: dict[Stems, Pole] = {}
    for kind, lines in _KINDS.items():
        for line in lines.split(";"):
            first, *others = (spelling.strip() for spelling in line.split("|"))
            for spelling in (first, *others):
                poles[_stems(spelling)] = {**poles.get(_stems(spelling), {}), kind: first}
    return poles


def _opposites() -> dict[Stems, dict[int, int]]:
    """{verb: {pair of opposites that it belongs to: side}}."""
    verbs: dict[Stems, dict[int, int]] = {}
    for number, line in enumerate(_OPPOSITES.replace("\n", ";").split(";")):
        for side, phrases in enumerate(line.split(":")):
            for phrase in filter(None, map(str.strip, phrases.split(","))):
                verbs.setdefault(_stems(phrase), {})[number] = side
    return verbs


_POLES, _VERBS = _poles(), _opposites()
_WORDS = {word for phrase in (*_POLES, *_VERBS) for word in phrase}


def is_listed(word: str) -> bool:
    """Whether a word, or a form of it, is in one of the lists above."""
    return word in FUNCTION_WORDS or stem(word) in _WORDS


def is_known(word: str) -> bool:
    """Whether a stem is a pole, or a number."""
    return (word,) in _POLES or word[0].isdigit()


@lru_cache(maxsize=2**15)
def read(text: Stems) -> tuple[Pole, ...] | None:
    """The poles that a text names, in order; None where a word of it is unknown.

    A number or a degree belongs to the part of the body behind it: "two fingers" is one pole, and
    "the whole hand" is the hand.
    """
    poles: list[Pole] = []
    place = 0
    while place < len(text):
        length = _longest(text[place:], _POLES)
        pole = _POLES.get(text[place : place + length])
        if pole is None and text[place][0].isdigit():
            pole = {"count": text[place]}
        if pole is not None and poles and "body" in pole and poles[-1].keys() & _COUNTED:
            (of,) = poles.pop().values()
            pole = {"body": pole["body"] if of == "full" else f"{of} {pole['body']}"}
        if pole is not None:
            poles.append(pole)
        elif text[place] not in _SKIPPED:
            return None
        place += max(1, length)
    return tuple(poles)


def _longest(text: Stems, phrases: Mapping[Stems, object]) -> int:
    """Length of the longest phrase that the text begins with; 0 without one."""
    return next((n for n in range(min(4, len(text)), 0, -1) if text[:n] in phrases), 0)


def contrast(one: Stems, other: Stems) -> str | None:
    """In what two texts are known to differ; None where that is not known.

    Returns:
        The kind of their poles, or "verbs …", the same for the same pair of opposite verbs.
    """
    return _opposite_verbs(one, other) or _differing_kind(read(one), read(other))


def is_verbs(by: str | None) -> bool:
    """Whether a contrast is one of opposite verbs."""
    return by is not None and by.startswith("verbs ")


def _differing_kind(one: tuple[Pole, ...] | None, other: tuple[Pole, ...] | None) -> str | None:
    """The kind of the only place where two readings differ."""
    if not one or not other or len(one) != len(other):
        return None
    differ = [(a, b) for a, b in zip(one, other, strict=True) if a != b]
    if len(differ) != 1:
        return None
    a, b = differ[0]
    return next((kind for kind in a if kind in b and a[kind] != b[kind]), None)


def _opposite_verbs(one: Stems, other: Stems) -> str | None:
    """The pair of opposites that two texts begin with; only their directions may differ besides."""
    for a, b in ((one, other), (other, one)):
        if a and b and a[0] == f"un{b[0]}" and a[1:] == b[1:]:
            return f"verbs un{b[0]}"
    for i in range(_longest(one, _VERBS), 0, -1):
        for j in range(_longest(other, _VERBS), 0, -1):
            sides, others = _VERBS.get(one[:i], {}), _VERBS.get(other[:j], {})
            pair = next((p for p in sides if p in others and sides[p] != others[p]), None)
            if pair is not None and _only_space(one[i:]) and _only_space(other[j:]):
                return f"verbs {pair}"
    return None


def _only_space(text: Stems) -> bool:
    poles = read(text)
    return poles is not None and all("space" in pole for pole in poles)


def may_be_opposite(text: Stems, verbs: Collection[str]) -> bool:
    """Whether a text begins with a verb that has an opposite, in the list or among `verbs`."""
    if not text:
        return False
    return _longest(text, _VERBS) > 0 or text[0].startswith("un") or f"un{text[0]}" in verbs


def meaning(text: Stems) -> Hashable:
    """What a text is compared by: its poles where they are known, else its stems."""
    poles = read(text)
    return text if not poles else tuple(tuple(sorted(pole.items())) for pole in poles)


def alike(wanted: Stems, known: Stems) -> float:
    """How much a wanted text says what a known one does.

    Returns:
        1 for the same words or the same pole, "to the left" and "left"; 0.5 where the known words
        are among the wanted ones, "in clockwise direction" and "clockwise"; else 0.
    """
    if meaning(wanted) == meaning(known) or _same_side(wanted, known):
        return 1.0
    inner = tuple(word for word in wanted if word not in _AT_EDGES)
    if inner and meaning(inner) == meaning(known):
        return 1.0
    n = len(known)
    within = n and any(wanted[i : i + n] == known for i in range(len(wanted) - n + 1))
    return 0.5 if within else 0.0


def _same_side(one: Stems, other: Stems) -> bool:
    """Whether two texts are verbs on one side of a pair of opposites: "wear", "put on"."""
    sides, others = _VERBS.get(one, {}), _VERBS.get(other, {})
    return any(sides[pair] == others.get(pair) for pair in sides)
