"""Questions about a class's clips, the answers so far, and the split that they make.

The answers are kept in a file, each from the moment that it was given. What is chosen, when to stop
and what the answers do is decided by `edgesplit.edits.asking` and `edgesplit.edits.split`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from edgesplit.backbone.features import Features
from edgesplit.edits.answers_file import (
    CANNOT_TELL,
    check_modifiers,
    load_answers,
    place_answers,
    save_answers,
)
from edgesplit.edits.asking import MOST_ANSWERS, pays
from edgesplit.edits.edit import Edit
from edgesplit.edits.groups import Taxonomy
from edgesplit.edits.naming import find_split
from edgesplit.edits.report import Report
from edgesplit.edits.request import SplitRequest
from edgesplit.edits.split import SplitDraft
from edgesplit.errors import DoubtfulSplitError, EditError

if TYPE_CHECKING:
    from edgesplit.bundle.bundle import Bundle

__all__ = ["Questions", "class_label"]


class Questions:
    """What somebody is asked about clips of a class, and what was said so far."""

    def __init__(
        self,
        bundle: Bundle,
        name: str,
        request: SplitRequest,
        clips: Features,
        file: Path,
        *,
        taxonomy: Taxonomy | None = None,
    ) -> None:
        """Name the class and the clips; nobody is asked yet, and nothing is read or written.

        Args:
            bundle: whose live head is split.
            name: the class, as in `LabelTree.find`.
            request: how it is to be split; without features and answers.
            clips: unlabelled clips of any classes, by name.
            file: keeps the answers; see `load` and `save`.
            taxonomy: as in `split_class`.

        Raises:
            LabelError, EditError: as `split_class`, where the class cannot be split at all.
        """
        self._bundle, self._taxonomy = bundle, taxonomy
        self._request = replace(request, features=clips.matrix, answers=None)
        self.clips, self.file = clips, file
        self.names = [*clips.places]
        """Of the clips, by their place in the features."""
        tree = bundle.head().tree
        column, self.subcategories = find_split(tree, name, request.into)
        self.label = tree[column].label
        check_modifiers(self.subcategories)
        self.answers: dict[str, str] = {}
        """By clip, as `load_answers` gives them: an empty text where there is none yet."""
        self._saved = self._stamp()
        self._draft: tuple[tuple[str, bool, str], SplitDraft] | None = None
        _ = self.before  # refuses what cannot be split at all

    @property
    def modifiers(self) -> list[str]:
        """Of the subcategories."""
        return [modifier for _, modifier in self.subcategories]

    @property
    def pending(self) -> list[str]:
        """Clips that were chosen and have no answer yet."""
        return [name for name, answer in self.answers.items() if not answer]

    @property
    def n_answered(self) -> int:
        """Answers that say something; not those that nobody can tell."""
        return sum(bool(answer) and answer != CANNOT_TELL for answer in self.answers.values())

    @cached_property
    def before(self) -> Report:
        """Of the split by texts and unlabelled clips alone, in doubt or not."""
        return self._finish(replace(self._request, accept_doubt=True)).report

    def _finish(self, request: SplitRequest) -> Edit:
        """Split the live head; its texts are read once, and not again for each answer."""
        bundle = self._bundle
        state = (bundle.live, bundle.statistics is None, bundle.text_encoder.digest)
        if self._draft is None or self._draft[0] != state:
            drafted = bundle.draft_split(self.label, self._request, taxonomy=self._taxonomy)
            self._draft = state, drafted
        return bundle.finish_split(self._draft[1], request)

    def load(self) -> None:
        """Take the answers of the file; errors as in `load_answers`."""
        self.answers = load_answers(self.file, self.clips.places, self.subcategories)
        self._saved = self._stamp()

    def save(self) -> None:
        """Write the answers to the file; errors as in `save_answers`.

        Raises:
            EditError: somebody else wrote the file meanwhile.
        """
        if self._stamp() != self._saved:
            raise EditError(
                f"{self.file} was changed by another program meanwhile. It stays as it is; go on "
                f"with --resume {self.file}."
            )
        save_answers(self.file, self.answers)
        self._saved = self._stamp()

    def _stamp(self) -> tuple[int, int, int] | None:
        """Which state of the file this is; None while there is none."""
        try:
            about = self.file.stat()
        except OSError:
            return None
        return about.st_ino, about.st_size, about.st_mtime_ns

    def add(self, names: Sequence[str]) -> None:
        """Note that clips are asked about, and save."""
        for name in names:
            self.answers.setdefault(name, "")
        self.save()

    def answer(self, name: str, answer: str) -> None:
        """Note what was said of a clip, a modifier, `NEITHER` or `CANNOT_TELL`, and save."""
        self.answers[name] = answer
        self.save()

    def choose(self) -> list[str]:
        """Clips to ask about next: those without an answer, or one for each subcategory.

        Raises:
            EditError: no clip of the class is left.
        """
        if self.pending:
            return self.pending
        n = len(self.subcategories)
        n = min(n, max(MOST_ANSWERS * n - self.n_answered, 1))
        # What nobody can tell is not asked again.
        names = [name for name in self.names if self.answers.get(name) != CANNOT_TELL]
        places = {name: place for place, name in enumerate(names)}
        answers = place_answers(self.answers, places, self.file) if self.n_answered else None
        features = self.clips.pick(names)
        request = replace(self._request, features=features, answers=answers)
        chosen = self._bundle.choose_clips(self.label, request, features, n)
        return [names[place] for place in chosen]

    def split(self, *, accept_doubt: bool = False) -> Edit:
        """The split with all answers; errors as in `split_class`.

        Args:
            accept_doubt: accept it even if the request does not.
        """
        request = replace(
            self._request,
            answers=place_answers(self.answers, self.clips.places, self.file),
            accept_doubt=accept_doubt or self._request.accept_doubt,
        )
        return self._finish(request)

    def preview(self) -> Report:
        """The report of `split`, in doubt or not."""
        try:
            return self.split().report
        except DoubtfulSplitError:
            return self.split(accept_doubt=True).report

    def pays(self, report: Report) -> bool:
        """Whether another answer is worth asking for; see `edgesplit.edits.asking.pays`."""
        return self.n_answered < MOST_ANSWERS * len(self.subcategories) and pays(report)

    def find_more(self, report: Report) -> list[str]:
        """Clips to ask about next where that pays; none where no clip is left."""
        if not self.pays(report):
            return []
        try:
            return self.choose()
        except EditError:
            return []


def class_label(bundle: Bundle, name: str) -> str:
    """The label of the class that a split of this name would split.

    Raises:
        LabelError: the class does not exist or is ambiguous.
    """
    tree = bundle.head().tree
    return tree[tree.find_first(name, tree.leaves, tree.inner)].label
