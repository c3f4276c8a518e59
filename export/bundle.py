"""Make a bundle from a trained classifier, as `edgesplit export` does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from edgesplit._types import Float32
from edgesplit.backbone.backends import OrtBackend
from edgesplit.backbone.features import FeatureCache, Features, extract_all
from edgesplit.backbone.identity import Backbone, feature_space
from edgesplit.bundle.create import create_bundle
from edgesplit.bundle.label_texts import embed_labels
from edgesplit.edits.text_encoder import packaged_encoder
from edgesplit.errors import ClipError, ExportError, LabelError
from edgesplit.export.graph.canonical import IR_VERSION, OPSET
from edgesplit.export.graph.cut import Cut, find_cut
from edgesplit.export.graph.parity import Parity, check_parity, measure_parity, random_clips
from edgesplit.export.graph.trace import export_backbone, normalize_clips
from edgesplit.heads.head import Head
from edgesplit.heads.statistics import Statistics
from edgesplit.video.clips import Clip, load_clip
from edgesplit.video.preprocessing import Preprocessing

__all__ = ["Clip", "ExportReport", "export_model"]

_PARITY_CLIPS = 8  # number of given clips to compare, in addition to random ones


@dataclass(frozen=True, slots=True)
class ExportReport:
    """The exported bundle, and its agreement with torch."""

    path: Path
    feature_space: str
    head_digest: str
    head_layer: str
    """Dotted name of the layer that became the head."""
    averaged: bool
    """True if the layer ran per token; the mean over tokens now comes before the head."""
    scale: float
    """Constant factor after the layer, now part of the head's weight and bias; 1 without one."""
    n_classes: int
    feature_dim: int
    opset: int
    ir_version: int
    backbone_bytes: int
    parity: Parity
    n_features: int
    """Number of features in the statistics; 0 without clips and features."""
    missing: Mapping[str, str]
    """Reason for each video that could not be read, by path."""


def export_model(
    model: nn.Module,
    *,
    labels: Sequence[str],
    output: Path,
    preprocessing: Preprocessing,
    head_layer: str | None = None,
    clips: Sequence[Clip] | None = None,
    features: npt.ArrayLike | None = None,
    progress: Callable[[str], None] | None = None,
) -> ExportReport:
    """Write the bundle of a trained classifier; return a report with its agreement with torch.

    Args:
        model: Takes a batch of normalised clips, returns logits; copied and not changed.
        labels: One per class, in the order of the model's outputs.
        output: The bundle's folder, which must not exist yet.
        preprocessing: Conversion of a video to a clip; mean and std become part of the backbone.
        head_layer: Dotted name of the last linear layer; by default it is searched.
        clips: Unlabelled videos or clips for statistics and the gate.
        features: `(M, D)` features from the same model, instead of clips.
        progress: Called with a few words before each step.

    Raises:
        ExportError: The model has no linear head, the labels do not fit, or the exported pair does
            not agree with torch. After any error, no files are left.
        ClipError: No video can be read.
        LabelError: A label is empty or appears twice.
        BundleError: The folder cannot be written.
        ValueError: Both clips and features are given, or an array has another shape.
    """
    if clips is not None and features is not None:
        raise ValueError("give clips or features, not both")
    if output.exists():
        raise ExportError(f"{output} exists already. Choose another name, or remove it first.")
    report = progress or (lambda step: None)

    report("looking for the head")
    cut = find_cut(model, _probe_clips(preprocessing), head_layer=head_layer)
    unplaced = _label_rows(cut, labels)
    report("exporting the backbone")
    backbone = export_backbone(cut, preprocessing)
    head = replace(unplaced, feature_space=feature_space(backbone, preprocessing))
    report("comparing with torch")
    parity = _compare(cut, backbone, head, clips or (), preprocessing)
    check_parity(parity)
    missing: Mapping[str, str] = {}
    if clips is not None:
        found = _extract_features(backbone, head, clips, preprocessing, report)
        features, missing = found.matrix, found.missing
    known = None if features is None else np.asarray(features, np.float32)
    report("embedding the labels")
    label_texts = _embed_labels(head)
    report("writing the bundle")
    create_bundle(  # atomic: the last step is a rename
        output,
        backbone=backbone,
        head=head,
        preprocessing=preprocessing,
        statistics=None if known is None else Statistics.from_features(head, known),
        label_texts=label_texts,
    )
    return ExportReport(
        path=output,
        feature_space=head.feature_space,
        head_digest=head.digest,
        head_layer=cut.layer,
        averaged=cut.averaged,
        scale=cut.tail.scale,
        n_classes=cut.n_classes,
        feature_dim=cut.feature_dim,
        opset=OPSET,
        ir_version=IR_VERSION,
        backbone_bytes=len(backbone),
        parity=parity,
        n_features=0 if known is None else len(known),
        missing=missing,
    )


def _embed_labels(head: Head) -> bytes | None:
    """Return the label texts; None if a label is too long, which an edit reports if needed."""
    try:
        return embed_labels(head.tree, packaged_encoder())
    except LabelError:
        return None


def _probe_clips(preprocessing: Preprocessing) -> Tensor:
    # Two clips reveal an average over the batch; more would only cost time and memory.
    clips = random_clips(preprocessing.clip_shape)[-1][:2]
    return normalize_clips(torch.from_numpy(clips), preprocessing)


def _label_rows(cut: Cut, labels: Sequence[str]) -> Head:
    """Return the head without a feature space; check the labels before the slow steps."""
    if len(labels) != cut.n_classes:
        raise ExportError(
            f"There are {len(labels)} labels, but {cut.layer!r} has {cut.n_classes} classes. "
            + _guess_label_mistake(labels, cut.n_classes)
        )
    return Head.from_arrays(cut.weight, cut.bias, labels)


def _guess_label_mistake(labels: Sequence[str], n_classes: int) -> str:
    if sum(bool(label.strip()) for label in labels) == n_classes:
        return "The others are empty. Remove empty lines from the label file, also at its end."
    if len(dict.fromkeys(labels)) == n_classes:
        twice = next(label for index, label in enumerate(labels) if label in labels[:index])
        return f"Labels such as {twice!r} are repeated: does the file have one line per clip?"
    if len(labels) == 1 and labels[0].count(",") + 1 == n_classes:
        return "The label seems to be a comma-separated list: write one label per line."
    if len(labels) == n_classes + 1:
        return f"Is the first line, {labels[0]!r}, a header?"
    return "Give one label per class, in the order of the model's outputs."


def _compare(
    cut: Cut, backbone: Backbone, head: Head, clips: Sequence[Clip], preprocessing: Preprocessing
) -> Parity:
    return measure_parity(
        cut,
        backbone=backbone,
        head=head.to_bytes(),
        batches=[*random_clips(preprocessing.clip_shape), *_spread(clips, preprocessing)],
        preprocessing=preprocessing,
    )


def _spread(clips: Sequence[Clip], preprocessing: Preprocessing) -> Iterator[Float32]:
    """Yield batches of one clip, spread evenly, because files are often sorted by class."""
    for clip in clips[:: -(-len(clips) // _PARITY_CLIPS) or 1]:
        with suppress(ClipError):  # `_extract_features` reports it
            yield load_clip(clip, preprocessing)[np.newaxis]


def _extract_features(
    backbone: Backbone,
    head: Head,
    clips: Sequence[Clip],
    preprocessing: Preprocessing,
    report: Callable[[str], None],
) -> Features:
    """Return the features by ONNX Runtime, as the device will compute them."""
    if not clips:
        raise ExportError("The list of clips is empty. Give clips, or omit them.")
    open_backend = cache(lambda: OrtBackend(backbone))  # opened for the first clip that needs it

    def compute(clip: Clip) -> Float32:
        feature: Float32 = open_backend().run(load_clip(clip, preprocessing)[np.newaxis])[0]
        return feature

    of_video = FeatureCache(lambda: compute, space=head.feature_space, dim=head.dim)

    def extract(clip: Clip) -> Float32:
        return of_video(Path(clip)) if isinstance(clip, (str, Path)) else compute(clip)

    names = (clip if isinstance(clip, (str, Path)) else index for index, clip in enumerate(clips))
    return extract_all(
        dict(zip(map(str, names), clips, strict=True)),
        extract,
        lambda done, n: report(f"reading clips, {done} of {n}"),
    )
