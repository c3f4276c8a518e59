"""Create a bundle atomically: the complete folder appears, or nothing."""

from __future__ import annotations

import json
from pathlib import Path

from edgesplit.backbone.identity import Backbone, backbone_files, feature_space
from edgesplit.bundle.bundle import FORMAT_VERSION, STATISTICS_FILE, Bundle, open_bundle
from edgesplit.bundle.head_files import check_space
from edgesplit.bundle.label_texts import LABEL_TEXTS_FILE
from edgesplit.bundle.publishing import go_live
from edgesplit.edits.text_encoder import packaged_encoder
from edgesplit.errors import BundleError, FeatureSpaceError
from edgesplit.heads.head import Head
from edgesplit.heads.statistics import Statistics
from edgesplit.storage.files import Data, Store, map_os_errors
from edgesplit.video.preprocessing import Preprocessing

__all__ = ["create_bundle"]


def create_bundle(
    path: str | Path,
    *,
    backbone: Backbone,
    head: Head,
    preprocessing: Preprocessing,
    statistics: Statistics | None = None,
    label_texts: bytes | None = None,
    store: Store | None = None,
) -> Bundle:
    """Create a bundle with `head` live, atomically.

    Args:
        path: a folder that does not exist yet.
        backbone: the canonical fp32 backbone.
        head: the first head, of this backbone's feature space.
        preprocessing: preprocessing from a video to a clip.
        statistics: statistics of this head's feature space.
        label_texts: result of `embed_labels`; without it the first edit embeds the labels.
        store: writer of files; by default one for the file system.

    Raises:
        BundleError: `path` exists or cannot be written.
        FeatureSpaceError: the head belongs to another feature space.
    """
    target = Path(path)
    if target.exists():
        raise BundleError(f"{target} exists already. Choose another name, or remove it first.")
    space = feature_space(backbone, preprocessing)
    check_space(head, space, head.dim)
    if statistics is not None and statistics.feature_space != space:
        raise FeatureSpaceError("The statistics were made with a head of another feature space.")
    content = {
        "format": FORMAT_VERSION,
        "feature_space": space,
        "dim": head.dim,
        "preprocessing": preprocessing.to_json(),
        "text_encoder": packaged_encoder().digest,
    }
    files: dict[str, Data] = {
        "bundle.json": (json.dumps(content, indent=2, sort_keys=True) + "\n").encode(),
        **backbone_files(backbone),
    }
    if statistics is not None:
        files[STATISTICS_FILE] = statistics.to_bytes()
    if label_texts is not None:
        files[LABEL_TEXTS_FILE] = label_texts
    writer = store or Store()
    with map_os_errors("create", target), writer.write_folder(target) as part:
        writer.make_folder(part / "heads")
        for name, data in files.items():
            writer.replace_file(part / name, data)
        go_live(writer, part, head, before="", action="export")
    return open_bundle(target, store=store)
