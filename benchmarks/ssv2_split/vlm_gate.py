"""The paper's baseline: the base model decides, and a CLIP re-labels the clips of the category.

The CLIP comes from a local Hugging Face folder: the model, its tokenizer, and the image mean and
deviation of its processor. Frames are scaled and cropped to the size of its vision tower, as by its
processor. Labels are used as prompts without a change. A video's similarity to a label is the mean
over its frames. This module needs the export extra; no other module of the package does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.ssv2_split.evaluate import Row, Splitter, Way
from benchmarks.ssv2_split.layout import Category, LayoutError
from edgesplit._types import Float32
from edgesplit.backbone.features import Features
from edgesplit.errors import MissingExtraError
from edgesplit.heads.head import Head
from edgesplit.video.clips import read_clip
from edgesplit.video.preprocessing import Preprocessing

__all__ = ["FRAMES", "LocalClip", "clip_space", "gate_rows", "gated_videos", "relabel"]

FRAMES = 8
"""Number of frames of each video, evenly spread; the authors' number is not known."""


def relabel(
    decided: Sequence[str], coarse: str, fine: Sequence[str], similarities: npt.ArrayLike
) -> list[str]:
    """Return the decisions of the gate.

    Args:
        decided: the base model's decisions.
        coarse: the category; all other decisions are kept.
        fine: its subcategories.
        similarities: `(clips, subcategories)` of images and texts; the first of equals wins. With a
            row of NaN, for a video without an image, the clip stays in the category.
    """
    scores = np.asarray(similarities, np.float64)
    best, seen = np.argmax(scores, axis=1), np.isfinite(scores.sum(axis=1))
    return [
        fine[place] if label == coarse and is_seen else label
        for label, place, is_seen in zip(decided, best, seen, strict=True)
    ]


def gated_videos(head: Head, category: Category, features: Features) -> list[str]:
    """Return the videos of the subcategories that the base model puts into the category.

    A CLIP needs only these. All other videos in the category are wrong before and after.
    """
    there = [clip.video for clip in category.target if clip.video in features.places]
    decided = head.classify(features.pick(there)) if there else []
    return [video for video, label in zip(there, decided, strict=True) if label == category.name]


def gate_rows(
    name: str,
    splitter: Splitter,
    categories: Sequence[Category],
    images: Features,
    texts: Callable[[Sequence[str]], Float32],
) -> Iterator[Row]:
    """Yield the gate's row for every category.

    Outside the category the gate decides like any gated split, so locality and churn are those of a
    gated split; only generality differs. It cannot be scored "in group", because the CLIP does not
    get the clips that the base model puts elsewhere.

    Args:
        name: name of the rows.
        splitter: the splitter with the base model and its features.
        categories: the categories to score.
        images: the CLIP's features of `gated_videos`.
        texts: labels to embeddings `(labels, dim)`.
    """
    for category in categories:
        row = replace(splitter.row(category, Way("copies", "gated")), way=name)
        if row.score is None:
            yield row
            continue
        clips = [c for c in category.target if c.video in splitter.features.places]
        generality = float("nan")
        if clips:
            decided = splitter.head.classify(splitter.features.pick(c.video for c in clips))
            similarities = np.full((len(clips), len(category.fine)), np.nan)
            seen = [place for place, clip in enumerate(clips) if clip.video in images.places]
            pictures = images.pick(clips[place].video for place in seen)
            similarities[seen] = pictures @ texts(category.fine).T
            after = relabel(decided, category.name, category.fine, similarities)
            generality = float(np.mean([a == c.label for a, c in zip(after, clips, strict=True)]))
        score = replace(row.score, generality=generality, in_group=float("nan"))
        yield replace(row, score=score)


class LocalClip:
    """A CLIP from a folder, on the CPU.

    Raises:
        MissingExtraError: torch or transformers is not installed.
        LayoutError: the folder does not hold a CLIP, its tokenizer and its processor's file.
    """

    def __init__(self, folder: Path) -> None:
        try:
            import torch
            from transformers import AutoTokenizer, CLIPModel
        except ImportError as error:
            raise MissingExtraError(
                f"A CLIP needs torch and transformers ({error}): pip install 'edgesplit[export]'."
            ) from error
        mean, std = _mean_and_std(folder)
        try:
            model: Any = CLIPModel.from_pretrained(folder, local_files_only=True)
            tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise LayoutError(
                f"{folder} does not hold a CLIP and its tokenizer ({error}). Give a local folder "
                "with the files of a Hugging Face CLIP."
            ) from error
        self._torch: Any = torch
        self._model, self._tokenizer = model.eval(), tokenizer
        config = model.config
        size: int = config.vision_config.image_size
        self._max_tokens: int = config.text_config.max_position_embeddings
        self._preprocessing = Preprocessing(
            FRAMES, size, size, layout="ntchw", resize=size, interpolation="antialias-bicubic"
        )
        self._mean, self._std = (np.array(x, np.float32)[:, None, None] for x in (mean, std))
        self.dim: int = config.projection_dim

    def image(self, video: Path) -> Float32:
        """Return `(dim,)`: the mean over frames of their embeddings of length 1.

        Raises:
            ClipError: the video cannot be read.
        """
        frames = (read_clip(video, self._preprocessing) - self._mean) / self._std
        model = self._model
        with self._torch.inference_mode():
            pooled = model.vision_model(self._torch.from_numpy(frames)).pooler_output
            embedded: Float32 = model.visual_projection(pooled).numpy()
        return np.asarray(_normalised(embedded).mean(axis=0), np.float32)

    def texts(self, labels: Sequence[str]) -> Float32:
        """Return embeddings `(labels, dim)` of length 1; long labels are cut."""
        rows = []
        with self._torch.inference_mode():
            for label in labels:  # one by one: no padding that a tokenizer may lack
                tokens = self._tokenizer(
                    label, truncation=True, max_length=self._max_tokens, return_tensors="pt"
                )
                pooled = self._model.text_model(input_ids=tokens["input_ids"]).pooler_output
                rows.append(self._model.text_projection(pooled).numpy()[0])
        return _normalised(np.stack(rows))


def clip_space(folder: Path) -> str:
    """Return the identity of a folder's CLIP for videos: sha256 over its files, in hex."""
    digest = hashlib.sha256(f"{FRAMES} frames, antialias-bicubic".encode())
    for path in sorted(folder.iterdir()):
        if path.is_file():
            digest.update(f"{path.name} {path.stat().st_size}\n".encode())
            with path.open("rb") as file:
                while block := file.read(2**20):
                    digest.update(block)
    return digest.hexdigest()


def _mean_and_std(folder: Path) -> tuple[list[float], list[float]]:
    """Read mean and deviation from the processor's file; newer files nest the image processor."""
    for name in ("preprocessor_config.json", "processor_config.json"):
        path = folder / name
        try:
            content = json.loads(path.read_text()) if path.is_file() else {}
            content = content.get("image_processor", content)
            if "image_mean" in content:
                mean, std = content["image_mean"], content["image_std"]
                if len(mean) == len(std) == 3:
                    return mean, std
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise LayoutError(f"{path} is damaged ({error!r}). Copy it again.") from error
    raise LayoutError(
        f"{folder} has no preprocessor_config.json with image_mean and image_std of three numbers. "
        "Give the folder of a Hugging Face CLIP."
    )


def _normalised(rows: Float32) -> Float32:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)
