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
from edgesplit.edits.tokenizer import encode, is_slow, open_tokenizer
from edgesplit.errors import BundleError

QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)


O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}]*[\p{Ll}\p{Lm}]+(?i:'s|'t|'re)?|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BLOOM = r" ?[^(\s|[.,!?\u3002])]+"


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        " {2,}",
        r"\s+",
        QWEN,
        r"[^*+]",
        r"\*\*\*\*",
        r"(a{1})+",
        "[]*+]",
        "a{",
        O200K,
        BLOOM,
        r"\p{L}++",
    ],
)
def test_patterns_of_real_tokenizers_are_read(pattern: str) -> None:
    assert not is_slow(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "(.*.*.*.*)*z",
        "(a+)+b",
        "(?:a|a)*$",
        "(?<n>a)",
        "(a|b*)*c",
        ".*.*.*z",
        "(x*(y*z*))",
        "((a{2,}))*",
        "(a{65})*",
        "(",
        ")",
        r"(?<x>[a-z ]|[a-z ]\g<x>\g<x>)[0-9]",
        r"(a)\1",
        "a{1,64}a{1,64}a{1,64}b",
        "a?" * 22 + "a" * 22,
        "(?:[a-z ]{1,60}){1,60}[0-9]",
    ],
)
def test_patterns_that_can_take_very_long_are_refused(pattern: str) -> None:
    assert is_slow(pattern)


DOUBLES = {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}


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


def test_replacements_that_grow_without_end_are_refused() -> None:
    many = {"normalizer": {"type": "Sequence", "normalizers": [DOUBLES] * 40}}
    with pytest.raises(ValueError, match="times as long"):
        open_tokenizer(json.dumps(shipped() | many).encode())


def test_a_panic_is_an_error() -> None:
    odd = {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAAAAA="}}
    with pytest.raises((ValueError, BundleError), match=r".+"):
        encode(open_tokenizer(json.dumps(shipped() | odd).encode()), "left")


def test_padding_of_any_length_is_not_done() -> None:
    padding: dict[str, Any] = {
        "strategy": {"Fixed": 2**40},
        "direction": "Right",
        "pad_to_multiple_of": None,
    }
    padding |= {"pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}
    tokenizer = open_tokenizer(json.dumps(shipped() | {"padding": padding}).encode())
    assert len(encode(tokenizer, "left").ids) == 3


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
