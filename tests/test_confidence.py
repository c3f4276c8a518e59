"""What unlabelled clips say of a split before anybody has seen a labelled one."""

from collections.abc import Sequence

import numpy as np
import pytest

from edgesplit.edits.estimate import (
    HIGHEST,
    LOWEST,
    MIN_SEEN,
    Confidence,
    fit_temperature,
    look,
    measure,
    predict_accuracy,
)
from edgesplit.edits.problem import Question, ask
from edgesplit.edits.rules.alignment import alignment, leave_groups_out
from edgesplit.edits.rules.base import Floats, Request, Texts
from edgesplit.edits.split import split_class
from edgesplit.edits.text_encoder import TextEncoder
from edgesplit.errors import FeatureSpaceError, UncertainSourceError
from edgesplit.heads.head import Head
from edgesplit.heads.labels import Composition
from edgesplit.heads.statistics import MIN_CLIPS, Statistics

ACTIONS = ("pulling", "moving", "sliding", "carrying", "turning")
N_CLIPS = 40


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

    def ask(self, encoder: TextEncoder, statistics: Statistics | None = None) -> Question:
        from edgesplit.edits.groups import known_groups

        column = self.head.tree.find("pushing")
        groups = known_groups(self.head.tree, target=column, taxonomy=None, like=None)
        wanted = [(f"pushing something {side}", side) for side in ("left", "right")]
        return ask(self.head, column, groups, wanted, encoder, statistics or self.statistics)


def test_leaving_a_group_out_is_the_regression_without_it() -> None:
    rng = np.random.default_rng(0)

    def texts(n: int, siblings: list[int]) -> Texts:
        modifiers, labels = rng.standard_normal((2, n, 12))
        return Texts(modifiers, labels, np.array(siblings))

    known = texts(9, [0, 0, 1, 1, 1, 2, 2, 3, 3])
    request = Request(texts(2, [0, 0]), known, rng.standard_normal((9, 5)))
    rows = leave_groups_out(request)
    for group in range(4):
        inside = known.siblings == group

        def part(chosen: np.ndarray) -> Texts:
            return Texts(known.modifiers[chosen], known.labels[chosen], known.siblings[chosen])

        alone = alignment(Request(part(inside), part(~inside), request.vectors[~inside])).rows
        np.testing.assert_allclose(rows[inside], alone, atol=1e-12)


def confidence_of(world: World, encoder: TextEncoder) -> Confidence:
    question = world.ask(encoder)
    found = measure(question, alignment(question.request).rows, world.statistics)
    assert found is not None
    return found


def test_a_split_with_good_precedents_and_spread_clips_is_trusted(encoder: TextEncoder) -> None:
    confidence = confidence_of(World(), encoder)
    assert confidence.precedent > 0.9
    assert confidence.spread > 2
    assert confidence.accuracy == predict_accuracy(HIGHEST, 2)


def test_groups_that_contradict_each_other_are_no_precedent(encoder: TextEncoder) -> None:
    confidence = confidence_of(World(mirrored=ACTIONS[::2]), encoder)
    assert confidence.precedent < 0.3
    assert confidence.gain < confidence_of(World(), encoder).gain - 0.4


def test_clips_that_do_not_differ_are_no_ground_for_trust(encoder: TextEncoder) -> None:
    confidence = confidence_of(World(push=0.0), encoder)
    assert confidence.spread == pytest.approx(1, abs=0.25)
    assert confidence.gain < confidence_of(World(), encoder).gain - 0.3


class NamedEncoder(TextEncoder):
    """Texts are alike by their words; "pushing" and "turning" count as one word."""

    def __init__(self, words_alike: TextEncoder) -> None:
        super().__init__(words_alike.folder, digest="named", dim=64, max_tokens=128)
        self.inner = words_alike

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        return self.inner.encode([t.replace("turning", "pushing") for t in texts])


def test_precedents_count_by_the_likeness_of_their_names(encoder: TextEncoder) -> None:
    world = World(mirrored=["turning"])
    assert confidence_of(world, encoder).precedent > 0
    assert confidence_of(world, NamedEncoder(encoder)).precedent < -0.5


def test_too_few_clips_say_nothing(encoder: TextEncoder) -> None:
    world = World()
    few = Statistics.from_features(world.head, world.features[: -2 * N_CLIPS + MIN_CLIPS - 1])
    some = Statistics.from_features(world.head, world.features[: -2 * N_CLIPS + MIN_SEEN - 1])
    question = world.ask(encoder, few)
    rows = alignment(question.request).rows
    assert measure(question, rows, few) is None
    sight = look(question, rows, few, None)
    assert (sight.n_clips, sight.temperature, sight.confidence) == (0, 1.0, None)
    assert not sight.bias.any()
    question = world.ask(encoder, some)
    seen = look(question, rows, some, measure(question, rows, some))
    assert (seen.n_clips, seen.confidence) == (MIN_SEEN - 1, None)
    edit = split_class(
        world.head, "pushing", into=["left", "right"], statistics=few, encoder=encoder, force=True
    )
    assert any("only 4 of the bundle's clips" in warning for warning in edit.report.warnings)
    assert measure(question, rows, None) is None


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
        force=True,
    )
    assert edit.report.n_clips == 2 * N_CLIPS
    relative = world.statistics.means[10] @ edit.head.weight[11:].T + edit.head.bias[11:]
    np.testing.assert_allclose(relative, 0, atol=1e-3)
    decided = edit.head.classify(world.pushing)
    wanted = [f"pushing something {side}" for side in world.truth]
    assert np.mean([got == want for got, want in zip(decided, wanted, strict=True)]) > 0.97


@pytest.mark.parametrize("n_right", [N_CLIPS, MIN_CLIPS, MIN_CLIPS - 1])
def test_a_nested_split_is_centred_on_the_nearest_class_with_clips_enough(
    encoder: TextEncoder, n_right: int
) -> None:
    world = World()
    into = ["left", "right"]
    once = split_class(
        world.head, "pushing", into=into, statistics=world.statistics, encoder=encoder, force=True
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
        force=True,
    )
    near = right if n_right >= MIN_CLIPS else pushing
    assert edit.report.n_clips == len(near)
    relative = near.mean(axis=0) @ edit.head.weight[13:].T + edit.head.bias[13:]
    np.testing.assert_allclose(relative, 0, atol=1e-3)


def test_without_centring_one_subcategory_may_take_all(encoder: TextEncoder) -> None:
    # The features' mean has a share in every direction, which a copied bias does not know of.
    world = World()
    shifted = world.pushing + np.float32(3) * np.eye(24, dtype=np.float32)[0]
    edit = split_class(world.head, "pushing", into=["left", "right"], encoder=encoder, force=True)
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
        force=True,
    )
    confidence = edit.report.confidence
    assert confidence is not None
    assert edit.head.tree[10].temperature != 1
    result = edit.head.evaluate(world.pushing)
    share = result.probabilities[:, 11:].max(axis=1) / result.probabilities[:, 10]
    assert share.mean() == pytest.approx(confidence.accuracy, abs=0.02)


def test_a_split_that_points_the_wrong_way_asks_first(encoder: TextEncoder) -> None:
    world = World(mirrored=["turning"], push=0.1)
    named = NamedEncoder(encoder)
    with pytest.raises(
        UncertainSourceError, match=r"hardly better than guessing.*like names.*--force"
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
    scores: Floats = np.random.default_rng(0).standard_normal((500, 2)) * 3
    temperature = fit_temperature(scores, wanted)
    shares = np.exp(scores / temperature)
    shares /= shares.sum(axis=1, keepdims=True)
    assert shares.max(axis=1).mean() == pytest.approx(wanted, abs=0.02)


def test_expected_accuracy_is_never_certain() -> None:
    assert predict_accuracy(7.0, 4) == pytest.approx(0.25 + 0.75 * HIGHEST)
    assert predict_accuracy(-7.0, 4) == pytest.approx(0.25 + 0.75 * LOWEST)
    assert predict_accuracy(0.5, 2) == pytest.approx(0.75)
