"""What unrelated words reach by chance, on Motion-Split's groups."""

import numpy as np

from benchmarks.motion_split.classes import taxonomy
from edgesplit.edits.groups import words_in_order
from edgesplit.edits.matching import CHANCE, match_labels
from edgesplit.edits.rules.base import Texts, TransferProblem
from edgesplit.edits.text_encoder import TextEncoder, packaged_encoder

UNRELATED = """
    monday|tuesday apple|bread Paris|Rome cheap|expensive january|july doctor|teacher happy|sad
    wood|metal law|medicine seven|nineteen violin|piano red|blue summer|winter sweet|salty
    king|queen whisper|shout north|east child|adult novel|poem dollar|euro wolf|sheep rain|snow
    river|mountain moon|star
""".split()  # noqa: SIM905 - a list reads worse


def problem(encoder: TextEncoder, wanted: list[str], *groups: list[str]) -> TransferProblem:
    known = [text for group in groups for text in group]
    owner = np.array([index for index, group in enumerate(groups) for _ in group], np.int64)
    in_order = [text for some in (wanted, *groups) for text in words_in_order(some)]
    embedded = encoder.encode(in_order).astype(np.float64)
    of_wanted, of_known = embedded[: len(wanted)], embedded[len(wanted) :]
    return TransferProblem(
        wanted=Texts(of_wanted, of_wanted, np.zeros(len(wanted), np.int64)),
        known=Texts(of_known, of_known, owner),
        vectors=np.zeros((len(known), 2)),
    )


def test_chance_is_what_unrelated_words_reach() -> None:
    groups = [[*fine.values()] for fine in taxonomy("B").values()]
    scores = [
        match_labels(problem(packaged_encoder(), pair.split("|"), *groups)).score
        for pair in UNRELATED
    ]
    assert CHANCE - 0.05 < np.quantile(scores, 0.9) <= CHANCE
