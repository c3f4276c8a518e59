"""The bundle: a folder with one backbone, all its heads, and the name of the live one.

    lab.bundle/
      bundle.json          format version, feature space, preprocessing, text encoder digest
      backbone.onnx        exported once, never changed; above 2 GB with backbone.data
      heads/<digest>.onnx  every version ever made
      HEAD                 digest of the live head
      log.jsonl            one line per publish, appended
      stats.npz            class means, covariance, a sample (after calibration)
      texts.npz            embeddings of the labels, by the packaged text encoder
      text/                the bundle's text encoder, if it is not the packaged one

Only HEAD and log.jsonl are written more than once, by `publishing`. Readers take no lock.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from edgesplit._data import check_digest, load_json
from edgesplit._types import Int64
from edgesplit.backbone.identity import Backbone, read_backbone
from edgesplit.bundle import publishing
from edgesplit.bundle.gate import GateReport
from edgesplit.bundle.head_files import HeadFiles, find_live, has_head, read_live
from edgesplit.bundle.history import Version, read_history
from edgesplit.bundle.label_texts import LABEL_TEXTS_FILE, read_label_texts
from edgesplit.bundle.verify import verify
from edgesplit.edits.asking import choose_clips
from edgesplit.edits.edit import Edit, drop_class, merge_class, rename_class, restore_parent
from edgesplit.edits.groups import Taxonomy
from edgesplit.edits.plan import Plan, split_classes
from edgesplit.edits.request import SplitChoices, SplitOptions, SplitRequest
from edgesplit.edits.split import SplitDraft, draft_split, split_class
from edgesplit.edits.text_encoder import TextEncoder, packaged_encoder
from edgesplit.errors import BundleError, FeatureSpaceError
from edgesplit.heads.head import Head
from edgesplit.heads.statistics import Statistics
from edgesplit.limits import BUNDLE_JSON_BYTES, LABEL_TEXTS_BYTES, STATISTICS_BYTES
from edgesplit.storage.files import Store, lock, map_os_errors, read_regular
from edgesplit.video.preprocessing import Preprocessing

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Bundle", "find_bundle", "open_bundle"]

FORMAT_VERSION = 1
STATISTICS_FILE = "stats.npz"
"""Name of the statistics file, which is written once and never changed."""
ENVIRONMENT = "EDGESPLIT_BUNDLE"


def find_bundle(path: str | Path | None = None) -> Path:
    """Return `path`, else the path in EDGESPLIT_BUNDLE, else the bundle in the current folder.

    Raises:
        BundleError: the current folder holds no bundle, or several.
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
    raise BundleError(f"{here} holds no bundle. {how} `edgesplit demo` creates one to try.")


def _missing_bundle(folder: Path) -> str:
    what = "does not exist" if not folder.exists() else "is not a bundle (no bundle.json in it)"
    inside = sorted(file.parent for file in folder.glob("*/bundle.json"))
    way = f"Name {inside[0]}." if inside else "Check the path; `edgesplit export` makes a bundle."
    return f"{folder} {what}. {way}"


def open_bundle(path: str | Path, *, store: Store | None = None) -> Bundle:
    """Open a bundle for reading and publishing.

    Args:
        path: the folder.
        store: writer of files; by default one for the file system.

    Raises:
        BundleError: the folder is not a bundle, or has a format that this edgesplit cannot read.
    """
    folder = Path(path)
    file = folder / "bundle.json"
    if not file.is_file():
        raise BundleError(_missing_bundle(folder))
    try:
        content = load_json(read_regular(file, BUNDLE_JSON_BYTES, follow_link=True))
        version = content["format"]
        if version != FORMAT_VERSION:
            raise BundleError(
                f"{folder} has bundle format {version!r}; this edgesplit reads {FORMAT_VERSION}. "
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
    """Digest of the packaged text encoder at the time of the export."""
    store: Store = field(default_factory=Store, repr=False, compare=False)

    # --- reading

    @property
    def live(self) -> str:
        """Digest of the live head.

        Raises:
            BundleError: HEAD is missing or damaged.
        """
        return read_live(self.path)

    @cached_property
    def heads(self) -> HeadFiles:
        """The head files, by digest."""
        return HeadFiles(self.path, self.feature_space, self.dim)

    def head(self, digest: str | None = None) -> Head:
        """Return a head of this bundle, verified; the live one when no digest is given.

        Args:
            digest: the complete digest, or at least its first 4 characters.

        Raises:
            BundleError: the head does not exist, or its file does not have this digest.
            HeadError: the file is not a head.
            FeatureSpaceError: the head belongs to another backbone.
        """
        return self.heads.read(self.live if digest is None else self.heads.find(digest))

    def history(self) -> tuple[Version, ...]:
        """Return the heads that went live, oldest first; the last is the live one.

        If HEAD is damaged, return every entry of the log; none of them is live.
        """
        return read_history(self.path, find_live(self.path))

    def backbone(self) -> Backbone:
        """Return the fp32 backbone, checked against the feature space.

        Raises:
            BundleError: it is not the backbone that the bundle was exported with.
        """
        return read_backbone(self.path, self.feature_space, self.preprocessing)

    @property
    def statistics(self) -> Statistics | None:
        """Statistics of unlabelled clips; None before `calibrate`."""
        # Checked on every call: another process may calibrate.
        exists = (self.path / STATISTICS_FILE).exists()
        return self._statistics if exists else None

    @cached_property
    def _statistics(self) -> Statistics:
        path = self.path / STATISTICS_FILE
        statistics = Statistics.from_bytes(read_regular(path, STATISTICS_BYTES, follow_link=True))
        own, shape = statistics.feature_space, statistics.means.shape
        n_classes = len(self.head().tree.roots)  # no edit changes it
        if own != self.feature_space or shape != (n_classes, self.dim):
            raise FeatureSpaceError(f"{path} belongs to another bundle. Restore it from a copy.")
        return statistics

    @property
    def text_encoder(self) -> TextEncoder:
        """Text encoder of the bundle, else the packaged one with the labels' embeddings.

        Raises:
            BundleError: the encoder's files, or the labels' embeddings, are damaged.
        """
        return self._own_text_encoder if self._has_text_encoder else self._packaged_encoder

    @property
    def _has_text_encoder(self) -> bool:
        return (self.path / "text").exists()  # on every call: `edgesplit encoder` may have run

    @cached_property
    def _packaged_encoder(self) -> TextEncoder:
        encoder, path = packaged_encoder(), self.path / LABEL_TEXTS_FILE
        if not path.exists():  # as in older bundles
            return encoder
        known = read_label_texts(read_regular(path, LABEL_TEXTS_BYTES, follow_link=True), encoder)
        return encoder.knowing(known)

    @cached_property
    def _own_text_encoder(self) -> TextEncoder:
        return TextEncoder.open(self.path / "text")

    # --- editing; only `publish` makes an edit live

    def split_class(
        self,
        name: str,
        request: SplitRequest | None = None,
        *,
        taxonomy: Taxonomy | None = None,
        **choices: Unpack[SplitChoices],
    ) -> Edit:
        """Run `edgesplit.split_class` on the live head, with the bundle's statistics and encoder.

        Arguments and errors are those of `edgesplit.split_class`.
        """
        return self._split(split_class, name, request, taxonomy=taxonomy, **choices)

    def choose_clips(
        self, name: str, request: SplitRequest, features: npt.ArrayLike, n: int
    ) -> Int64:
        """Run `edgesplit.choose_clips` on the live head, with the bundle's statistics."""
        return choose_clips(self.head(), name, request, features, n, statistics=self.statistics)

    def split_classes(
        self, plan: Plan, *, taxonomy: Taxonomy | None = None, **choices: Unpack[SplitOptions]
    ) -> Edit:
        """Run `edgesplit.split_classes` on the live head, with the bundle's statistics and encoder.

        Publishing makes the complete plan live. `rollback` undoes the complete plan, `merge_class`
        one of its splits.
        """
        return self._split(split_classes, plan, taxonomy=taxonomy, **choices)

    def draft_split(
        self, name: str, request: SplitRequest, *, taxonomy: Taxonomy | None = None
    ) -> SplitDraft:
        """Run `edgesplit.edits.split.draft_split` on the live head, as `split_class` does."""
        encoder = self.text_encoder
        return draft_split(
            self.head(),
            name,
            request,
            statistics=self.statistics,
            taxonomy=taxonomy,
            encoder=encoder,
        )

    def finish_split(self, draft: SplitDraft, request: SplitRequest) -> Edit:
        """Run `SplitDraft.finish`; the result is that of `split_class`."""
        return self._warn(draft.finish(request))

    def _split(self, split: Callable[..., Edit], *args: Any, **choices: Any) -> Edit:
        encoder = self.text_encoder
        return self._warn(
            split(self.head(), *args, statistics=self.statistics, encoder=encoder, **choices)
        )

    def _warn(self, edit: Edit) -> Edit:
        """Add a warning if the split used another packaged text encoder than the export."""
        encoder = self.text_encoder
        if self._has_text_encoder or encoder.digest == self.text_encoder_digest:
            return edit
        warning = (
            f"the text encoder is {encoder.digest[:12]}, but the bundle was exported with "
            f"{self.text_encoder_digest[:12]}, which makes other rows for the same edit"
        )
        warnings = (*edit.report.warnings, warning)
        return replace(edit, report=replace(edit.report, warnings=warnings))

    def merge_class(self, name: str) -> Edit:
        """Undo the split of `name` on the live head.

        If that split was the head's last edit, the result is the parent, byte for byte.
        """
        return self._restore_parent(merge_class(self.head(), name))

    def rename_class(self, name: str, to: str, *, modifier: str | None = None) -> Edit:
        """Give `name` another label on the live head; see `edgesplit.rename_class`.

        If this undoes the head's last edit, the result is the parent, byte for byte.
        """
        return self._restore_parent(rename_class(self.head(), name, to, modifier=modifier))

    def drop_class(self, name: str) -> Edit:
        """Remove a subcategory of the live head; see `edgesplit.drop_class`."""
        return drop_class(self.head(), name)

    def _restore_parent(self, edit: Edit) -> Edit:
        parent = edit.before.parent
        if parent and has_head(self.path, parent):
            return restore_parent(edit, self.heads.read(parent))
        return edit

    # --- writing

    def publish(
        self, edit: Edit | Head, *, action: str | None = None, accept_changes: bool = False
    ) -> Version:
        """Make a head live, atomically and durably, if it was made from the live head.

        Args:
            edit: an edit of the live head, or a head whose parent is the live one.
            action: text of the log entry; by default the edit's action. For a head, the changed
                labels are added.
            accept_changes: publish a new flat split even if it changes many decisions on the
                bundle's clips.

        Raises:
            EditError: the head is live already.
            ConflictError: another head went live since the edit was made, or heads between the live
                one and this one are missing.
            FeatureSpaceError: the head belongs to another backbone.
            GateError: the head would change logits that the edit must not change, or more than a
                quarter of the decisions by a new flat split.
            BundleError: the folder cannot be written. Nothing was changed, unless only the last
                sync failed: then the head is live, but a power cut may undo that.
        """
        return publishing.publish(self, edit, action, accept_changes=accept_changes)

    def check(self, edit: Edit, *, accept_changes: bool = False) -> GateReport:
        """Run the gate of `publish` without publishing; it raises the same errors."""
        return publishing.check_edit(self, edit, accept_changes=accept_changes)

    def rollback(
        self, digest: str | None = None, *, expect: str | None = None, action: str | None = None
    ) -> Version:
        """Make an earlier head live again, byte for byte.

        Args:
            digest: digest of the head; by default the head that the live one was made from, so
                repeated calls undo one edit after another.
            expect: digest that the live head must have; by default any.
            action: text of the log entry.

        Raises:
            ConflictError: another head is live than expected.
            BundleError: no earlier head exists, the head was never live, or the folder cannot be
                written.
        """
        return publishing.roll_back(self, digest, expect, action)

    def prune(self, keep: int, *, dry_run: bool = False) -> tuple[str, ...]:
        """Remove the files of all heads except the exported one and the last `keep` live ones.

        The history keeps its entries, but the removed heads cannot be rolled back to.

        Args:
            keep: number of heads to keep, including the live one; at least 1.
            dry_run: only return the heads that would be removed.

        Returns:
            Digests of the removed heads, in order.

        Raises:
            ValueError: `keep` is less than 1.
            BundleError: HEAD is damaged, or the folder cannot be written.
        """
        return publishing.prune(self, keep, dry_run=dry_run)

    def calibrate(self, features: npt.ArrayLike, *, accept_few: bool = False) -> Statistics:
        """Add statistics of unlabelled clips to a bundle without statistics, durably.

        They cannot be replaced later.

        Args:
            features: `(clips, dim)`, from this bundle's backbone.
            accept_few: accept too few clips of some classes.

        Raises:
            BundleError: it has statistics already, or the folder cannot be written.
            TooFewClipsError: a class has fewer clips than its mean needs.
            ConflictError: another process holds the bundle's lock.
            ValueError: there are no features, or their size does not fit the head.
        """
        statistics = Statistics.from_features(self.head(), features)
        if not accept_few:
            statistics.check_counts()
        with lock(self.path):
            self.check_uncalibrated()
            with map_os_errors("write statistics to", self.path):
                self.store.replace_file(self.path / STATISTICS_FILE, statistics.to_bytes())
        return statistics

    def check_uncalibrated(self) -> None:
        """Raise BundleError if the bundle has statistics already."""
        if (self.path / STATISTICS_FILE).exists():
            raise BundleError(
                f"{self.path} has statistics already; edits may depend on them, so they cannot be "
                "replaced. Export the model again for other statistics."
            )

    def verify(self) -> list[str]:
        """Check every file; return the problems as sentences, empty if there are none."""
        return verify(self)
