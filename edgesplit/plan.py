"""A plan file -> the splits it asks for.

pushing: [left, right]      # a class and its subcategories
rolling:                    # the same in full; all but `into` may be missing
  into: {rolling something away: up, rolling something nearer: down}
  rule: alignment
  composition: gated
  like: pulling something
  shots: clips/rolling      # a folder, seen from the plan file's
  force: true

YAML, of which JSON is a part. Every value is read as a text: YAML takes `on` and `no` for booleans,
but they are modifiers here.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgesplit.errors import EditError
from edgesplit.labels import COMPOSITIONS
from edgesplit.rules import RULES
from edgesplit.split import Into, Shots, Split
from edgesplit.store import map_os_errors

if TYPE_CHECKING:
    import yaml

__all__ = ["MAX_BYTES", "load_plan"]

MAX_BYTES = 2**17
"""Of a plan file: more than a thousand splits, read in about a second."""

_FORM = "Write 'class: [modifier, modifier]' or 'class: {into: […], …}' for each class."
_KEYS = ("into", "rule", "composition", "like", "shots", "force")
_FORCE = {"true": True, "false": False}


def load_plan(path: str | Path, read_shots: Callable[[Path], Shots]) -> dict[str, Split]:
    """Reads a plan file.

    Args:
        path: the file.
        read_shots: gives the features of a folder of labelled clips; see
            `edgesplit.shots.read_shots`. Called only once all else is found to be right.

    Raises:
        BundleError: the file cannot be read.
        EditError: it does not hold a plan; the text says where, and what is wanted.
        ClipError: clips cannot be read.
    """
    file = Path(path)
    content = _parse(file)
    if not isinstance(content, dict) or not content:
        what = "is not a plan" if content else "names no class"
        raise EditError(f"{file} {what}. {_FORM}")
    plan: dict[str, Split] = {}
    folders: dict[str, Path] = {}
    for name, wanted in content.items():
        try:
            choices = _choices(wanted)
            if "shots" in choices:
                folders[name] = _folder(file.parent / choices.pop("shots"))
        except EditError as error:
            raise EditError(f"{file}, {name!r}: {error}") from error
        plan[name] = Split(**choices)
    for name, folder in folders.items():
        plan[name] = replace(plan[name], shots=read_shots(folder))
    return plan


def _parse(file: Path) -> Any:
    """The content of a YAML file as dicts, lists and texts."""
    import yaml

    with map_os_errors("read", file), file.open("rb") as opened:
        data = opened.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise EditError(f"{file} has more than the {MAX_BYTES} bytes of a plan. Make two of it.")
    try:
        # Composed and not loaded: what a tag or an alias stands for is never made.
        document = yaml.compose(data.decode("utf-8-sig"), Loader=yaml.BaseLoader)
        return None if document is None else _plain(document, set(), file)
    except UnicodeDecodeError as error:
        raise EditError(f"{file} is not UTF-8 ({error}). Save it as UTF-8.") from error
    except RecursionError as error:
        raise EditError(f"{file} is nested too deeply. {_FORM}") from error
    except yaml.MarkedYAMLError as error:
        where = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise EditError(f"{file}{where} is not YAML ({error.problem}). {_FORM}") from error
    except yaml.YAMLError as error:
        raise EditError(f"{file} is not YAML ({error}). {_FORM}") from error


def _plain(node: yaml.Node, seen: set[yaml.Node], file: Path) -> Any:
    """A node's content; nothing is said twice in it, by key or by alias."""
    import yaml

    where = f"{file}, line {node.start_mark.line + 1}"
    if node in seen:
        raise EditError(f"{where} is used again by an alias (*). Write it out where it is wanted.")
    seen.add(node)
    if isinstance(node, yaml.ScalarNode):
        return node.value
    if isinstance(node, yaml.SequenceNode):
        return [_plain(part, seen, file) for part in node.value]
    content: dict[str, Any] = {}
    for key, value in node.value:
        name, line = _plain(key, seen, file), key.start_mark.line + 1
        if not isinstance(name, str):
            raise EditError(f"{file}, line {line}: {name!r} is no text to begin with. {_FORM}")
        if name in content:
            raise EditError(f"{file}, line {line}: {name!r} appears twice. Name each one once.")
        content[name] = _plain(value, seen, file)
    return content


def _choices(wanted: Any) -> dict[str, Any]:
    """What `Split` takes, from one entry of a plan; `shots` is a text still."""
    if not isinstance(wanted, dict):
        return {"into": _into(wanted)}
    for key in wanted:
        if key not in _KEYS:
            raise EditError(
                f"there is no {key!r}{_nearest(key, _KEYS)}. An entry has into, and may have "
                f"{', '.join(_KEYS[1:])}; labels with their modifiers go into 'into'."
            )
    if "into" not in wanted:
        raise EditError("it has no 'into'. Write 'into: [modifier, modifier]'.")
    for key in _KEYS[1:]:
        text = wanted.get(key, "as it was")
        if not isinstance(text, str) or not text:
            raise EditError(f"{key} wants one text.")
    choices = {**wanted, "into": _into(wanted["into"])}
    for key, known in (("rule", RULES), ("composition", COMPOSITIONS), ("force", tuple(_FORCE))):
        if key in wanted and wanted[key] not in known:
            raise EditError(
                f"{key} cannot be {wanted[key]!r}{_nearest(wanted[key], known)}. It is one of "
                f"{', '.join(known)}."
            )
    if "force" in wanted:
        choices["force"] = _FORCE[wanted["force"]]
    return choices


def _into(wanted: Any) -> Into:
    """Subcategories, as a list or as {label: modifier}."""
    texts = wanted.values() if isinstance(wanted, dict) else wanted
    if isinstance(wanted, str) or not all(isinstance(text, str) for text in texts):
        raise EditError("into wants a list [modifier, modifier] or a mapping {label: modifier}.")
    into: Into = wanted
    return into


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise EditError(f"there is no folder {path}, which shots names.")
    return path


def _nearest(text: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(text, known, n=1)
    return f", did you mean {near[0]!r}" if near else ""
