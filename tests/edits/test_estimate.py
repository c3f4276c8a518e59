"""What unlabelled clips say of a split before anybody has seen a labelled one."""

from collections.abc import Sequence

import numpy as np
import pytest

from edgesplit._types import Float64
from edgesplit.edits.answers import MIN_SEEN
from edgesplit.edits.estimate import (
    HIGHEST,
    LOWEST,
    PER_PRECEDENT,
    Estimate,
    accuracy_of_gain,
    estimate_accuracy,
    find_gains,
    separation_of,
)
from edgesplit.edits.fitting import fit_rows, fit_temperature
from edgesplit.edits.problem import SplitProblem, pose_problem
from edgesplit.edits.refit import middle_of
from edgesplit.edits.request import SplitRequest
from edgesplit.edits.rules.alignment import alignment, leave_groups_out
from edgesplit.edits.rules.base import Texts, TransferProblem
from edgesplit.edits.split import split_class
from edgesplit.edits.text_encoder import TextEncoder
from edgesplit.edits.transfer import ZeroShot, transfer_rows
from edgesplit.errors import DoubtfulSplitError, FeatureSpaceError
from edgesplit.heads.head import Head
from edgesplit.heads.labels import Composition
from edgesplit.heads.statistics import MIN_CLASS_CLIPS, Statistics

ACTIONS = ("pulling", "moving", "sliding", "carrying", "turning")
N_CLIPS = 40


def expect(problem: SplitProblem, zero_shot: ZeroShot) -> Estimate | None:
    return estimate_accuracy(problem, zero_shot, find_gains(problem, zero_shot))


class World:
    """Features made by hand: an action's place plus "left" or "right", which some actions mirror.

    "pushing" is known by its coarse label only; its clips go left and right like all others'.
    """

    def __init__(self, mirrored: Sequence[str] = (), *, push: float = 1.0) -> None:
        rng = np.random.default_rng(0)
        side = np.eye(24)[0]
        self.places = {name: 4 * np.eye(24)[i + 1] for i, name in enumerate((*ACTIONS, "pushing"))}
        labels, rows, clips, self.truth = [], [], [], []
        for action, place in self.places.items():
            step = -1.0 if action in mirrored else 1.0
            for name, sign in (("left", 1.0), ("right", -1.0)):
                centre = place + sign * step * (push if action == "pushing" else 1.0) * side
                noise = 0.3 * rng.standard_normal((N_CLIPS, 24))
                clips.append(centre + noise + 0.5)  # features are not around zero
                if action == "pushing":
                    self.truth += [name] * N_CLIPS
                else:
                    labels.append(f"{action} something {name}")
                    rows.append(place + sign * step * side)
        labels.append("pushing something")
        rows.append(self.places["pushing"])
        weight = 3 * np.array(rows)
        bias = -0.5 * (weight * (np.array(rows) + 1)).sum(axis=1)
        self.head = Head.from_arrays(weight, bias, labels, feature_space="f" * 64)
        self.features = np.concatenate(clips).astype(np.float32)
        self.pushing = self.features[-2 * N_CLIPS :]
        self.statistics = Statistics.from_features(self.head, self.features)

    def pose(
        self, encoder: TextEncoder, statistics: Statistics | None
    ) -> tuple[SplitProblem, ZeroShot]:
        request = SplitRequest(["left", "right"])
        problem = pose_problem(
            self.head, "pushing", request, statistics=statistics, taxonomy=None, encoder=encoder
        )
        return problem, transfer_rows(problem)


def test_leaving_a_group_out_is_the_regression_without_it() -> None:
    rng = np.random.default_rng(0)

    def texts(n: int, siblings: list[int]) -> Texts:
        modifiers, labels = rng.standard_normal((2, n, 12))
        return Texts(modifiers, labels, np.array(siblings))

    known = texts(9, [0, 0, 1, 1, 1, 2, 2, 3, 3])
    problem = TransferProblem(texts(2, [0, 0]), known, rng.standard_normal((9, 5)))
    rows = leave_groups_out(problem)
    for group in range(4):
        inside = known.siblings == group

        def part(chosen: np.ndarray) -> Texts:
            return Texts(known.modifiers[chosen], known.labels[chosen], known.siblings[chosen])

        alone = alignment(
            TransferProblem(part(inside), part(~inside), problem.vectors[~inside])
        ).rows
        np.testing.assert_allclose(rows[inside], alone, atol=1e-12)


def estimate_of(world: World, encoder: TextEncoder) -> Estimate:
    found = expect(*world.pose(encoder, world.statistics))
    assert found is not None
    return found


def test_a_split_with_good_precedents_and_spread_clips_is_trusted(encoder: TextEncoder) -> None:
    estimate = estimate_of(World(), encoder)
    assert estimate.precedent > 0.9
    assert estimate.spread > 2
    assert estimate.accuracy == accuracy_of_gain(HIGHEST, 2)


def test_groups_that_contradict_each_other_are_no_precedent(encoder: TextEncoder) -> None:
    estimate = estimate_of(World(mirrored=ACTIONS[::2]), encoder)
    assert estimate.precedent < 0.3
    assert estimate.gain < estimate_of(World(), encoder).gain - PER_PRECEDENT / 2


def test_clips_that_do_not_differ_are_no_ground_for_trust(encoder: TextEncoder) -> None:
    estimate = estimate_of(World(push=0.0), encoder)
    assert estimate.spread == pytest.approx(1, abs=0.25)
    assert estimate.gain < estimate_of(World(), encoder).gain - 0.3


class NamedEncoder(TextEncoder):
    """Texts are alike by their words; "pushing" and "turning" count as one word."""

    def __init__(self, words_alike: TextEncoder) -> None:
        super().__init__(words_alike.folder, digest="named", dim=64, max_tokens=128)
        self.inner = words_alike

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        return self.inner.encode([t.replace("turning", "pushing") for t in texts])


def test_precedents_count_by_the_likeness_of_their_names(encoder: TextEncoder) -> None:
    world = World(mirrored=["turning"])
    assert estimate_of(world, encoder).precedent > 0
    assert estimate_of(world, NamedEncoder(encoder)).precedent < -0.5


def test_too_few_clips_say_nothing(encoder: TextEncoder) -> None:
    world = World()
    few = Statistics.from_features(world.head, world.features[: -2 * N_CLIPS + MIN_CLASS_CLIPS - 1])
    some = Statistics.from_features(world.head, world.features[: -2 * N_CLIPS + MIN_SEEN - 1])
    problem, zero_shot = world.pose(encoder, few)
    assert expect(problem, zero_shot) is None
    fitted = fit_rows(problem, zero_shot, None)
    assert (fitted.n_clips, fitted.temperature, fitted.expected) == (0, 1.0, None)
    assert not fitted.bias.any()
    problem, zero_shot = world.pose(encoder, some)
    fitted = fit_rows(problem, zero_shot, expect(problem, zero_shot))
    assert (fitted.n_clips, fitted.expected) == (MIN_SEEN - 1, None)
    edit = split_class(
        world.head,
        "pushing",
        into=["left", "right"],
        statistics=few,
        encoder=encoder,
        accept_doubt=True,
    )
    assert any("only 4 of the bundle's clips" in warning for warning in edit.report.warnings)
    assert expect(*world.pose(encoder, None)) is None


# Centring


@pytest.mark.parametrize("composition", ["gated", "flat"])
def test_rows_are_centred_on_the_class(encoder: TextEncoder, composition: Composition) -> None:
    world = World()
    into = ["left", "right"]
    edit = split_class(
        world.head,
        "pushing",
        into=into,
        statistics=world.statistics,
        encoder=encoder,
        composition=composition,
        accept_doubt=True,
    )
    assert edit.report.n_clips == 2 * N_CLIPS
    relative = world.statistics.means[10] @ edit.head.weight[11:].T + edit.head.bias[11:]
    np.testing.assert_allclose(relative, 0, atol=1e-3)
    decided = edit.head.classify(world.pushing)
    wanted = [f"pushing something {side}" for side in world.truth]
    assert np.mean([got == want for got, want in zip(decided, wanted, strict=True)]) > 0.97


@pytest.mark.parametrize("n_right", [N_CLIPS, MIN_CLASS_CLIPS, MIN_CLASS_CLIPS - 1])
def test_a_nested_split_is_centred_on_the_nearest_class_with_clips_enough(
    encoder: TextEncoder, n_right: int
) -> None:
    world = World()
    into = ["left", "right"]
    once = split_class(
        world.head,
        "pushing",
        into=into,
        statistics=world.statistics,
        encoder=encoder,
        accept_doubt=True,
    )
    pushing = world.pushing[: N_CLIPS + n_right]
    right = pushing[np.array(once.head.classify(pushing)) == "pushing something right"]
    assert len(right) == n_right
    some = Statistics.from_features(
        world.head, world.features[: len(world.features) - N_CLIPS + n_right]
    )
    edit = split_class(
        once.head,
        "pushing something right",
        into=into,
        statistics=some,
        encoder=encoder,
        accept_doubt=True,
    )
    near = right if n_right >= MIN_CLASS_CLIPS else pushing
    assert edit.report.n_clips == len(near)
    relative = near @ edit.head.weight[13:].T + edit.head.bias[13:]
    middle = middle_of(relative) if len(near) >= MIN_SEEN else relative.mean(axis=0)
    np.testing.assert_allclose(middle, 0, atol=1e-3)


def test_without_centring_one_subcategory_may_take_all(encoder: TextEncoder) -> None:
    # The features' mean has a share in every direction, which a copied bias does not know of.
    world = World()
    shifted = world.pushing + np.float32(3) * np.eye(24, dtype=np.float32)[0]
    edit = split_class(
        world.head, "pushing", into=["left", "right"], encoder=encoder, accept_doubt=True
    )
    children = edit.head.tree.children(10)
    scores = edit.head.evaluate(shifted).logits[:, children.start : children.stop]
    assert set(scores.argmax(axis=1)) == {0}


def test_the_temperature_makes_scores_as_sure_as_expected(encoder: TextEncoder) -> None:
    world = World()
    edit = split_class(
        world.head,
        "pushing",
        into=["left", "right"],
        statistics=world.statistics,
        encoder=encoder,
        accept_doubt=True,
    )
    estimate = edit.report.estimate
    assert estimate is not None
    assert edit.head.tree[10].temperature != 1
    result = edit.head.evaluate(world.pushing)
    share = result.probabilities[:, 11:].max(axis=1) / result.probabilities[:, 10]
    assert share.mean() == pytest.approx(estimate.accuracy, abs=0.02)


def test_a_split_that_points_the_wrong_way_asks_first(encoder: TextEncoder) -> None:
    world = World(mirrored=["turning"], push=0.1)
    named = NamedEncoder(encoder)
    with pytest.raises(
        DoubtfulSplitError,
        match=r"its expected accuracy is .*chance.*similar names.*--accept-doubt",
    ):
        split_class(
            world.head,
            "pushing",
            into=["left", "right"],
            statistics=world.statistics,
            encoder=named,
        )


def test_statistics_of_another_backbone_are_refused(encoder: TextEncoder) -> None:
    world = World()
    other = Head.from_arrays(world.head.weight, world.head.bias, world.head.labels)
    with pytest.raises(FeatureSpaceError, match="another feature space"):
        split_class(other, "pushing", into=["a", "b"], statistics=world.statistics, encoder=encoder)


# Temperature


@pytest.mark.parametrize("wanted", [0.55, 0.7, 0.9])
def test_temperature_is_found_to_a_step(wanted: float) -> None:
    scores: Float64 = np.random.default_rng(0).standard_normal((500, 2)) * 3
    temperature = fit_temperature(scores, wanted)
    shares = np.exp(scores / temperature)
    shares /= shares.sum(axis=1, keepdims=True)
    assert shares.max(axis=1).mean() == pytest.approx(wanted, abs=0.02)


def test_expected_accuracy_is_never_certain() -> None:
    assert accuracy_of_gain(7.0, 4) == pytest.approx(0.25 + 0.75 * HIGHEST)
    assert accuracy_of_gain(-7.0, 4) == pytest.approx(0.25 + 0.75 * LOWEST)
    assert accuracy_of_gain(0.5, 2) == pytest.approx(0.75)


# Separation


def test_heaps_part_more_than_one_cloud_does() -> None:
    rng = np.random.default_rng(0)
    cloud = rng.standard_normal((4000, 1)) @ np.array([[1.0, -1.0]])
    assert separation_of(cloud) == pytest.approx(2 / np.pi, abs=0.02)
    heaps = np.repeat([[1.0, -1.0], [-1.0, 1.0]], 20, axis=0)
    assert separation_of(heaps) == pytest.approx(1)
    assert separation_of(heaps + 0.3 * rng.standard_normal(heaps.shape)) > 0.8


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e9])
def test_separation_does_not_know_the_scale_or_what_all_scores_share(scale: float) -> None:
    scores = np.random.default_rng(0).standard_normal((50, 3))
    assert separation_of(scale * (scores + 5)) == pytest.approx(separation_of(scores), abs=0.01)
    assert 0 <= separation_of(scores) <= 1


@pytest.mark.parametrize("score", [0.0, 0.1, 1e9])
def test_clips_that_all_score_alike_are_not_apart(score: float) -> None:
    # 1 would say that they lie in heaps without width, and that the split is sure.
    assert separation_of(np.full((20, 2), score)) == 0
    assert separation_of(np.tile([score, 0.3], (20, 1))) == 0
