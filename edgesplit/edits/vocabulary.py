"""Words with known contrasts.

Words are poles of a kind: "left" and "right" are poles of space, "slowly" and "quickly" of speed.
Two texts of one kind with different poles are a contrast, in any label list. Verbs are not poles,
but opposite verbs are a contrast: "opening" and "closing".
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
"""The stems of a text's words; see `stem`."""

Pole = Mapping[str, str]
"""{kind: pole, in its first spelling in the list}; "back" is of two kinds."""

FUNCTION_WORDS = frozenset(
    """
    a an the each it its they them their that which so and or but then until while because than as
    if to of with from for by at is are be been being do does
    """.split()  # noqa: SIM905 - a list reads worse
)
"""Words that are never actions."""

# The kinds; poles are separated by ";", spellings of a pole by "|". A word may be of two kinds.
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

# Opposite verbs; verbs on one side of ":" have about the same meaning. Verbs with "un-" are not
# listed.
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
    """Return a word without -ing, -ed, -s, -es, a doubled final consonant, or a final e.

    "putting", "puts" and "put" have the same stem. A word that would lose its only vowel is kept:
    "swing". The result may not be a word.
    """
    if not word.isalpha():
        return word
    for ending in ("ing", "ed", "es", "s"):
        rest = word.removesuffix(ending)
        part = ending == "s" and word.endswith(("ss", "us", "is"))  # of the word, not an ending
        part |= ending == "es" and not (rest.endswith(_BEFORE_ES) and len(rest) > 2)
        if rest != word and not part and len(rest) > 1 and _VOWELS.intersection(rest):
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
    """Return {verb: {pair of opposites: the verb's side}}."""
    verbs: dict[Stems, dict[int, int]] = {}
    for number, line in enumerate(_OPPOSITES.replace("\n", ";").split(";")):
        for side, phrases in enumerate(line.split(":")):
            for phrase in filter(None, map(str.strip, phrases.split(","))):
                verbs.setdefault(_stems(phrase), {})[number] = side
    return verbs


_POLES, _VERBS = _poles(), _opposites()
_WORDS = {word for phrase in (*_POLES, *_VERBS) for word in phrase}


def is_listed(word: str) -> bool:
    """Return True if a word, or a form of it, is in one of the lists above."""
    return word in FUNCTION_WORDS or stem(word) in _WORDS


def is_known(word: str) -> bool:
    """Return True if a stem is a pole or a number."""
    return (word,) in _POLES or word[0].isdigit()


@lru_cache(maxsize=2**15)
def read(text: Stems) -> tuple[Pole, ...] | None:
    """Return the poles in a text, in order; None if it contains an unknown word.

    A number or a degree belongs to the part of the body after it: "two fingers" is one pole, and
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
    """Return the length of the longest phrase at the beginning of the text; 0 without one."""
    return next((n for n in range(min(4, len(text)), 0, -1) if text[:n] in phrases), 0)


def contrast(one: Stems, other: Stems) -> str | None:
    """Return the kind of the known contrast of two texts; None if they are none.

    Returns:
        The kind of their poles, or "verbs …" with a unique end for each pair of opposite verbs.
    """
    return _opposite_verbs(one, other) or _differing_kind(read(one), read(other))


def is_verbs(by: str | None) -> bool:
    """Return True if a contrast is one of opposite verbs."""
    return by is not None and by.startswith("verbs ")


def _differing_kind(one: tuple[Pole, ...] | None, other: tuple[Pole, ...] | None) -> str | None:
    """Return the kind of the only pole that differs."""
    if not one or not other or len(one) != len(other):
        return None
    differ = [(a, b) for a, b in zip(one, other, strict=True) if a != b]
    if len(differ) != 1:
        return None
    a, b = differ[0]
    return next((kind for kind in a if kind in b and a[kind] != b[kind]), None)


def _opposite_verbs(one: Stems, other: Stems) -> str | None:
    """Return the pair of opposite verbs that begin two texts; other words must be directions."""
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
    """Return True if a text begins with a verb that has an opposite, in the list or in `verbs`."""
    if not text:
        return False
    return _longest(text, _VERBS) > 0 or text[0].startswith("un") or f"un{text[0]}" in verbs


def meaning(text: Stems) -> Hashable:
    """Return the key for comparing meanings: the text's poles if known, else its stems."""
    poles = read(text)
    return text if not poles else tuple(tuple(sorted(pole.items())) for pole in poles)


def alike(wanted: Stems, known: Stems) -> float:
    """Return how well the meaning of a wanted text agrees with that of a known one.

    Returns:
        1 for the same words or the same pole, "to the left" and "left"; 0.5 if the known words are
        part of the wanted ones, "in clockwise direction" and "clockwise"; else 0.
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
    """Return True if both texts are verbs on one side of a pair of opposites: "wear", "put on"."""
    sides, others = _VERBS.get(one, {}), _VERBS.get(other, {})
    return any(sides[pair] == others.get(pair) for pair in sides)
