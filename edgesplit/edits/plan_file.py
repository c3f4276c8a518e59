"""The plan file: YAML, or JSON, which is a subset of it.

pushing: [left, right]      # a class and its subcategories
rolling:                    # the long form; all keys except `into` are optional
  into: {rolling something away: up, rolling something nearer: down}
  rule: alignment
  composition: gated
  like: pulling something
  shots: clips/rolling      # a folder; paths are relative to the plan file's folder
  answers: ask-rolling.csv  # answers about clips, from `edgesplit ask`
  from: videos              # their folder of videos, or a file of `edgesplit features -o`
  accept_doubt: true

Every value is read as a text: YAML reads `on` and `no` as booleans, but they may be modifiers.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from edgesplit.edits.request import Into, SplitRequest
from edgesplit.edits.rules import RULES
from edgesplit.errors import EditError
from edgesplit.heads.labels import COMPOSITIONS
from edgesplit.storage.files import map_os_errors
from edgesplit.storage.text_file import decode_text

__all__ = ["MAX_BYTES", "AnsweredClips", "PlanFile", "load_plan"]

MAX_BYTES = 2**17
"""Maximum size of a plan file: more than a thousand splits, read in about a second."""

_FORM = "Write 'class: [modifier, modifier]' or 'class: {into: […], …}' for each class."
_KEYS = ("into", "rule", "composition", "like", "shots", "answers", "from", "accept_doubt")
_YES_NO = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class AnsweredClips:
    """The files of a split's answers and of their clips."""

    answers: Path
    """Answers file; see `edgesplit.edits.answers_file`."""
    clips: Path
    """Folder of videos, or file of features; see `read_clips`."""


@dataclass(frozen=True, slots=True)
class PlanFile:
    """The content of a plan file; its clips are not read yet."""

    requests: dict[str, SplitRequest]
    """Request of each class, in order, without shots and answers."""
    shot_folders: dict[str, Path]
    """Folder of labelled clips of each class that has one; see `read_shots`."""
    answered: dict[str, AnsweredClips] = field(default_factory=dict)
    """Answers of each class that has some."""


def load_plan(path: str | Path, defaults: SplitRequest | None = None) -> PlanFile:
    """Read a plan file.

    Args:
        path: the file.
        defaults: values of the keys that an entry does not have.

    Raises:
        EditError: the file cannot be read, or is not a plan; the text names the place and the
            correct form.
    """
    file = Path(path)
    content = _parse(file)
    if not isinstance(content, dict) or not content:
        what = "is not a plan" if content else "contains no class"
        raise EditError(f"{file} {what}. {_FORM}")
    requests: dict[str, SplitRequest] = {}
    folders: dict[str, Path] = {}
    answered: dict[str, AnsweredClips] = {}
    for name, wanted in content.items():
        try:
            choices = _choices(wanted)
            if ("answers" in choices) != ("from" in choices):
                raise EditError("'answers' and 'from' must be given together. Add the other one.")
            if "shots" in choices:
                folders[name] = _folder(file.parent / choices.pop("shots"))
            if "answers" in choices:
                answered[name] = _answered(
                    file.parent / choices.pop("answers"), file.parent / choices.pop("from")
                )
        except EditError as error:
            raise EditError(f"{file}, {name!r}: {error}") from error
        requests[name] = replace(defaults or SplitRequest(()), **choices)
    return PlanFile(requests, folders, answered)


class _Loader(yaml.BaseLoader):
    """A YAML loader that reads every value as a text, and refuses duplicate keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        content = super().construct_mapping(node, deep=deep)
        if len(content) < len(node.value):
            keys = [self.construct_object(key) for key, _ in node.value]
            twice = next(i for i, key in enumerate(keys) if key in keys[:i])
            raise yaml.constructor.ConstructorError(
                problem=f"{keys[twice]!r} appears twice",
                problem_mark=node.value[twice][0].start_mark,
            )
        return content


def _parse(file: Path) -> Any:
    with map_os_errors("read", file, EditError), file.open("rb") as opened:
        data = opened.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise EditError(
            f"{file} is too large for a plan; the limit is {MAX_BYTES} bytes. Make two plans of it."
        )
    text = decode_text(data, file, EditError)
    try:
        return yaml.load(text, Loader=_Loader)
    except RecursionError as error:
        raise EditError(f"{file} is nested too deeply. {_FORM}") from error
    except yaml.MarkedYAMLError as error:
        where = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise EditError(f"{file}{where}: {error.problem}. {_FORM}") from error
    except yaml.YAMLError as error:
        raise EditError(f"{file} is not YAML ({error}). {_FORM}") from error


def _choices(wanted: Any) -> dict[str, Any]:
    """Return the fields of `SplitRequest` from one entry of a plan; paths are still texts."""
    if not isinstance(wanted, dict):
        return {"into": _into(wanted)}
    for key in wanted:
        if key not in _KEYS:
            raise EditError(
                f"{key!r} is not a key of an entry{_nearest(key, _KEYS)}. An entry needs 'into', "
                f"and may have {', '.join(_KEYS[1:])}. Labels with their modifiers belong in "
                "'into'."
            )
    if "into" not in wanted:
        raise EditError("the entry has no 'into'. Write 'into: [modifier, modifier]'.")
    for key in _KEYS[1:]:
        text = wanted.get(key, "missing")  # any text: an optional key may be missing
        if not isinstance(text, str) or not text:
            raise EditError(f"{key!r} must be one text, not a list, a mapping or nothing.")
    choices = {**wanted, "into": _into(wanted["into"])}
    closed = {"rule": RULES, "composition": COMPOSITIONS, "accept_doubt": tuple(_YES_NO)}
    for key, known in closed.items():
        if key in wanted and wanted[key] not in known:
            raise EditError(
                f"{key!r} cannot be {wanted[key]!r}{_nearest(wanted[key], known)}. Use one of "
                f"{', '.join(known)}."
            )
    if "accept_doubt" in wanted:
        choices["accept_doubt"] = _YES_NO[wanted["accept_doubt"]]
    return choices


def _into(wanted: Any) -> Into:
    """Return subcategories, as a list or as {label: modifier}."""
    texts = wanted.values() if isinstance(wanted, dict) else wanted
    if isinstance(wanted, str) or not all(isinstance(text, str) for text in texts):
        raise EditError(
            "'into' must be a list [modifier, modifier] or a mapping {label: modifier}."
        )
    into: Into = wanted
    return into


def _folder(path: Path) -> Path:
    if not os.path.isdir(path):  # `path.is_dir()` raises at a name that is too long
        raise EditError(f"the folder {path} of 'shots' does not exist. Correct the path.")
    return path


def _answered(answers: Path, clips: Path) -> AnsweredClips:
    if not os.path.isfile(answers):
        raise EditError(f"the file {answers} of 'answers' does not exist. Correct the path.")
    if not os.path.exists(clips):
        raise EditError(f"the folder or file {clips} of 'from' does not exist. Correct the path.")
    return AnsweredClips(answers, clips)


def _nearest(text: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(text, known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
