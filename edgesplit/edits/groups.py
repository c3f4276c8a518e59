"""A head's knowledge: groups of labels that differ in one part, their modifiers, and axes.

The known labels "pulling something left" and "pulling something right" are the group "pulling
something" with the modifiers "left" and "right". Groups are found in the label texts, unless a
taxonomy replaces them. A label may be in several groups, one for each part that varies: "swipe left
with one finger" has a direction and a finger. Rows made by a zero-shot edit are never knowledge,
since errors would add up.

Groups that share two modifiers are one axis: "left, right, up, down" of a swipe and "up, down" of a
thumb. "one finger, whole hand" is another axis.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from edgesplit._data import load_json
from edgesplit._types import Int64
from edgesplit.edits.contrasts import find_contrasts
from edgesplit.edits.disjoint_sets import Joined
from edgesplit.edits.siblings import find_siblings
from edgesplit.edits.tokens import parse_label
from edgesplit.edits.vocabulary import meaning
from edgesplit.errors import EditError
from edgesplit.heads.label_text import words
from edgesplit.heads.labels import LabelTree
from edgesplit.limits import TEXT_FILE_BYTES
from edgesplit.storage.files import read_bytes
from edgesplit.storage.text_file import decode_text

__all__ = [
    "Axis",
    "Group",
    "Knowledge",
    "Member",
    "Taxonomy",
    "find_axes",
    "find_groups",
    "find_knowledge",
    "known_groups",
    "load_taxonomy",
]

SIBLINGS = "siblings"
"""Kind of a group whose labels only have the same beginning."""

MAX_LISTED = 20
"""Maximum groups in a message."""

MAX_LINKING = 64
"""Maximum modifiers of a group that may link it with another group; the first ones do."""

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
    """At least two known labels that differ only in their modifier."""

    name: str
    members: tuple[Member, ...]
    by: str = "taxonomy"
    """Kind of the group: a known contrast ("space", "body", …, or opposite verbs, "verbs 3"), the
    same fillers for other actions ("repeated"), the same beginning ("siblings"), or "taxonomy"."""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        members = {member.label: member.modifier for member in self.members}
        return {"name": self.name, "by": self.by.partition(" ")[0], "members": members}


def find_groups(labels: Iterable[tuple[int, str]]) -> tuple[Group, ...]:
    """Return the groups of (column, label) pairs, in the order of their first labels.

    Groups are contrasts, and labels with the same beginning. If both have the same labels, they are
    one group.
    """
    known = list(labels)
    texts = [label for _, label in known]
    contrasts = {frozenset(place for place, _ in c.members): c for c in find_contrasts(texts)}
    found = []
    for name, members in find_siblings(texts):
        same = contrasts.pop(frozenset(place for place, _ in members), None)
        found.append((name, members, same.by if same else SIBLINGS))
    found += [(c.name, list(c.members), c.by) for c in contrasts.values()]
    return tuple(
        Group(
            name,
            tuple(Member(known[place][1], known[place][0], text) for place, text in members),
            by,
        )
        for name, members, by in sorted(found, key=lambda group: group[1][0])
    )


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """Groups of known labels that vary in the same way."""

    groups: tuple[int, ...]
    """Indices in the list of groups."""
    words: tuple[str, ...]
    """Distinct modifiers of the groups, each as first written."""
    members: Int64
    """`(words,)`: index of a known label with each word."""
    by: str
    """Kind; see `Group.by`."""


def find_axes(groups: Sequence[Group]) -> tuple[Axis, ...]:
    """Return the axes of groups, in the order of their first groups.

    Two groups are linked by two common modifiers, or by the same pair of opposite verbs.
    """
    meanings = [[meaning(parse_label(m.modifier).stems) for m in group.members] for group in groups]
    joined = Joined()
    first_with: dict[Hashable, int] = {}
    for g, group in enumerate(groups):
        links: list[Hashable] = [group.by] if " " in group.by else []
        links += map(frozenset, combinations(meanings[g][:MAX_LINKING], 2))
        for link in links:
            joined.join(first_with.setdefault(link, g), g)
    components: dict[Hashable, list[int]] = {}
    for g in range(len(groups)):
        components.setdefault(joined.find(g), []).append(g)
    starts = np.cumsum([0, *(len(group.members) for group in groups)])
    axes = []
    for places in components.values():
        words: dict[Hashable, tuple[str, int]] = {}
        for g in places:
            for m, member in enumerate(groups[g].members):
                words.setdefault(meanings[g][m], (member.modifier, int(starts[g]) + m))
        texts, members = zip(*words.values(), strict=True)
        kinds = [groups[g].by for g in places]
        by = next((kind for kind in kinds if kind != SIBLINGS), SIBLINGS)
        axes.append(Axis(tuple(places), texts, np.array(members, np.int64), by))
    return tuple(axes)


@dataclass(frozen=True, slots=True)
class Knowledge:
    """The knowledge in a head's labels about possible splits."""

    groups: tuple[Group, ...]
    axes: tuple[Axis, ...]
    """Axes of known or repeated contrasts, those with the most groups first."""
    siblings: tuple[Group, ...]
    """Groups of labels that only have the same beginning."""
    alone: tuple[str, ...]
    """Labels without a group."""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return {
            "axes": [
                {
                    "words": list(axis.words),
                    "by": axis.by.partition(" ")[0],
                    "groups": [self.groups[g].to_json() for g in axis.groups],
                }
                for axis in self.axes
            ],
            "siblings": [group.to_json() for group in self.siblings],
            "alone": list(self.alone),
        }


def find_knowledge(tree: LabelTree) -> Knowledge:
    """Return the knowledge in a head's labels, for display."""
    groups = known_groups(tree)
    axes = [axis for axis in find_axes(groups) if axis.by != SIBLINGS]
    transferable = {g for axis in axes for g in axis.groups}
    grouped = {member.column for group in groups for member in group.members}
    return Knowledge(
        groups=groups,
        axes=tuple(sorted(axes, key=lambda axis: -len(axis.groups))),
        siblings=tuple(group for g, group in enumerate(groups) if g not in transferable),
        alone=tuple(
            node.label
            for column, node in enumerate(tree)
            if column not in grouped and column in tree.leaves and node.provenance.known
        ),
    )


def load_taxonomy(path: str | Path) -> Taxonomy:
    """Read a taxonomy file: JSON {coarse category: {fine label: modifier}}.

    Raises:
        EditError: the file cannot be read, is not UTF-8, or is not a taxonomy.
    """
    form = 'Write {"coarse category": {"fine label": "modifier", …}, …}.'
    text = decode_text(read_bytes(Path(path), TEXT_FILE_BYTES, EditError), Path(path), EditError)
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
    target: int | None = None,
    taxonomy: Taxonomy | None = None,
    like: str | None = None,
) -> tuple[Group, ...]:
    """Return the groups that the split of `target` may learn from.

    Args:
        tree: the head's labels.
        target: column of the class to split; the class and its subcategories are not knowledge.
            None for all groups of the head.
        taxonomy: replaces the groups of the label texts; labels that the head does not have are
            ignored.
        like: name of the only group to learn from, as in `LabelTree.find`; or words of the axis
            to learn from, "left, right".

    Raises:
        EditError: the taxonomy or `like` leaves no group.
    """
    root = None if target is None else tree.path(target)[0]
    known = [
        (column, node.label)
        for column, node in enumerate(tree)
        if node.provenance.known and column != root
    ]
    groups = find_groups(known) if taxonomy is None else _from_taxonomy(known, taxonomy)
    return groups if like is None else _like(groups, like)


def _like(groups: tuple[Group, ...], like: str) -> tuple[Group, ...]:
    """Return the group of this name, or the groups of the axis with these words, "left, right"."""
    wanted = words(like)
    if not wanted:
        raise EditError(
            f"--like {like!r} contains no word. `edgesplit show --groups` lists the groups."
        )
    chosen = [g for g in groups if words(g.name) == wanted] or [
        g for g in groups if words(g.name)[: len(wanted)] == wanted
    ]
    if len(chosen) == 1:
        return tuple(chosen)
    texts = [text for text in like.replace("|", ",").split(",") if words(text)]
    meanings = {meaning(parse_label(text).stems) for text in texts}
    for axis in find_axes(groups):
        of_axis = {meaning(parse_label(text).stems) for text in axis.words}
        if len(meanings) > 1 and meanings <= of_axis:
            return tuple(groups[g] for g in axis.groups)
    names = [repr(group.name) for group in chosen or groups]
    listed = ", ".join(names[:MAX_LISTED]) + (", …" if len(names) > MAX_LISTED else "")
    what = "matches several groups" if chosen else "matches no group of known labels and no axis"
    raise EditError(
        f"--like {like!r} {what}. The groups are: {listed or 'none'}. `edgesplit show --groups` "
        "lists groups and axes."
    )


def _from_taxonomy(known: Sequence[tuple[int, str]], taxonomy: Taxonomy) -> tuple[Group, ...]:
    columns = {label.casefold(): (column, label) for column, label in known}
    columns |= {label: (column, label) for column, label in known}
    groups = []
    for coarse, fine in taxonomy.items():
        found = {
            columns.get(label) or columns[label.casefold()]: modifier
            for label, modifier in fine.items()
            if label.casefold() in columns
        }
        if len(found) < sum(label.casefold() in columns for label in fine):
            raise EditError(
                f"The taxonomy lists a label of {coarse!r} twice. List each label once."
            )
        members = tuple(Member(label, column, text) for (column, label), text in found.items())
        if len(members) >= 2:
            groups.append(Group(coarse, members))
    if not groups:
        raise EditError(
            "The taxonomy has no coarse category with two known labels of this head. "
            "`edgesplit show` lists the labels."
        )
    return tuple(groups)
