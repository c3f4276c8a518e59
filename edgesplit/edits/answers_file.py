"""The answers file: CSV, a line for each clip that somebody is asked about.

clip,answer
yard/0412.mp4,left            # the modifier of a subcategory, or its full label
yard/0655.mp4,neither         # it shows none of them
yard/0831.mp4,cannot tell     # nobody can say
yard/1207.mp4,                # not answered yet

A clip's name is that in the folder, or in the file of features, which the answers are about.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping
from pathlib import Path

from edgesplit.edits.naming import Subcategories
from edgesplit.errors import EditError
from edgesplit.heads.label_text import words
from edgesplit.storage.files import Store, map_os_errors
from edgesplit.storage.text_file import decode_text

__all__ = [
    "CANNOT_TELL",
    "MAX_BYTES",
    "NEITHER",
    "check_modifiers",
    "load_answers",
    "place_answers",
    "save_answers",
]

MAX_BYTES = 2**20
"""Of an answers file: some ten thousand lines."""
NEITHER = "neither"
CANNOT_TELL = "cannot tell"

_HEADER = ["clip", "answer"]
_FORM = (
    "Begin with the line 'clip,answer', then a line for each clip: its name, a comma, and a "
    f"subcategory, {NEITHER!r}, {CANNOT_TELL!r} or nothing."
)


def load_answers(
    path: str | Path,
    clips: Collection[str],
    subcategories: Subcategories | None = None,
) -> dict[str, str]:
    """Reads an answers file: what was said of each clip, in the file's order.

    Args:
        path: the file.
        clips: names of all clips that may be answered.
        subcategories: answers are given as their modifiers; without them, as they are written.

    Returns:
        A modifier, `NEITHER`, `CANNOT_TELL`, or an empty text for a clip without an answer.

    Raises:
        EditError: the file cannot be read, or does not hold answers about these clips; the text
            says where, and what is wanted.
    """
    file = Path(path)
    with map_os_errors("read", file, EditError), file.open("rb") as opened:
        data = opened.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise EditError(f"{file} has more than the {MAX_BYTES} bytes of an answers file.")
    rows = csv.reader(io.StringIO(decode_text(data, file, EditError), newline=""), strict=True)
    answers: dict[str, str] = {}
    lines: dict[str, int] = {}
    header = False
    try:
        for row in rows:
            fields = [field.strip() for field in row]
            if not any(fields):
                continue
            try:
                if not header:
                    header = _check_header(fields)
                    continue
                clip, answer = _read_row(row, clips, subcategories)
                if clip in lines:
                    raise EditError(
                        f"the clip {clip!r} has a line already, {lines[clip]}. Leave one of them."
                    )
            except EditError as error:
                raise EditError(f"{file}, line {rows.line_num}: {error}") from error
            answers[clip], lines[clip] = answer, rows.line_num
    except csv.Error as error:
        raise EditError(
            f"{file}, line {rows.line_num}: it is not CSV ({error}). {_FORM}"
        ) from error
    if not header:
        raise EditError(f"{file} is empty. {_FORM}")
    return answers


def save_answers(path: Path, answers: Mapping[str, str], store: Store | None = None) -> None:
    """Writes an answers file in the place of the one that was there, all of it or nothing.

    Raises:
        EditError: it cannot be written, or a clip's name is not Unicode.
    """
    text = io.StringIO(newline="")
    # A lone carriage return, which a file's name may have, ends a row unless it is in quotes.
    in_quotes = any("\r" in name for name in answers)
    writer = csv.writer(
        text, lineterminator="\n", quoting=csv.QUOTE_ALL if in_quotes else csv.QUOTE_MINIMAL
    )
    writer.writerows([_HEADER, *answers.items()])
    try:
        data = text.getvalue().encode()
    except UnicodeEncodeError as error:
        odd = next(name for name in answers if not name.isprintable())
        raise EditError(f"The name of the clip {odd!r} is not Unicode. Rename it.") from error
    with map_os_errors("write", path, EditError):
        (store or Store()).replace_file(path, data)


def place_answers(
    answers: Mapping[str, str], places: Mapping[str, int], path: str | Path
) -> dict[int, str | None]:
    """The answers as `SplitRequest` takes them; None for a clip that shows none.

    Args:
        answers: as `load_answers` gives them.
        places: of the clips in the features, by name.
        path: where the answers come from, for the message.

    Raises:
        EditError: there is no answer among them.
    """
    placed = {
        places[clip]: None if words(answer) == (NEITHER,) else answer
        for clip, answer in answers.items()
        if answer and words(answer) != words(CANNOT_TELL)
    }
    if not placed:
        raise EditError(f"{path} has no answer yet. {_FORM}")
    return placed


def check_modifiers(subcategories: Subcategories) -> None:
    """Raise EditError if a subcategory is called what stands for no subcategory."""
    for label, modifier in subcategories:
        if words(modifier) in (words(NEITHER), words(CANNOT_TELL)):
            raise EditError(
                f"{modifier!r} is what an answer says of a clip that shows no subcategory. Call "
                f"{label!r} otherwise: 'LABEL=MODIFIER'."
            )


def _check_header(fields: list[str]) -> bool:
    if [field.casefold() for field in fields] != _HEADER:
        raise EditError(f"it is {','.join(fields)!r}, not 'clip,answer'. {_FORM}")
    return True


def _read_row(
    row: list[str], clips: Collection[str], subcategories: Subcategories | None
) -> tuple[str, str]:
    """A clip and its answer."""
    if len(row) != 2:
        raise EditError(
            f"it has {len(row)} field{'s' * (len(row) > 1)}, not 2. Write 'clip,answer', and a "
            "name that has a comma in quotes."
        )
    clip, answer = row[0], row[1].strip()
    clip = clip if clip in clips else clip.strip()
    if clip not in clips:
        raise EditError(
            f"there is no clip {clip!r}. Name one as the folder or the file of features does, "
            f"such as {next(iter(clips), '')!r}."
        )
    return clip, answer if subcategories is None else _modifier(clip, answer, subcategories)


def _modifier(clip: str, answer: str, subcategories: Subcategories) -> str:
    said = words(answer)
    if not answer:
        return ""
    for text in (NEITHER, CANNOT_TELL):
        if said == words(text):
            return text
    fits = [names[1] for names in subcategories if said in map(words, names)]
    if len(fits) != 1:
        known = ", ".join(repr(modifier) for _, modifier in subcategories)
        raise EditError(
            f"{answer!r} is no answer about the clip {clip!r}. Write {known}, {NEITHER!r}, "
            f"{CANNOT_TELL!r} or nothing."
        )
    return fits[0]
