"""Questions about clips, from Python: choose, note what was said, split."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edgesplit.backbone.features import Features
from edgesplit.bundle.bundle import Bundle
from edgesplit.bundle.questions import Questions
from edgesplit.edits.answers_file import CANNOT_TELL, NEITHER
from edgesplit.edits.asking import MOST_ANSWERS
from edgesplit.edits.request import SplitRequest
from edgesplit.edits.split import SplitDraft
from edgesplit.errors import EditError, LabelError


@pytest.fixture
def clips(bundle: Bundle) -> Features:
    """Clips that the head gives to "pushing something"."""
    row = bundle.head().weight[4]
    noise = np.random.default_rng(2).standard_normal((40, bundle.dim))
    matrix: npt.NDArray[np.float32] = (6 * row + noise).astype(np.float32)
    assert set(bundle.head().classify(matrix)) == {"pushing something"}
    return Features({f"{place}.mp4": place for place in range(40)}, matrix, {})


@pytest.fixture
def questions(bundle: Bundle, clips: Features, tmp_path: Path) -> Questions:
    request = SplitRequest(["left", "right"], accept_doubt=True)
    return Questions(bundle, "pushing", request, clips, tmp_path / "answers.csv")


def test_answers_are_kept_and_make_the_split(questions: Questions) -> None:
    names = questions.choose()
    assert len(names) == 2
    questions.add(names)
    assert questions.choose() == questions.pending == names
    for name, said in zip(names, questions.modifiers, strict=True):
        questions.answer(name, said)
    assert (questions.n_answered, questions.pending) == (2, [])
    shots = questions.split().report.shots
    assert shots is not None
    assert [shots.clips, len(shots.answers)] == [(1, 1), 2]
    kept, questions.answers = questions.answers, {}
    questions.load()
    assert questions.answers == kept


def test_no_clip_is_chosen_twice(questions: Questions) -> None:
    seen: list[str] = []
    for said in (CANNOT_TELL, "left", NEITHER, "right"):
        names = questions.choose()
        assert not {*names} & {*seen}
        seen += names
        for name in names:
            questions.answer(name, said)
    assert questions.n_answered == MOST_ANSWERS * 2
    assert not questions.pays(questions.preview())
    assert questions.find_more(questions.preview()) == []


def test_what_nobody_said_anything_of_makes_no_split(questions: Questions) -> None:
    for name in questions.choose():
        questions.answer(name, CANNOT_TELL)
    with pytest.raises(EditError, match=r"answers\.csv does not contain an answer yet"):
        questions.split()


def test_a_split_that_cannot_be_made_is_refused_at_once(
    bundle: Bundle, clips: Features, tmp_path: Path
) -> None:
    file = tmp_path / "answers.csv"
    with pytest.raises(LabelError, match="no class"):
        Questions(bundle, "juggling", SplitRequest(["left", "right"]), clips, file)
    with pytest.raises(EditError, match="at least two"):
        Questions(bundle, "pushing", SplitRequest(["left"]), clips, file)
    assert not file.exists()


def test_the_texts_are_read_once_for_all_answers(
    questions: Questions, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = questions._bundle
    calls: list[str] = []
    draft = Bundle.draft_split

    def counted(bundle: Bundle, name: str, request: SplitRequest, **taxonomy: Any) -> SplitDraft:
        calls.append(name)
        return draft(bundle, name, request, **taxonomy)

    monkeypatch.setattr(Bundle, "draft_split", counted)
    questions.add(questions.choose())
    for name, said in zip(questions.pending, questions.modifiers, strict=True):
        questions.answer(name, said)
        features, answers = questions.clips.matrix, {questions.clips.places[name]: said}
        request = SplitRequest(["left", "right"], features=features, answers=answers)
        again = bundle.split_class(questions.label, replace(request, accept_doubt=True))
        questions.answers = {name: said}
        assert questions.split().head.to_bytes() == again.head.to_bytes()
    assert not calls
    # Somebody else published meanwhile: the live head is split, as it is now.
    bundle.publish(bundle.rename_class("pushing", "shoving something"))
    with pytest.raises(LabelError, match="pushing"):
        questions.split()
