"""Find labels that differ in one part only, by word alignment.

"swipe left with one finger" and "swipe right with one finger" have the context "swipe … with one
finger" and the fillers "left" and "right". They are a contrast if the fillers are a known contrast
(see `edgesplit.edits.vocabulary`), or if the same two fillers occur in another context, too. Any
part of a label may vary: "one finger" and "the whole hand" are another axis of the same labels.
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
"""Minimum part of a label's weight in its context, for contrasts by repetition. Rare words weigh
more."""

MAX_FILLERS = 64
"""Maximum fillers of a context that are compared; the first ones are."""

REPEATED = "repeated"
"""Kind of a contrast whose two fillers differ for other actions, too."""

MAX_COUNTED = 12
"""Maximum members of a contrast of numbers; more are numbered classes ("class 17"), not counts."""

MAX_OPPOSITES = 512
"""Maximum complete labels that are compared; the first ones with a verb that has an opposite."""

MAX_WHOLE = 3
"""Maximum words of a label that is compared as a whole with other labels."""


@dataclass(frozen=True, slots=True)
class Contrast:
    """At least two labels of one context whose fillers are a contrast."""

    name: str
    """Context, with "…" in place of the fillers: "swipe … with one finger"."""
    members: tuple[tuple[int, str], ...]
    """Index and filler, as written, of each label."""
    by: str
    """Kind in which the fillers are known to differ, or "repeated"; a word after it links contrasts
    with differently written fillers."""


@dataclass(frozen=True, slots=True)
class _Filler:
    """The varying part of a label in a context."""

    label: int
    stems: Stems
    parts: tuple[tuple[int, int], ...]
    """Word ranges in the label: one range, or a verb and the label's last word."""


_Context = tuple[int, int] | tuple[str, ...]
"""Numbers of a beginning and an end, or the middle of labels that vary at both ends."""


@dataclass(frozen=True, slots=True)
class _Edge:
    """Two fillers of one context that are a contrast."""

    context: _Context
    by: str
    """Kind in which they differ, or `REPEATED`."""
    one: _Filler
    other: _Filler


def find_contrasts(texts: Sequence[str]) -> tuple[Contrast, ...]:
    """Return the contrasts of a label list, in the order of their first labels.

    A pair of labels is compared in its longest context only: its fillers differ in their first and
    in their last word. A label may be in several contrasts, one for each part that varies.
    """
    if not texts:
        return ()
    labels = parse_labels(texts)
    contexts = _contexts(labels)
    edges = _edges(labels, contexts)
    edges += _two_slots(labels) + _whole_labels(labels)
    found = [_contrast(labels, part) for part in _components(edges)]
    return _largest([c for c in found if c.by != "count" or len(c.members) <= MAX_COUNTED])


def _contexts(labels: Sequence[Label]) -> dict[tuple[int, int], list[_Filler]]:
    """Return every context of at least two labels, with its fillers.

    A context is a beginning and an end. Both are numbered, as in a tree of prefixes, so that the
    contexts of ten thousand labels, most of which have one label only, are compared as numbers.
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
        after = np.array([ends.add(labels[i].stems[::-1])[::-1] for i in indices])
        pairs = np.stack([before[:, start], after[:, stop]], axis=-1)
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
    for (before, after), (index, start, stop) in zip(
        key[shared].tolist(), place[shared].tolist(), strict=True
    ):
        filler = _Filler(index, labels[index].stems[start:stop], ((start, stop),))
        found[before, after].append(filler)
    return found


class _Numbered:
    """Numbers for beginnings: equal beginnings get equal numbers, the empty one gets 0."""

    def __init__(self) -> None:
        self.numbers: dict[tuple[int, str], int] = {}
        self.names = [False]
        """For each beginning, True if one of its words may name a context."""

    def add(self, stems: Stems) -> list[int]:
        """Return the numbers of all beginnings of a text, the empty one first."""
        numbers = [0]
        for word in stems:
            key = numbers[-1], word
            if key not in self.numbers:
                self.numbers[key] = len(self.names)
                self.names.append(self.names[key[0]] or _may_name_context(word))
            numbers.append(self.numbers[key])
        return numbers


def _may_name_context(word: str) -> bool:
    """Return True if a context may be this word only; "up" may not: "pull ups", "push ups"."""
    poles = read((word,)) or ({},)
    return word not in FUNCTION_WORDS and "space" not in poles[0]


def _edges(
    labels: Sequence[Label], contexts: Mapping[tuple[int, int], list[_Filler]]
) -> list[_Edge]:
    """Return pairs of fillers that are a known contrast, or a contrast by repetition."""
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
    """Return True if first and last words differ, so that no longer context contains both."""
    if not one or not other:
        return one != other
    return one[0] != other[0] and one[-1] != other[-1]


def _cross(one: Stems, other: Stems, ends: set[tuple[str, str]]) -> bool:
    """Return True if two parts differ: "in with full hand", "out with two fingers".

    Another filler then has the first word of one and the last word of the other.
    """
    if min(len(one), len(other)) < 2:
        return False
    return bool({(one[0], other[-1]), (other[0], one[-1])} & ends)


def _keeps_action(labels: Sequence[Label], filler: _Filler) -> bool:
    """Return True if the action of the filler's label is in the context."""
    action, ((start, stop),) = labels[filler.label].action, filler.parts
    return action is None or not start <= action < stop


def _action(labels: Sequence[Label], edge: _Edge) -> Hashable:
    """Return the action in the context of an edge; the context if no word names an action."""
    keeping = next(f for f in (edge.one, edge.other) if _keeps_action(labels, f))
    action = labels[keeping.label].action
    return edge.context if action is None else labels[keeping.label].stems[action]


def _is_repeated(pair: frozenset[Stems], actions: Sequence[Hashable]) -> bool:
    """Return True if a pair occurs for so many actions that it is unlikely to be chance.

    A pair with an empty filler needs more actions. Actions count, not contexts: with three swipes
    by two kinds of fingers, every pair of swipes occurs in two contexts.
    """
    n_actions = len(set(actions))
    if () not in pair:
        return n_actions > 1
    return n_actions > 2 or (n_actions > 1 and max(map(len, pair)) > 1)


def _weights(labels: Sequence[Label]) -> dict[str, float]:
    """Return the weight of each word; rare words weigh more, see `siblings._weights`."""
    n_labels = Counter(word for label in labels for word in set(label.stems))
    return {word: 0.0 if word in FUNCTION_WORDS else n**-0.25 for word, n in n_labels.items()}


def _share(labels: Sequence[Label], weights: Mapping[str, float], filler: _Filler) -> float:
    """Return the part of a label's weight that is in the context of a filler."""
    total = sum(weights[word] for word in labels[filler.label].stems)
    return 1 - sum(weights[word] for word in filler.stems) / max(total, 1e-12)


def _two_slots(labels: Sequence[Label]) -> list[_Edge]:
    """Return edges of opposite verbs and last words: "pushing it away", "pulling it in".

    A pair is skipped if another label of the same middle has one verb with the other's last word.
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
    """Return edges of short labels that are opposites as a whole: "sitting down", "standing up"."""
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
    """Return the connected components of the edges of each context and kind of contrast."""
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
    """Return the contrast of one component of edges."""
    fillers = {filler.label: filler for edge in edges for filler in (edge.one, edge.other)}
    ordered = [fillers[label] for label in sorted(fillers)]
    written = [" ".join(labels[f.label].written(*part) for part in f.parts) for f in ordered]
    by = edges[0].by
    if not all(written):  # a filler is empty: use complete labels, linked by the longest filler
        longest: Stems = max((filler.stems for filler in ordered), key=len)
        by = f"{by} {' '.join(longest)}"
        written = [labels[filler.label].text for filler in ordered]
    members = tuple(zip(sorted(fillers), written, strict=True))
    return Contrast(_name(labels, ordered), members, by)


def _name(labels: Sequence[Label], fillers: Sequence[_Filler]) -> str:
    """Return the first label without its filler, or all labels if nothing remains."""
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
    """Return the contrasts that are not part of another one, in the order of their first labels."""
    kept: list[tuple[set[int], Contrast]] = []
    kept_with: dict[int, list[set[int]]] = defaultdict(list)
    for candidate in sorted(found, key=lambda c: (-len(c.members), c.by.startswith(REPEATED))):
        places = {place for place, _ in candidate.members}
        if any(places <= others for others in kept_with[min(places)]):
            continue
        kept.append((places, candidate))
        for place in places:
            kept_with[place].append(places)
    return tuple(candidate for _, candidate in sorted(kept, key=lambda c: sorted(c[0])))
