"""Embeddings of the labels, made at export, so that a first edit embeds only its new words."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgesplit._data import load_arrays, save_arrays
from edgesplit._types import Float32
from edgesplit.edits.embedding import texts_of_head
from edgesplit.edits.text_encoder import TextEncoder, is_embedding, normalize_text
from edgesplit.errors import BundleError
from edgesplit.heads.labels import LabelTree
from edgesplit.limits import LABEL_TEXTS_BYTES

__all__ = ["LABEL_TEXTS_FILE", "check_label_texts", "embed_labels", "read_label_texts"]

LABEL_TEXTS_FILE = "texts.npz"
"""Name of the file in the bundle's folder, which is written once and never changed."""


def embed_labels(tree: LabelTree, encoder: TextEncoder) -> bytes:
    """Return the file: the texts that splits of a head embed, their vectors, the encoder's digest.

    Raises:
        LabelError: a label is too long for the encoder, or has no text that it can read.
        MissingExtraError: ONNX Runtime is not installed.
    """
    texts = list(dict.fromkeys(map(normalize_text, texts_of_head(tree, encoder))))
    return save_arrays(encoder=encoder.digest, texts=texts, vectors=encoder.encode(texts))


def read_label_texts(data: bytes, encoder: TextEncoder) -> Mapping[str, Float32]:
    """Return the vectors by text; empty if another encoder made them.

    Raises:
        BundleError: the file is damaged.
    """
    try:
        arrays = load_arrays(data, "encoder", "texts", "vectors", limit=LABEL_TEXTS_BYTES)
        if str(arrays["encoder"]) != encoder.digest:
            return {}
        vectors = arrays["vectors"].astype(np.float32)
        texts = [str(text) for text in arrays["texts"]]
        if vectors.shape != (len(texts), encoder.dim) or not all(map(is_embedding, vectors)):
            raise ValueError("these are not embeddings")
        return dict(zip(texts, vectors, strict=True))
    except (ValueError, TypeError, KeyError) as error:
        raise BundleError(
            f"{LABEL_TEXTS_FILE} is damaged. Restore it from a copy, or remove it: edits then "
            "embed the labels again."
        ) from error


def check_label_texts(known: Mapping[str, Float32], encoder: TextEncoder) -> None:
    """Compute the vectors again and compare.

    Raises:
        BundleError: some vectors differ from those of the encoder.
    """
    found = encoder.compute(list(known))
    wrong = [text for text, row in zip(known, found, strict=True) if (known[text] != row).any()]
    if wrong:
        raise BundleError(
            f"{LABEL_TEXTS_FILE} differs from the text encoder's result for {len(wrong)} texts, "
            f"such as {wrong[0]!r}. Remove it: edits then embed the labels again."
        )
