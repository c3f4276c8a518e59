"""The encoder is trusted as far as it can tell, and no further."""

import itertools
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from edgesplit.edits.checks import MIN_TRUST
from edgesplit.edits.matching import (
    CHANCE,
    ENCODER_ERROR,
    SURE,
    SURE_NAMED,
    in_known_words,
    match_labels,
    pair_cosines,
    trust_of,
)
from edgesplit.edits.rules.alignment import alignment
from edgesplit.edits.rules.base import Texts, TransferProblem
from edgesplit.edits.text_encoder import TextEncoder, packaged_encoder
from tests.problems import texts_problem

MODIFIERS = Path(__file__).parents[1] / "data" / "text" / "modifiers.json"


CAMERA = ["left", "right", "upwards", "downwards"]
PULLING = ["from left to right", "from right to left", "onto something", "out of something"]
MOVING = ["up", "down", "towards the camera", "away from the camera"]
KNOWN = CAMERA + PULLING + MOVING


@pytest.mark.parametrize("wanted", [["left", "right"], ["right", "left"]])
def test_same_words_are_found_in_either_order(wanted: list[str]) -> None:
    match = match_labels(texts_problem(packaged_encoder(), wanted, CAMERA, PULLING, MOVING))
    assert [KNOWN[source] for source in match.sources] == wanted
    assert match.trust == 1
    assert min(match.margins) > ENCODER_ERROR


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_search_among_texts_that_are_not_numbers_ends() -> None:
    texts = Texts(np.full((2, 4), np.nan), np.full((2, 4), np.nan), np.zeros(2, np.int64))
    assert np.isnan(match_labels(TransferProblem(texts, texts, np.zeros((2, 2)))).score)


@pytest.mark.parametrize("wanted", [["up", "down"], ["down", "up"]])
def test_up_and_down_are_found_in_either_order(wanted: list[str]) -> None:
    match = match_labels(texts_problem(packaged_encoder(), wanted, CAMERA, PULLING, MOVING))
    assert [KNOWN[source] for source in match.sources] == wanted
    assert min(match.margins) > ENCODER_ERROR


def test_order_is_no_obstacle() -> None:
    # As written, "to the left" is as near to "from left to right" as to "from right to left".
    match = match_labels(
        texts_problem(packaged_encoder(), ["to the left", "to the right"], PULLING[:2], MOVING)
    )
    assert [(PULLING[:2] + MOVING)[source] for source in match.sources] == PULLING[1::-1]
    assert match.trust == 1


@pytest.mark.parametrize("wanted", [["diagonally", "vertically"], ["on monday", "on tuesday"]])
def test_nothing_known_differs_like_that(wanted: list[str]) -> None:
    match = match_labels(texts_problem(packaged_encoder(), wanted, CAMERA, PULLING, MOVING))
    assert match.trust < MIN_TRUST


def test_other_words_are_read_as_the_known_ones() -> None:
    asked = texts_problem(packaged_encoder(), ["leftwards", "rightwards"], CAMERA[:2], MOVING)
    read = in_known_words(asked, match_labels(asked), other_words=True)
    assert read.wanted.told_apart.tolist() == asked.known.told_apart[:2].tolist()
    assert read.wanted.modifiers.tolist() == asked.wanted.modifiers.tolist()
    known = texts_problem(packaged_encoder(), ["left", "right"], CAMERA[:2], MOVING)
    assert alignment(read).weights.tolist() == alignment(known).weights.tolist()


def test_what_is_alike_by_chance_is_read_as_it_is_written() -> None:
    asked = texts_problem(packaged_encoder(), ["on monday", "on tuesday"], CAMERA, MOVING)
    assert in_known_words(asked, match_labels(asked), other_words=True) is asked
    match = match_labels(asked, named=True)  # the user says what is meant
    named = in_known_words(asked, match, other_words=True)
    assert named.wanted.in_order is not asked.wanted.in_order


@pytest.mark.parametrize(
    ("score", "named", "trust"),
    [
        (CHANCE, False, 0),
        ((CHANCE + SURE) / 2, False, 0.5),
        (SURE, False, 1),
        (1, False, 1),
        (-0.1, True, 0),
        (float("nan"), False, 0),
        (SURE_NAMED / 2, True, 0.5),
        (SURE_NAMED, True, 1),
    ],
)
def test_trust_grows_from_chance_to_sure(score: float, named: bool, trust: float) -> None:
    assert trust_of(score, named=named) == pytest.approx(trust)


def test_encoder_error_is_what_unrelated_differences_show() -> None:
    # Differences within one set of modifiers against those within another, unrelated one: their
    # cosines are noise. ENCODER_ERROR is a little above their root mean square.
    cases = json.loads(MODIFIERS.read_text())
    sets = [case["wanted"] for case in cases if len(case["wanted"]) == 2]
    encoder = packaged_encoder()
    differences = []
    for first, second in sets:
        left, right = encoder.encode([first, second])
        differences.append((left - right) / np.linalg.norm(left - right))
    unrelated = [
        abs(float(a @ b))
        for (a, left), (b, right) in itertools.combinations(zip(differences, sets, strict=True), 2)
        if not share_words(left, right)
    ]
    assert len(unrelated) > 100
    root_mean_square = float(np.sqrt(np.mean(np.square(unrelated))))
    assert 0.6 * ENCODER_ERROR < root_mean_square < 1.6 * ENCODER_ERROR


def share_words(left: list[str], right: list[str]) -> bool:
    return bool({w for t in left for w in t.split()} & {w for t in right for w in t.split()})


def brute_force(wanted: npt.NDArray[np.float64], known: npt.NDArray[np.float64]) -> float:
    return max(
        float(pair_cosines(wanted, known[list(chosen)]).mean())
        for chosen in itertools.permutations(range(len(known)), len(wanted))
    )


@pytest.mark.parametrize("n_wanted", [2, 3, 4])
def test_ascent_finds_the_best_assignment_of_distinct_sources(n_wanted: int) -> None:
    # Known texts are the wanted ones, turned a little, and some others: the optimum is distinct.
    rng = np.random.default_rng(n_wanted)
    for _ in range(20):
        known = rng.standard_normal((6, 16))
        chosen = rng.permutation(6)[:n_wanted]
        wanted = known[chosen] + 0.2 * rng.standard_normal((n_wanted, 16))
        texts = Texts(wanted, wanted, np.zeros(n_wanted, np.int64))
        group = Texts(known, known, np.zeros(6, np.int64))
        match = match_labels(TransferProblem(texts, group, np.zeros((6, 2))))
        assert match.sources == tuple(chosen.tolist())
        assert match.score == pytest.approx(brute_force(wanted, known), abs=1e-6)  # settled


def test_group_smaller_than_the_split_is_no_match(encoder: TextEncoder) -> None:
    match = match_labels(texts_problem(encoder, ["a", "b", "c"], ["left", "right"]))
    assert match.sources == ()
    assert np.isnan(match.score)
