"""Which patterns of a stranger's tokenizer are refused, and what damage says."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from edgesplit.edits.text_encoder import (
    ENCODER_FILE,
    MANIFEST_FILE,
    TOKENIZER_FILE,
    TextEncoder,
    encoder_digest,
    packaged_encoder,
)
from edgesplit.edits.tokenizer import is_slow, open_tokenizer
from edgesplit.errors import BundleError

QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)


@pytest.mark.parametrize(
    "pattern",
    ["", " {2,}", r"\s+", QWEN, r"[^*+]", r"\*\*\*\*", "(a|b)+", r"(a{1,3})+", "[]*+]", "a{"],
)
def test_patterns_of_real_tokenizers_are_read(pattern: str) -> None:
    assert not is_slow(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "(.*.*.*.*)*z",
        "(a+)+b",
        "(a|b*)*c",
        ".*.*.*z",
        "(x*(y*z*))",
        "((a{2,}))*",
        "(a{65})*",
        "(",
        ")",
    ],
)
def test_patterns_that_can_take_very_long_are_refused(pattern: str) -> None:
    assert is_slow(pattern)


def shipped() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((packaged_encoder().folder / TOKENIZER_FILE).read_bytes())
    return content


def test_a_tokenizer_with_such_a_pattern_is_an_error_at_once() -> None:
    slow = {"type": "Replace", "pattern": {"Regex": "(.*.*.*.*)*z"}, "content": ""}
    content = shipped() | {"normalizer": {"type": "Sequence", "normalizers": [slow]}}
    begun = time.monotonic()
    with pytest.raises(ValueError, match=r"its pattern '\(\.\*.* can take very long"):
        open_tokenizer(json.dumps(content).encode())
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("data", [b"", b"{}", b"[[", b"\xff", b"[" * 100_000])
def test_what_is_no_tokenizer_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        open_tokenizer(data)


def test_a_bundle_with_a_damaged_tokenizer_is_a_bundle_error(tmp_path: Path) -> None:
    packaged = packaged_encoder()
    encoder = (packaged.folder / ENCODER_FILE).read_bytes()
    (tmp_path / ENCODER_FILE).write_bytes(encoder)
    (tmp_path / TOKENIZER_FILE).write_bytes(b"{}")
    manifest = json.loads((packaged.folder / MANIFEST_FILE).read_bytes())
    manifest["digest"] = encoder_digest(encoder, b"{}")
    (tmp_path / MANIFEST_FILE).write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=r"tokenizer\.json cannot be used"):
        TextEncoder.open(tmp_path).check()
