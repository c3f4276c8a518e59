"""The labels' embeddings that a bundle brings: what they save, and when they are not believed."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from edgesplit._data import load_arrays, save_arrays
from edgesplit._types import Float32
from edgesplit.bundle.bundle import Bundle, open_bundle
from edgesplit.bundle.label_texts import LABEL_TEXTS_FILE, embed_labels
from edgesplit.demo import unpack_demo
from edgesplit.edits.text_encoder import TextEncoder, packaged_encoder
from edgesplit.errors import BundleError


@pytest.fixture
def known(cache: Path, tmp_path: Path) -> Bundle:
    """The demo's bundle with its labels' embeddings, and an empty cache."""
    assert not cache.exists()
    return unpack_demo(tmp_path)


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Texts that the encoder ran for."""
    texts: list[str] = []
    compute = TextEncoder.compute

    def noting(self: TextEncoder, some: Sequence[str]) -> Float32:
        texts.extend(some)
        return compute(self, some)

    monkeypatch.setattr(TextEncoder, "compute", noting)
    return texts


def change(bundle: Bundle, **arrays: object) -> Bundle:
    path = bundle.path / LABEL_TEXTS_FILE
    content = load_arrays(path.read_bytes(), "encoder", "texts", "vectors") | arrays
    path.write_bytes(save_arrays(**content))  # type: ignore[arg-type]
    return open_bundle(bundle.path)


def test_a_first_edit_embeds_only_its_new_words(known: Bundle, computed: list[str]) -> None:
    edit = known.split_class("pushing", into=["leftwards", "rightwards"], accept_doubt=True)
    sides = ["leftwards", "rightwards"]
    assert set(computed) == {*sides, *(f"pushing something {side}" for side in sides)}
    path = known.path / LABEL_TEXTS_FILE
    path.unlink()
    without = open_bundle(known.path)
    again = without.split_class("pushing", into=sides, accept_doubt=True)
    assert again.head.digest == edit.head.digest


def test_vectors_of_another_encoder_are_not_taken(known: Bundle, computed: list[str]) -> None:
    other = change(known, encoder="0" * 64)
    other.split_class("pushing", into=["left", "right"], accept_doubt=True)
    assert "pulling something left" in computed
    assert other.verify() == []


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY"])
def test_a_damaged_file_is_refused_with_a_way_out(known: Bundle, content: bytes) -> None:
    (known.path / LABEL_TEXTS_FILE).write_bytes(content)
    message = "texts.npz is damaged. Restore it from a copy, or remove it"
    with pytest.raises(BundleError, match=message):
        open_bundle(known.path).split_class("pushing", into=["left", "right"])
    assert any(problem.startswith("texts.npz is damaged") for problem in known.verify())
    (known.path / LABEL_TEXTS_FILE).unlink()
    open_bundle(known.path).split_class("pushing", into=["left", "right"])


@pytest.mark.parametrize("vectors", ["short", "long", "not finite", "few"])
def test_what_is_no_embedding_is_refused(known: Bundle, vectors: str) -> None:
    path = known.path / LABEL_TEXTS_FILE
    right = load_arrays(path.read_bytes(), "vectors")["vectors"]
    wrong = {
        "short": right[:, :10],
        "long": 2 * right,
        "not finite": right * np.float32("nan"),
        "few": right[:-1],
    }[vectors]
    with pytest.raises(BundleError, match="damaged"):
        _ = change(known, vectors=wrong).text_encoder


def test_verify_computes_them_anew(known: Bundle) -> None:
    assert known.verify() == []
    right = load_arrays((known.path / LABEL_TEXTS_FILE).read_bytes(), "vectors")["vectors"]
    swapped = change(known, vectors=right[::-1])
    assert any("differs from the text encoder's result for" in each for each in swapped.verify())


def test_the_demos_file_is_what_an_export_writes(known: Bundle) -> None:
    written = (known.path / LABEL_TEXTS_FILE).read_bytes()
    names = ("encoder", "texts", "vectors")
    ours = load_arrays(embed_labels(known.head().tree, packaged_encoder()), *names)
    for name, array in load_arrays(written, *names).items():
        np.testing.assert_array_equal(array, ours[name])
