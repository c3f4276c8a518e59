"""Labels that differ in one place only, and in what: groups by word alignment.

"swipe left with one finger" and "swipe right with one finger" are the context "swipe … with one
finger" with the fillers "left" and "right". That is a contrast if the fillers are known to be one
(see `edgesplit.edits.vocabulary`), or if the same two fillers differ in another context, too. Any
part of a label may vary: "one finger" and "the whole hand" are the other axis of the same labels.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from edgesplit.edits.disjoint_sets import Joined
from edgesplit.edits.tokens import Label, parse_labels
from edgesplit.edits.vocabulary import (
    FUNCTION_WORDS,
    Stems,
    contrast,
    is_verbs,
    may_be_opposite,
    read,
)

__all__ = ["Contrast", "find_contrasts"]

MIN_SHARED = 0.25
"""Least part of a label's weight that a context carries, where only repetition makes a contrast.
Rare words weigh more."""

MAX_FILLERS = 64
"""Fillers of a context that are compared, the first ones."""

REPEATED = "repeated"
"""The same two fillers differ for other actions, too; nothing else is known of them."""

MAX_COUNTED = 12
"""Numbers that a contrast may have; labels of more are numbered, "class 17", and no count."""

MAX_OPPOSITES = 512
"""Whole labels that are compared, the first ones with a verb that has an opposite."""

MAX_WHOLE = 3
"""Words of a label that may be the opposite of another label as a whole."""


@dataclass(frozen=True, slots=True)
class Contrast:
    """Labels of one context whose fillers are a contrast of one another; two at least."""

    name: str
    """The context, "…" standing for what varies within: "swipe … with one finger"."""
    members: tuple[tuple[int, str], ...]
    """Of each label: its place in the list, and the filler as it is written."""
    by: str
    """The kind that the fillers are known to differ in, or "repeated"; a word behind it links
    contrasts whose fillers are not written alike."""


@dataclass(frozen=True, slots=True)
class _Filler:
    """What stands in the place of a context that varies."""

    label: int
    stems: Stems
    parts: tuple[tuple[int, int], ...]
    """Where its words begin and end in the label: one part, or a verb and the label's last word."""


_Context = tuple[int, int] | tuple[str, ...]
"""Numbers of a beginning and an end; or the middle of labels that vary at both ends."""


@dataclass(frozen=True, slots=True)
class _Edge:
    """Two fillers of one context that are a contrast."""

    context: _Context
    by: str
    """What they differ in, or `REPEATED`."""
    one: _Filler
    other: _Filler


def find_contrasts(texts: Sequence[str]) -> tuple[Contrast, ...]:
    """The contrasts of a label list, in the order of their first labels.

    A pair of labels is compared in its longest context only: its fillers differ in their first and
    in their last word. A label may be in several contrasts, one for each thing that varies.
    """
    if not texts:
        return ()
    labels = parse_labels(texts)
    contexts = _contexts(labels)
    edges = _edges(labels, contexts)
    edges += _two_slots(labels) + _whole_labels(labels)
    found = [_contrast(labels, part) for part in _components(edges)]
    return _largest([one for one in found if one.by != "count" or len(one.members) <= MAX_COUNTED])


def _contexts(labels: Sequence[Label]) -> dict[tuple[int, int], list[_Filler]]:
    """Every context that two labels or more have, and their fillers.

    A context is a beginning and an end. Both are numbered, as in a tree of prefixes, so that the
    contexts of ten thousand labels, most of them of one label alone, are compared as numbers.
    """
    beginnings, ends = _Numbered(), _Numbered()
    by_length = defaultdict(list)
    for index, label in enumerate(labels):
        by_length[len(label.stems)].append(index)
    keys, places = [], []
    for n, indices in by_length.items():
        start, stop = np.triu_indices(n + 1)
        start, stop = start[stop - start < n], stop[stop - start < n]
        before = np.array([beginnings.add(labels[i].stems) for i in indices])
        behind = np.array([ends.add(labels[i].stems[::-1])[::-1] for i in indices])
        pairs = np.stack([before[:, start], behind[:, stop]], axis=-1)
        where = np.broadcast_arrays(np.array(indices)[:, None], start, stop)
        keys.append(pairs.reshape(-1, 2))
        places.append(np.stack(where, axis=-1).reshape(-1, 3))
    key, place = np.concatenate(keys), np.concatenate(places)
    named = np.array(beginnings.names)[key[:, 0]] | np.array(ends.names)[key[:, 1]]
    key, place = key[named], place[named]
    _, inverse, counts = np.unique(
        key[:, 0] * len(ends.names) + key[:, 1], return_inverse=True, return_counts=True
    )
    shared = counts[inverse] > 1
    found: dict[tuple[int, int], list[_Filler]] = defaultdict(list)
    for (before, behind), (index, start, stop) in zip(
        key[shared].tolist(), place[shared].tolist(), strict=True
    ):
        filler = _Filler(index, labels[index].stems[start:stop], ((start, stop),))
        found[before, behind].append(filler)
    return found


class _Numbered:
    """Numbers for beginnings: equal ones get equal numbers, the empty one 0."""

    def __init__(self) -> None:
        self.numbers: dict[tuple[int, str], int] = {}
        self.names = [False]
        """Of each beginning, whether some word of it may name something."""

    def add(self, stems: Stems) -> list[int]:
        """The numbers of all beginnings of a text, the empty one first."""
        numbers = [0]
        for word in stems:
            key = numbers[-1], word
            if key not in self.numbers:
                self.numbers[key] = len(self.names)
                self.names.append(self.names[key[0]] or _names_something(word))
            numbers.append(self.numbers[key])
        return numbers


def _names_something(word: str) -> bool:
    """Whether a context may consist of this word alone; "up" is none: "pull ups", "push ups"."""
    poles = read((word,)) or ({},)
    return word not in FUNCTION_WORDS and "space" not in poles[0]


def _edges(
    labels: Sequence[Label], contexts: Mapping[tuple[int, int], list[_Filler]]
) -> list[_Edge]:
    """Pairs of fillers that are a contrast, by what is known or by repetition."""
    n_contexts = Counter(
        stems for fillers in contexts.values() for stems in {filler.stems for filler in fillers}
    )
    weights = _weights(labels)
    known: list[_Edge] = []
    open_pairs: dict[frozenset[Stems], list[_Edge]] = defaultdict(list)
    for context, fillers in contexts.items():
        verbs = {filler.stems[0] for filler in fillers if filler.stems}
        candidates = [
            filler
            for filler in fillers
            if n_contexts[filler.stems] > 1
            or read(filler.stems)
            or may_be_opposite(filler.stems, verbs)
        ][:MAX_FILLERS]
        ends = {(f.stems[0], f.stems[-1]) for f in fillers if len(f.stems) > 1}
        for one, other in combinations(candidates, 2):
            if not _differ_at_ends(one.stems, other.stems) or _cross(one.stems, other.stems, ends):
                continue
            by = contrast(one.stems, other.stems)
            if not (is_verbs(by) or _keeps_action(labels, one) or _keeps_action(labels, other)):
                continue
            if by is not None:
                known.append(_Edge(context, by, one, other))
            elif min(_share(labels, weights, f) for f in (one, other)) >= MIN_SHARED:
                pair = frozenset({one.stems, other.stems})
                open_pairs[pair].append(_Edge(context, REPEATED, one, other))
    return known + [
        edge
        for pair, edges in open_pairs.items()
        if _is_repeated(pair, [_action(labels, edge) for edge in edges])
        for edge in edges
    ]


def _differ_at_ends(one: Stems, other: Stems) -> bool:
    """Whether first and last words differ, so that no longer context holds both."""
    if not one or not other:
        return one != other
    return one[0] != other[0] and one[-1] != other[-1]


def _cross(one: Stems, other: Stems, ends: set[tuple[str, str]]) -> bool:
    """Whether two things differ: "in with full hand", "out with two fingers".

    Another filler then has the first word of one and the last of the other.
    """
    if min(len(one), len(other)) < 2:
        return False
    return bool({(one[0], other[-1]), (other[0], one[-1])} & ends)


def _keeps_action(labels: Sequence[Label], filler: _Filler) -> bool:
    """Whether the action of the filler's label stays in the context."""
    action, ((start, stop),) = labels[filler.label].action, filler.parts
    return action is None or not start <= action < stop


def _action(labels: Sequence[Label], edge: _Edge) -> Hashable:
    """The action in the context of an edge; the context itself where no word names one."""
    keeping = next(f for f in (edge.one, edge.other) if _keeps_action(labels, f))
    action = labels[keeping.label].action
    return edge.context if action is None else labels[keeping.label].stems[action]


def _is_repeated(pair: frozenset[Stems], actions: Sequence[Hashable]) -> bool:
    """Whether a pair differs for enough actions to be no accident; a missing word proves less.

    Actions count, not contexts: in a grid of three swipes by two kinds of fingers, every pair of
    swipes differs twice.
    """
    n_actions = len(set(actions))
    if () not in pair:
        return n_actions > 1
    return n_actions > 2 or (n_actions > 1 and max(map(len, pair)) > 1)


def _weights(labels: Sequence[Label]) -> dict[str, float]:
    """What each word says about a label: the more the rarer it is; see `siblings._weights`."""
    n_labels = Counter(word for label in labels for word in set(label.stems))
    return {word: 0.0 if word in FUNCTION_WORDS else n**-0.25 for word, n in n_labels.items()}


def _share(labels: Sequence[Label], weights: Mapping[str, float], filler: _Filler) -> float:
    """The part of its label's weight that a filler leaves to the context."""
    whole = sum(weights[word] for word in labels[filler.label].stems)
    return 1 - sum(weights[word] for word in filler.stems) / max(whole, 1e-12)


def _two_slots(labels: Sequence[Label]) -> list[_Edge]:
    """Opposite verbs with opposite last words: "pushing something away", "pulling something in".

    Not where one of the two varies alone, in some other label of the same middle.
    """
    by_middle: dict[Stems, list[_Filler]] = defaultdict(list)
    for index, label in enumerate(labels):
        n = len(label.stems)
        if n > 2 and may_be_opposite(label.stems[:1], ()) and read(label.stems[-1:]):
            ends = label.stems[0], label.stems[-1]
            by_middle[label.stems[1:-1]].append(_Filler(index, ends, ((0, 1), (n - 1, n))))
    edges = []
    for middle, fillers in by_middle.items():
        taken = {filler.stems for filler in fillers}
        for one, other in combinations(fillers[:MAX_FILLERS], 2):
            verb, last = zip(one.stems, other.stems, strict=True)
            swapped = {(verb[0], last[1]), (verb[1], last[0])} & taken
            by = contrast(one.stems, other.stems)
            if is_verbs(by) and verb[0] != verb[1] and last[0] != last[1] and not swapped:
                edges.append(_Edge(middle, str(by), one, other))
    return edges


def _whole_labels(labels: Sequence[Label]) -> list[_Edge]:
    """Labels of up to three words that are opposites: "sitting down", "standing up"."""
    fillers = [
        _Filler(index, label.stems, ((0, len(label.stems)),))
        for index, label in enumerate(labels)
        if len(label.stems) <= MAX_WHOLE and may_be_opposite(label.stems, ())
    ]
    edges = []
    for one, other in combinations(fillers[:MAX_OPPOSITES], 2):
        by = contrast(one.stems, other.stems)
        if is_verbs(by) and not set(one.stems) & set(other.stems):
            edges.append(_Edge((), str(by), one, other))
    return edges


def _components(edges: Sequence[_Edge]) -> list[list[_Edge]]:
    """Edges of one context and one kind of contrast that hang together."""
    joined = Joined()
    for edge in edges:
        joined.join(
            (edge.context, edge.by, edge.one.label), (edge.context, edge.by, edge.other.label)
        )
    parts: dict[Hashable, list[_Edge]] = defaultdict(list)
    for edge in edges:
        parts[joined.find((edge.context, edge.by, edge.one.label))].append(edge)
    return list(parts.values())


def _contrast(labels: Sequence[Label], edges: Sequence[_Edge]) -> Contrast:
    """The labels of some edges."""
    fillers = {filler.label: filler for edge in edges for filler in (edge.one, edge.other)}
    ordered = [fillers[label] for label in sorted(fillers)]
    written = [" ".join(labels[f.label].written(*part) for part in f.parts) for f in ordered]
    by = edges[0].by
    if not all(written):  # a text encoder needs a text, and an axis what is there or not
        longest: Stems = max((filler.stems for filler in ordered), key=len)
        by = f"{by} {' '.join(longest)}"
        written = [labels[filler.label].text for filler in ordered]
    members = tuple(zip(sorted(fillers), written, strict=True))
    return Contrast(_name(labels, ordered), members, by)


def _name(labels: Sequence[Label], fillers: Sequence[_Filler]) -> str:
    """What is left of the first label; or all labels where nothing is."""
    label, parts = labels[fillers[0].label], fillers[0].parts
    if parts == ((0, len(label.stems)),):
        return " / ".join(labels[filler.label].text for filler in fillers)
    kept, place = [], 0
    for start, stop in parts:
        before = label.spans[start][0] if start < len(label.spans) else len(label.text)
        kept.append(label.text[place:before])
        place = label.spans[stop - 1][1] if stop else 0
    kept.append(label.text[place:])
    return " … ".join(filter(None, (part.strip(" _+,-") for part in kept)))


def _largest(found: Sequence[Contrast]) -> tuple[Contrast, ...]:
    """Without those whose labels all are in another one; in the order of their first labels."""
    kept: list[tuple[set[int], Contrast]] = []
    holding: dict[int, list[set[int]]] = defaultdict(list)
    for one in sorted(found, key=lambda c: (-len(c.members), c.by.startswith(REPEATED))):
        places = {place for place, _ in one.members}
        if any(places <= others for others in holding[min(places)]):
            continue
        kept.append((places, one))
        for place in places:
            holding[place].append(places)
    return tuple(one for _, one in sorted(kept, key=lambda c: sorted(c[0])))
