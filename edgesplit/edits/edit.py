"""Edits of a head that make no new rows: merge, drop and rename.

They are pure functions from a head to an `Edit`, and publish nothing. `split` makes new rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgesplit.edits.report import Report
from edgesplit.errors import EditError
from edgesplit.heads.head import Head
from edgesplit.heads.label_text import check_label
from edgesplit.heads.labels import LabelTree

__all__ = ["Edit", "drop_class", "merge_class", "rename_class", "restore_parent"]


@dataclass(frozen=True, slots=True, eq=False)
class Edit:
    """A new head and its report."""

    before: Head
    head: Head
    report: Report
    action: str
    """Description of the edit, for the bundle's log."""


def merge_class(head: Head, name: str) -> Edit:
    """Undo the split of a class, with all splits below it.

    The remaining nodes have the same labels, rows and provenance as before the split; only the
    parent digest differs. See `restore_parent`.

    Args:
        head: the head to edit; it does not change.
        name: the class that was split, as in `LabelTree.find`.

    Raises:
        LabelError: the class does not exist or is ambiguous.
        EditError: the class is not split.
    """
    tree = head.tree
    column = tree.find_first(name, tree.inner, range(len(tree)))
    return _edit(head, "merge", column, *tree.merge(column), split=column)


def drop_class(head: Head, name: str) -> Edit:
    """Remove one subcategory of a split, with all splits below it; its clips go to its siblings.

    Args:
        head: the head to edit; it does not change.
        name: the subcategory, as in `LabelTree.find`.

    Raises:
        LabelError: the class does not exist or is ambiguous.
        EditError: it is one of the model's original classes, or one of only two subcategories.
    """
    tree = head.tree
    children = [column for column, node in enumerate(tree) if node.parent is not None]
    column = tree.find_first(name, children, range(len(tree)))
    return _edit(head, "drop", column, *tree.drop(column), split=tree[column].parent)


def rename_class(head: Head, name: str, to: str, *, modifier: str | None = None) -> Edit:
    """Give a class another label; its row and the labels below it do not change.

    Args:
        head: the head to edit; it does not change.
        name: the class, as in `LabelTree.find`.
        to: the new label, in full.
        modifier: the new modifier of a subcategory; default: unchanged.

    Raises:
        LabelError: the class does not exist or is ambiguous, or the new label is not allowed.
        EditError: the class has that label already, or has no modifier.
    """
    tree = head.tree
    column = tree.find(name)
    node, label = tree[column], check_label(to)
    if modifier is not None and node.parent is None:
        raise EditError(
            f"{node.label!r} is not a subcategory, so it has no modifier. Rename it without one."
        )
    words = node.modifier if modifier is None else check_label(modifier)
    edit = _edit(head, "rename", column, tree.rename(column, label, words), range(len(tree)))
    below = ", ".join(repr(tree[child].label) for child in tree.children(column))
    warnings = (f"its subcategories keep their labels: {below}",) if below else ()
    report = replace(edit.report, to=label, warnings=warnings)
    return replace(edit, report=report, action=f"{edit.action} to {label!r}")


def restore_parent(edit: Edit, parent: Head) -> Edit:
    """Return the edit with `parent` as its head, if both heads differ only in their parent digest.

    So undoing the last edit restores the same bytes.
    """
    return replace(edit, head=parent) if _same(edit.head, parent) else edit


def _edit(
    head: Head,
    action: str,
    column: int,
    tree: LabelTree,
    kept: Sequence[int],
    *,
    split: int | None = None,
) -> Edit:
    """Return the edit to the labels `tree` and the rows of `kept`; `split` loses children."""
    rows = list(kept)
    edited = Head(
        tree=tree,
        weight=head.weight[rows],
        bias=head.bias[rows],
        feature_space=head.feature_space,
        parent=head.digest,
    )
    label = head.tree[column].label
    flat = split is not None and head.tree[split].composition == "flat"
    report = Report(action=action, label=label, n_untouched=len(head.tree.roots) - flat)
    return Edit(head, edited, report, f"{action} {label!r}")


def _same(left: Head, right: Head) -> bool:
    return (
        left.tree.nodes == right.tree.nodes
        and left.feature_space == right.feature_space
        and left.weight.tobytes() == right.weight.tobytes()
        and left.bias.tobytes() == right.bias.tobytes()
    )
