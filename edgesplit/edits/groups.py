"""What a head's own labels know: groups of labels that share an action, and their modifiers.

Two known labels "pulling something left" and "pulling something right" are a group "pulling
something" with the modifiers "left" and "right". Groups are induced from the label texts; a
taxonomy overrides them. Rows that a zero-shot edit made are never knowledge: errors would feed
on themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from edgesplit._data import load_json
from edgesplit.errors import EditError
from edgesplit.heads.label_text import words
from edgesplit.heads.labels import LabelTree
from edgesplit.storage.files import read_bytes
from edgesplit.storage.text_file import decode_text

__all__ = [
    "Group",
    "Member",
    "Taxonomy",
    "differing_words",
    "induce_groups",
    "known_groups",
    "load_taxonomy",
    "words_in_order",
]

Taxonomy = Mapping[str, Mapping[str, str]]
"""{coarse category: {fine label: modifier}}."""

# Words that cannot end the name of an action, nor tell one action from another: "turning the" goes
# on to "turning the camera". "over" is missing because "tipping something over" is whole.
_FUNCTION_WORDS = frozenset(
    """
    a an the one two each other both it its they them their that which so not
    and or but then until while because than as if
    to of with without in into on onto up down off out away from for by at
    behind next under underneath against along across past towards toward
    is are be been does doesn't can can't cannot
    """.split()  # noqa: SIM905 - a list reads worse
)
_OBJECTS = ("it", "them")
_MIN_ACTION_WORDS = 2
MIN_SHARED = 0.3
"""Least part of a label's weight that its action carries; less joins more. From 0.26 to 0.33 about
nine in ten joined pairs belong together, see `benchmarks/quality/label_groups.py`. From 0.36 on
"pushing something from left to right" may fall out of its group."""


@dataclass(frozen=True, slots=True)
class Member:
    """A known label of a group."""

    label: str
    column: int
    modifier: str


@dataclass(frozen=True, slots=True)
class Group:
    """Known labels that differ only in their modifier; two at least."""

    name: str
    members: tuple[Member, ...]


def differing_words(labels: Sequence[str]) -> list[str]:
    """What is left of each label without the words that all begin and end with.

    "turning the camera left while filming", "turning the camera right while filming" give
    "left" and "right". Words are compared whatever their case and punctuation.
    """
    split = [label.split() for label in labels]
    plain = [[" ".join(words(word)) for word in label] for label in split]
    shortest = min(map(len, plain))
    start = _common(plain, shortest)
    end = _common([label[::-1] for label in plain], shortest - start)
    return [" ".join(label[start : len(label) - end]).strip(" ,.;:") for label in split]


def words_in_order(modifiers: Sequence[str]) -> list[str]:
    """Siblings' modifiers as a text encoder can tell them apart.

    An encoder hardly sees in which order words come: to the packaged one "from left to right" is as
    near to "left" as "from right to left" is. Of siblings that are the same words in another
    order, what follows the first word that differs is left, here "to right" and "to left": what
    something ends in, or ends at, comes last.
    """
    split = [words(modifier) for modifier in modifiers]
    alike: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for text in split:
        alike.setdefault(tuple(sorted(text)), set()).add(text)
    told = []
    for modifier, text in zip(modifiers, split, strict=True):
        orders = sorted(alike[tuple(sorted(text))])
        start = _common(orders, len(text)) + 1
        told.append(" ".join(text[start:]) if len(orders) > 1 else modifier)
    return told


def _common(rows: Sequence[Sequence[str]], limit: int) -> int:
    """Length of the longest common beginning, `limit` at most."""
    for length in range(limit):
        if len({row[length] for row in rows}) > 1:
            return length
    return limit


def induce_groups(labels: Iterable[tuple[int, str]]) -> tuple[Group, ...]:
    """Groups of (column, label) pairs whose labels begin with the same action.

    An action is a beginning of two words or more that ends in no function word and is a fair part
    of the label (see `MIN_SHARED`): "pulling something", "turning the camera", "pretending to
    put". Each label goes with those it shares the longest action with, so "moving something
    across a surface" is not "moving something". A label that is nothing but the action has no
    modifier and stays out; so does a label without companions.
    """
    known = list(labels)
    texts = [words(label) for _, label in known]
    weights = _weights(texts)
    by_action: dict[tuple[str, ...], list[int]] = {}
    for i, text in enumerate(texts):
        for action in _actions(text, weights):
            by_action.setdefault(action, []).append(i)
    groups: dict[int, Group] = {}
    grouped: set[int] = set()
    for action in sorted(by_action, key=len, reverse=True):
        members = [i for i in by_action[action] if i not in grouped]
        group = _group(action, [known[i] for i in members])
        if group is not None:
            groups[members[0]] = group
            grouped.update(members)
    return tuple(group for _, group in sorted(groups.items()))


def _weights(texts: Sequence[Sequence[str]]) -> dict[str, float]:
    """What each word says about a label: the more the rarer it is.

    A fourth root, because a logarithm would take all weight from the action that every label of a
    head shares, and with it the group.
    """
    n_labels = Counter(word for text in texts for word in set(text))
    return {word: 0.0 if word in _FUNCTION_WORDS else n**-0.25 for word, n in n_labels.items()}


def _actions(text: tuple[str, ...], weights: Mapping[str, float]) -> Iterator[tuple[str, ...]]:
    """The beginnings of a label that may name its action; the whole label is none of them."""
    sums = list(accumulate(weights[word] for word in text))
    for length in range(_MIN_ACTION_WORDS, len(text)):
        shared = sums[length - 1] >= MIN_SHARED * sums[-1]
        if shared and _is_whole(text[:length], text[length:]):
            yield text[:length]


def _is_whole(action: Sequence[str], rest: Sequence[str]) -> bool:
    """Whether `action` does not break off before `rest`."""
    *_, before, last = action
    if last in _FUNCTION_WORDS and (last not in _OBJECTS or before in _FUNCTION_WORDS):
        return False  # "moving it" is whole; "moving something so that it" is not
    # "moving something and something" is whole, "moving something" only a part of it.
    return rest[0] != last and tuple(rest[:2]) != ("and", last)


def _group(action: tuple[str, ...], members: Sequence[tuple[int, str]]) -> Group | None:
    """The members under the action's name, unless their modifiers do not tell them apart."""
    if len(members) < 2:
        return None
    modifiers = differing_words([label for _, label in members])
    if not all(modifiers) or len({m.casefold() for m in modifiers}) < len(modifiers):
        return None
    return Group(
        name=_spelled(action, members[0][1]),
        members=tuple(
            Member(label, column, modifier)
            for (column, label), modifier in zip(members, modifiers, strict=True)
        ),
    )


def _spelled(action: tuple[str, ...], label: str) -> str:
    """The action as the label writes it."""
    written = label.split()
    length = 1
    while len(words(" ".join(written[:length]))) < len(action):
        length += 1
    return " ".join(written[:length]).strip(" ,.;:")


def load_taxonomy(path: str | Path) -> Taxonomy:
    """Reads a taxonomy file: JSON {coarse category: {fine label: modifier}}.

    Raises:
        BundleError: the file cannot be read.
        EditError: it is not UTF-8, or does not hold a taxonomy.
    """
    form = 'Write {"coarse category": {"fine label": "modifier", …}, …}.'
    text = decode_text(read_bytes(Path(path)), Path(path), EditError)
    try:
        content = load_json(text)
    except ValueError as error:
        raise EditError(f"{path} is not JSON ({error}). {form}") from error
    if not isinstance(content, dict):
        raise EditError(f"{path} is not a taxonomy. {form}")
    for coarse, fine in content.items():
        if not isinstance(fine, dict) or not all(isinstance(m, str) for m in fine.values()):
            raise EditError(f"{path}: {coarse!r} does not map labels to modifiers. {form}")
    return content


def known_groups(
    tree: LabelTree,
    *,
    target: int,
    taxonomy: Taxonomy | None = None,
    like: str | None = None,
) -> tuple[Group, ...]:
    """The groups that the split of `target` may learn from.

    Args:
        tree: the head's labels.
        target: column of the class to split; neither it nor its subcategories are knowledge.
        taxonomy: replaces the induced groups; labels that the head does not have are passed over.
        like: name of the one group to learn from, as in `LabelTree.find`.

    Raises:
        EditError: the taxonomy or `like` leaves no group.
    """
    root = tree.path(target)[0]
    known = [
        (column, node.label)
        for column, node in enumerate(tree)
        if node.provenance.known and column != root
    ]
    groups = induce_groups(known) if taxonomy is None else _from_taxonomy(known, taxonomy)
    if like is None:
        return groups
    wanted = words(like)
    chosen = [g for g in groups if words(g.name) == wanted] or [
        g for g in groups if words(g.name)[: len(wanted)] == wanted
    ]
    if len(chosen) != 1:
        listed = ", ".join(repr(group.name) for group in chosen or groups) or "none"
        what = "matches several groups" if chosen else "is no group of known labels"
        raise EditError(f"--like {like!r} {what}. The groups are: {listed}.")
    return tuple(chosen)


def _from_taxonomy(known: Sequence[tuple[int, str]], taxonomy: Taxonomy) -> tuple[Group, ...]:
    columns = {label.casefold(): (column, label) for column, label in known}
    groups = []
    for coarse, fine in taxonomy.items():
        members = tuple(
            Member(columns[label.casefold()][1], columns[label.casefold()][0], modifier)
            for label, modifier in fine.items()
            if label.casefold() in columns
        )
        if len(members) >= 2:
            groups.append(Group(coarse, members))
    if not groups:
        raise EditError(
            "The taxonomy names no two known labels of one category in this head. "
            "`edgesplit show` lists the labels."
        )
    return tuple(groups)
