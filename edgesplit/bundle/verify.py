"""Checks of every file of a bundle."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from edgesplit.backbone.backends import OrtBackend
from edgesplit.backbone.identity import check_self_contained
from edgesplit.bundle.head_files import has_head, head_files
from edgesplit.bundle.history import check_chain, read_history
from edgesplit.bundle.label_texts import LABEL_TEXTS_FILE, check_label_texts, read_label_texts
from edgesplit.edits.text_encoder import packaged_encoder
from edgesplit.errors import BundleError, EdgesplitError, MissingExtraError
from edgesplit.limits import LABEL_TEXTS_BYTES
from edgesplit.storage.files import read_regular

if TYPE_CHECKING:
    from edgesplit.bundle.bundle import Bundle

__all__ = ["verify"]


def verify(bundle: Bundle) -> list[str]:
    """Return the problems of a bundle's files, as sentences; empty if there are none."""
    problems: list[str] = []

    def attempt(step: Callable[[], object]) -> None:
        try:
            step()
        except EdgesplitError as error:
            problems.append(str(error))

    attempt(lambda: _run_backbone(bundle))
    attempt(bundle.head)
    attempt(lambda: _check_history(bundle))
    attempt(lambda: check_chain(bundle.path))
    attempt(lambda: bundle.statistics)
    attempt(lambda: bundle.text_encoder.check())
    attempt(lambda: _check_label_texts(bundle))
    digests: list[str] = []
    attempt(lambda: digests.extend(head_files(bundle.path)))
    for digest in digests:
        attempt(lambda digest=digest: bundle.heads.read(digest))  # type: ignore[misc]
    return list(dict.fromkeys(problems))


def _run_backbone(bundle: Bundle) -> None:
    """Raise unless the backbone gives finite features of the bundle's size for one clip."""
    backbone = bundle.backbone()
    clip = np.zeros((1, *bundle.preprocessing.clip_shape), np.float32)
    try:
        found = OrtBackend(backbone).run(clip)
    except MissingExtraError:  # a device may have an engine alone
        check_self_contained(backbone)
        return
    if found.shape != (1, bundle.dim) or not np.isfinite(found).all():
        raise BundleError(
            f"The backbone gives features of shape {found.shape} for one clip, not finite numbers "
            f"of shape {(1, bundle.dim)}. Export the model again."
        )


def _check_label_texts(bundle: Bundle) -> None:
    path, encoder = bundle.path / LABEL_TEXTS_FILE, packaged_encoder()
    if path.exists():
        check_label_texts(
            read_label_texts(read_regular(path, LABEL_TEXTS_BYTES, follow_link=True), encoder),
            encoder,
        )


def _check_history(bundle: Bundle) -> None:
    """Raise BundleError if the log does not end with the live head, or lacks a head's file."""
    live = bundle.live
    history = read_history(bundle.path, live)
    if not history or history[-1].digest != live:
        raise BundleError(
            f"The log does not show how {live[:12]} went live: HEAD was set by hand, or the log "
            "is incomplete. Publish or roll back to continue from this head."
        )
    pruned = {digest for version in history for digest in version.pruned}
    heads = dict.fromkeys(version.digest for version in history)
    gone = [d[:12] for d in heads if d not in pruned and not has_head(bundle.path, d)]
    if gone:
        raise BundleError(
            f"{len(gone)} heads of the log are missing, such as {gone[0]}, so nobody can roll back "
            "to them. Restore them from a copy."
        )
