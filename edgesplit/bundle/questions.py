"""Questions about a class's clips, the answers so far, and the split that they make.

Each answer is saved to a file at once. `edgesplit.edits.asking` chooses the clips and decides when
to stop; `edgesplit.edits.split` makes the split.
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
    """Questions about clips of a class, and the answers so far."""

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
        """Set the class and the clips; the answers file is neither read nor written.

        Args:
            bundle: bundle whose live head is split.
            name: the class, as in `LabelTree.find`.
            request: the requested split, without features and answers.
            clips: unlabelled clips of any classes, by name.
            file: file of the answers; see `load` and `save`.
            taxonomy: as in `split_class`.

        Raises:
            LabelError, EditError: as `split_class`, if the class cannot be split at all.
        """
        self._bundle, self._taxonomy = bundle, taxonomy
        self._request = replace(request, features=clips.matrix, answers=None)
        self.clips, self.file = clips, file
        self.names = [*clips.places]
        """Names of the clips, by their place in the features."""
        tree = bundle.head().tree
        column, self.subcategories = find_split(tree, name, request.into)
        self.label = tree[column].label
        check_modifiers(self.subcategories)
        self.answers: dict[str, str] = {}
        """Answers by clip, as from `load_answers`; an empty text if a clip has no answer yet."""
        self._saved = self._stamp()
        self._is_new = False
        self._draft: tuple[tuple[str, bool, str], SplitDraft] | None = None
        _ = self.before  # raises if the class cannot be split at all

    @property
    def modifiers(self) -> list[str]:
        """Modifiers of the subcategories."""
        return [modifier for _, modifier in self.subcategories]

    @property
    def pending(self) -> list[str]:
        """Clips that were chosen and have no answer yet."""
        return [name for name, answer in self.answers.items() if not answer]

    @property
    def n_answered(self) -> int:
        """Number of answers, without those that are "cannot tell"."""
        return sum(bool(answer) and answer != CANNOT_TELL for answer in self.answers.values())

    @cached_property
    def before(self) -> Report:
        """Report of the split from texts and unlabelled clips alone, even if it is in doubt."""
        return self._finish(replace(self._request, accept_doubt=True)).report

    def _finish(self, request: SplitRequest) -> Edit:
        """Split the live head; reuse the draft while head, statistics and encoder are the same."""
        bundle = self._bundle
        state = (bundle.live, bundle.statistics is None, bundle.text_encoder.digest)
        if self._draft is None or self._draft[0] != state:
            draft = bundle.draft_split(self.label, self._request, taxonomy=self._taxonomy)
            # The head may have changed since.
            self._draft = (draft.problem.head.digest, *state[1:]), draft
        return bundle.finish_split(self._draft[1], request)

    def load(self) -> None:
        """Read the answers from the file; errors as in `load_answers`."""
        self.answers = load_answers(self.file, self.clips.places, self.subcategories)
        self._saved = self._stamp()

    def save(self) -> None:
        """Write the answers to the file; errors as in `save_answers`.

        Raises:
            EditError: another program changed the file.
        """
        if self._stamp() != self._saved:
            raise EditError(
                f"{self.file} was changed by another program, so it was not overwritten. Continue "
                f"with --resume {self.file}."
            )
        self._is_new = self._is_new or self._saved is None
        save_answers(self.file, self.answers)
        self._saved = self._stamp()

    def discard(self) -> None:
        """Remove the file if it was made here, holds no answer, and nobody else changed it."""
        if self._is_new and not any(self.answers.values()) and self._stamp() == self._saved:
            self.file.unlink(missing_ok=True)

    def _stamp(self) -> tuple[int, int, int] | None:
        """Return a stamp of the file's current content; None if the file does not exist."""
        try:
            about = self.file.stat()
        except OSError:
            return None
        return about.st_ino, about.st_size, about.st_mtime_ns

    def add(self, names: Sequence[str]) -> None:
        """Add clips without an answer, and save."""
        for name in names:
            self.answers.setdefault(name, "")
        self.save()

    def answer(self, name: str, answer: str) -> None:
        """Set the answer for a clip (a modifier, `NEITHER` or `CANNOT_TELL`), and save."""
        self.answers[name] = answer
        self.save()

    def choose(self) -> list[str]:
        """Return the clips to ask about next: those without an answer, else one per subcategory.

        Raises:
            EditError: no clip of the class is left.
        """
        if self.pending:
            return self.pending
        n = len(self.subcategories)
        n = min(n, max(MOST_ANSWERS * n - self.n_answered, 1))
        # A clip that was answered with "cannot tell" is not chosen again.
        names = [name for name in self.names if self.answers.get(name) != CANNOT_TELL]
        places = {name: place for place, name in enumerate(names)}
        answers = place_answers(self.answers, places, self.file) if self.n_answered else None
        features = self.clips.pick(names)
        request = replace(self._request, features=features, answers=answers)
        chosen = self._bundle.choose_clips(self.label, request, features, n)
        return [names[place] for place in chosen]

    def split(self, *, accept_doubt: bool = False) -> Edit:
        """Return the split by all answers; errors as in `split_class`.

        Args:
            accept_doubt: accept a doubtful split even if the request does not.
        """
        request = replace(
            self._request,
            answers=place_answers(self.answers, self.clips.places, self.file),
            accept_doubt=accept_doubt or self._request.accept_doubt,
        )
        return self._finish(request)

    def preview(self) -> Report:
        """Return the report of `split`, even if the split is in doubt."""
        try:
            return self.split().report
        except DoubtfulSplitError:
            return self.split(accept_doubt=True).report

    def pays(self, report: Report) -> bool:
        """Return True if another answer is worth asking for; see `edgesplit.edits.asking.pays`."""
        return self.n_answered < MOST_ANSWERS * len(self.subcategories) and pays(report)

    def find_more(self, report: Report) -> list[str]:
        """Return the clips to ask about next, if that pays; empty if no clip is left."""
        if not self.pays(report):
            return []
        try:
            return self.choose()
        except EditError:
            return []


def class_label(bundle: Bundle, name: str) -> str:
    """Return the label of the class that a split with this name would split.

    Raises:
        LabelError: the class does not exist or is ambiguous.
    """
    tree = bundle.head().tree
    return tree[tree.find_first(name, tree.leaves, tree.inner)].label
