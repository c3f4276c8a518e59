"""Similarities that unrelated words reach by chance, on Motion-Split's groups."""

import numpy as np

from benchmarks.motion_split.classes import taxonomy
from edgesplit.edits.matching import CHANCE, match_labels
from edgesplit.edits.text_encoder import packaged_encoder
from tests.problems import texts_problem

UNRELATED = """
    monday|tuesday apple|bread Paris|Rome cheap|expensive january|july doctor|teacher happy|sad
    wood|metal law|medicine seven|nineteen violin|piano red|blue summer|winter sweet|salty
    king|queen whisper|shout north|east child|adult novel|poem dollar|euro wolf|sheep rain|snow
    river|mountain moon|star
""".split()  # noqa: SIM905 - a list reads worse


def test_chance_is_what_unrelated_words_reach() -> None:
    groups = [[*fine.values()] for fine in taxonomy("B").values()]
    scores = [
        match_labels(texts_problem(packaged_encoder(), pair.split("|"), *groups)).score
        for pair in UNRELATED
    ]
    assert CHANCE - 0.05 < np.quantile(scores, 0.9) <= CHANCE
