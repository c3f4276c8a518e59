"""Choose the clips to ask a person about: the clip nearest to the centre of each cluster.

A few answers about well-chosen clips are enough for a split (docs/method.md). k-means divides the
clips that the head gives to the class into as many clusters as there are questions. Answered clips
are fixed centres.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from edgesplit._threads import single_threaded_blas
from edgesplit._types import Float64, Int64
from edgesplit.edits.answers import near_labelled
from edgesplit.edits.naming import check_features, find_split, grow, read_answers
from edgesplit.edits.problem import find_given
from edgesplit.edits.report import Report
from edgesplit.edits.request import SplitRequest
from edgesplit.edits.rules.base import settled
from edgesplit.edits.whitening import Whitening, distances
from edgesplit.errors import EditError, FeatureSpaceError
from edgesplit.heads.head import Head
from edgesplit.heads.statistics import Statistics, spread

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["ENOUGH_SEPARATION", "MOST_ANSWERS", "choose_clips", "pays"]

ENOUGH_SEPARATION = 0.9
"""Separation from which another answer is not worth its cost."""
MOST_ANSWERS = 3
"""Maximum answers per subcategory: more answers gain little."""
N_ITERATIONS = 30
N_CANDIDATES = 256
"""Number of clips among which the initial centres are chosen."""


@single_threaded_blas
def choose_clips(
    head: Head,
    name: str,
    request: SplitRequest,
    features: npt.ArrayLike,
    n: int,
    *,
    statistics: Statistics | None = None,
) -> Int64:
    """Choose the clips whose answers help a split most.

    Args:
        head: the head to be edited.
        name: the class, as in `LabelTree.find`.
        request: the request for the split; its answers, about these features, are used, too.
        features: `(clips, dim)`: unlabelled clips of any classes.
        n: number of clips to choose.
        statistics: statistics of unlabelled clips; default: those of `features`.

    Returns:
        Indices in `features`, at most n, the clip of the largest cluster first. Answered clips are
        never chosen.

    Raises:
        LabelError: the class does not exist or is ambiguous.
        EditError: the class cannot be split as requested, or the head gives none of the clips
            without an answer to it.
        FeatureSpaceError: the features or the statistics are of another backbone.
        ValueError: the features are not a matrix or not finite, or n is below 1.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1 clip to ask about, got {n}")
    if statistics is not None and statistics.feature_space != head.feature_space:
        raise FeatureSpaceError("The statistics were made with a head of another feature space.")
    tree = head.tree
    column, subcategories = find_split(tree, name, request.into)
    clips = check_features(features, head.dim, "the features")
    grow(tree, column, subcategories, request.composition)  # raises before a person is asked
    _, answers = read_answers(replace(request, features=clips), subcategories, head.dim)
    answered = [place for place, _ in answers]
    of_class = find_given(head, column, clips)
    of_class[answered] = False
    places = np.flatnonzero(of_class)
    if not len(places):
        raise EditError(
            f"The head gives none of the {len(clips)} clips"
            f"{' without an answer' if answered else ''} to {tree[column].label!r}. Use other "
            "clips."
        )
    statistics = statistics or Statistics.from_features(head, clips)
    space = Whitening(
        clips[places].mean(axis=0, dtype=np.float64), statistics.covariance.astype(np.float64)
    )
    points = space.points(clips[places].astype(np.float64))
    fixed = space.points(clips[answered].astype(np.float64))
    shows_one = np.array([owner >= 0 for _, owner in answers], bool)
    kept = near_labelled(points, fixed[shows_one], fixed[~shows_one])
    if kept.any():
        places, points = places[kept], points[kept]
    return places[_nearest_to_centres(points, fixed, n)]


def pays(report: Report) -> bool:
    """Return True if another answer is worth its cost, after a split with answers.

    This is so while a subcategory has no answer or the separation is below `ENOUGH_SEPARATION`, up
    to `MOST_ANSWERS` answers per subcategory.
    """
    shots = report.shots
    if shots is None:
        return True
    n_answers = sum(shots.clips) + shots.n_neither
    if n_answers >= MOST_ANSWERS * len(shots.clips):
        return False
    return shots.separation is None or shots.separation < ENOUGH_SEPARATION or not all(shots.clips)


def _nearest_to_centres(points: Float64, fixed: Float64, n: int) -> Int64:
    """Return indices of the points nearest to n centres, found by k-means with `fixed` centres.

    The initial centres are chosen greedily: each is the candidate that reduces the mean distance
    of all points to their nearest centre most.
    """
    if len(points) <= n:
        return np.arange(len(points))
    candidates = points[spread(len(points), N_CANDIDATES)]
    far = distances(candidates, points)
    nearest = distances(points, fixed).min(axis=1) if len(fixed) else np.full(len(points), np.inf)
    chosen = []
    for _ in range(n):
        nearer = np.minimum(far, nearest)
        best = int(settled(nearer.mean(axis=1)).argmin())
        chosen.append(best)
        nearest = nearer[best]
    centres = candidates[chosen]
    owner = np.full(len(points), -1)
    for _ in range(N_ITERATIONS):
        before = owner
        owner = settled(distances(points, np.concatenate([centres, fixed]))).argmin(axis=1)
        if np.array_equal(owner, before):
            break
        for cluster in range(n):
            if np.any(owner == cluster):
                centres[cluster] = points[owner == cluster].mean(axis=0)
    found: list[int] = []
    for cluster in np.argsort(-np.bincount(owner, minlength=n)[:n], kind="stable"):
        far_from = settled(distances(points, centres[cluster : cluster + 1])[:, 0])
        near = np.argsort(far_from, kind="stable")
        found.append(next(int(place) for place in near if int(place) not in found))
    return np.array(found, np.int64)
