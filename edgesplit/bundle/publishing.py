"""Publish, roll back and prune heads: the only writer of heads/, log.jsonl and HEAD.

Each step is durable before the next one begins. After a crash, the old or the new head is live, and
the log shows how it went live.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from edgesplit.bundle.gate import MAX_CHANGED_SHARE, GateReport, check_locality
from edgesplit.bundle.head_files import (
    check_space,
    find_live,
    has_head,
    head_file,
    head_files,
    heads_folder,
)
from edgesplit.bundle.history import Version, append_version, new_version, read_history
from edgesplit.edits.edit import Edit
from edgesplit.errors import BundleError, ConflictError, EditError, GateError
from edgesplit.heads.diff import diff_heads
from edgesplit.heads.head import Head, head_digest
from edgesplit.limits import HEAD_BYTES
from edgesplit.storage.files import Store, is_regular, lock, map_os_errors, read_regular

if TYPE_CHECKING:
    from edgesplit.bundle.bundle import Bundle

__all__ = ["check_edit", "go_live", "prune", "publish", "roll_back"]


def publish(
    bundle: Bundle, edit: Edit | Head, action: str | None, *, accept_changes: bool
) -> Version:
    """Make a head live in place of the head it was made from; see `Bundle.publish`."""
    head = edit.head if isinstance(edit, Edit) else edit
    check_space(head, bundle.feature_space, bundle.dim)
    if isinstance(edit, Edit):
        parent, action = edit.before.digest, action or edit.action
    else:
        parent, action = head.parent, f"{action or 'publish'}: {_list_changes(bundle, head)}"
    with lock(bundle.path):
        live = bundle.live
        _check_live(bundle, head, live, expect=parent)
        _check_locality(bundle, bundle.heads.read(live), head, accept_changes)
        with map_os_errors("publish to", bundle.path):
            return go_live(bundle.store, bundle.path, head, before=live, action=action)


def check_edit(bundle: Bundle, edit: Edit, *, accept_changes: bool) -> GateReport:
    """Run the gate of `publish` without publishing; see `Bundle.check`."""
    check_space(edit.head, bundle.feature_space, bundle.dim)
    return _check_locality(bundle, edit.before, edit.head, accept_changes)


def roll_back(
    bundle: Bundle, digest: str | None, expect: str | None, action: str | None
) -> Version:
    """Make an earlier head live again; see `Bundle.rollback`."""
    if digest is None:
        seen: str | None = bundle.live
        digest = _find_parent(bundle)
    else:
        seen = find_live(bundle.path)
    head = bundle.head(digest)
    if not _was_live(bundle, head.digest, seen):
        raise BundleError(
            f"{head.digest[:12]} was never live in this bundle, so it never passed the gate. Use "
            f"`edgesplit publish {head_file(bundle.path, head.digest)}`, which runs the gate."
        )
    with lock(bundle.path):
        live = find_live(bundle.path)  # a rollback to a named head repairs a damaged HEAD
        _check_live(bundle, head, live, expect=expect or seen)
        # A damaged HEAD most likely named the last head of the log.
        before = live or read_history(bundle.path, None)[-1].digest
        action = action or f"rollback to {head.digest[:12]}"
        with map_os_errors("publish to", bundle.path):
            return go_live(bundle.store, bundle.path, head, before=before, action=action)


def prune(bundle: Bundle, keep: int, *, dry_run: bool) -> tuple[str, ...]:
    """Remove the files of all heads except the last `keep`; see `Bundle.prune`."""
    if keep < 1:
        raise ValueError(f"keep must be at least 1, got {keep}")
    if dry_run:
        return _find_prunable(bundle, keep)
    with lock(bundle.path):
        digests = _find_prunable(bundle, keep)
        if digests:
            with map_os_errors("prune", bundle.path):
                remove_heads(bundle.store, bundle.path, digests, live=bundle.live)
    return digests


# --- checks -----------------------------------------------------------------------------------


def _check_live(bundle: Bundle, head: Head, live: str | None, *, expect: str | None) -> None:
    """Raise EditError if `head` is live already, ConflictError if the live head is not `expect`."""
    if head.digest == live:
        raise EditError(f"{head.digest[:12]} is live already; nothing was published.")
    if live == expect:
        return
    known = {version.digest for version in bundle.history()}
    if head.digest in known:
        raise ConflictError(
            f"{head.digest[:12]} was live in this bundle before. "
            f"`edgesplit rollback {head.digest[:12]}` makes it live again."
        )
    if head.parent and head.parent == expect and expect not in known:
        raise ConflictError(
            f"The head was made from {expect[:12]}, which was never live here: it is more than one "
            "edit ahead. Publish the heads between them first, the oldest first."
        )
    raise ConflictError(
        f"The head was made from {(expect or 'nothing')[:12]}, but {(live or 'nothing')[:12]} "
        "is live: another publish came first. Make the edit again from the live head."
    )


def _check_locality(bundle: Bundle, before: Head, after: Head, accept_changes: bool) -> GateReport:
    statistics = bundle.statistics
    gate = check_locality(before, after, None if statistics is None else statistics.sample)
    if gate.n_changed > MAX_CHANGED_SHARE * gate.n_decided and not accept_changes:
        raise GateError(
            f"The head changes {gate.n_changed} of {gate.n_decided} decisions on the bundle's "
            "clips, outside its split: its flat subcategories win clips of other classes. "
            "Nothing was published. Use --composition gated, or accept this with --accept-changes."
        )
    return gate


def _list_changes(bundle: Bundle, head: Head) -> str:
    difference = diff_heads(bundle.head(), head)
    parts = [f"{rename.before!r} -> {rename.after!r}" for rename in difference.renamed]
    parts += [f"+ {node.label!r}" for node in difference.added]
    parts += [f"- {label!r}" for label in difference.removed]
    return ", ".join(parts) or "the same labels"


def _find_parent(bundle: Bundle) -> str:
    """Return the digest of the head that the live one was made from, or raise BundleError."""
    live = bundle.head()
    if live.parent:
        return live.parent
    others = [
        one.digest[:12]
        for one in bundle.history()
        if one.digest != live.digest and has_head(bundle.path, one.digest)
    ]
    if not others:
        raise BundleError(
            "The first head is live and no other head is kept, so no rollback is possible."
        )
    raise BundleError(
        "The first head is live, so it has no earlier head to roll back to. To return to the head "
        f"that was live last, use `edgesplit rollback {others[-1]}`; `edgesplit log` lists all."
    )


def _was_live(bundle: Bundle, digest: str, live: str | None) -> bool:
    """Return True if a head is in the log, or an ancestor of the live head.

    The digests of the ancestors are verified through the digest of the live head.
    """
    if live and has_head(bundle.path, live):
        ancestors = bundle.heads.ancestors(bundle.heads.read(live))
        if any(ancestor.digest == digest for ancestor in ancestors):
            return True
    return any(version.digest == digest for version in bundle.history())


def _find_prunable(bundle: Bundle, keep: int) -> tuple[str, ...]:
    history = bundle.history()
    newest = [bundle.live, *(version.digest for version in reversed(history))]
    kept = [*dict.fromkeys(newest)][:keep]
    kept += [version.digest for version in history[:1]]  # the exported head
    return tuple(digest for digest in head_files(bundle.path) if digest not in kept)


# --- steps; the caller holds the bundle's lock ------------------------------------------------


def go_live(store: Store, folder: Path, head: Head, *, before: str, action: str) -> Version:
    """Write the head's file, a line of the log, and HEAD, in this order.

    Raises:
        OSError: the head did not go live; files that were written are ignored, and reused later. If
            only the last sync failed, the head is live, but a power cut may undo that.
    """
    _sync_live(store, folder)
    path = head_file(folder, head.digest)
    # A file of that name is hashed: a power cut can leave it empty.
    if is_regular(path) and head_digest(read_regular(path, HEAD_BYTES)) == head.digest:
        store.sync_file(path)  # its writer may not have made it durable
    else:
        store.replace_file(path, _head_bytes(head))
    version = new_version(head.digest, before=before, action=action)
    version = append_version(store, folder, version)
    store.replace_file(folder / "HEAD", f"{head.digest}\n".encode())
    return version


def _head_bytes(head: Head) -> bytes:
    """Return the head's file, which must be small enough to be read again."""
    data = head.to_bytes()
    if len(data) > HEAD_BYTES:
        raise BundleError(
            f"The head takes {len(data):,} bytes, and at most {HEAD_BYTES:,} are read. Use fewer "
            "classes or smaller features."
        )
    return data


def remove_heads(store: Store, folder: Path, digests: Collection[str], *, live: str) -> Version:
    """Write a line of the log, then remove the heads' files and the partial files of crashes.

    Raises:
        OSError: some files were not removed; prune again.
    """
    _sync_live(store, folder)
    action = f"prune {len(digests)} head{'s' * (len(digests) != 1)}"
    version = new_version(live, before=live, action=action, pruned=sorted(digests))
    version = append_version(store, folder, version)
    for digest in version.pruned:
        with contextlib.suppress(FileNotFoundError):
            store.remove_file(head_file(folder, digest))
    for place in (folder, heads_folder(folder)):
        store.remove_parts(place)
    return version


def _sync_live(store: Store, folder: Path) -> None:
    """Make the current HEAD durable, because the next line of the log names this head as live.

    The process that wrote HEAD may have been killed before HEAD was durable. After a power cut, the
    line would then name a head that never went live.
    """
    path = folder / "HEAD"
    if is_regular(path):
        store.sync_file(path)
