"""The inputs of a split: the class, its subcategories, the head's knowledge, and clips."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edgesplit._types import Float32, Float64, Int64
from edgesplit.edits.embedding import embed_texts, exported_columns
from edgesplit.edits.groups import (
    Axis,
    Group,
    Taxonomy,
    find_axes,
    known_groups,
)
from edgesplit.edits.naming import (
    Subcategories,
    correct_names,
    find_split,
    grow,
    place_shots,
    read_answers,
)
from edgesplit.edits.request import SplitRequest
from edgesplit.edits.rules.base import LabelRows, TransferProblem, members_of
from edgesplit.edits.text_encoder import TextEncoder, packaged_encoder
from edgesplit.edits.whitening import Whitening
from edgesplit.errors import EditError, FeatureSpaceError
from edgesplit.heads.head import Head
from edgesplit.heads.labels import DIGEST_DIGITS, LabelTree
from edgesplit.heads.statistics import MIN_CLASS_CLIPS, Statistics, spread

__all__ = [
    "Answer",
    "ClassClips",
    "SplitProblem",
    "find_given",
    "pose_problem",
    "take_labelled",
]

MAX_CLIPS = 512
"""Maximum unlabelled clips of the class that rows are fitted to: more take time and gain little."""


@dataclass(frozen=True, slots=True, eq=False)
class ClassClips:
    """Unlabelled clips of the class, or of its nearest ancestor with enough clips."""

    features: Float64
    """`(clips, dim)`; no row without statistics."""
    mean: Float64 | None
    """`(dim,)`; None for fewer than `MIN_CLASS_CLIPS` clips."""
    count: int
    """Number of clips for the mean; may be larger than `features`, which is a sample."""


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """A person's answer about one clip."""

    clip: int
    """Index of the clip in the request's features."""
    subcategory: int
    """Index of the subcategory that the clip shows; -1 if it shows none of them."""
    feature: Float32
    """`(dim,)`: feature of the clip."""

    @property
    def digest(self) -> str:
        """Identity of the clip: 16 hex digits of the sha256 of its feature's float32 bytes."""
        return hashlib.sha256(self.feature.astype("<f4").tobytes()).hexdigest()[:DIGEST_DIGITS]


@dataclass(frozen=True, slots=True, eq=False)
class SplitProblem:
    """The inputs shared by all stages of a split; no stage changes them."""

    head: Head
    column: int
    """Column of the class."""
    request: SplitRequest
    subcategories: Subcategories
    read_as: Subcategories
    """Subcategories with misspelt words replaced by the head's words."""
    tree: LabelTree
    """Label tree after the split; the new nodes are the last ones, without provenance yet."""
    transfer: TransferProblem
    """Input of the rule."""
    axes: tuple[Axis, ...]
    """Axes of the groups."""
    groups: tuple[Group, ...]
    """Known groups; their members, one after another, are in the order of `transfer.known`."""
    known_columns: Int64
    """`(known,)`: columns of the groups' members."""
    group_names: Float64
    """`(groups, text dim)`: embeddings of the groups' names."""
    class_name: Float64
    """`(text dim,)`: embedding of the class's label."""
    class_clips: ClassClips
    """All given clips of the class."""
    clips: ClassClips
    """Clips of the class that are not labelled."""
    labelled: tuple[Float64, ...]
    """Features `(clips, dim)` of each subcategory's labelled clips, answers included."""
    answers: tuple[Answer, ...]
    """Answers about clips, in the order of the clips."""
    statistics: Statistics | None
    whitening: Whitening | None
    """Whitening around the class's mean; None if the mean is unknown."""

    @property
    def modifiers(self) -> tuple[str, ...]:
        """Modifiers of the subcategories, in order."""
        return tuple(modifier for _, modifier in self.subcategories)

    @property
    def known_labels(self) -> tuple[str, ...]:
        """Labels of the groups' members, in order."""
        return tuple(member.label for group in self.groups for member in group.members)

    @property
    def has_labelled(self) -> bool:
        """True if some subcategory has a labelled clip."""
        return any(map(len, self.labelled))

    @property
    def not_shown(self) -> tuple[str, ...]:
        """Modifiers of the subcategories without a labelled clip."""
        pairs = zip(self.modifiers, self.labelled, strict=True)
        return tuple(modifier for modifier, clips in pairs if not len(clips))

    @property
    def neither(self) -> Float64:
        """`(clips, dim)`: features of the clips that show no subcategory, by their answers."""
        found = [answer.feature for answer in self.answers if answer.subcategory < 0]
        return np.reshape(found, (len(found), self.head.dim)).astype(np.float64)


def pose_problem(
    head: Head,
    name: str,
    request: SplitRequest,
    *,
    statistics: Statistics | None,
    taxonomy: Taxonomy | None,
    encoder: TextEncoder | None,
) -> SplitProblem:
    """Name the subcategories, embed the texts, and collect the knowledge and the clips.

    Arguments and errors are those of `edgesplit.edits.split.split_class`.
    """
    if statistics is not None and statistics.feature_space != head.feature_space:
        raise FeatureSpaceError("The statistics were made with a head of another feature space.")
    tree = head.tree
    column, subcategories = find_split(tree, name, request.into)
    grown = grow(tree, column, subcategories, request.composition)
    given, _ = read_answers(request, subcategories, head.dim)
    if statistics is None and len(given):
        statistics = Statistics.from_features(head, given)
    clips = _clips_of(head, column, statistics)
    if len(given):
        of_class = given[find_given(head, column, given)].astype(np.float64)
        if len(of_class) >= MIN_CLASS_CLIPS:
            sample = of_class[spread(len(of_class), MAX_CLIPS)]
            clips = ClassClips(sample, of_class.mean(axis=0), len(of_class))
    groups = known_groups(tree, target=column, taxonomy=taxonomy, like=request.like)
    members = [member for group in groups for member in group.members]
    columns = np.array([member.column for member in members], np.int64)
    owner = np.array([i for i, group in enumerate(groups) for _ in group.members], np.int64)
    encoder = encoder or packaged_encoder()
    exported = exported_columns(tree, columns, encoder)
    read_as = correct_names(subcategories, tree, encoder)
    wanted, known, labels, names = embed_texts(tree, column, read_as, groups, exported, encoder)
    rows = head.weight.astype(np.float64)
    means, n_clips = _means(columns, owner, statistics)
    place = {label_column: i for i, label_column in enumerate(exported)}
    problem = SplitProblem(
        head=head,
        column=column,
        request=request,
        subcategories=subcategories,
        read_as=read_as,
        tree=grown,
        transfer=TransferProblem(
            wanted=wanted,
            known=known,
            vectors=_centred(rows[columns], owner),
            labels=LabelRows(
                labels, rows[exported], np.array([place.get(c, -1) for c in columns], np.int64)
            ),
            group_names=names[:-1],
            group_rows=_group_means(rows[columns], owner),
            means=means,
            n_clips=n_clips,
        ),
        axes=find_axes(groups),
        groups=groups,
        known_columns=columns,
        group_names=names[:-1],
        class_name=names[-1],
        class_clips=clips,
        clips=clips,
        labelled=(),
        answers=(),
        statistics=statistics,
        whitening=_whiten(clips, statistics),
    )
    return take_labelled(problem, request)


def take_labelled(problem: SplitProblem, request: SplitRequest) -> SplitProblem:
    """Return the problem with the labelled clips of `request` in place of its own.

    The texts are not read again: `request` may differ from the problem's request only in shots,
    answers and accepting a doubt. Errors are those of `edgesplit.edits.split.split_class`.
    """
    subcategories, dim = problem.subcategories, problem.head.dim
    given, placed = read_answers(request, subcategories, dim)
    answers = tuple(Answer(clip, owner, given[clip]) for clip, owner in placed)
    shots = place_shots(request.shots or {}, subcategories, dim)
    labelled = _add_answers(shots, answers, subcategories)
    return replace(
        problem,
        request=request,
        clips=_without(problem.class_clips, answers, labelled),
        labelled=tuple(labelled),
        answers=answers,
    )


def find_given(head: Head, column: int, features: Float32) -> npt.NDArray[np.bool_]:
    """Return a mask `(clips,)` of the clips that the head gives to a class or one below it."""
    if not len(features):
        return np.zeros(0, bool)
    decided = head.evaluate(features).class_index
    inside = [c for c in np.unique(decided).tolist() if column in head.tree.path(c)]
    return np.isin(decided, inside)


def _clips_of(head: Head, column: int, statistics: Statistics | None) -> ClassClips:
    if statistics is None:
        return ClassClips(np.zeros((0, head.dim)), None, 0)
    root, *below = head.tree.path(column)
    clips = statistics.of_class(root).astype(np.float64)
    if below and len(clips):
        decided = head.evaluate(clips).class_index
        paths = {leaf: head.tree.path(leaf) for leaf in np.unique(decided).tolist()}
        for part in reversed(below):
            of_part = clips[[part in paths[leaf] for leaf in decided.tolist()]]
            if len(of_part) >= MIN_CLASS_CLIPS:
                return ClassClips(of_part, of_part.mean(axis=0), len(of_part))
    count = int(statistics.counts[root])
    mean = statistics.means[root].astype(np.float64) if count >= MIN_CLASS_CLIPS else None
    return ClassClips(clips, mean, count)


def _whiten(clips: ClassClips, statistics: Statistics | None) -> Whitening | None:
    if statistics is None or clips.mean is None:
        return None
    return Whitening(clips.mean, statistics.covariance.astype(np.float64))


def _add_answers(
    shots: Sequence[Float64], answers: Sequence[Answer], subcategories: Subcategories
) -> list[Float64]:
    """Return the labelled clips with the answered ones; a clip in both counts once.

    Raises:
        EditError: an answer contradicts the subcategory under which its clip was given.
    """
    owner = {row.tobytes(): i for i, part in enumerate(shots) for row in part.astype(np.float32)}
    labelled = [*shots]
    for answer in answers:
        answered, known = answer.subcategory, owner.get(answer.feature.tobytes())
        if known is None and answered >= 0:
            labelled[answered] = np.vstack([labelled[answered], answer.feature])
        elif known not in (None, answered):
            names = [*(modifier for _, modifier in subcategories), "none of them"]
            raise EditError(
                f"The answer about clip {answer.clip} is {names[answered]!r}, but the clip is "
                f"among the labelled clips of {names[known]!r}. Correct one of the two."
            )
    return labelled


def _without(clips: ClassClips, answers: Sequence[Answer], labelled: list[Float64]) -> ClassClips:
    """Return the clips without the labelled and the answered ones."""
    known = {answer.feature.tobytes() for answer in answers}
    known |= {row.tobytes() for part in labelled for row in part.astype(np.float32)}
    kept = [row.tobytes() not in known for row in clips.features.astype(np.float32)]
    return replace(clips, features=clips.features[kept]) if known else clips


def _group_means(rows: Float64, owner: Int64) -> Float64:
    """Return the mean `(groups, dim)` of each group's rows."""
    means = [rows[members].mean(axis=0) for members in members_of(owner)]
    return np.reshape(means, (len(means), rows.shape[1]))


def _means(
    columns: Int64, owner: Int64, statistics: Statistics | None
) -> tuple[Float64 | None, Int64 | None]:
    """Return the known labels' mean features, centred on their groups, and numbers of clips."""
    if statistics is None:
        return None, None
    n_roots = len(statistics.counts)
    inside = columns < n_roots  # a subcategory has no mean
    place = np.where(inside, columns, 0)
    n_clips = np.where(inside, statistics.counts[place], 0)
    means = statistics.means[place].astype(np.float64)
    for members in members_of(owner):
        if n_clips[members].min() < MIN_CLASS_CLIPS:  # the group cannot be used
            n_clips[members] = 0
            means[members] = 0
    return _centred(means, owner), n_clips


def _centred(rows: Float64, owner: Int64) -> Float64:
    """Return rows minus the mean of their group's rows, changed in place."""
    for members in members_of(owner):
        rows[members] -= rows[members].mean(axis=0)
    return rows
