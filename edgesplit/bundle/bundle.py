"""The bundle: a folder with one backbone, all its heads, and the name of the live one.

    lab.bundle/
      bundle.json          format version, feature space, preprocessing, text encoder digest
      backbone.onnx        exported once, never touched again; above 2 GB with backbone.data
      heads/<digest>.onnx  every version ever made
      HEAD                 digest of the live head
      log.jsonl            one line per publish, appended
      stats.npz            class means, covariance, a sample (once clips were given)
      texts.npz            embeddings of the labels, by the packaged text encoder
      text/                a text encoder of its own, when not the packaged one

Only HEAD and log.jsonl are ever written twice; `publish` writes them. Readers take no lock.
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
"""Written once and never changed."""
ENVIRONMENT = "EDGESPLIT_BUNDLE"


def find_bundle(path: str | Path | None = None) -> Path:
    """Return `path`, else what EDGESPLIT_BUNDLE says, else the bundle in the current folder.

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
    """Open a bundle for reading and publishing.

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
        content = load_json(read_regular(file, BUNDLE_JSON_BYTES, follow_link=True))
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
            digest: the whole digest or its first characters, 4 at least.

        Raises:
            BundleError: there is no such head, or its file does not have this digest.
            HeadError: the file is not a head.
            FeatureSpaceError: the head belongs to another backbone.
        """
        return self.heads.read(self.live if digest is None else self.heads.find(digest))

    def history(self) -> tuple[Version, ...]:
        """Return the heads that went live, oldest first; the last is the live one.

        While HEAD is damaged, it is every entry of the log, of which none is live.
        """
        return read_history(self.path, find_live(self.path))

    def backbone(self) -> Backbone:
        """Return the fp32 backbone, checked against the feature space.

        Raises:
            BundleError: it is not the one that the bundle was exported with.
        """
        return read_backbone(self.path, self.feature_space, self.preprocessing)

    @property
    def statistics(self) -> Statistics | None:
        """Statistics of unlabelled clips; None when there are none yet, see `calibrate`."""
        there = (self.path / STATISTICS_FILE).exists()  # each time: another process may calibrate
        return self._statistics if there else None

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
        """The bundle's own text encoder, else the packaged one, which knows the labels already.

        Raises:
            BundleError: its files, or the labels' embeddings, are damaged.
        """
        return self._own_text_encoder if self._has_text_encoder else self._packaged_encoder

    @property
    def _has_text_encoder(self) -> bool:
        return (self.path / "text").exists()  # asked each time: `edgesplit encoder` may have run

    @cached_property
    def _packaged_encoder(self) -> TextEncoder:
        encoder, path = packaged_encoder(), self.path / LABEL_TEXTS_FILE
        if not path.exists():  # older bundles have none
            return encoder
        known = read_label_texts(read_regular(path, LABEL_TEXTS_BYTES, follow_link=True), encoder)
        return encoder.knowing(known)

    @cached_property
    def _own_text_encoder(self) -> TextEncoder:
        return TextEncoder.open(self.path / "text")

    # --- editing; nothing is live before `publish`

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

        Once published, all of the plan is live. `rollback` undoes all of it, `merge_class` one
        split of it.
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

    def _split(self, split: Callable[..., Edit], *asked: Any, **choices: Any) -> Edit:
        encoder = self.text_encoder
        return self._warn(
            split(self.head(), *asked, statistics=self.statistics, encoder=encoder, **choices)
        )

    def _warn(self, edit: Edit) -> Edit:
        """Add a warning if the split took another packaged text encoder than the export did."""
        encoder = self.text_encoder
        if self._has_text_encoder or encoder.digest == self.text_encoder_digest:
            return edit
        warning = (
            f"the text encoder is {encoder.digest[:12]}, the bundle was exported beside "
            f"{self.text_encoder_digest[:12]}: the same edit gave other rows there"
        )
        warnings = (*edit.report.warnings, warning)
        return replace(edit, report=replace(edit.report, warnings=warnings))

    def merge_class(self, name: str) -> Edit:
        """Undo the split of `name` on the live head.

        When that split was the head's last edit, the result is the parent itself, byte for byte.
        """
        return self._restore_parent(merge_class(self.head(), name))

    def rename_class(self, name: str, to: str, *, modifier: str | None = None) -> Edit:
        """Give `name` another label on the live head; see `edgesplit.rename_class`.

        Taking back the head's last edit gives the parent itself, byte for byte.
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

    def publish(self, edit: Edit | Head, *, action: str | None = None) -> Version:
        """Make a head live: at once, durably, and only on top of the head it was made from.

        Args:
            edit: an edit of the live head, or a head whose parent is the live one.
            action: text of the log's entry; the edit's own by default. For a head, the labels that
                changed are added.

        Raises:
            ConflictError: another head went live since the edit was made.
            FeatureSpaceError: the head belongs to another backbone.
            GateError: the head would change logits that the edit must leave alone.
            BundleError: the folder cannot be written. Nothing was changed; or, when only the very
                last sync failed, the head is live but may not be after a power cut.
        """
        return publishing.publish(self, edit, action)

    def check(self, edit: Edit) -> GateReport:
        """Run the gate that `publish` runs, and publish nothing; errors as there."""
        return publishing.check_edit(self, edit)

    def rollback(self, digest: str | None = None, *, expect: str | None = None) -> Version:
        """Make an earlier head live again, byte for byte.

        Args:
            digest: the head; by default the one that the live head was made from, so that
                repeating it walks back through the edits.
            expect: digest of the head that must be live for it; any by default.

        Raises:
            ConflictError: another head is live than expected.
            BundleError: there is no earlier head, it was never live, or the folder cannot be
                written.
        """
        return publishing.roll_back(self, digest, expect)

    def prune(self, keep: int, *, dry_run: bool = False) -> tuple[str, ...]:
        """Remove the files of all heads but the last `keep` that were live.

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
        return publishing.prune(self, keep, dry_run=dry_run)

    def calibrate(self, features: npt.ArrayLike, *, accept_few: bool = False) -> Statistics:
        """Give a bundle without statistics those of unlabelled clips, durably and for good.

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
                self.store.replace_file(self.path / STATISTICS_FILE, statistics.to_bytes())
        return statistics

    def check_uncalibrated(self) -> None:
        """Raise BundleError if the bundle has statistics already."""
        if (self.path / STATISTICS_FILE).exists():
            raise BundleError(
                f"{self.path} has statistics already, which edits were made with: they stay. "
                "Export the model anew to have others."
            )

    def verify(self) -> list[str]:
        """Check every file; return what is wrong, in sentences. Empty when nothing is."""
        return verify(self)
