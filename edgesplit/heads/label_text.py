"""The form of a label text, and its words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from edgesplit.errors import LabelError

__all__ = ["MAX_LABEL_CHARS", "check_label", "common_start", "differing_words", "words"]

MAX_LABEL_CHARS = 500


@lru_cache(maxsize=2**15)  # an edit needs the words of every label many times
def words(text: str) -> tuple[str, ...]:
    """Return the words of `text`, lower-cased, without punctuation around them."""
    return tuple(re.findall(r"\w+(?:['\u2019-]\w+)*", text.casefold()))


@lru_cache(maxsize=2**15)  # every tree checks all its labels, and an edit makes several trees
def check_label(text: str) -> str:
    """Return `text` in the stored form of a label: NFC, single spaces, no outer space.

    Raises:
        LabelError: the text is empty, longer than `MAX_LABEL_CHARS` or has control characters.
    """
    label = " ".join(unicodedata.normalize("NFC", text).split())
    if not words(label):
        raise LabelError(f"{text!r} is not a label: it contains no word. Name the class in words.")
    if len(label) > MAX_LABEL_CHARS:
        raise LabelError(
            f"The label {label[:40]!r}… has {len(label)} characters; the limit is "
            f"{MAX_LABEL_CHARS}. Shorten it."
        )
    # With invisible characters, two different labels could look the same. The two joiners are
    # allowed because some scripts need them.
    visible = label.replace("\u200c", "").replace("\u200d", "")
    if not visible.isprintable():
        raise LabelError(f"The label {label!r} contains invisible characters. Remove them.")
    return label


def differing_words(labels: Sequence[str]) -> list[str]:
    """Return each label without the words that begin and end all labels.

    "turning the camera left while filming" and "turning the camera right while filming" give
    "left" and "right". Words are compared without case and punctuation.
    """
    split = [label.split() for label in labels]
    plain = [[" ".join(words(word)) for word in label] for label in split]
    shortest = min(map(len, plain))
    start = common_start(plain, shortest)
    end = common_start([label[::-1] for label in plain], shortest - start)
    return [" ".join(label[start : len(label) - end]).strip(" ,.;:") for label in split]


def common_start(rows: Sequence[Sequence[str]], limit: int) -> int:
    """Return the length of the longest common beginning, at most `limit`."""
    for length in range(limit):
        if len({row[length] for row in rows}) > 1:
            return length
    return limit
