"""The bundle: a folder with one backbone, every head there ever was, and which one is live.

    lab.bundle/
      bundle.json          format version, feature space, preprocessing, text encoder digest
      backbone.onnx        exported once, never touched again
      heads/<digest>.onnx  every version ever made
      HEAD                 digest of the live head
      log.jsonl            one line per publish, appended
      stats.npz            class means and covariance (when clips were given at export)
      golden.npz           features for the gate (when clips were given at export)
      text/                a text encoder of its own, when not the packaged one

Only HEAD and log.jsonl are ever written twice. Publishing writes the head, then the log line,
then HEAD, each durably before the next: a log line that HEAD never followed is an attempt that
did not happen. Readers take no lock.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgesplit import store
from edgesplit.diff import diff_heads
from edgesplit.errors import (
    BundleError,
    ConflictError,
    EdgesplitError,
    EditError,
    FeatureSpaceError,
)
from edgesplit.gate import Gate, pass_gate, read_golden, write_golden
from edgesplit.head import Head, head_digest
from edgesplit.history import Version, append_version, new_version, read_history
from edgesplit.knowledge import Taxonomy
from edgesplit.labels import Composition
from edgesplit.metrics import count_flips
from edgesplit.preprocessing import Preprocessing
from edgesplit.rules import DEFAULT_RULE
from edgesplit.split import Edit, Into, merge_class, split_class
from edgesplit.stats import Statistics
from edgesplit.text import TextEncoder, packaged_encoder

__all__ = ["Bundle", "Version", "create_bundle", "feature_space", "find_bundle", "open_bundle"]

FORMAT_VERSION = 1
MIN_PREFIX = 4
ENVIRONMENT = "EDGESPLIT_BUNDLE"


def feature_space(backbone: bytes, preprocessing: Preprocessing) -> str:
    """The identity that heads belong to.

    sha256, in hex, over the canonical fp32 backbone and the canonical preprocessing.
    """
    content = json.dumps(preprocessing.to_json(), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(hashlib.sha256(backbone).digest() + content.encode()).hexdigest()


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
    found = sorted(file.parent for file in here.glob("*/bundle.json"))
    if len(found) == 1:
        return found[0]
    how = f"Name one with --bundle or {ENVIRONMENT}."
    if found:
        raise BundleError(
            f"{here} holds several bundles: {', '.join(f.name for f in found)}. {how}"
        )
    raise BundleError(f"There is no bundle in {here}. {how} `edgesplit demo` makes one to try.")


def open_bundle(path: str | Path) -> Bundle:
    """Opens a bundle for reading and publishing.

    Raises:
        BundleError: the folder is not a bundle of a format this edgesplit reads.
    """
    folder = Path(path)
    file = folder / "bundle.json"
    if not file.is_file():
        what = "does not exist" if not folder.exists() else "is not a bundle (no bundle.json in it)"
        raise BundleError(f"{folder} {what}. `edgesplit export` makes a bundle.")
    try:
        content = json.loads(store.read_bytes(file))
        version = content["format"]
        if version != FORMAT_VERSION:
            raise BundleError(
                f"{folder} has bundle format {version!r}, this edgesplit reads {FORMAT_VERSION}. "
                "Use the edgesplit release that wrote it."
            )
        return Bundle(
            path=folder,
            feature_space=str(content["feature_space"]),
            dim=int(content["dim"]),
            preprocessing=Preprocessing.from_json(content["preprocessing"]),
            text_encoder_digest=str(content["text_encoder"]),
        )
    except KeyError as error:
        raise BundleError(f"{file} has no {error}. Restore it from a copy.") from error
    except (ValueError, TypeError) as error:
        raise BundleError(f"{file} is damaged. Restore it from a copy.") from error


def create_bundle(
    path: str | Path,
    *,
    backbone: bytes,
    head: Head,
    preprocessing: Preprocessing,
    statistics: Statistics | None = None,
    golden: npt.ArrayLike | None = None,
) -> Bundle:
    """Makes a bundle with `head` live; all of it appears at once or not at all.

    Args:
        path: a folder that does not exist yet.
        backbone: the canonical fp32 ONNX file.
        head: the first head, of this backbone's feature space.
        preprocessing: how a video becomes a clip.
        statistics: of this head's feature space.
        golden: `(clips, dim)` features for the gate, at least one; the first
            `edgesplit.gate.MAX_GOLDEN` are kept.

    Raises:
        BundleError: `path` exists or cannot be written.
        FeatureSpaceError: the head belongs to another feature space.
    """
    target = Path(path)
    if target.exists():
        raise BundleError(f"{target} exists already. Choose another name, or remove it first.")
    space = feature_space(backbone, preprocessing)
    if head.feature_space != space:
        raise FeatureSpaceError(_other_space(head, space))
    if statistics is not None and statistics.feature_space != space:
        raise FeatureSpaceError("The statistics were made with a head of another feature space.")
    if golden is not None and (np.shape(golden)[1:] != (head.dim,) or not np.size(golden)):
        raise ValueError(f"golden has shape {np.shape(golden)}, want (clips, {head.dim})")
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    with store.map_os_errors("create", target):
        try:
            (part / "heads").mkdir(parents=True)
            content = {
                "format": FORMAT_VERSION,
                "feature_space": space,
                "dim": head.dim,
                "preprocessing": preprocessing.to_json(),
                "text_encoder": packaged_encoder().digest,
            }
            store.replace_file(part / "backbone.onnx", backbone)
            if statistics is not None:
                store.replace_file(part / "stats.npz", statistics.to_bytes())
            if golden is not None:
                store.replace_file(
                    part / "golden.npz", write_golden(np.asarray(golden, np.float32), space)
                )
            text = json.dumps(content, indent=2, sort_keys=True) + "\n"
            store.replace_file(part / "bundle.json", text.encode())
            _go_live(part, head, before="", action="export")
            store.rename_folder(part, target)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
    return open_bundle(target)


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

    @property
    def live(self) -> str:
        """Digest of the live head.

        Raises:
            BundleError: HEAD is missing or damaged.
        """
        text = store.read_bytes(self.path / "HEAD").decode(errors="replace").strip()
        if len(text) != 64 or set(text) - set("0123456789abcdef"):
            raise BundleError(
                f"{self.path / 'HEAD'} does not hold a digest. `edgesplit log` lists the heads; "
                "`edgesplit rollback DIGEST` makes one live."
            )
        return text

    def _live_or_none(self) -> str | None:
        """As `live`, but None when HEAD is missing or holds no digest."""
        path = self.path / "HEAD"
        if path.exists():
            store.read_bytes(path)  # an unreadable HEAD is not a damaged one
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
        full = self.live if digest is None else self.find_head(digest)
        path = self._head_file(full)
        data = store.read_bytes(path)
        if head_digest(data) != full:
            raise BundleError(
                f"{path} is damaged: its content has another digest than its name. Restore it "
                "from a copy, or roll back and make the same edit again."
            )
        head = Head.from_bytes(data)
        self._check_space(head)
        return head

    def find_head(self, prefix: str) -> str:
        """The whole digest that starts with `prefix`, which has 4 characters at least."""
        if len(prefix) < MIN_PREFIX:
            raise BundleError(f"{prefix!r} is too short: give {MIN_PREFIX} characters of a digest.")
        heads = sorted(path.stem for path in (self.path / "heads").glob("*.onnx"))
        found = [digest for digest in heads if digest.startswith(prefix)]
        if len(found) == 1:
            return found[0]
        what = (
            f"{len(found)} heads of {self.path} start"
            if found
            else f"No head of {self.path} starts"
        )
        raise BundleError(f"{what} with {prefix[:12]!r}. `edgesplit log` lists them.")

    def backbone(self) -> bytes:
        """The fp32 backbone's ONNX bytes, checked against the feature space."""
        data = store.read_bytes(self.path / "backbone.onnx")
        if feature_space(data, self.preprocessing) != self.feature_space:
            raise BundleError(
                f"{self.path / 'backbone.onnx'} is not the backbone that this bundle was exported "
                "with (or its preprocessing was edited). Restore both from a copy."
            )
        return data

    @cached_property
    def statistics(self) -> Statistics | None:
        """Class means and covariance; None when the bundle was exported without clips."""
        path = self.path / "stats.npz"
        if not path.exists():
            return None
        statistics = Statistics.from_bytes(store.read_bytes(path))
        if statistics.feature_space != self.feature_space:
            raise FeatureSpaceError(f"{path} belongs to another bundle. Restore it from a copy.")
        return statistics

    @cached_property
    def golden(self) -> npt.NDArray[np.float32] | None:
        """`(clips, dim)` features for the gate; None when exported without clips."""
        path = self.path / "golden.npz"
        if not path.exists():
            return None
        return read_golden(store.read_bytes(path), feature_space=self.feature_space, dim=self.dim)

    @cached_property
    def text_encoder(self) -> TextEncoder:
        """The bundle's own text encoder, else the packaged one."""
        folder = self.path / "text"
        return TextEncoder.open(folder) if folder.exists() else packaged_encoder()

    def history(self) -> tuple[Version, ...]:
        """The heads that went live, oldest first; the last is the live one.

        While HEAD is damaged, every entry of the log, of which none is live.
        """
        return read_history(self.path, self._live_or_none())

    def split_class(
        self,
        name: str,
        *,
        into: Into,
        rule: str = DEFAULT_RULE,
        composition: Composition = "gated",
        taxonomy: Taxonomy | None = None,
        like: str | None = None,
        force: bool = False,
    ) -> Edit:
        """`edgesplit.split_class` on the live head, with all that the bundle knows.

        Nothing is live before `publish`.
        """
        encoder = self.text_encoder
        edit = split_class(
            self.head(),
            name,
            into=into,
            rule=rule,
            composition=composition,
            taxonomy=taxonomy,
            like=like,
            force=force,
            encoder=encoder,
        )
        warnings = [*edit.report.warnings]
        if encoder.digest != self.text_encoder_digest and not (self.path / "text").exists():
            warnings.append(
                f"the text encoder is {encoder.digest[:12]}, the bundle was exported beside "
                f"{self.text_encoder_digest[:12]}: the same edit gave other rows there"
            )
        if composition == "flat" and self.golden is not None:
            flips = count_flips(edit.before, edit.head, self.golden)
            clips = f"{len(self.golden)} of the bundle's clips"
            warnings += [f"flat flips {flips} decisions on {clips}"] if flips else []
        return replace(edit, report=replace(edit.report, warnings=tuple(warnings)))

    def merge_class(self, name: str) -> Edit:
        """Undoes the split of `name` on the live head.

        When that split was the head's last edit, the result is the parent itself, byte for byte.
        """
        head = self.head()
        parent = None
        if head.parent and self._head_file(head.parent).exists():
            parent = self.head(head.parent)
        return merge_class(head, name, parent=parent)

    def publish(self, edit: Edit | Head, *, action: str | None = None) -> Version:
        """Makes a head live: at once, durably, and only on top of the head it was made from.

        Args:
            edit: an edit of the live head, or a head whose parent is the live one.
            action: what the log says; the edit's own words by default. A head's labels are added.

        Raises:
            ConflictError: another head went live since the edit was made.
            FeatureSpaceError: the head belongs to another backbone.
            GateError: the head would change logits that the edit must leave alone.
            BundleError: the folder cannot be written; nothing was changed.
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

    def rollback(self, digest: str | None = None) -> Version:
        """Makes an earlier head live again, byte for byte.

        Args:
            digest: the head; by default the one that the live head was made from, so that
                repeating it walks back through the edits.

        Raises:
            BundleError: there is no earlier head, or the folder cannot be written.
        """
        live = self.live if digest is None else self._live_or_none()
        if digest is None:
            digest = self.head().parent
            if not digest:
                raise BundleError("The first head is live: there is nothing to roll back to.")
        head = self.head(digest)
        return self._publish(head, f"rollback to {head.digest[:12]}", expect=live, check=None)

    def _publish(
        self,
        head: Head,
        action: str,
        *,
        expect: str | None,
        check: Callable[[Head, Head], Gate] | None,
    ) -> Version:
        with store.lock(self.path):
            # A named rollback is how a damaged HEAD is repaired; an edit must know what is live.
            live = self.live if check is not None else self._live_or_none()
            if head.digest == live:
                raise EditError(f"{head.digest[:12]} is live already; nothing was published.")
            if live != expect:
                raise ConflictError(self._conflict(head, expect, live))
            if check is not None:
                check(self.head(live), head)
            before = live or self._logged_last()
            with store.map_os_errors("publish to", self.path):
                return _go_live(self.path, head, before=before, action=action)

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
        return pass_gate(before, after, self.golden)

    def verify(self) -> list[str]:
        """Checks every file; returns what is wrong, in sentences. Empty when all is well."""
        problems: list[str] = []

        def attempt(step: Callable[[], object]) -> None:
            try:
                step()
            except EdgesplitError as error:
                problems.append(str(error))

        attempt(self.backbone)
        attempt(self.head)
        attempt(self._check_history)
        attempt(lambda: self.golden)
        attempt(lambda: self.statistics)
        attempt(lambda: self.text_encoder.check())
        for path in sorted((self.path / "heads").glob("*.onnx")):
            attempt(lambda path=path: self.head(path.stem))  # type: ignore[misc]
        return list(dict.fromkeys(problems))

    def _check_history(self) -> None:
        live = self.live
        history = read_history(self.path, live)
        if not history or history[-1].digest != live:
            raise BundleError(
                f"The log does not say how {live[:12]} went live: HEAD was set by hand, or the log "
                "is incomplete. Publish or roll back to go on from here."
            )
        gone = [v.digest[:12] for v in history if not self._head_file(v.digest).exists()]
        if gone:
            raise BundleError(
                f"{len(gone)} heads of the log are gone, such as {gone[0]}: it is not possible to "
                "roll back to them. Restore them from a copy."
            )

    def _check_space(self, head: Head) -> None:
        if head.feature_space != self.feature_space:
            raise FeatureSpaceError(_other_space(head, self.feature_space))
        if head.dim != self.dim:
            raise FeatureSpaceError(
                f"The head takes features of {head.dim} values, the backbone gives {self.dim}."
            )

    def _head_file(self, digest: str) -> Path:
        return self.path / "heads" / f"{digest}.onnx"


def _go_live(folder: Path, head: Head, *, before: str, action: str) -> Version:
    """Head, log line, HEAD: each is on disk before the next is begun."""
    path = folder / "heads" / f"{head.digest}.onnx"
    # A file of that name is re-hashed: a power cut can leave it empty.
    if path.exists() and head_digest(path.read_bytes()) == head.digest:
        store.sync_file(path)  # whoever wrote it may have been cut off before it was durable
    else:
        store.replace_file(path, head.to_bytes())
    version = new_version(head.digest, before=before, action=action)
    append_version(folder, version)
    store.replace_file(folder / "HEAD", f"{head.digest}\n".encode())
    return version


def _in_words(live: Head, head: Head) -> str:
    difference = diff_heads(live, head)
    parts = [f"+ {node.label!r}" for node in difference.added]
    parts += [f"- {label!r}" for label in difference.removed]
    return ", ".join(parts) or "the same labels"


def _other_space(head: Head, space: str) -> str:
    mine = f"feature space {head.feature_space[:12]}" if head.feature_space else "no feature space"
    return (
        f"The head belongs to {mine}, the bundle has {space[:12]}: it was trained on another "
        "backbone or preprocessing. Use a head that was exported with this bundle."
    )
