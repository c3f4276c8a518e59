"""The problem that a split poses, without a head."""

import numpy as np

from edgesplit.edits.embedding import words_in_order
from edgesplit.edits.rules.base import Texts, TransferProblem
from edgesplit.edits.text_encoder import TextEncoder


def texts_problem(encoder: TextEncoder, wanted: list[str], *groups: list[str]) -> TransferProblem:
    """Texts that are wanted and groups of known ones, all known vectors zero."""
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
