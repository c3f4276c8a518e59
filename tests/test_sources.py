"""The encoder is trusted as far as it can tell, and no further."""

import itertools
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from edgesplit.rules.transfer import Request, Texts
from edgesplit.sources import ENCODER_ERROR, MIN_SCORE, match_sources, pair_cosines
from edgesplit.text import TextEncoder, packaged_encoder

MODIFIERS = Path(__file__).parent / "data" / "text" / "modifiers.json"


def request(encoder: TextEncoder, wanted: list[str], *groups: list[str]) -> Request:
    known = [text for group in groups for text in group]
    owner = np.array([index for index, group in enumerate(groups) for _ in group], np.int64)
    of_wanted, of_known = (encoder.encode(texts).astype(np.float64) for texts in (wanted, known))
    return Request(
        wanted=Texts(of_wanted, of_wanted, np.zeros(len(wanted), np.int64)),
        known=Texts(of_known, of_known, owner),
        vectors=np.zeros((len(known), 2)),
    )


CAMERA = ["left", "right", "upwards", "downwards"]
PULLING = ["from left to right", "from right to left", "onto something", "out of something"]
MOVING = ["up", "down", "towards the camera", "away from the camera"]
KNOWN = CAMERA + PULLING + MOVING


@pytest.mark.parametrize("wanted", [["left", "right"], ["right", "left"]])
def test_same_words_are_found_in_either_order(wanted: list[str]) -> None:
    match = match_sources(request(packaged_encoder(), wanted, CAMERA, PULLING, MOVING))
    assert [KNOWN[source] for source in match.sources] == wanted
    assert match.score > MIN_SCORE
    assert min(match.margins) > ENCODER_ERROR


@pytest.mark.parametrize("wanted", [["up", "down"], ["down", "up"]])
def test_up_and_down_are_found_in_either_order(wanted: list[str]) -> None:
    match = match_sources(request(packaged_encoder(), wanted, CAMERA, PULLING, MOVING))
    assert [KNOWN[source] for source in match.sources] == wanted
    assert min(match.margins) > ENCODER_ERROR


def test_to_the_left_is_a_near_tie() -> None:
    match = match_sources(
        request(packaged_encoder(), ["to the left", "to the right"], CAMERA, PULLING, MOVING)
    )
    assert min(match.margins) < ENCODER_ERROR


@pytest.mark.parametrize("wanted", [["diagonally", "vertically"], ["on monday", "on tuesday"]])
def test_nothing_known_differs_like_that(wanted: list[str]) -> None:
    match = match_sources(request(packaged_encoder(), wanted, CAMERA, PULLING, MOVING))
    assert match.score < MIN_SCORE


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
        match = match_sources(Request(texts, group, np.zeros((6, 2))))
        assert match.sources == tuple(chosen.tolist())
        assert match.score == pytest.approx(brute_force(wanted, known), abs=1e-6)  # settled


def test_group_smaller_than_the_split_is_no_match(encoder: TextEncoder) -> None:
    match = match_sources(request(encoder, ["a", "b", "c"], ["left", "right"]))
    assert match.sources == ()
    assert np.isnan(match.score)
