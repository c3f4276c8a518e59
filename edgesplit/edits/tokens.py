"""Split labels of label lists into words: "put on a hat/cap", "Back+15som"."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from edgesplit.edits.vocabulary import FUNCTION_WORDS, Stems, is_known, stem

__all__ = ["Label", "parse_label", "parse_labels"]

_ARTICLES = frozenset("a an the your his her its my our their".split())  # noqa: SIM905
_WORD = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+(?:['\u2019][^\W\d_]+)*")
_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+(?:\.\d+)?")
_ASIDE = re.compile(r"(?<=\S)\s*\([^()]*\)|(?<=\w)/\w+")


@dataclass(frozen=True, slots=True)
class Label:
    """A label, word by word."""

    text: str
    stems: Stems
    spans: tuple[tuple[int, int], ...]
    """Start and end of each word in the text."""
    action: int | None
    """Index of the word that names the action; None if all words are known poles."""

    @property
    def words(self) -> list[str]:
        """Words as written, casefolded."""
        return [self.text[start:stop].casefold() for start, stop in self.spans]

    def written(self, start: int, stop: int) -> str:
        """Return the words from `start` up to, but not including, `stop`, as written."""
        if start >= stop:
            return ""
        return self.text[self.spans[start][0] : self.spans[stop - 1][1]]


def parse_labels(texts: Sequence[str]) -> list[Label]:
    """Parse labels, without brackets after a word and without alternatives after a slash.

    "a hat/cap" is read as "a hat". Labels that would become equal are read in full.
    """
    shortened = [_ASIDE.sub("", text) for text in texts]
    n_equal = Counter(text.casefold() for text in shortened)
    return [
        parse_label(short if n_equal[short.casefold()] == 1 else text)
        for text, short in zip(texts, shortened, strict=True)
    ]


@lru_cache(maxsize=2**15)  # an edit parses each modifier many times
def parse_label(text: str) -> Label:
    """Split a label into words, at spaces, "_", "+", "-", digits, and capitals inside words.

    Articles are dropped. "counter clockwise" is one word. A word in brackets at the start is not an
    action: "(FX) leap forward".
    """
    pattern = _CAMEL if re.fullmatch(r"[A-Za-z\d]*[a-z][A-Z][A-Za-z\d]*", text) else _WORD
    found = [*pattern.finditer(text)]
    stems: list[str] = []
    spans: list[tuple[int, int]] = []
    for place, match in enumerate(found):
        word, start = re.sub(r"['\u2019]s$", "", match[0].casefold()), match.start()
        if word in _ARTICLES and place < len(found) - 1:
            continue
        if word == "clockwise" and stems and stems[-1] in ("counter", "anti"):
            word, start = "counterclockwise", spans.pop()[0]
            stems.pop()
        stems.append(stem(word))
        spans.append((start, match.end()))
    tag = re.match(r"\s*\([^()]*\)", text)
    open_words = (
        place
        for place, word in enumerate(stems)
        if word not in FUNCTION_WORDS and not is_known(word)
        if not tag or spans[place][0] >= tag.end()
    )
    return Label(text, tuple(stems), tuple(spans), next(open_words, None))
