"""What a head's own labels know: groups of labels that share an action, and their modifiers.

Two known labels "pulling something left" and "pulling something right" are a group "pulling
something" with the modifiers "left" and "right". Groups are induced from the label texts; a
taxonomy overrides them. Rows that a zero-shot edit made are never knowledge: errors would feed
on themselves.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgesplit.errors import EditError
from edgesplit.labels import LabelTree, Provenance, words
from edgesplit.store import read_bytes

__all__ = [
    "Group",
    "Member",
    "Taxonomy",
    "differing_words",
    "induce_groups",
    "known_groups",
    "load_taxonomy",
]

Taxonomy = Mapping[str, Mapping[str, str]]
"""{coarse category: {fine label: modifier}}."""

# Words that cannot end the name of an action: "turning the" goes on to "turning the camera".
_FUNCTION_WORDS = frozenset(
    "a an the to of or and but that with in on up one two".split()  # noqa: SIM905 - a list reads worse
)
_MIN_ACTION_WORDS = 2


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


def _common(rows: Sequence[Sequence[str]], limit: int) -> int:
    """Length of the longest common beginning, `limit` at most."""
    for length in range(limit):
        if len({row[length] for row in rows}) > 1:
            return length
    return limit


def induce_groups(labels: Iterable[tuple[int, str]]) -> tuple[Group, ...]:
    """Groups of (column, label) pairs whose labels begin with the same action.

    The action is the first two words, and more while the last is a function word: "pulling
    something", "turning the camera", "pretending to put". A label that is nothing but the action
    has no modifier and stays out; so does a label without companions.
    """
    by_action: dict[tuple[str, ...], list[tuple[int, str]]] = {}
    for column, label in labels:
        by_action.setdefault(_action(words(label)), []).append((column, label))
    groups = []
    for action, members in by_action.items():
        told_apart = [(c, label) for c, label in members if len(words(label)) > len(action)]
        group = _group(told_apart)
        if group is not None:
            groups.append(group)
    return tuple(groups)


def _action(label: Sequence[str]) -> tuple[str, ...]:
    length = _MIN_ACTION_WORDS
    while length < len(label) and label[length - 1] in _FUNCTION_WORDS:
        length += 1
    return tuple(label[:length])


def _group(members: Sequence[tuple[int, str]]) -> Group | None:
    if len(members) < 2:
        return None
    texts = [label for _, label in members]
    modifiers = differing_words(texts)
    if not all(modifiers) or len({m.casefold() for m in modifiers}) < len(modifiers):
        return None
    first = texts[0].split()
    n_common = _common([text.casefold().split() for text in texts], len(first))
    while n_common > 1 and first[n_common - 1].casefold() in _FUNCTION_WORDS:
        n_common -= 1
    name = " ".join(first[:n_common])
    return Group(
        name=name,
        members=tuple(
            Member(label, column, modifier)
            for (column, label), modifier in zip(members, modifiers, strict=True)
        ),
    )


def load_taxonomy(path: str | Path) -> Taxonomy:
    """Reads a taxonomy file: JSON {coarse category: {fine label: modifier}}.

    Raises:
        BundleError: the file cannot be read.
        EditError: it does not hold a taxonomy.
    """
    form = 'Write {"coarse category": {"fine label": "modifier", …}, …}.'
    try:
        content = json.loads(read_bytes(Path(path)))
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
        if node.provenance == Provenance() and column != root
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
