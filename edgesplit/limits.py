"""Limits on what is read from files that somebody else may have made.

A file beyond a limit is refused with an error that names the limit, before memory is taken for it.
docs/threat-model.md lists them for users. Each is far above what real models need.
"""

from __future__ import annotations

__all__ = [
    "ARRAYS_BYTES",
    "BACKBONE_BYTES",
    "BUNDLE_JSON_BYTES",
    "CLIP_VALUES",
    "FEATURE_BYTES",
    "FRAMES",
    "FRAME_SIDE",
    "GRAPH_BYTES",
    "HEAD_BYTES",
    "HEAD_METADATA_CHARS",
    "HEAD_POINTER_BYTES",
    "LABEL_TEXTS_BYTES",
    "LOG_BYTES",
    "STATISTICS_BYTES",
    "STRIDE",
    "TEXT_ENCODER_BYTES",
    "TEXT_FILE_BYTES",
    "TOKENIZER_BYTES",
    "TREE_DEPTH",
]

HEAD_POINTER_BYTES = 2**10
"""HEAD: a digest and a line end."""
BUNDLE_JSON_BYTES = 2**16
LOG_BYTES = 2**27
"""log.jsonl: about 400,000 edits."""
HEAD_BYTES = 2**28
"""heads/<digest>.onnx: 10,000 classes of 4,096 features take 160 MB."""
STATISTICS_BYTES = 2**29
LABEL_TEXTS_BYTES = 2**27
GRAPH_BYTES = 2**31
"""One ONNX file, which protobuf limits as well."""
BACKBONE_BYTES = 2**35
"""backbone.data, the weights of a backbone above 2 GB."""
TEXT_ENCODER_BYTES = 2**31
TOKENIZER_BYTES = 2**26
HEAD_METADATA_CHARS = 2**24
"""The labels of a head and where its rows came from: 10,000 classes take 3 million."""
FEATURE_BYTES = 2**20
"""A cached feature of one video."""
TEXT_FILE_BYTES = 2**26
"""A list of labels, a taxonomy, or another text that the user names."""
ARRAYS_BYTES = 2**32
"""A file of saved features, and all of its arrays once they are unpacked."""

TREE_DEPTH = 64
"""Splits below each other: work grows with the square of the depth."""
FRAMES, FRAME_SIDE = 4096, 8192
"""Frames of a clip; pixels of its height, width and of the short side before the crop."""
STRIDE = 10_000
"""Frames from one frame of a clip to the next."""
CLIP_VALUES = 2**28
"""Values of one clip: 1 GiB as float32."""
