"""The bundle: a folder with one backbone, every head there ever was, and which one is live.

    lab.bundle/
      bundle.json          format version, feature space, preprocessing, text encoder digest
      backbone.onnx        exported once, never touched again; above 2 GB with backbone.data
      heads/<digest>.onnx  every version ever made
      HEAD                 digest of the live head
      log.jsonl            one line per publish, appended
      stats.npz            class means, covariance, a sample (once clips were given)
      text/                a text encoder of its own, when not the packaged one

Only HEAD and log.jsonl are ever written twice; `publish` writes them. Readers take no lock.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from edgesplit.backbone.identity import Backbone, check_self_contained, read_backbone
from edgesplit.bundle.gate import Gate, pass_gate
from edgesplit.bundle.history import Version, read_history
from edgesplit.bundle.publishing import go_live, has_head, head_file, head_files, prune, read_live
from edgesplit.edits.edit import Edit, drop_class, merge_class, rename_class, restore_parent
from edgesplit.edits.groups import Taxonomy
from edgesplit.edits.plan import Plan, split_classes
from edgesplit.edits.request import SplitChoices, SplitOptions, SplitRequest
from edgesplit.edits.split import split_class
from edgesplit.edits.text_encoder import TextEncoder, packaged_encoder
from edgesplit.errors import (
    BundleError,
    ConflictError,
    EdgesplitError,
    EditError,
    FeatureSpaceError,
)
from edgesplit.heads.diff import diff_heads
from edgesplit.heads.head import Head, head_digest
from edgesplit.heads.statistics import Statistics
from edgesplit.storage.files import (
    Store,
    check_digest,
    is_regular,
    lock,
    map_os_errors,
    read_bytes,
    read_regular,
)
from edgesplit.video.preprocessing import Preprocessing

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Bundle", "check_space", "find_bundle", "open_bundle"]

FORMAT_VERSION = 1
MIN_PREFIX = 4
ENVIRONMENT = "EDGESPLIT_BUNDLE"


def find_bundle(path: str | Path | None = None) -> Path:
    """The bundle meant: `path`, else EDGESPLIT_BUNDLE, else the one in the current folder.

    Raises:
        BundleError: there is none, or several.
    """
    named = path or os.environ.get(ENVIRONMENT)
    if named:
        return Path(named)
    here = Path.cwd()
    if (here / "bundle.json").is_file():
        return here
    found = sorted(file.parent for file in here.glob("[!.]*/bundle.json"))
    if len(found) == 1:
        return found[0]
    how = f"Name one with --bundle or {ENVIRONMENT}."
    if found:
        raise BundleError(
            f"{here} holds several bundles: {', '.join(f.name for f in found)}. {how}"
        )
    raise BundleError(f"There is no bundle in {here}. {how} `edgesplit demo` makes one to try.")


def open_bundle(path: str | Path, *, store: Store | None = None) -> Bundle:
    """Opens a bundle for reading and publishing.

    Args:
        path: the folder.
        store: what writes; the file system's own by default.

    Raises:
        BundleError: the folder is not a bundle of a format this edgesplit reads.
    """
    folder = Path(path)
    file = folder / "bundle.json"
    if not file.is_file():
        what = "does not exist" if not folder.exists() else "is not a bundle (no bundle.json in it)"
        raise BundleError(f"{folder} {what}. `edgesplit export` makes a bundle.")
    try:
        content = json.loads(read_bytes(file))
        version = content["format"]
        if version != FORMAT_VERSION:
            raise BundleError(
                f"{folder} has bundle format {version!r}, this edgesplit reads {FORMAT_VERSION}. "
                "Use the edgesplit release that wrote it."
            )
        return Bundle(
            path=folder,
            feature_space=check_digest(content["feature_space"]),
            dim=int(content["dim"]),
            preprocessing=Preprocessing.from_json(content["preprocessing"]),
            text_encoder_digest=check_digest(content["text_encoder"]),
            store=store or Store(),
        )
    except KeyError as error:
        raise BundleError(f"{file} has no {error}. Restore it from a copy.") from error
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise BundleError(f"{file} is damaged. Restore it from a copy.") from error


@dataclass(frozen=True)
class Bundle:
    """An open bundle. Reading is safe from any thread; publishing takes the folder's lock.

    Only files that never change are kept in memory, so another process's publish is seen at the
    next call.
    """

    path: Path
    feature_space: str
    dim: int
    preprocessing: Preprocessing
    text_encoder_digest: str
    """Of the text encoder that the bundle was exported beside."""
    store: Store = field(default_factory=Store, repr=False, compare=False)
    _parsed: dict[str, Head] = field(default_factory=dict, init=False, repr=False, compare=False)
    """The head that was read last, by its digest: an edit and its publish both ask for it."""

    @property
    def live(self) -> str:
        """Digest of the live head.

        Raises:
            BundleError: HEAD is missing or damaged.
        """
        return read_live(self.path)

    def _live_or_none(self) -> str | None:
        """As `live`, but None when HEAD is missing or holds no digest."""
        path = self.path / "HEAD"
        if is_regular(path):
            read_regular(path)  # an unreadable HEAD is not a damaged one
        try:
            return self.live
        except BundleError:
            return None

    def head(self, digest: str | None = None) -> Head:
        """A head of this bundle, verified; the live one when no digest is given.

        Args:
            digest: the whole digest or its first characters, 4 at least.

        Raises:
            BundleError: there is no such head, or its file does not have this digest.
            HeadError: the file is not a head.
            FeatureSpaceError: the head belongs to another backbone.
        """
        return self._read_head(self.live if digest is None else self.find_head(digest))

    def _read_head(self, full: str) -> Head:
        """As `head`, by a whole digest."""
        path = head_file(self.path, full)
        data = read_regular(path)
        if head_digest(data) != full:
            raise BundleError(
                f"{path} is damaged: its content has another digest than its name. Restore it "
                "from a copy, or roll back and make the same edit again."
            )
        head = self._parsed.get(full)
        if head is None:
            head = Head.from_bytes(data)
            self._check_space(head)
            self._parsed.clear()
            self._parsed[full] = head
        return head

    def find_head(self, prefix: str) -> str:
        """The whole digest that starts with `prefix`, which has 4 characters at least."""
        if len(prefix) < MIN_PREFIX:
            raise BundleError(f"{prefix!r} is too short: give {MIN_PREFIX} characters of a digest.")
        found = [digest for digest in head_files(self.path) if digest.startswith(prefix)]
        if len(found) == 1:
            return found[0]
        if found:
            what = f"{len(found)} heads of {self.path} start"
        elif any(digest.startswith(prefix) for v in self.history() for digest in v.pruned):
            raise BundleError(
                f"The head {prefix[:12]} of {self.path} was pruned: only its entry in the log is "
                "left. Publish it again from a copy, or make the edit again."
            )
        else:
            what = f"No head of {self.path} starts"
        raise BundleError(f"{what} with {prefix[:12]!r}. `edgesplit log` lists them.")

    def ancestors(self, head: Head) -> Iterator[Head]:
        """The heads that `head` was edited from, the nearest first, as far as their files go.

        It ends even if files name each other as parents.

        Raises:
            BundleError: a file does not have its digest.
            HeadError: a file is not a head.
            FeatureSpaceError: a head belongs to another backbone.
        """
        seen = {head.digest}
        while head.parent and head.parent not in seen and has_head(self.path, head.parent):
            seen.add(head.parent)
            head = self._read_head(head.parent)
            yield head

    def backbone(self) -> Backbone:
        """The fp32 backbone, checked against the feature space.

        Raises:
            BundleError: it is not the one that the bundle was exported with.
        """
        return read_backbone(self.path, self.feature_space, self.preprocessing)

    @property
    def statistics(self) -> Statistics | None:
        """Of unlabelled clips; None when the bundle was exported without and not calibrated."""
        there = self._statistics_file.exists()  # asked each time: another process may calibrate
        return self._statistics if there else None

    @property
    def _statistics_file(self) -> Path:
        return self.path / "stats.npz"

    @cached_property
    def _statistics(self) -> Statistics:
        path = self._statistics_file
        statistics = Statistics.from_bytes(read_bytes(path))
        fits = statistics.feature_space == self.feature_space
        if not fits or statistics.sample.shape[1:] != (self.dim,):
            raise FeatureSpaceError(f"{path} belongs to another bundle. Restore it from a copy.")
        return statistics

    @property
    def text_encoder(self) -> TextEncoder:
        """The bundle's own text encoder, else the packaged one."""
        own = (self.path / "text").exists()  # asked each time: `edgesplit encoder` may have run
        return self._own_text_encoder if own else packaged_encoder()

    @cached_property
    def _own_text_encoder(self) -> TextEncoder:
        return TextEncoder.open(self.path / "text")

    def check_uncalibrated(self) -> None:
        """Whether `calibrate` would find a bundle without statistics.

        Raises:
            BundleError: it has some.
        """
        if self._statistics_file.exists():
            raise BundleError(
                f"{self.path} has statistics already, which edits were made with: they stay. "
                "Export the model anew to have others."
            )

    def calibrate(self, features: npt.ArrayLike, *, accept_few: bool = False) -> Statistics:
        """Gives a bundle without statistics those of unlabelled clips, durably and for good.

        Args:
            features: `(clips, dim)`, from this bundle's backbone.
            accept_few: accept too few clips of some classes.

        Raises:
            BundleError: it has statistics already, or the folder cannot be written.
            TooFewClipsError: a class has fewer clips than its mean wants.
            ConflictError: another process holds the bundle's lock.
            ValueError: there is no feature, or its size does not fit the head.
        """
        statistics = Statistics.from_features(self.head(), features)
        if not accept_few:
            statistics.check_counts()
        with lock(self.path):
            self.check_uncalibrated()
            with map_os_errors("write statistics to", self.path):
                self.store.replace_file(self._statistics_file, statistics.to_bytes())
        return statistics

    def history(self) -> tuple[Version, ...]:
        """The heads that went live, oldest first; the last is the live one.

        While HEAD is damaged, every entry of the log, of which none is live.
        """
        return read_history(self.path, self._live_or_none())

    def split_class(
        self,
        name: str,
        request: SplitRequest | None = None,
        *,
        taxonomy: Taxonomy | None = None,
        **choices: Unpack[SplitChoices],
    ) -> Edit:
        """`edgesplit.split_class` on the live head, with the bundle's statistics and encoder.

        Nothing is live before `publish`. Arguments and errors are those of
        `edgesplit.split_class`.
        """
        knowledge = self._knowledge(taxonomy)
        return self._warned(split_class(self.head(), name, request, **knowledge, **choices))

    def split_classes(
        self,
        plan: Plan,
        *,
        taxonomy: Taxonomy | None = None,
        **choices: Unpack[SplitOptions],
    ) -> Edit:
        """`edgesplit.split_classes` on the live head, with the bundle's statistics and encoder.

        Nothing is live before `publish`; then all of the plan is. `rollback` undoes all of it,
        `merge_class` one split of it.
        """
        knowledge = self._knowledge(taxonomy)
        return self._warned(split_classes(self.head(), plan, **knowledge, **choices))

    def _knowledge(self, taxonomy: Taxonomy | None) -> dict[str, Any]:
        return {
            "statistics": self.statistics,
            "taxonomy": taxonomy,
            "encoder": self.text_encoder,
        }

    def _warned(self, edit: Edit) -> Edit:
        """The edit, with a warning if it was made with another text encoder than the export's."""
        encoder = self.text_encoder
        if encoder.digest == self.text_encoder_digest or (self.path / "text").exists():
            return edit
        warning = (
            f"the text encoder is {encoder.digest[:12]}, the bundle was exported beside "
            f"{self.text_encoder_digest[:12]}: the same edit gave other rows there"
        )
        warnings = (*edit.report.warnings, warning)
        return replace(edit, report=replace(edit.report, warnings=warnings))

    def merge_class(self, name: str) -> Edit:
        """Undoes the split of `name` on the live head.

        When that split was the head's last edit, the result is the parent itself, byte for byte.
        """
        return self._or_parent(merge_class(self.head(), name))

    def rename_class(self, name: str, to: str, *, modifier: str | None = None) -> Edit:
        """Gives `name` another label on the live head; see `edgesplit.rename_class`.

        Taking back the head's last edit gives the parent itself, byte for byte.
        """
        return self._or_parent(rename_class(self.head(), name, to, modifier=modifier))

    def drop_class(self, name: str) -> Edit:
        """Leaves a subcategory of the live head out; see `edgesplit.drop_class`."""
        return drop_class(self.head(), name)

    def _or_parent(self, edit: Edit) -> Edit:
        parent = edit.before.parent
        if parent and has_head(self.path, parent):
            return restore_parent(edit, self._read_head(parent))
        return edit

    def publish(self, edit: Edit | Head, *, action: str | None = None) -> Version:
        """Makes a head live: at once, durably, and only on top of the head it was made from.

        Args:
            edit: an edit of the live head, or a head whose parent is the live one.
            action: what the log says; the edit's own words by default. A head's labels are added.

        Raises:
            ConflictError: another head went live since the edit was made.
            FeatureSpaceError: the head belongs to another backbone.
            GateError: the head would change logits that the edit must leave alone.
            BundleError: the folder cannot be written. Nothing was changed; or, when only the very
                last sync failed, the head is live but may not be after a power cut.
        """
        head = edit.head if isinstance(edit, Edit) else edit
        self._check_space(head)
        if isinstance(edit, Edit):
            before, words = edit.before.digest, action or edit.action
        else:
            before, words = head.parent, f"{action or 'publish'}: {_in_words(self.head(), head)}"
        return self._publish(head, words, expect=before, check=self._gate)

    def check(self, edit: Edit) -> Gate:
        """Runs the gate that `publish` runs, and publishes nothing; errors as there."""
        self._check_space(edit.head)
        return self._gate(edit.before, edit.head)

    def rollback(self, digest: str | None = None, *, expect: str | None = None) -> Version:
        """Makes an earlier head live again, byte for byte.

        Args:
            digest: the head; by default the one that the live head was made from, so that
                repeating it walks back through the edits.
            expect: digest of the head that must be live for it; any by default.

        Raises:
            ConflictError: another head is live than expected.
            BundleError: there is no earlier head, it was never live, or the folder cannot be
                written.
        """
        live = self.live if digest is None else self._live_or_none()
        if digest is None:
            digest = self.head().parent
            if not digest:
                others = [one.digest[:12] for one in self.history() if one.digest != live]
                if not others:
                    raise BundleError(
                        "The first head is live, and no other was: nothing to roll back to."
                    )
                raise BundleError(
                    "The first head is live: there is nothing to roll back to. Another was live "
                    f"last: `edgesplit rollback {others[-1]}`; `edgesplit log` lists all."
                )
        head = self.head(digest)
        if not self._was_live(head.digest, live):
            file = head_file(self.path, head.digest)
            raise BundleError(
                f"{head.digest[:12]} was never live here, so it never passed the gate. "
                f"`edgesplit publish {file}` makes it live if it does."
            )
        return self._publish(
            head, f"rollback to {head.digest[:12]}", expect=expect or live, check=None
        )

    def _was_live(self, digest: str, live: str | None) -> bool:
        """True if a head is an ancestor of the live one, whose digest vouches for it, or logged."""
        if live and has_head(self.path, live):
            head = self._read_head(live)
            if any(ancestor.digest == digest for ancestor in self.ancestors(head)):
                return True
        return any(version.digest == digest for version in self.history())

    def prune(self, keep: int, *, dry_run: bool = False) -> tuple[str, ...]:
        """Removes the files of all heads but the last `keep` that were live.

        The history keeps its entries; it is only no longer possible to roll back to those heads.

        Args:
            keep: heads to keep, the live one included; at least 1.
            dry_run: only say which would go.

        Returns:
            Digests of the heads that went, in order.

        Raises:
            ValueError: `keep` is less than 1.
            BundleError: HEAD is damaged, or the folder cannot be written.
        """
        if keep < 1:
            raise ValueError(f"keep must be at least 1, got {keep}")
        if dry_run:
            return self._prunable(keep)
        with lock(self.path):
            digests = self._prunable(keep)
            if digests:
                with map_os_errors("prune", self.path):
                    prune(self.store, self.path, digests, live=self.live)
        return digests

    def _prunable(self, keep: int) -> tuple[str, ...]:
        live = self.live
        newest = [live, *(version.digest for version in reversed(self.history()))]
        kept = list(dict.fromkeys(newest))[:keep]
        return tuple(digest for digest in head_files(self.path) if digest not in kept)

    def _publish(
        self,
        head: Head,
        action: str,
        *,
        expect: str | None,
        check: Callable[[Head, Head], Gate] | None,
    ) -> Version:
        with lock(self.path):
            # A named rollback is how a damaged HEAD is repaired; an edit must know what is live.
            live = self.live if check is not None else self._live_or_none()
            if head.digest == live:
                raise EditError(f"{head.digest[:12]} is live already; nothing was published.")
            if live != expect:
                raise ConflictError(self._conflict(head, expect, live))
            if check is not None:
                check(self.head(live), head)
            before = live or self._logged_last()
            with map_os_errors("publish to", self.path):
                return go_live(self.store, self.path, head, before=before, action=action)

    def _conflict(self, head: Head, expect: str | None, live: str | None) -> str:
        if any(version.digest == head.digest for version in self.history()):
            return (
                f"{head.digest[:12]} was live in this bundle before. "
                f"`edgesplit rollback {head.digest[:12]}` makes it live again."
            )
        return (
            f"The head was made from {(expect or 'nothing')[:12]}, but {(live or 'nothing')[:12]} "
            "is live: somebody published in between. Make the edit again on top of it."
        )

    def _logged_last(self) -> str:
        """The last head of the log, which a damaged HEAD most likely named."""
        return read_history(self.path, None)[-1].digest

    def _gate(self, before: Head, after: Head) -> Gate:
        statistics = self.statistics
        return pass_gate(before, after, None if statistics is None else statistics.sample)

    def verify(self) -> list[str]:
        """Checks every file; returns what is wrong, in sentences. Empty when all is well."""
        problems: list[str] = []

        def attempt(step: Callable[[], object]) -> None:
            try:
                step()
            except EdgesplitError as error:
                problems.append(str(error))

        attempt(lambda: check_self_contained(self.backbone()))
        attempt(self.head)
        attempt(self._check_history)
        attempt(lambda: self.statistics)
        attempt(lambda: self.text_encoder.check())
        digests: list[str] = []
        attempt(lambda: digests.extend(head_files(self.path)))
        for digest in digests:
            attempt(lambda digest=digest: self._read_head(digest))  # type: ignore[misc]
        return list(dict.fromkeys(problems))

    def _check_history(self) -> None:
        live = self.live
        history = read_history(self.path, live)
        if not history or history[-1].digest != live:
            raise BundleError(
                f"The log does not say how {live[:12]} went live: HEAD was set by hand, or the log "
                "is incomplete. Publish or roll back to go on from here."
            )
        pruned = {digest for version in history for digest in version.pruned}
        heads = dict.fromkeys(version.digest for version in history)
        gone = [d[:12] for d in heads if d not in pruned and not has_head(self.path, d)]
        if gone:
            raise BundleError(
                f"{len(gone)} heads of the log are gone, such as {gone[0]}: it is not possible to "
                "roll back to them. Restore them from a copy."
            )

    def _check_space(self, head: Head) -> None:
        check_space(head, self.feature_space, self.dim)


def _in_words(live: Head, head: Head) -> str:
    difference = diff_heads(live, head)
    parts = [f"{rename.before!r} -> {rename.after!r}" for rename in difference.renamed]
    parts += [f"+ {node.label!r}" for node in difference.added]
    parts += [f"- {label!r}" for label in difference.removed]
    return ", ".join(parts) or "the same labels"


def check_space(head: Head, feature_space: str, dim: int) -> None:
    """Whether a head fits a backbone.

    Raises:
        FeatureSpaceError: it belongs to another one, or takes features of another size.
    """
    if head.feature_space != feature_space:
        own = head.feature_space
        mine = f"feature space {own[:12]}" if own else "no feature space"
        raise FeatureSpaceError(
            f"The head belongs to {mine}, the bundle has {feature_space[:12]}: it was trained on "
            "another backbone or preprocessing. Use a head that was exported with this bundle."
        )
    if head.dim != dim:
        raise FeatureSpaceError(
            f"The head takes features of {head.dim} values, the backbone gives {dim}."
        )
