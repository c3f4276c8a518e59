"""Many splits in one edit, all of them or none; and the plan file that asks for them.

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
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgesplit.edits.edit import Edit
from edgesplit.edits.groups import Taxonomy
from edgesplit.edits.naming import Into, Shots
from edgesplit.edits.report import Report
from edgesplit.edits.rules import DEFAULT_RULE, RULES
from edgesplit.edits.split import split_class
from edgesplit.edits.text_encoder import TextEncoder
from edgesplit.errors import EdgesplitError, EditError, LabelError, UncertainSourceError
from edgesplit.heads.head import Head
from edgesplit.heads.labels import COMPOSITIONS, Composition
from edgesplit.heads.statistics import Statistics
from edgesplit.storage.files import map_os_errors
from edgesplit.storage.text_file import decode_text

if TYPE_CHECKING:
    import yaml

__all__ = ["MAX_BYTES", "Plan", "Split", "load_plan", "split_classes"]


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """One split of a plan, as in `split_class`; what is None is as the whole plan has it."""

    into: Into
    rule: str | None = None
    composition: Composition | None = None
    like: str | None = None
    shots: Shots | None = None
    force: bool | None = None


Plan = Mapping[str, Into | Split]
"""{class: its subcategories, or a `Split`}, in the order in which they are split."""


MAX_BYTES = 2**17
"""Of a plan file: more than a thousand splits, read in about a second."""

_FORM = "Write 'class: [modifier, modifier]' or 'class: {into: […], …}' for each class."
_KEYS = ("into", "rule", "composition", "like", "shots", "force")
_FORCE = {"true": True, "false": False}


def split_classes(
    head: Head,
    plan: Plan,
    *,
    rule: str = DEFAULT_RULE,
    composition: Composition = "gated",
    statistics: Statistics | None = None,
    taxonomy: Taxonomy | None = None,
    like: str | None = None,
    force: bool = False,
    encoder: TextEncoder | None = None,
) -> Edit:
    """Splits several classes, one after another, in one edit: all of them or none.

    Each is split by `split_class` on the head that the splits before it made, so a plan may go on
    to split a subcategory that it made itself. The new head's parent is `head`.

    Args:
        head: the head to edit; it stays as it is.
        plan: the classes in order, each with its subcategories.
        rule: of the splits that name none.
        composition: of the splits that name none.
        statistics: as in `split_class`.
        taxonomy: as in `split_class`, for all splits.
        like: for the splits that name no group.
        force: for the splits that do not say.
        encoder: as in `split_class`.

    Raises:
        EditError: the plan is empty, or some splits were refused; the text names each of them.
        UncertainSourceError: the same, where all that were refused are only in doubt.
        FeatureSpaceError: the statistics or the clips are of another backbone.
    """
    if not plan:
        raise EditError("The plan has no class to split. Name one at least.")
    edits: list[Edit] = []
    refused: dict[str, EdgesplitError] = {}
    for name, wanted in plan.items():
        split = wanted if isinstance(wanted, Split) else Split(wanted)
        attempt = partial(
            split_class,
            edits[-1].head if edits else head,
            name,
            into=split.into,
            rule=split.rule or rule,
            composition=split.composition or composition,
            statistics=statistics,
            shots=split.shots,
            taxonomy=taxonomy,
            like=split.like or like,
            encoder=encoder,
        )
        try:
            edits.append(attempt(force=force if split.force is None else split.force))
        except UncertainSourceError as error:
            refused[name] = error
            edits.append(attempt(force=True))  # for the splits below it to be judged, too
        except (EditError, LabelError) as error:
            refused[name] = error
    if refused:
        raise _refusal(refused, len(plan))
    return Edit(
        before=head,
        head=replace(edits[-1].head, parent=head.digest),
        report=Report(
            action="plan",
            label="",
            n_untouched=len(head.tree.roots) - len(set().union(*map(_touched, edits))),
            splits=tuple(edit.report for edit in edits),
        ),
        action=f"plan: split {', '.join(repr(edit.report.label) for edit in edits)}",
    )


def _touched(edit: Edit) -> set[int]:
    """Columns of the root classes whose logits a split changes."""
    tree = edit.before.tree
    flat = edit.report.composition == "flat"
    return {tree.path(tree.find(edit.report.label))[0]} if flat else set()


def _refusal(refused: Mapping[str, EdgesplitError], n_splits: int) -> EditError:
    """All that stands against a plan, and what to do."""
    lines = [f"Refused {len(refused)} of the plan's {n_splits} splits, so none was made:"]
    doubtful = {n: e.doubts for n, e in refused.items() if isinstance(e, UncertainSourceError)}
    for name, error in refused.items():
        why = f"in doubt: {'; '.join(doubtful[name])}" if name in doubtful else str(error)
        lines.append(f"  {name!r}: {why}")
    if doubtful:
        lines.append(
            "For each in doubt, name the group to learn from (like), say it in its words (into: "
            "{LABEL: MODIFIER, …}), show a clip of each (shots), or accept it (force: true)."
        )
    text = "\n".join(lines)
    if len(doubtful) < len(refused):
        return EditError(text)
    return UncertainSourceError(text, sum(doubtful.values(), ()))


def load_plan(path: str | Path, read_shots: Callable[[Path], Shots]) -> dict[str, Split]:
    """Reads a plan file.

    Args:
        path: the file.
        read_shots: gives the features of a folder of labelled clips; see
            `edgesplit.bundle.shots.read_shots`. Called only once all else is found to be right.

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
    text = decode_text(data, file, EditError)
    try:
        # Composed and not loaded: what a tag or an alias stands for is never made.
        document = yaml.compose(text, Loader=yaml.BaseLoader)
        return None if document is None else _plain(document, set(), file)
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
