"""What a head's own labels know: groups of labels that differ in one thing, and their modifiers.

Two known labels "pulling something left" and "pulling something right" are a group "pulling
something" with the modifiers "left" and "right". Groups are found in the label texts; a taxonomy
overrides them. A label may be in several groups, one for each thing that varies: "swipe left with
one finger" has a direction and a finger. Rows that a zero-shot edit made are never knowledge:
errors would feed on themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgesplit._data import load_json
from edgesplit.edits.contrasts import find_contrasts
from edgesplit.edits.siblings import find_siblings
from edgesplit.errors import EditError
from edgesplit.heads.label_text import common_start, words
from edgesplit.heads.labels import LabelTree
from edgesplit.storage.files import read_bytes
from edgesplit.storage.text_file import decode_text

__all__ = [
    "Group",
    "Member",
    "Taxonomy",
    "find_groups",
    "known_groups",
    "load_taxonomy",
    "words_in_order",
]

Taxonomy = Mapping[str, Mapping[str, str]]
"""{coarse category: {fine label: modifier}}."""


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
    by: str = "taxonomy"
    """Why these labels are a group: they differ in what is known to vary ("space", "body", …, or
    opposite verbs, "verbs 3"), in what varies for other actions, too ("repeated"), or they just
    begin alike ("siblings")."""


def find_groups(labels: Iterable[tuple[int, str]]) -> tuple[Group, ...]:
    """Groups of (column, label) pairs, in the order of their first labels.

    Contrasts, and then labels that begin alike. Where the latter contain a contrast, with the same
    modifiers, they are one group: "into", "onto" and "so that it falls".
    """
    known = list(labels)
    texts = [label for _, label in known]
    contrasts = find_contrasts(texts)
    found = []
    for name, members in find_siblings(texts):
        modifiers = {place: words(modifier) for place, modifier in members}
        within = [
            contrast
            for contrast in contrasts
            if all(modifiers.get(place) == words(modifier) for place, modifier in contrast.members)
            or modifiers.keys() == {place for place, _ in contrast.members}
        ]
        contrasts = tuple(contrast for contrast in contrasts if contrast not in within)
        found.append((name, members, within[0].by if within else "siblings"))
    found += [(one.name, list(one.members), one.by) for one in contrasts]
    return tuple(
        Group(
            name,
            tuple(Member(known[place][1], known[place][0], text) for place, text in members),
            by,
        )
        for name, members, by in sorted(found, key=lambda group: group[1][0])
    )


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
        start = common_start(orders, len(text)) + 1
        told.append(" ".join(text[start:]) if len(orders) > 1 else modifier)
    return told


def load_taxonomy(path: str | Path) -> Taxonomy:
    """Reads a taxonomy file: JSON {coarse category: {fine label: modifier}}.

    Raises:
        EditError: the file cannot be read, is not UTF-8, or does not hold a taxonomy.
    """
    form = 'Write {"coarse category": {"fine label": "modifier", …}, …}.'
    text = decode_text(read_bytes(Path(path), EditError), Path(path), EditError)
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
        taxonomy: replaces the groups that the label texts give; labels that the head does not
            have are passed over.
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
    groups = find_groups(known) if taxonomy is None else _from_taxonomy(known, taxonomy)
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
