"""The answers file: CSV with a line for each clip that a person is asked about.

clip,answer
yard/0412.mp4,left            # the modifier of a subcategory, or its full label
yard/0655.mp4,neither         # the clip shows none of them
yard/0831.mp4,cannot tell     # the person cannot decide
yard/1207.mp4,                # not answered yet

The names of clips are those in the folder, or in the file of features, of the answers.
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
"""Maximum size of an answers file, about ten thousand lines."""
NEITHER = "neither"
CANNOT_TELL = "cannot tell"

_HEADER = ["clip", "answer"]
_FORM = (
    "Write 'clip,answer' in the first line, then a line for each clip: its name, a comma, and a "
    f"subcategory, {NEITHER!r}, {CANNOT_TELL!r} or nothing."
)


def load_answers(
    path: str | Path,
    clips: Collection[str],
    subcategories: Subcategories | None = None,
) -> dict[str, str]:
    """Read an answers file.

    Args:
        path: the file.
        clips: names of all clips that may have an answer.
        subcategories: if given, answers are returned as their modifiers, else as written.

    Returns:
        By clip, in the file's order: a modifier, `NEITHER`, `CANNOT_TELL`, or an empty text for a
        clip without an answer.

    Raises:
        EditError: the file cannot be read, or is not an answers file for these clips; the text
            names the line and the correct form.
    """
    file = Path(path)
    with map_os_errors("read", file, EditError), file.open("rb") as opened:
        data = opened.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise EditError(
            f"{file} is too large for an answers file; the limit is {MAX_BYTES} bytes. Answer "
            "fewer clips."
        )
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
                        f"the clip {clip!r} is also in line {lines[clip]}. Remove one of them."
                    )
            except EditError as error:
                raise EditError(f"{file}, line {rows.line_num}: {error}") from error
            answers[clip], lines[clip] = answer, rows.line_num
    except csv.Error as error:
        raise EditError(
            f"{file}, line {rows.line_num}: the line is not CSV ({error}). {_FORM}"
        ) from error
    if not header:
        raise EditError(f"{file} is empty. {_FORM}")
    return answers


def save_answers(path: Path, answers: Mapping[str, str], store: Store | None = None) -> None:
    """Write an answers file, replacing an existing one atomically.

    Raises:
        EditError: the file cannot be written, or a clip's name is not Unicode.
    """
    text = io.StringIO(newline="")
    # A carriage return in a file's name would end the row unless it is in quotes.
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
    """Return the answers as `SplitRequest` takes them; None for a clip that shows none.

    Args:
        answers: the result of `load_answers`.
        places: indices of the clips in the features, by name.
        path: the answers file, for the message.

    Raises:
        EditError: no clip has an answer.
    """
    placed = {
        places[clip]: None if words(answer) == (NEITHER,) else answer
        for clip, answer in answers.items()
        if answer and words(answer) != words(CANNOT_TELL)
    }
    if not placed:
        raise EditError(f"{path} does not contain an answer yet. {_FORM}")
    return placed


def check_modifiers(subcategories: Subcategories) -> None:
    """Raise EditError if a modifier is one of the reserved answers."""
    for label, modifier in subcategories:
        if words(modifier) in (words(NEITHER), words(CANNOT_TELL)):
            raise EditError(
                f"{modifier!r} is a reserved answer and cannot be a modifier. Give {label!r} "
                "another modifier: 'LABEL=MODIFIER'."
            )


def _check_header(fields: list[str]) -> bool:
    if [field.casefold() for field in fields] != _HEADER:
        raise EditError(f"the header is {','.join(fields)!r}, not 'clip,answer'. {_FORM}")
    return True


def _read_row(
    row: list[str], clips: Collection[str], subcategories: Subcategories | None
) -> tuple[str, str]:
    """Return a clip and its answer."""
    if len(row) != 2:
        raise EditError(
            f"the line has {len(row)} field{'s' * (len(row) > 1)}, not 2. Write 'clip,answer'. "
            "Put a name that contains a comma in quotes."
        )
    clip, answer = row[0], row[1].strip()
    clip = clip if clip in clips else clip.strip()
    if clip not in clips:
        raise EditError(
            f"there is no clip {clip!r}. Use a name from the folder or the file of features, "
            f"such as {next(iter(clips), '')!r}."
        )
    return clip, answer if subcategories is None else _modifier(clip, answer, subcategories)


def _modifier(clip: str, answer: str, subcategories: Subcategories) -> str:
    answer_words = words(answer)
    if not answer:
        return ""
    for text in (NEITHER, CANNOT_TELL):
        if answer_words == words(text):
            return text
    fits = [names[1] for names in subcategories if answer_words in map(words, names)]
    if len(fits) != 1:
        known = ", ".join(repr(modifier) for _, modifier in subcategories)
        raise EditError(
            f"{answer!r} is not a valid answer for the clip {clip!r}. Write {known}, {NEITHER!r}, "
            f"{CANNOT_TELL!r} or nothing."
        )
    return fits[0]
